"""The export: everything of the person, nothing of anybody else, and never half of it unnoticed."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa

from contracts.events import AnalysisCompleted
from contracts.reports import Report, Severity, Suggestion
from services.tasks import store
from services.tasks.export import _named
from services.tasks.models import leakage_tasks, photos
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import PhotoMetadata, PhotoStoreError, StoredPhoto, new_photo_id
from services.tasks.privacy import photos as shown_photos
from services.tasks.privacy.work import Work
from tests.tokens import EMAIL
from tests.unit.services.tasks.forms import pair, photo
from tests.unit.services.tasks.privacy.telling import picture
from tests.unit.services.tasks.running import Service, tasks_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/account/export"
REPORT = Report(
    taskID="north",
    leakSeverity=Severity.HIGH,
    energyLossValue=15.8,
    energyLossCost=142.0,
    savingsPercent=19.0,
    savingsCost=31.0,
    imagePath="north_analysis_image.jpg",
    thumbPath="north_analysis_image.jpg",
    suggestions=(
        Suggestion(
            suggestionID="s-north",
            title="Weatherstripping",
            subtitle="Seal the sash",
            difficulty="Easy",
            costRange="$10–20",
            estimatedReduction="50–70%",
            lifetime="3–5 years",
        ),
    ),
)


async def stored(service: Service, data: bytes) -> str:
    photo_id = new_photo_id()
    writer = service.photos.writer(photo_id, PhotoMetadata("any"))
    await writer.write(data)
    await writer.end("image/jpeg", "0" * 64)
    await service.photos.publish([writer])
    return photo_id


async def exported(service: Service, user: str) -> dict[str, bytes]:
    answer = await service.get(PATH, headers=service.bearer(user))
    assert answer.status == 200, answer.body
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_everything_of_the_person_is_in_one_archive(service: Service) -> None:
    mine = service.bearer(EMAIL)
    service.profiles[EMAIL] = {"userID": EMAIL, "zipCode": "15213"}
    job_id = await service.new_job("north", pair(), title="Fenêtre nord 🪟", headers=mine)
    image = await stored(service, photo(700_000, 9))
    await service.hear(AnalysisCompleted(job_id=job_id, report=REPORT, image_id=image))
    await service.new_job("south", pair(1), title="../../etc/passwd", headers=mine)
    files = await exported(service, EMAIL)

    assert json.loads(files["profile.json"]) == [{"userID": EMAIL, "zipCode": "15213"}]
    north, south = json.loads(files["tasks.json"])
    assert (north["title"], north["leakSeverity"], north["insideTemp"]) == ("Fenêtre nord 🪟", "High", 71.0)
    (job,) = north["jobs"]
    assert (job["jobID"], job["state"], job["report"]["energyLossCost"]) == (job_id, "done", 142.0)
    assert north["suggestions"][0]["title"] == "Weatherstripping"
    assert north["photos"] == [
        "photos/0001 Fenêtre nord _/obs0_rgb.jpg",
        "photos/0001 Fenêtre nord _/obs0_thermal.jpg",
        "photos/0001 Fenêtre nord _/north_analysis_image.jpg",
    ]
    sent = {name: data for _, name, data in pair()}
    assert files["photos/0001 Fenêtre nord _/obs0_rgb.jpg"] == sent["obs0_rgb.jpg"]
    assert files["photos/0001 Fenêtre nord _/obs0_thermal.jpg"] == sent["obs0_thermal.jpg"]
    assert files["photos/0001 Fenêtre nord _/north_analysis_image.jpg"] == photo(700_000, 9)
    assert south["photos"] == [f"photos/0002 _.._etc_passwd/obs1_{kind}.jpg" for kind in ("rgb", "thermal")]
    assert set(files) == {"profile.json", "tasks.json", *north["photos"], *south["photos"]}


async def test_nothing_of_anybody_else_is_in_it(service: Service) -> None:
    await service.new_job("theirs", pair(), uid="they@example.com", headers=service.bearer("they@example.com"))
    files = await exported(service, "nobody@example.com")
    assert {name: json.loads(data) for name, data in files.items()} == {"profile.json": [], "tasks.json": []}


async def test_more_tasks_than_a_page_are_all_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "EXPORTED_AT_ONCE", 2)
    many = "many@example.com"
    for number in range(5):
        await service.new_job(f"many-{number}", pair(number), uid=many, headers=service.bearer(many))
    files = await exported(service, many)
    assert [task["taskID"] for task in json.loads(files["tasks.json"])] == [f"many-{n}" for n in range(5)]
    assert len(files) == 2 + 10


async def test_a_photo_that_is_gone_is_left_out_and_an_adopted_one_gets_its_extension(service: Service) -> None:
    old = "old@example.com"
    here, gone = await stored(service, photo(900)), new_photo_id()
    async with service.database.write() as connection:
        await connection.execute(sa.insert(leakage_tasks).values(taskID="adopted", userID=old, state="open"))
        row = {"taskID": "adopted", "jobID": "x", "kind": "rgb", "observation": 0, "position": 0}
        await connection.execute(
            sa.insert(photos),
            [{**row, "photoID": here, "name": "obs0_rgb"}, {**row, "photoID": gone, "name": "obs1_rgb"}],
        )
    files = await exported(service, old)
    assert set(files) == {"profile.json", "tasks.json", "photos/0001 untitled/obs0_rgb.jpg"}


async def test_it_takes_a_token_in_either_mode(service: Service, legacy: Service) -> None:
    for running in (service, legacy):
        answer = await running.get(PATH)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("status", [500, 401])
async def test_without_auth_there_is_no_archive_at_all(service: Service, status: int) -> None:
    person = f"waiting-{status}@example.com"
    service.profiles[person] = status
    answer = await service.get(PATH, headers=service.bearer(person))
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_answer_is_a_download_that_nobody_keeps(service: Service) -> None:
    answer = await service.get(PATH, headers=service.bearer(EMAIL))
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="home-energy-audit.zip"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


class Failing(FilePhotos):
    """Goes away in the middle of a photo."""

    async def open(self, photo_id: str) -> StoredPhoto:
        async def chunks() -> Any:
            yield photo(100_000)
            raise PhotoStoreError("away")

        return StoredPhoto(200_000, chunks())


async def test_an_archive_that_cannot_be_finished_is_cut_off(tmp_path: Path) -> None:
    async with tasks_service(tmp_path, make_photos=lambda: Failing(tmp_path / "photos")) as failing:
        await failing.new_job("task", pair(), headers=failing.bearer())
        with pytest.raises(aiohttp.ClientPayloadError):
            await failing.get(PATH, headers=failing.bearer())


@pytest.mark.parametrize(
    ("title", "names", "expected"),
    [
        ("A/B\\C", ["x.jpg", "x.jpg", "X.JPG"], ["0007 A_B_C/x.jpg", "0007 A_B_C/x (2).jpg", "0007 A_B_C/X (3).JPG"]),
        ("..", ["..", "a/b"], ["0007 untitled/..", "0007 untitled/a_b"]),
        (None, [""], ["0007 untitled/photo"]),
        ("x" * 300, ["p.jpg"], [f"0007 {'x' * 60}/p.jpg"]),
    ],
)
async def test_names_in_the_archive_are_readable_unique_and_harmless(
    title: str | None, names: list[str], expected: list[str]
) -> None:
    task = {"title": title, "photos": [{"name": name} for name in names]}
    assert [name for _, name in _named(7, task)] == [f"photos/{name}" for name in expected]


async def test_a_photo_that_has_been_shown_is_not_cleaned_again_for_the_archive(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = "shown-before@example.com"
    await service.new_job(
        "shown-before", [("media0", "obs0_rgb.jpg", picture("JPEG"))], headers=service.bearer(user), uid=user
    )
    task = (await service.get("/v1/tasks/shown-before", headers=service.bearer(user))).json
    path = f"/v1/tasks/shown-before/photos/{task['photos'][0]['photoID']}"
    shown = (await service.get(path, headers=service.bearer(user))).body

    def refused(photo: bytes, work: Work) -> Any:
        raise AssertionError("it is looked at again")

    monkeypatch.setattr(shown_photos, "cleaned", refused)
    archive = await exported(service, user)
    assert [data for name, data in archive.items() if name.startswith("photos/")] == [shown]
