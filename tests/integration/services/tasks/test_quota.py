"""What is kept of one person has a bound, and room is given back."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.chassis.database import Database, now
from services.chassis.metrics import Metrics
from services.chassis.outbox import Outbox
from services.chassis.problems import Problem
from services.tasks.erasure import Erasures
from services.tasks.models import outbox, people, photos
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import PhotoMetadata
from services.tasks.quota import Quota
from services.tasks.report_pictures import ReportPictures
from services.tasks.store import Bounds, Standing, StoredPicture, TaskStore
from services.tasks.sweeper import Sweeper
from tests.brokers import RecordingBroker
from tests.integration.services.tasks.conftest import task_store
from tests.integration.services.tasks.test_erasure import deleted
from tests.integration.services.tasks.test_store import (
    ME,
    NOBODY,
    SOMEBODY_ELSE,
    change,
    completed,
    rows,
    submission,
    uploaded,
)
from tests.integration.services.tasks.test_sweeper import settings

PHOTO = 1000  # bytes of the first photo of uploaded()
QUOTA = Quota(stored_bytes=3 * PHOTO, tasks=5)


@pytest.fixture
def store(tasks_database: Database) -> TaskStore:
    return task_store(tasks_database, bounds=Bounds(quota=QUOTA))


async def submit(store: TaskStore, task: str, job: str | None = None, user_id: str = ME, photos: int = 1) -> None:
    await store.submit(job or f"job of {task}", submission(task, user_id), uploaded(photos))


async def refused(store: TaskStore, task: str, job: str = "refused") -> Problem:
    with pytest.raises(Problem) as refusal:
        await submit(store, task, job)
    return refusal.value


async def filled(store: TaskStore) -> None:
    for number in range(3):
        await submit(store, f"task {number}")


async def test_photos_beyond_the_quota_are_refused_with_413_and_others_have_their_own(
    store: TaskStore, tasks_database: Database
) -> None:
    await filled(store)
    problem = await refused(store, "one more")
    assert problem.status == 413
    assert "replace" in problem.detail
    assert await store.find_task("one more") is None
    assert len(await rows(tasks_database, photos)) == 3
    await submit(store, "other", user_id=SOMEBODY_ELSE)


async def test_a_replacement_gives_room_back(store: TaskStore) -> None:
    await filled(store)
    await submit(store, "task 0", "again")
    await store.submit("without photos", submission("task 1"), [])
    await submit(store, "one more")
    assert (await refused(store, "too many")).status == 413


async def test_replaced_photos_may_take_as_much_again_until_they_are_removed(
    store: TaskStore, tasks_database: Database
) -> None:
    await filled(store)
    for number in range(3):
        await submit(store, "task 0", f"again {number}")
    problem = await refused(store, "task 0")
    assert (problem.status, "Retry-After" in problem.headers) == (429, True)
    dropped = await store.dropped_photos(-60, 100)
    assert len(dropped) == 3
    await store.forget_photos(dropped)
    await submit(store, "task 0", "once more")


async def test_the_deletion_of_the_account_gives_all_room_back(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await filled(store)
    await erasures.note(deleted(seconds_ago=-1))
    await erasures.erase_deleted_accounts()
    assert await rows(tasks_database, people) == []
    await asyncio.sleep(1.1)
    for number in range(3):
        await submit(store, f"new {number}")


async def test_old_submissions_that_are_erased_give_room_back(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await filled(store)
    old = sa.text("UPDATE LeakageTask SET updatedAt = '2001-01-01 00:00:00' WHERE taskID = 'task 0'")
    await change(tasks_database, old)
    assert await erasures.erase_older(30) == 1
    await submit(store, "one more")


async def test_new_tasks_beyond_the_quota_are_refused_with_429_and_old_ones_are_replaced(store: TaskStore) -> None:
    for number in range(5):
        await store.submit(f"job {number}", submission(f"task {number}"), [])
    problem = await refused(store, "one more")
    assert (problem.status, "Retry-After" in problem.headers) == (429, False), "waiting gives no room"
    await submit(store, "task 4", "again")


async def test_of_submissions_at_once_no_more_are_kept_than_the_quota_allows(
    tasks_url: str, tasks_database: Database
) -> None:
    databases = [Database(tasks_url) for _ in range(2)]  # as two replicas
    stores = [task_store(database, bounds=Bounds(quota=QUOTA)) for database in databases]
    submissions = (submit(stores[number % 2], f"task {number}") for number in range(8))
    outcomes = await asyncio.gather(*submissions, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 3
    assert {outcome.status for outcome in outcomes if isinstance(outcome, Problem)} == {413}
    assert len(await rows(tasks_database, photos)) == 3
    for database in databases:
        await database.close()


async def test_pictures_of_reports_count(
    store: TaskStore, report_pictures: ReportPictures, tasks_database: Database
) -> None:
    await submit(store, "task", "job")
    done = completed("job", "task")
    assert done.image_id
    await report_pictures.begin(done.image_id, "job")
    await report_pictures.finish(done.image_id, "job", 2 * PHOTO)
    assert await store.complete_job(done, [StoredPicture(done.image_id, "report", "r.jpg")])
    assert (await rows(tasks_database, people))[0]["photoBytes"] == 3 * PHOTO
    assert (await refused(store, "one more")).status == 413


async def test_photos_of_unknown_size_are_looked_at_and_count(
    erasures: Erasures, report_pictures: ReportPictures, store: TaskStore, tasks_database: Database, tmp_path: Path
) -> None:
    """The old backend's, and report pictures of the release before."""
    files = FilePhotos(tmp_path)
    await files.start()
    known, gone = uploaded(2)
    await store.submit("job", submission("adopted"), [known, gone])
    writer = files.writer(known.photo_id, PhotoMetadata("old_obs0_rgb.jpg"))
    await writer.write(bytes(3 * PHOTO))
    await writer.end("image/jpeg", "0" * 64)
    await files.publish([writer])
    await change(tasks_database, sa.update(photos).values(size=None))
    broker = RecordingBroker()
    sweeper = Sweeper(store, erasures, Outbox(outbox), files, report_pictures, broker, settings(), Metrics())
    await sweeper.sweep_sizes()
    assert {row["photoID"]: row["size"] for row in await rows(tasks_database, photos)} == {
        known.photo_id: 3 * PHOTO,
        gone.photo_id: 0,
    }
    assert (await refused(store, "one more")).status == 413


async def test_what_a_release_without_a_count_has_stored_is_counted_within_the_hour(
    store: TaskStore, tasks_database: Database
) -> None:
    await filled(store)
    await change(tasks_database, sa.update(people).values(photoBytes=0, countedAt=now(-3601)))
    assert (await refused(store, "one more")).status == 413


async def test_a_body_that_cannot_be_kept_is_refused_before_it_is_read(store: TaskStore) -> None:
    with pytest.raises(Problem) as refusal:
        store.admit(Standing(), QUOTA.stored_bytes + 1)
    assert refusal.value.status == 413
    await filled(store)
    for number in range(2):
        await submit(store, "task 0", f"again {number}")
    standing = await store.standing([ME], None, NOBODY)
    assert standing.stored_bytes == 5 * PHOTO
    store.admit(standing, PHOTO)
    with pytest.raises(Problem) as refusal:
        store.admit(standing, PHOTO + 1)
    assert refusal.value.status == 429
    store.admit(Standing(is_repetition=True), QUOTA.stored_bytes + 1)


async def test_a_repeated_submission_is_answered_though_the_quota_is_used_up(store: TaskStore) -> None:
    await filled(store)
    pictures = uploaded(1)
    await store.submit("first", submission("task 0"), pictures, "a key")
    assert await store.submit("second", submission("task 0"), pictures, "a key") == "first"
    assert await store.submit("third", submission("task 0"), pictures) == "first"
