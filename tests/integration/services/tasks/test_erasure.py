"""Erasing: of a deleted account nothing stays and nothing comes back, on SQLite and on MySQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from contracts.events import AccountDeleted, Household, ProfileUpdated
from services.chassis.database import Database, now
from services.chassis.metrics import Metrics
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox
from services.chassis.problems import Problem
from services.tasks import erasure as erasure_module
from services.tasks.app import MIGRATIONS, SERVICE
from services.tasks.erasure import SETTLE_SECONDS, TOMBSTONE_DAYS, Erasures
from services.tasks.models import erasures as erasure_table
from services.tasks.models import households, jobs, leakage_tasks, metadata, outbox, photos, suggestions
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import PhotoMetadata, new_photo_id
from services.tasks.report_pictures import ReportPictures
from services.tasks.store import StoredPicture, TaskStore
from services.tasks.sweeper import Sweeper
from tests.brokers import RecordingBroker
from tests.integration.services.tasks.conftest import task_store
from tests.integration.services.tasks.test_store import (
    ME,
    SOMEBODY_ELSE,
    announcements,
    change,
    completed,
    rows,
    submission,
    uploaded,
)
from tests.integration.services.tasks.test_sweeper import settings
from tests.servers import stop_clock

SIGNED_OUT_UNTIL = 1_790_000_000  # Unix time, of another clock than that of the database


def deleted(
    user_id: str = ME, *, seconds_ago: float = 5, version: int = 7, signed_out_until: int = 0
) -> AccountDeleted:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return AccountDeleted(user_id=user_id, deleted_at=at, profile_version=version, signed_out_until=signed_out_until)


def seconds_ago(seconds: float) -> float:
    return asyncio.get_running_loop().time() - seconds


async def settled(database: Database) -> None:
    """As if the deletions had been noted longer ago than any transaction lives."""
    await change(database, sa.update(erasure_table).values(notedAt=now(-SETTLE_SECONDS - 1)))


async def everything(database: Database) -> str:
    """Every row of every table, as text."""
    return str([(table.name, await rows(database, table)) for table in metadata.sorted_tables])


def profile(version: int, user_id: str = ME) -> ProfileUpdated:
    return ProfileUpdated(user_id=user_id, version=version, household=Household(zip_code="15213"))


async def submit(
    store: TaskStore,
    job_id: str,
    task_id: str,
    user_id: str = ME,
    *,
    began: float = 10,
    proved_at: int | None = None,
) -> list[str]:
    photographed = uploaded()
    await store.submit(
        job_id, submission(task_id, user_id), photographed, begun=seconds_ago(began), proved_at=proved_at
    )
    return [photo.photo_id for photo in photographed]


async def dropped(database: Database) -> set[str]:
    return {row["photoID"] for row in await rows(database, photos) if row["droppedAt"] is not None}


async def test_nothing_of_a_deleted_account_stays_and_everything_of_others_does(
    store: TaskStore, erasures: Erasures, tasks_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_module, "BATCH", 2)
    mine = [photo for number in range(5) for photo in await submit(store, f"my-job-{number}", f"my-task-{number}")]
    others = await submit(store, "other-job", "other-task", SOMEBODY_ELSE)
    result = completed("my-job-0", "my-task-0")
    picture = StoredPicture(result.image_id or "", "report", "my-task-0_analysis_image.jpg")
    assert await store.complete_job(result, [picture])
    await store.complete_job(completed("other-job", "other-task"), [])
    for user_id in (ME, SOMEBODY_ELSE):
        await store.remember_household(profile(3, user_id))
    assert ME in await everything(tasks_database)

    await erasures.note(deleted())
    assert await erasures.erase_deleted_accounts() == 5
    await settled(tasks_database)
    assert await erasures.erase_deleted_accounts() == 0
    assert await dropped(tasks_database) == {*mine, picture.photo_id}
    await store.forget_photos([*mine, picture.photo_id])

    left = await everything(tasks_database)
    assert ME not in left
    assert "my-task" not in left
    assert "my-job" not in left
    assert not [photo for photo in mine if photo in left]
    assert [row["userID"] for row in await rows(tasks_database, leakage_tasks)] == [SOMEBODY_ELSE]
    assert [row["jobID"] for row in await rows(tasks_database, jobs)] == ["other-job"]
    assert [row["userID"] for row in await rows(tasks_database, households)] == [SOMEBODY_ELSE]
    assert {row["taskID"] for row in await rows(tasks_database, suggestions)} == {"other-task"}
    assert {row["photoID"] for row in await rows(tasks_database, photos)} == set(others)
    assert [event.job_id for event in await announcements(tasks_database)] == ["other-job"]


async def test_a_submission_whose_upload_began_before_the_deletion_is_refused_and_a_later_one_is_not(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await erasures.note(deleted(seconds_ago=5))
    with pytest.raises(Problem) as caught:
        await submit(store, "late", "task", began=10)
    assert caught.value.status == 410
    assert await rows(tasks_database, jobs) == []
    assert await rows(tasks_database, leakage_tasks) == []
    await submit(store, "new", "task", began=0)
    await erasures.erase_deleted_accounts()
    await settled(tasks_database)
    await erasures.erase_deleted_accounts()
    assert [row["jobID"] for row in await rows(tasks_database, jobs)] == ["new"]
    assert await dropped(tasks_database) == set()


async def test_a_submission_is_dated_by_the_databases_clock_as_deletions_are(sql_url: str) -> None:
    database = Database(sql_url)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    stop_clock(database, at)
    await migrate(database, SERVICE, MIGRATIONS)
    await submit(task_store(database), "job", "task", began=10)
    (stored,) = await rows(database, jobs)
    await database.close()
    assert timedelta(seconds=10) <= at - stored["submittedAt"] < timedelta(seconds=15)


async def test_a_submission_that_could_not_see_the_deletion_is_found_later(
    store: TaskStore, erasures: Erasures, tasks_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await erasures.note(deleted())
    assert await erasures.erase_deleted_accounts() == 0

    def nobody(_: str) -> dict[str, str]:
        """Of whom a transaction finds no deletion that began before the note was committed."""
        return {"deleted_person": "nobody"}

    monkeypatch.setattr(erasures, "of", nobody)
    await submit(store, "late", "task")
    assert await erasures.erase_deleted_accounts() == 1
    assert await rows(tasks_database, jobs) == []
    assert (await rows(tasks_database, erasure_table))[0]["userID"] == ME, "it goes on looking"


async def test_of_a_task_that_the_new_account_submits_again_only_the_old_submission_goes(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    old = await submit(store, "old", "task", began=10)
    new = await submit(store, "new", "task", began=0)
    await erasures.note(deleted(seconds_ago=5))
    assert await erasures.erase_deleted_accounts() == 1
    assert [row["jobID"] for row in await rows(tasks_database, jobs)] == ["new"]
    assert await dropped(tasks_database) == set(old)
    assert [photo["photoID"] for photo in (await store.find_task("task") or {})["photos"]] == new
    assert [event.job_id for event in await announcements(tasks_database)] == ["new"]


async def test_what_a_token_from_before_the_deletion_submits_after_it_is_erased_too(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    """Tasks hears of a deletion later than it is made, and until then such a token submits."""
    old = await submit(store, "old", "task", began=2, proved_at=SIGNED_OUT_UNTIL)
    await submit(store, "older", "another", began=2, proved_at=SIGNED_OUT_UNTIL - 3000)
    new = await submit(store, "new", "task", began=1, proved_at=SIGNED_OUT_UNTIL + 1)
    await submit(store, "without a token", "third", began=1)
    await erasures.note(deleted(seconds_ago=5, signed_out_until=SIGNED_OUT_UNTIL))
    assert await erasures.erase_deleted_accounts() == 2
    await settled(tasks_database)
    await erasures.erase_deleted_accounts()
    assert {row["jobID"] for row in await rows(tasks_database, jobs)} == {"new", "without a token"}
    assert [photo["photoID"] for photo in (await store.find_task("task") or {})["photos"]] == new
    assert set(old) < await dropped(tasks_database)


async def test_a_task_that_a_token_from_before_the_deletion_submitted_last_is_erased_whole(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await submit(store, "new", "task", began=2, proved_at=SIGNED_OUT_UNTIL + 1)
    await submit(store, "old", "task", began=1, proved_at=SIGNED_OUT_UNTIL)
    await erasures.note(deleted(seconds_ago=5, signed_out_until=SIGNED_OUT_UNTIL))
    assert await erasures.erase_deleted_accounts() == 1
    assert await rows(tasks_database, jobs) == await rows(tasks_database, leakage_tasks) == []


async def test_a_token_from_before_a_deletion_that_is_known_submits_nothing(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await erasures.note(deleted(seconds_ago=60, signed_out_until=SIGNED_OUT_UNTIL))
    with pytest.raises(Problem) as caught:
        await submit(store, "old", "task", began=0, proved_at=SIGNED_OUT_UNTIL)
    assert caught.value.status == 410
    assert await rows(tasks_database, jobs) == []
    await submit(store, "new", "task", began=0, proved_at=SIGNED_OUT_UNTIL + 1)


@pytest.mark.parametrize("key", ["key", None])
async def test_what_a_new_account_submits_in_just_the_same_form_stays(
    store: TaskStore, erasures: Erasures, tasks_database: Database, key: str | None
) -> None:
    """It was answered with the job of the old token, and that answer must stay true."""
    photographed = uploaded()
    for job_id, proved_at in (("old", SIGNED_OUT_UNTIL), ("new", SIGNED_OUT_UNTIL + 1), ("late", SIGNED_OUT_UNTIL)):
        assert await store.submit(job_id, submission(), photographed, key, proved_at=proved_at) == "old"
    await erasures.note(deleted(seconds_ago=5, signed_out_until=SIGNED_OUT_UNTIL))
    assert await erasures.erase_deleted_accounts() == 0
    assert [row["jobID"] for row in await rows(tasks_database, jobs)] == ["old"]


async def test_a_profile_that_arrives_late_brings_no_household_back_and_one_of_a_new_account_counts(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await store.remember_household(profile(6))
    await erasures.note(deleted(version=7))
    await erasures.erase_deleted_accounts()
    await store.remember_household(profile(7))
    assert await rows(tasks_database, households) == []
    await store.remember_household(profile(1_760_000_000_000))
    await settled(tasks_database)
    await erasures.erase_deleted_accounts()
    assert [row["version"] for row in await rows(tasks_database, households)] == [1_760_000_000_000]


async def test_the_pictures_of_a_result_that_arrives_late_are_dropped(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await submit(store, "job", "task")
    await erasures.note(deleted())
    await erasures.erase_deleted_accounts()
    picture = StoredPicture(new_photo_id(), "report", "task_analysis_image.jpg")
    for _ in range(2):  # events may be repeated
        assert not await store.complete_job(completed("job"), [picture])
    assert picture.photo_id in await dropped(tasks_database)
    assert await rows(tasks_database, suggestions) == []
    assert await rows(tasks_database, leakage_tasks) == []


async def test_photos_that_only_the_old_backends_lists_name_are_erased_too(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    colour, thermal, picture = (new_photo_id() for _ in range(3))
    await change(
        tasks_database,
        sa.insert(leakage_tasks).values(
            taskID="old", userID=ME, RGBphotoIDs=[colour, None, "x"], thermalPhotoIDs=[thermal], reportPhotoID=picture
        ),
    )
    await change(tasks_database, sa.insert(suggestions).values(suggestionID="s", taskID="old", title="Seal"))
    await erasures.note(deleted())
    assert await erasures.erase_deleted_accounts() == 1
    assert await dropped(tasks_database) == {colour, thermal, picture}
    assert await rows(tasks_database, suggestions) == []


async def test_deletions_in_any_order_make_the_latest_count(erasures: Erasures, tasks_database: Database) -> None:
    later = deleted(seconds_ago=1, version=2, signed_out_until=SIGNED_OUT_UNTIL)
    earlier = deleted(seconds_ago=9, version=8, signed_out_until=SIGNED_OUT_UNTIL - 8)
    for event in (later, earlier, later):
        await erasures.note(event)
    (noted,) = await rows(tasks_database, erasure_table)
    assert abs(noted["deletedAt"] - later.deleted_at) < timedelta(milliseconds=2)
    assert noted["profileVersion"] == 8
    assert noted["signedOutUntil"] == SIGNED_OUT_UNTIL


async def test_several_replicas_erase_one_account_together(
    store: TaskStore, erasures: Erasures, tasks_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_module, "BATCH", 1)
    for number in range(6):
        await submit(store, f"job-{number}", f"task-{number}")
    await erasures.note(deleted())
    assert sum(await asyncio.gather(*(erasures.erase_deleted_accounts() for _ in range(4)))) == 6
    assert await rows(tasks_database, leakage_tasks) == []


async def test_what_remains_is_a_pseudonym_that_goes_after_a_time(erasures: Erasures, tasks_database: Database) -> None:
    await erasures.note(deleted())
    await settled(tasks_database)
    await erasures.erase_deleted_accounts()
    (noted,) = await rows(tasks_database, erasure_table)
    assert noted["userID"] is None
    await erasures.forget_erasures()
    assert len(await rows(tasks_database, erasure_table)) == 1
    await change(tasks_database, sa.update(erasure_table).values(notedAt=now(-TOMBSTONE_DAYS * 86400 - 60)))
    await erasures.forget_erasures()
    assert await rows(tasks_database, erasure_table) == []


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────


async def files_in(folder: Path) -> int:
    return await asyncio.to_thread(lambda: sum(path.is_file() for path in folder.rglob("*")))


async def aged(database: Database, task_id: str, days: float) -> None:
    one = leakage_tasks.c.taskID == task_id
    await change(database, sa.update(leakage_tasks).where(one).values(updatedAt=now(-days * 86400)))


async def test_submissions_older_than_the_retention_are_erased_in_batches_by_any_number_of_replicas(
    store: TaskStore, erasures: Erasures, tasks_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_module, "BATCH", 2)
    old = [photo for number in range(6) for photo in await submit(store, f"old-{number}", f"old-{number}")]
    await submit(store, "young", "young")
    for number in range(6):
        await aged(tasks_database, f"old-{number}", 30.1)
    await aged(tasks_database, "young", 29.9)
    assert sum(await asyncio.gather(*(erasures.erase_older(30) for _ in range(3)))) == 6
    assert await erasures.erase_older(30) == 0
    assert [row["taskID"] for row in await rows(tasks_database, leakage_tasks)] == ["young"]
    assert [row["jobID"] for row in await rows(tasks_database, jobs)] == ["young"]
    assert await dropped(tasks_database) == set(old)


@pytest.mark.parametrize(("days", "left"), [(0, ["old"]), (30, [])])
async def test_retention_is_a_setting_and_without_it_everything_is_kept(
    store: TaskStore, erasures: Erasures, tasks_database: Database, tmp_path: Path, days: int, left: list[str]
) -> None:
    files = FilePhotos(tmp_path)
    await files.start()
    (first, _) = await submit(store, "old", "old")
    writer = files.writer(first, PhotoMetadata("old_obs0_rgb.jpg"))
    await writer.write(b"photo")
    await writer.end("image/jpeg", "0" * 64)
    await files.publish([writer])
    await aged(tasks_database, "old", 4000)
    pictures, kept = ReportPictures(tasks_database), settings(retention_days=days)
    sweeper = Sweeper(store, erasures, Outbox(outbox), files, pictures, RecordingBroker(), kept, Metrics())
    await sweeper.sweep_old_submissions()
    await sweeper.sweep_dropped_photos()
    assert [row["taskID"] for row in await rows(tasks_database, leakage_tasks)] == left
    assert await files_in(tmp_path) == len(left)


async def test_adopted_tasks_of_unknown_age_are_kept(erasures: Erasures, tasks_database: Database) -> None:
    for name, times in (("unknown", {}), ("made long ago", {"createdAt": now(-4000 * 86400)})):
        await change(tasks_database, sa.insert(leakage_tasks).values(taskID=name, userID=ME, **times))
    assert await erasures.erase_older(30) == 1
    assert [row["taskID"] for row in await rows(tasks_database, leakage_tasks)] == ["unknown"]


async def test_the_events_of_others_wait_on(store: TaskStore, erasures: Erasures, tasks_database: Database) -> None:
    await submit(store, "job", "task")
    await submit(store, "other", "other", SOMEBODY_ELSE)
    await erasures.note(deleted())
    await erasures.erase_deleted_accounts()
    assert [row["envelope"]["subject"] for row in await rows(tasks_database, outbox)] == ["other"]
