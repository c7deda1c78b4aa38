"""The public routes over HTTP: what the app gets, and what nobody else does."""

import asyncio
import base64
import secrets
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
import sqlalchemy as sa

from contracts.events import AnalysisCompleted, AnalysisFailed, AnalysisStarted, PhotoKind, TaskSubmitted
from contracts.public import JobDone, Task, TaskPage
from contracts.reports import Report, Severity
from services.chassis.health import KEYS
from services.tasks.models import jobs
from services.tasks.photos.store import CHUNK_BYTES, PhotoMetadata, PhotoNotFoundError, PhotoStoreError, new_photo_id
from services.tasks.privacy import photos
from services.tasks.privacy.photos import HELD_BYTES, cleaned
from services.tasks.privacy.work import UnreadableError, Work
from tests.tokens import EMAIL
from tests.unit.services.tasks.forms import CONTENT_TYPE, SMALLEST_PHOTO, app_form, pair, photo
from tests.unit.services.tasks.privacy.endless import endless_cleaning
from tests.unit.services.tasks.privacy.telling import TELLING, large_jpeg, picture, pixels
from tests.unit.services.tasks.running import Answer, Service
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSE = "else@example.com"


def new_task() -> str:
    return f"task-{secrets.token_hex(6)}"


def report(task_id: str) -> Report:
    name = f"{task_id}_analysis_image.jpg"
    return Report(
        taskID=task_id,
        leakSeverity=Severity.MODERATE,
        energyLossValue=15.8,
        energyLossCost=142.0,
        savingsPercent=19.0,
        savingsCost=31.0,
        imagePath=name,
        thumbPath=name,
        suggestions=(),
        reason="Größe – 50 % „unklar“",
    )


async def stored(service: Service, data: bytes) -> str:
    photo_id = new_photo_id()
    writer = service.photos.writer(photo_id, PhotoMetadata("picture"))
    await writer.write(data)
    await writer.end("image/jpeg", "0" * 64)
    await service.photos.publish([writer])
    return photo_id


async def finished(service: Service, task_id: str, image: bytes | None) -> str:
    job_id = await service.new_job(task_id, pair(), headers=service.bearer())
    image_id = None if image is None else await stored(service, image)
    await service.hear(AnalysisCompleted(job_id=job_id, report=report(task_id), image_id=image_id))
    return job_id


async def shown(service: Service, data: bytes, user: str = EMAIL) -> Answer:
    """A photo as it comes back to who uploaded it."""
    task_id, bearer = new_task(), service.bearer(user)
    await service.new_job(task_id, [("media0", "obs0_rgb.bin", data)], headers=bearer, uid=user)
    task = (await service.get(f"/v1/tasks/{task_id}", headers=bearer)).json
    return await service.get(f"/v1/tasks/{task_id}/photos/{task['photos'][0]['photoID']}", headers=bearer)


def is_problem(answer: Answer, status: int) -> str:
    """The sentence of an error that says what RFC 9457 and the app want of it."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["correlationId"] == answer.headers["X-Correlation-Id"]
    assert isinstance(answer.json["detail"], str)
    return str(answer.json["detail"])


async def test_the_root_is_a_sign_of_life(service: Service) -> None:
    answer = await service.get("/")
    assert (answer.status, answer.json) == (200, {"status": "tasks service is running", "service": "tasks"})


async def test_a_submission_is_answered_as_the_app_expects_and_announced(service: Service) -> None:
    task_id = new_task()
    files = pair()
    answer = await service.submit(task_id, files, headers=service.bearer())
    assert answer.status == 200
    assert answer.json.keys() == {"jobId", "status"}
    assert answer.json["status"] == "queued"
    job_id = answer.json["jobId"]
    assert (await service.get(f"/detect_leak/{job_id}", headers=service.bearer())).json == {"status": "queued"}

    def announced() -> list[TaskSubmitted]:
        return [event for event in service.broker.events(TaskSubmitted) if event.job_id == job_id]

    await until(lambda: bool(announced()))
    (event,) = announced()
    assert (event.task_id, event.inside_temp_f, event.outside_temp_f) == (task_id, 71.0, 35.0)
    assert [(p.kind, p.observation, p.name, p.size) for p in event.photos] == [
        (PhotoKind.RGB, 0, "obs0_rgb.jpg", 1000),
        (PhotoKind.THERMAL, 0, "obs0_thermal.jpg", 1000),
    ]


async def test_a_job_is_followed_from_queued_to_its_report(service: Service) -> None:
    task_id, image = new_task(), photo(5000)
    job_id = await service.new_job(task_id, pair(), headers=service.bearer())
    seen = []
    for event in (
        AnalysisStarted(job_id=job_id),
        AnalysisCompleted(job_id=job_id, report=report(task_id), image_id=await stored(service, image)),
    ):
        await service.hear(event)
        seen.append(await service.get(f"/detect_leak/{job_id}", headers=service.bearer()))
    assert seen[0].json == {"status": "processing"}
    done = seen[1].json
    assert done == {
        "status": "done",
        "report": report(task_id).model_dump(mode="json"),
        "image": {"filename": f"{task_id}_analysis_image.jpg", "data": base64.b64encode(image).decode()},
    }
    JobDone.model_validate(done)
    assert seen[1].headers["Content-Type"] == "application/json"
    assert int(seen[1].headers["Content-Length"]) == len(seen[1].body)


async def test_a_failed_job_tells_why(service: Service) -> None:
    job_id = await service.new_job(new_task(), headers=service.bearer())
    await service.hear(AnalysisFailed(job_id=job_id, reason="No photo could be read. Please take them again."))
    answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    assert answer.json == {"status": "error", "error": "No photo could be read. Please take them again."}


@pytest.mark.parametrize(
    "size",
    [
        *range(SMALLEST_PHOTO, SMALLEST_PHOTO + 6),
        1000,
        *(n * CHUNK_BYTES + more for n in (1, 5) for more in (-2, -1, 0, 1, 2)),
    ],
)
async def test_the_image_is_embedded_byte_by_byte_whatever_its_size(service: Service, size: int) -> None:
    task_id, image = new_task(), photo(size, size)
    job_id = await finished(service, task_id, image)
    answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    assert base64.b64decode(answer.json["image"]["data"], validate=True) == image
    assert int(answer.headers["Content-Length"]) == len(answer.body)


async def test_a_report_without_an_image_has_a_null_there(service: Service) -> None:
    job_id = await finished(service, new_task(), None)
    answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    assert (answer.json["status"], answer.json["image"]) == ("done", None)
    assert int(answer.headers["Content-Length"]) == len(answer.body)


async def test_a_report_whose_image_is_lost_is_still_a_report(service: Service) -> None:
    task_id = new_task()
    job_id = await finished(service, task_id, photo())
    task = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).json
    await service.photos.delete([p["photoID"] for p in task["photos"]])
    answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    assert (answer.json["status"], answer.json["image"]) == ("done", None)


async def test_an_image_that_is_lost_is_counted(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    job_id = await finished(service, new_task(), None)
    before = service.metric("report_images_lost_total")
    await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    assert service.metric("report_images_lost_total") == before
    job_id = await finished(service, new_task(), photo())
    job = (await service.get(f"/detect_leak/{job_id}", headers=service.bearer())).json
    task = (await service.get(f"/v1/tasks/{job['report']['taskID']}", headers=service.bearer())).json
    await service.photos.delete([p["photoID"] for p in task["photos"] if p["kind"] == "report"])
    assert (await service.get(f"/detect_leak/{job_id}", headers=service.bearer())).json["image"] is None
    assert service.metric("report_images_lost_total") == before + 1
    assert "the image of a report is lost" in caplog.text


async def test_a_task_id_with_odd_characters_makes_a_sound_answer(service: Service) -> None:
    task_id = "ta\"s'k<é🪟>?#%2e&" + secrets.token_hex(4)
    image = photo(100)
    job_id = await finished(service, task_id, image)
    answer = (await service.get(f"/detect_leak/{job_id}", headers=service.bearer())).json
    assert answer["image"]["filename"] == f"{task_id}_analysis_image.jpg"
    task = await service.get(f"/v1/tasks/{quote(task_id, safe='')}", headers=service.bearer())
    assert task.json["taskID"] == task_id


async def test_submitting_again_ends_the_earlier_job(service: Service) -> None:
    task_id = new_task()
    first = await service.new_job(task_id, pair(), headers=service.bearer())
    second = await service.new_job(task_id, pair(1), headers=service.bearer())
    earlier, later = [
        (await service.get(f"/detect_leak/{one}", headers=service.bearer())).json for one in (first, second)
    ]
    assert earlier["status"] == "error"
    assert "newer submission" in earlier["error"]
    assert later == {"status": "queued"}


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_refusals_of_a_form_reach_the_client_as_problems(service: Service) -> None:
    bearer = service.bearer()
    task_id = new_task()
    files = [("media0", "obs0_rgb.jpg", b"%PDF-1.7 and so on, and so on, and so on")]
    assert "not a photo" in is_problem(await service.submit(task_id, files, headers=bearer), 422)
    assert "inside temperature" in is_problem(await service.submit(task_id, insideTemp="warm", headers=bearer), 422)
    assert "no id" in is_problem(await service.submit("", headers=bearer), 400)
    large = [("media0", "obs0_rgb.jpg", photo(2_000_001))]
    assert "larger than 1.91 MB" in is_problem(await service.submit(task_id, large, headers=bearer), 413)
    cut = app_form(task_id, pair())[:1500]
    answer = await service.ask("POST", "/detect_leak", data=cut, headers={"Content-Type": CONTENT_TYPE, **bearer})
    assert "broke off" in is_problem(answer, 400)
    answer = await service.ask("POST", "/detect_leak", json={}, headers=bearer)
    assert "multipart/form-data" in is_problem(answer, 415)
    is_problem(await service.get(f"/v1/tasks/{task_id}", headers=bearer), 404)


async def test_a_refused_submission_changes_nothing_of_the_earlier_one(service: Service) -> None:
    task_id = new_task()
    job_id = await service.new_job(task_id, pair(), headers=service.bearer())
    before = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).body
    files = [*pair(), ("media2", "obs1_rgb.jpg", b"")]
    is_problem(await service.submit(task_id, files, headers=service.bearer()), 422)
    is_problem(await service.submit(task_id, pair(), uid=ELSE, headers=service.bearer(ELSE)), 403)
    is_problem(await service.submit(task_id, pair(), uid=ELSE, headers=service.bearer()), 403)
    assert (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).body == before
    assert (await service.get(f"/detect_leak/{job_id}", headers=service.bearer())).json == {"status": "queued"}


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(service: Service) -> None:
    before = {path for path in service.photos._folder.rglob("*") if path.is_file()}
    port = int(service.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    body = app_form("task", [("media0", "obs0_rgb.jpg", photo(900_000))])
    head = f"POST /detect_leak HTTP/1.1\r\nHost: x\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Authorization: {service.bearer()['Authorization']}\r\n\r\n".encode() + body[:600_000])
    await writer.drain()

    def files() -> set[Any]:
        return {path for path in service.photos._folder.rglob("*") if path.is_file()}

    await until(lambda: bool(files() - before))
    writer.close()
    await until(lambda: files() == before)


async def test_unknown_jobs_tasks_and_photos_are_not_found(service: Service) -> None:
    task_id = new_task()
    await service.new_job(task_id, headers=service.bearer())
    for path, detail in (
        ("/detect_leak/nothing", "Job not found"),
        ("/detect_leak/%00", "Job not found"),
        ("/detect_leak/%ff%fe", "Job not found"),
        ("/detect_leak/" + "x" * 5000, "Job not found"),
        ("/v1/tasks/nothing", "Task not found"),
        (f"/v1/tasks/{task_id}/photos/{'0' * 24}", "Photo not found"),
        (f"/v1/tasks/{task_id}/photos/nothing", "Photo not found"),
        (f"/v1/tasks/nothing/photos/{'0' * 24}", "Task not found"),
    ):
        assert is_problem(await service.get(path, headers=service.bearer()), 404) == detail


async def test_what_is_somebody_elses_is_not_found(service: Service) -> None:
    task_id = new_task()
    job_id = await service.new_job(task_id, pair(), headers=service.bearer())
    task = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).json
    photo_path = f"/v1/tasks/{task_id}/photos/{task['photos'][0]['photoID']}"
    assert (await service.get(photo_path, headers=service.bearer())).status == 200
    foreign = service.bearer(ELSE)
    assert is_problem(await service.get(f"/detect_leak/{job_id}", headers=foreign), 404) == "Job not found"
    assert is_problem(await service.get(f"/v1/tasks/{task_id}", headers=foreign), 404) == "Task not found"
    assert is_problem(await service.get(photo_path, headers=foreign), 404) == "Task not found"
    is_problem(await service.get(f"/v1/tasks?userID={EMAIL}", headers=foreign), 403)


async def test_nobody_comes_in_without_a_good_token(service: Service) -> None:
    task_id = new_task()
    job_id = await service.new_job(task_id, pair(), headers=service.bearer())
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic abc"}, service.bearer("")):
        for path in (f"/detect_leak/{job_id}", f"/v1/tasks/{task_id}", f"/v1/tasks?userID={EMAIL}"):
            answer = await service.get(path, headers=headers)
            is_problem(answer, 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        is_problem(await service.submit(task_id, headers=headers), 401)
    assert len([1 for e in service.broker.events(TaskSubmitted) if e.task_id == task_id]) <= 1


async def test_the_published_app_comes_in_without_one_in_legacy_mode(legacy: Service) -> None:
    task_id = new_task()
    job_id = await legacy.new_job(task_id, pair())
    assert (await legacy.get(f"/detect_leak/{job_id}")).json == {"status": "queued"}
    assert (await legacy.get(f"/v1/tasks/{task_id}")).json["jobId"] == job_id
    assert "another account" in is_problem(await legacy.submit(task_id, uid=ELSE), 403)
    # A token that is sent counts all the same.
    is_problem(await legacy.get(f"/detect_leak/{job_id}", headers=legacy.bearer(ELSE)), 404)
    is_problem(await legacy.get(f"/detect_leak/{job_id}", headers={"Authorization": "Bearer nonsense"}), 401)
    is_problem(await legacy.submit(task_id, headers=legacy.bearer(ELSE)), 403)


async def test_the_owner_is_found_whatever_capitals_the_address_is_written_in(service: Service) -> None:
    task_id = new_task()
    await service.new_job(task_id, uid="Someone@Example.COM", headers=service.bearer("SOMEONE@example.com"))
    await service.new_job(task_id, headers=service.bearer())
    listed = (await service.get("/v1/tasks?userID=SomeOne@example.com", headers=service.bearer())).json
    assert task_id in [task["taskID"] for task in listed["tasks"]]


# ── tasks and photos ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_task_is_shown_with_its_report_and_photos(service: Service) -> None:
    task_id = new_task()
    job_id = await finished(service, task_id, photo())
    answer = await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())
    task = Task.model_validate(answer.json)
    assert (task.title, task.type, task.state, task.jobId) == ("North window", "window", "open", job_id)
    assert (task.insideTemp, task.outsideTemp) == (71.0, 35.0)
    assert task.report == report(task_id)
    assert [(p.kind, p.name) for p in task.photos if p.kind in tuple(PhotoKind)] == [
        ("rgb", "obs0_rgb.jpg"),
        ("thermal", "obs0_thermal.jpg"),
    ]
    assert [p.name for p in task.photos if p.kind == "report"] == [f"{task_id}_analysis_image.jpg"]


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("HEIF", "image/heic"),
    ],
)
async def test_a_photo_is_shown_as_what_it_is_without_where_it_was_taken(
    service: Service, form: str, kind: str
) -> None:
    data = picture(form)
    answer = await shown(service, data)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cache-Control"] == "no-store"
    assert TELLING not in answer.body
    assert np.array_equal(pixels(answer.body), pixels(data))


async def test_a_large_photo_is_shown_in_pieces_that_make_it_whole(service: Service) -> None:
    data = large_jpeg()
    assert len(data) > HELD_BYTES
    answer = await shown(service, data)
    assert TELLING in data
    assert TELLING not in answer.body
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert np.array_equal(pixels(answer.body), pixels(data))


async def test_a_photo_without_a_picture_in_it_is_not_shown(service: Service) -> None:
    answer = await shown(service, b"\x89PNG\r\n\x1a\n" + bytes(100) + TELLING)
    assert "damaged" in is_problem(answer, 404)


async def adopted(service: Service, image: bytes) -> str:
    """A finished job as the migration makes it for a report of the old backend."""
    job_id, task_id, at = str(uuid.uuid5(uuid.uuid4(), "task")), new_task(), datetime.now(UTC)
    row = {
        "jobID": job_id,
        "taskID": task_id,
        "userID": EMAIL,
        "state": "done",
        "imageID": await stored(service, image),
    }
    times = {"submittedAt": at, "publishedAt": at, "endedAt": at}
    async with service.database.write() as connection:
        await connection.execute(sa.insert(jobs).values(**row, **times, report=report(task_id).model_dump(mode="json")))
    return job_id


async def test_a_report_image_is_sent_while_every_turn_to_clean_photos_is_taken(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await finished(service, new_task(), picture("JPEG"))
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def slow(photo: bytes, work: Work) -> Any:
        begun.release()
        go_on.wait(20)
        raise UnreadableError("slow")

    monkeypatch.setattr(photos, "cleaned", slow)
    attacks = [asyncio.create_task(shown(service, picture("PNG"), f"{n}@example.com")) for n in range(5)]
    try:
        for _ in range(photos.CLEANED_AT_ONCE):
            await asyncio.to_thread(begun.acquire, timeout=10)
        async with asyncio.timeout(5):
            answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
        assert base64.b64decode(answer.json["image"]["data"]) == picture("JPEG")
    finally:
        go_on.set()
        await asyncio.gather(*attacks)


async def test_cleaning_ends_when_the_client_leaves(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = endless_cleaning(monkeypatch)
    leaving = asyncio.create_task(shown(service, picture("PNG")))
    assert await asyncio.to_thread(begun.wait, 10)
    leaving.cancel()  # closes the connection
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_photo_is_cleaned_once_however_often_it_is_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def counted(photo: bytes, work: Work) -> Any:
        nonlocal times
        times += 1
        return cleaned(photo, work)

    monkeypatch.setattr(photos, "cleaned", counted)
    task_id = new_task()
    await service.new_job(task_id, [("media0", "obs0_rgb.bin", picture("JPEG"))], headers=service.bearer())
    task = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).json
    path = f"/v1/tasks/{task_id}/photos/{task['photos'][0]['photoID']}"
    answers = await asyncio.gather(*(service.get(path, headers=service.bearer()) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert times == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
async def test_a_report_image_of_the_old_backend_says_nothing_of_places(service: Service, form: str) -> None:
    data = picture(form)
    job_id = await adopted(service, data)
    answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    image = base64.b64decode(answer.json["image"]["data"], validate=True)
    assert TELLING in data
    assert TELLING not in image
    assert np.array_equal(pixels(image), pixels(data))


async def test_a_photo_whose_bytes_are_lost_is_not_found(service: Service) -> None:
    task_id = new_task()
    await service.new_job(task_id, pair(), headers=service.bearer())
    task = (await service.get(f"/v1/tasks/{task_id}", headers=service.bearer())).json
    photo_id = task["photos"][0]["photoID"]
    await service.photos.delete([photo_id])
    is_problem(await service.get(f"/v1/tasks/{task_id}/photos/{photo_id}", headers=service.bearer()), 404)


async def test_tasks_are_listed_page_by_page(service: Service) -> None:
    user = f"lister-{secrets.token_hex(4)}@example.com"
    names = [new_task() for _ in range(7)]
    for name in names:
        await service.new_job(name, uid=user, headers=service.bearer(user))
    seen: list[str] = []
    query = f"/v1/tasks?userID={user}&limit=3"
    pages = 0
    path = query
    while True:
        page = TaskPage.model_validate((await service.get(path, headers=service.bearer(user))).json)
        pages += 1
        seen += [task.taskID for task in page.tasks]
        if page.next is None:
            break
        path = f"{query}&before={page.next}"  # as a careless client writes it: not encoded at all
    assert pages == 3
    assert sorted(seen) == sorted(names)
    assert len(set(seen)) == 7


@pytest.mark.parametrize(
    "before",
    ["", "x", "2026-01-01T00:00:00", "yesterday~task", "0001-01-01T00:00:00+14:00~t", "9999-12-31T23:59:59-14:00~t"],
)
async def test_a_cursor_that_is_none_of_ours_is_a_refusal_or_a_page(service: Service, before: str) -> None:
    answer = await service.get("/v1/tasks", params={"userID": EMAIL, "before": before}, headers=service.bearer())
    if answer.status == 200:
        TaskPage.model_validate(answer.json)
    else:
        assert "earlier page" in is_problem(answer, 422)


@pytest.mark.parametrize("query", ["", "userID=", "userID=u&limit=0", "userID=u&limit=101", "userID=" + "u" * 256])
async def test_a_wrong_query_is_answered_with_the_list_of_its_faults(service: Service, query: str) -> None:
    answer = await service.get(f"/v1/tasks?{query}", headers=service.bearer())
    assert answer.status == 422
    assert {"loc", "msg", "type"} == set(answer.json["detail"][0])


# ── stores that are away ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_while_the_photo_store_is_away_clients_are_told_to_come_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = new_task()
    job_id = await finished(service, task_id, photo())

    async def away(*_: Any) -> Any:
        raise PhotoStoreError("away")

    monkeypatch.setattr(service.photos, "open", away)
    answer = await service.get(f"/detect_leak/{job_id}", headers=service.bearer())
    is_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert (await service.get(f"/detect_leak/{job_id}", headers=service.bearer())).json["image"] is not None


async def test_a_photo_that_breaks_off_never_looks_whole(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await finished(service, new_task(), photo(HELD_BYTES + 2 * CHUNK_BYTES))
    opened = service.photos.open

    async def torn(photo_id: str) -> Any:
        whole = await opened(photo_id)

        async def chunks() -> Any:
            yield await anext(whole.chunks)
            yield await anext(whole.chunks)
            raise PhotoNotFoundError(photo_id)

        return type(whole)(whole.size, chunks())

    monkeypatch.setattr(service.photos, "open", torn)
    with pytest.raises(aiohttp.ClientPayloadError):
        await service.get(f"/detect_leak/{job_id}", headers=service.bearer())


async def test_health_and_readiness_name_the_dependencies(service: Service) -> None:
    assert (await service.get("/healthz")).status == 200
    ready = await service.get("/readyz")
    checks = {"sql": "ok", "photos": "ok", "broker": "ok", KEYS: "ok"}
    assert (ready.status, ready.json) == (200, {"status": "ready", "checks": checks})


async def test_it_is_ready_and_takes_submissions_while_the_broker_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.broker, "away", True)
    ready = await service.get("/readyz")
    assert (ready.status, ready.json["status"]) == (200, "degraded")
    assert ready.json["checks"] == {"sql": "ok", "photos": "ok", "broker": "failed", KEYS: "ok"}
    assert (await service.submit(new_task(), headers=service.bearer())).status == 200


async def test_it_is_not_ready_without_its_photos(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service.photos, "_folder", tmp_path / "gone")
    ready = await service.get("/readyz")
    assert (ready.status, ready.json["checks"]["photos"]) == (503, "failed")
