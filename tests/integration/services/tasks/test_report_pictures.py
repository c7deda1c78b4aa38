"""A picture of a report never outlives a job that has ended without it."""

import pytest

from services.chassis.database import Database
from services.chassis.metrics import Metrics
from services.chassis.outbox import Outbox
from services.chassis.problems import Problem
from services.tasks.erasure import Erasures
from services.tasks.models import outbox, unclaimed_pictures
from services.tasks.photos.store import new_photo_id
from services.tasks.report_pictures import ReportPictures
from services.tasks.store import StoredPicture, TaskStore
from services.tasks.sweeper import Sweeper
from tests.brokers import RecordingBroker
from tests.integration.services.tasks.test_erasure import deleted
from tests.integration.services.tasks.test_store import completed, rows, submission
from tests.integration.services.tasks.test_sweeper import _AgedFiles, files, settings

__all__ = ["files"]


@pytest.fixture
def sweeper(store: TaskStore, erasures: Erasures, files: _AgedFiles, report_pictures: ReportPictures) -> Sweeper:
    broker = RecordingBroker()
    return Sweeper(store, erasures, Outbox(outbox), files, report_pictures, broker, settings(), Metrics())


async def stored(files: _AgedFiles, report_pictures: ReportPictures, job: str = "job") -> str:
    photo_id = new_photo_id()
    await report_pictures.begin(photo_id, job)
    await files.put(photo_id, age=0)
    await report_pictures.finish(photo_id, job, 5000)
    return photo_id


async def swept(sweeper: Sweeper) -> None:
    await sweeper.sweep_deleted_accounts()
    await sweeper.sweep_dropped_photos()
    await sweeper.sweep_report_pictures()
    await sweeper.sweep_dropped_photos()


async def test_a_picture_waits_while_its_job_has_no_end(
    store: TaskStore, files: _AgedFiles, report_pictures: ReportPictures, sweeper: Sweeper
) -> None:
    await store.submit("job", submission(), [])
    picture = await stored(files, report_pictures)
    await swept(sweeper)
    assert files.ids() == {picture}


async def test_a_picture_that_the_report_names_stays(
    store: TaskStore, files: _AgedFiles, report_pictures: ReportPictures, sweeper: Sweeper, tasks_database: Database
) -> None:
    await store.submit("job", submission(), [])
    picture = await stored(files, report_pictures)
    done = completed("job").model_copy(update={"image_id": picture})
    assert await store.complete_job(done, [StoredPicture(picture, "report", "r.jpg")])
    assert not await store.complete_job(done, [StoredPicture(picture, "report", "r.jpg")])
    await swept(sweeper)
    assert files.ids() == {picture}
    assert await rows(tasks_database, unclaimed_pictures) == []


async def test_a_picture_that_a_release_without_the_list_names_stays(
    store: TaskStore, files: _AgedFiles, report_pictures: ReportPictures, sweeper: Sweeper, tasks_database: Database
) -> None:
    await store.submit("job", submission(), [])
    picture = await stored(files, report_pictures)
    listed = await rows(tasks_database, unclaimed_pictures)
    assert await store.complete_job(completed("job"), [StoredPicture(picture, "report", "r.jpg")])
    async with tasks_database.write() as connection:
        await connection.execute(unclaimed_pictures.insert(), listed)
    await swept(sweeper)
    assert files.ids() == {picture}
    assert await rows(tasks_database, unclaimed_pictures) == []


@pytest.mark.parametrize("end", ["replaced", "failed", "overdue"])
async def test_a_picture_of_a_job_that_ended_otherwise_is_removed_at_the_next_sweep(
    store: TaskStore, files: _AgedFiles, report_pictures: ReportPictures, sweeper: Sweeper, end: str
) -> None:
    """Analysis stores one picture, then the job ends, and no result names the picture."""
    await store.submit("job", submission(), [])
    await stored(files, report_pictures)
    if end == "replaced":
        await store.submit("job 2", submission(title="Again"), [])
    elif end == "failed":
        await store.fail_job("job", "It failed.")
    else:
        await store.end_overdue(-1)
    await swept(sweeper)
    assert files.ids() == set()


async def test_a_picture_that_a_late_result_names_is_removed(
    store: TaskStore, files: _AgedFiles, sweeper: Sweeper
) -> None:
    """Not listed, as one that a replica of the release before has stored."""
    await store.submit("job", submission(), [])
    picture = await files.put(age=0)
    await store.submit("job 2", submission(title="Again"), [])
    late = completed("job").model_copy(update={"image_id": picture})
    assert not await store.complete_job(late, [StoredPicture(picture, "report", "r.jpg")])
    await swept(sweeper)
    assert files.ids() == set()


async def test_nothing_is_left_of_a_deleted_account_whose_job_was_replaced_before(
    store: TaskStore, erasures: Erasures, files: _AgedFiles, report_pictures: ReportPictures, sweeper: Sweeper
) -> None:
    await store.submit("job", submission(), [])
    await stored(files, report_pictures)
    await store.submit("job 2", submission(title="Again"), [])
    await stored(files, report_pictures, "job 2")
    await erasures.note(deleted(seconds_ago=-5))
    await swept(sweeper)
    assert files.ids() == set()


async def test_a_picture_whose_upload_was_killed_is_removed_with_the_end_of_its_job(
    store: TaskStore, files: _AgedFiles, report_pictures: ReportPictures, sweeper: Sweeper
) -> None:
    await store.submit("job", submission(), [])
    photo_id = new_photo_id()
    await report_pictures.begin(photo_id, "job")
    await files.put(photo_id, whole=False, age=0)
    await store.submit("job 2", submission(title="Again"), [])
    await swept(sweeper)
    assert files.ids() == set()


async def test_no_picture_is_taken_for_a_job_that_has_ended(
    store: TaskStore, report_pictures: ReportPictures, tasks_database: Database
) -> None:
    await store.submit("job", submission(), [])
    await report_pictures.begin("a" * 24, "job")
    await store.fail_job("job", "It failed.")
    for call, job, status in (
        (report_pictures.begin("b" * 24, "job"), "job", 410),
        (report_pictures.finish("a" * 24, "job", 1), "job", 410),
        (report_pictures.begin("b" * 24, "none"), "none", 404),
    ):
        with pytest.raises(Problem) as refusal:
            await call
        assert refusal.value.status == status, job
