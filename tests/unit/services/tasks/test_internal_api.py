"""What analysis may ask of tasks, and nobody else."""

import secrets

import pytest

from contracts.events import AnalysisCompleted, AnalysisFailed
from contracts.internal import PHOTO_PATH, REPORT_PICTURES_PATH
from services.tasks.photos.store import CHUNK_BYTES
from tests.unit.services.tasks.forms import pair, photo
from tests.unit.services.tasks.running import Service
from tests.unit.services.tasks.test_api import is_problem, new_task, report

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def job_with_photos(service: Service) -> tuple[str, list[str]]:
    task_id = new_task()
    job_id = await service.new_job(task_id, pair(size=CHUNK_BYTES + 7), headers=service.bearer())
    task = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).json
    return job_id, [p["photoID"] for p in task["photos"]]


def photo_path(job_id: str, photo_id: str) -> str:
    return PHOTO_PATH.format(job_id=job_id, photo_id=photo_id)


def picture_path(job_id: str, name: str = "image") -> str:
    return REPORT_PICTURES_PATH.format(job_id=job_id, name=name)


def files(service: Service) -> set[str]:
    return {path.name for path in service.photos._folder.rglob("*") if path.is_file()}


async def test_a_submitted_photo_is_handed_out_as_it_was_uploaded(service: Service) -> None:
    job_id, photos = await job_with_photos(service)
    answer = await service.internal("GET", photo_path(job_id, photos[1]))
    assert (answer.status, answer.body) == (200, photo(CHUNK_BYTES + 7, 1))
    assert answer.headers["Content-Length"] == str(CHUNK_BYTES + 7)


async def test_a_picture_of_a_report_is_stored_and_shown_once_the_report_names_it(service: Service) -> None:
    task_id = new_task()
    job_id = await service.new_job(task_id, headers=service.bearer())
    picture = photo(2 * CHUNK_BYTES + 1, 9)
    answer = await service.internal("PUT", picture_path(job_id), data=picture)
    assert answer.status == 200
    image_id = answer.json["photo_id"]
    shown = f"/v1/tasks/{task_id}/photos/{image_id}"
    is_problem(await service.get(shown, headers=service.bearer()), 404)
    await service.hear(AnalysisCompleted(job_id=job_id, report=report(task_id), image_id=image_id))
    assert (await service.get(shown, headers=service.bearer())).body == picture


@pytest.mark.parametrize("token", [None, "", "wrong", "between services onlyx", "é"])
async def test_only_services_come_in(service: Service, token: str | None) -> None:
    job_id, photos = await job_with_photos(service)
    is_problem(await service.internal("GET", photo_path(job_id, photos[0]), token), 401)
    before = files(service)
    is_problem(await service.internal("PUT", picture_path(job_id), token, data=photo()), 401)
    assert files(service) == before


async def test_a_users_token_is_not_a_services(service: Service) -> None:
    job_id, photos = await job_with_photos(service)
    token = service.bearer()["Authorization"].removeprefix("Bearer ")
    is_problem(await service.internal("GET", photo_path(job_id, photos[0]), token), 401)


@pytest.mark.parametrize("end", ["done", "error", "replaced"])
async def test_when_the_job_has_ended_there_is_nothing_left_to_do(service: Service, end: str) -> None:
    task_id = new_task()
    job_id = await service.new_job(task_id, pair(), headers=service.bearer())
    task = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).json
    if end == "done":
        await service.hear(AnalysisCompleted(job_id=job_id, report=report(task_id)))
    elif end == "error":
        await service.hear(AnalysisFailed(job_id=job_id, reason="why"))
    else:
        await service.new_job(task_id, headers=service.bearer())
    is_problem(await service.internal("GET", photo_path(job_id, task["photos"][0]["photoID"])), 410)
    before = files(service)
    is_problem(await service.internal("PUT", picture_path(job_id), data=photo()), 410)
    assert files(service) == before


async def test_a_job_is_given_its_own_photos_only(service: Service) -> None:
    (job_id, photos), (_, others) = await job_with_photos(service), await job_with_photos(service)
    is_problem(await service.internal("GET", photo_path(job_id, others[0])), 404)
    is_problem(await service.internal("GET", photo_path("nothing", photos[0])), 404)
    is_problem(await service.internal("PUT", picture_path("nothing"), data=photo()), 404)
    await service.photos.delete([photos[0]])
    is_problem(await service.internal("GET", photo_path(job_id, photos[0])), 404)


@pytest.mark.parametrize(
    ("data", "status"), [(b"", 422), (b"no picture at all", 422), (b"\xff\xd8", 422), (photo(2_000_001), 413)]
)
async def test_what_is_no_picture_is_refused_and_leaves_nothing(service: Service, data: bytes, status: int) -> None:
    job_id = await service.new_job(new_task(), headers=service.bearer())
    before = files(service)
    is_problem(await service.internal("PUT", picture_path(job_id, secrets.token_hex(2)), data=data), status)
    assert files(service) == before
