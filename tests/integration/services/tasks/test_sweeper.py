"""The sweeper: every job ends, and no photo is kept for nothing or removed too early."""

import asyncio
import os
import secrets
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.topology import ANALYSIS_SUBMISSIONS, TASKS_RESULTS
from services.chassis.database import Database, now
from services.chassis.messaging.broker import Depth
from services.chassis.metrics import Metrics
from services.chassis.outbox import Backlog, Outbox
from services.chassis.settings import load
from services.chassis.startup import StartupError
from services.tasks import sweeper as sweeper_module
from services.tasks.erasure import Erasures
from services.tasks.models import jobs, leakage_tasks, outbox, photos
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import CHUNK_BYTES, PhotoMetadata, PhotoNotFoundError, PhotoStoreError, new_photo_id
from services.tasks.report_pictures import ReportPictures
from services.tasks.settings import TasksSettings
from services.tasks.store import TaskStore
from services.tasks.sweeper import Sweeper
from tests.brokers import RecordingBroker
from tests.integration.services.tasks.test_store import (
    Events,
    announcements,
    change,
    completed,
    job,
    row,
    submission,
    uploaded,
)
from tests.waiting import until

GRACE = 3600


def settings(**changes: Any) -> TasksSettings:
    needed = {
        "sql_url": "sqlite:///unused",
        "mongo_url": "files",
        "rabbitmq_url": "in-process",
        "auth_url": "http://127.0.0.1:1",
        "google_client_ids": ("client",),
        "service_token": secrets.token_hex(32),
        "photo_grace_seconds": GRACE,
    }
    return load(TasksSettings, **(needed | changes))


class _AgedFiles(FilePhotos):
    """Photos in files that can be made older than they are."""

    async def put(self, photo_id: str | None = None, *, whole: bool = True, age: float = GRACE + 60) -> str:
        photo_id = photo_id or new_photo_id()
        writer = self.writer(photo_id, PhotoMetadata("job_obs0_rgb.jpg"))
        await writer.write(bytes(2 * CHUNK_BYTES))
        if whole:
            await writer.end("image/jpeg", "0" * 64)
            await self.publish([writer])
        then = time.time() - age
        path = self._path(photo_id)
        os.utime(path if whole else path.with_suffix(".part"), (then, then))
        return photo_id

    def ids(self) -> set[str]:
        return {path.stem for path in self._folder.rglob("*") if path.is_file()}


@pytest.fixture
async def files(tmp_path: Path) -> _AgedFiles:
    made = _AgedFiles(tmp_path / "photos")
    await made.start()
    return made


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def broker() -> RecordingBroker:
    return RecordingBroker()


@pytest.fixture
def waiting() -> Outbox:
    return Outbox(outbox)


@pytest.fixture
def sweeper(
    store: TaskStore,
    erasures: Erasures,
    waiting: Outbox,
    files: _AgedFiles,
    report_pictures: ReportPictures,
    broker: RecordingBroker,
    metrics: Metrics,
) -> Sweeper:
    return Sweeper(store, erasures, waiting, files, report_pictures, broker, settings(), metrics)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_orphans_are_removed_and_nothing_else_is(
    store: TaskStore, files: _AgedFiles, sweeper: Sweeper, metrics: Metrics
) -> None:
    pictures = uploaded(2)
    referred = {await files.put(one.photo_id) for one in pictures}
    await store.submit("job", submission(), pictures)
    done = completed("job")
    assert done.image_id
    assert done.thumbnail_id
    referred |= {await files.put(done.image_id), await files.put(done.thumbnail_id)}
    await Events(store)(done)
    young = {await files.put(age=GRACE - 60), await files.put(age=0, whole=False)}
    for _ in range(3):
        await files.put()
        await files.put(whole=False)
    assert len(files.ids()) == 12
    await sweeper.sweep_orphans()
    assert files.ids() == referred | young
    assert (value(metrics, "orphan_photos_total"), value(metrics, "orphan_images")) == (6, 6)
    await sweeper.sweep_orphans()
    assert (value(metrics, "orphan_photos_total"), value(metrics, "orphan_images")) == (6, 0)


async def test_the_picture_of_a_report_that_is_not_there_yet_is_no_orphan_while_its_job_can_end(
    store: TaskStore, files: _AgedFiles, sweeper: Sweeper, tasks_database: Database
) -> None:
    """However long the result waits in its queue: by the time its picture is removed the job has ended without it."""
    await store.submit("job", submission(), [])
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-GRACE - 61)))
    done = completed("job")
    await files.put(done.image_id)
    await sweeper.sweep_jobs()
    await sweeper.sweep_orphans()
    await Events(store)(done)
    ended = await job(store, "job")
    assert (ended["state"], ended["imageID"]) == ("error", None)


def test_a_grace_period_shorter_than_a_jobs_life_is_refused() -> None:
    for changes in ({"photo_grace_seconds": 900, "job_deadline_seconds": 900}, {"job_deadline_seconds": GRACE + 1}):
        with pytest.raises(StartupError, match="PHOTO_GRACE_SECONDS: must be longer than JOB_DEADLINE_SECONDS"):
            settings(**changes)


@pytest.mark.parametrize("seconds", [1, 300, 599])
def test_a_grace_period_shorter_than_an_upload_is_refused(seconds: float) -> None:
    with pytest.raises(StartupError, match="PHOTO_GRACE_SECONDS: must be at least 600"):
        settings(photo_grace_seconds=seconds, job_deadline_seconds=0.5)
    assert settings(photo_grace_seconds=600, job_deadline_seconds=0.5).photo_grace_seconds == 600


@pytest.mark.parametrize("minutes", [-90, 90])
async def test_a_clock_that_is_wrong_by_an_hour_and_a_half_costs_no_photo(
    sweeper: Sweeper, files: _AgedFiles, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    """Neither the sweeper's clock nor the database's: an upload that has just begun is younger than either says."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(minutes=minutes)

    monkeypatch.setattr(sweeper_module, "datetime", Wrong)
    begun = await files.put(age=0, whole=False)
    await files.put(age=3 * 3600)
    await sweeper.sweep_orphans()
    assert files.ids() == {begun}


async def test_replaced_photos_are_removed_with_their_rows_after_the_grace_period(
    store: TaskStore, files: _AgedFiles, sweeper: Sweeper, tasks_database: Database
) -> None:
    first, second = uploaded(2), uploaded(1)
    for one in (*first, *second):
        await files.put(one.photo_id)
    await store.submit("first", submission(), first)
    await store.submit("second", submission(), second)
    await sweeper.sweep_dropped_photos()
    assert len(files.ids()) == 3
    dropped = sa.update(photos).where(photos.c.droppedAt.is_not(None)).values(droppedAt=now(-GRACE - 1))
    await change(tasks_database, dropped)
    await sweeper.sweep_dropped_photos()
    assert files.ids() == {second[0].photo_id}
    assert (await row(tasks_database, photos))["photoID"] == second[0].photo_id


async def test_a_removal_that_was_interrupted_is_carried_on(
    store: TaskStore, files: _AgedFiles, sweeper: Sweeper, tasks_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = uploaded(2)
    for one in first:
        await files.put(one.photo_id)
    await store.submit("first", submission(), first)
    await store.submit("second", submission(), [])
    await change(tasks_database, sa.update(photos).values(droppedAt=now(-GRACE - 1)))
    await files.delete([first[0].photo_id])  # then the process was killed

    async def away(_: Any) -> None:
        raise PhotoStoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(files, "delete", away)
        with pytest.raises(PhotoStoreError):
            await sweeper.sweep_dropped_photos()
    assert await store.unknown_photos([one.photo_id for one in first]) == []
    await sweeper.sweep_dropped_photos()
    assert files.ids() == set()
    assert len(await store.unknown_photos([one.photo_id for one in first])) == 2


async def test_an_old_photo_with_an_odd_id_does_not_stop_the_sweeper(
    store: TaskStore, sweeper: Sweeper, tasks_database: Database
) -> None:
    (odd,) = uploaded(1)
    await store.submit("first", submission(), [odd])
    await change(tasks_database, sa.update(photos).values(photoID="not-an-objectid-24-chars"))
    await store.submit("second", submission(), [])
    await change(tasks_database, sa.update(photos).values(droppedAt=now(-GRACE - 1)))
    await sweeper.sweep_dropped_photos()
    assert await store.dropped_photos(0, 10) == []


async def test_jobs_are_given_up_announced_and_counted(
    store: TaskStore, sweeper: Sweeper, metrics: Metrics, tasks_database: Database
) -> None:
    for name, ago in (("overdue", 901), ("late", 121), ("fresh", 0)):
        await store.submit(name, submission(name, f"{name}@example.com"), [])
        past = sa.update(jobs).where(jobs.c.jobID == name).values(submittedAt=now(-ago), publishedAt=now(-ago))
        await change(tasks_database, past)
    await sweeper.sweep_jobs()
    assert [(await job(store, name))["state"] for name in ("overdue", "late", "fresh")] == ["error", "queued", "queued"]
    assert value(metrics, "jobs_ended_total", outcome="overdue") == 1
    assert value(metrics, "jobs_unfinished") == 2
    assert value(metrics, "jobs_unfinished_seconds") == pytest.approx(121, abs=10)


@pytest.mark.parametrize(("ago", "state"), [(901, "queued"), (GRACE + 1, "error")])
@pytest.mark.parametrize("are_unread", [True, False])  # or nobody can tell
async def test_a_job_whose_result_may_wait_to_be_read_is_given_up_only_with_its_picture(
    ago: int,
    state: str,
    are_unread: bool,
    store: TaskStore,
    sweeper: Sweeper,
    broker: RecordingBroker,
    tasks_database: Database,
) -> None:
    await store.submit("overdue", submission(), [])
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-ago)))
    broker.depths[TASKS_RESULTS.queue] = Depth(waiting=1, dead=0)
    broker.away = not are_unread
    await sweeper.sweep_jobs()
    assert (await job(store, "overdue"))["state"] == state


async def test_jobs_are_not_announced_again_while_it_is_the_queues_that_make_them_late(
    store: TaskStore, sweeper: Sweeper, waiting: Outbox, broker: RecordingBroker, tasks_database: Database
) -> None:
    await store.submit("late", submission(), [])
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-100), publishedAt=now(-100)))

    async def announced() -> int:
        await sweeper.sweep_jobs()
        return len(await announcements(tasks_database)) - 1

    broker.depths[ANALYSIS_SUBMISSIONS.queue] = Depth(waiting=1, dead=0)
    assert await announced() == 0
    broker.depths.clear()
    broker.away = True
    assert await announced() == 0
    broker.away = False
    waiting.backlog = Backlog(rows=sweeper_module.REPUBLISH_BATCH, oldest_seconds=100)
    assert await announced() == 0
    waiting.backlog = Backlog(rows=1, oldest_seconds=100)
    assert await announced() == 1
    assert await announced() == 1


async def test_one_job_that_cannot_be_announced_does_not_hold_up_the_others(
    store: TaskStore, sweeper: Sweeper, tasks_database: Database
) -> None:
    names = ("odd type", "no task", "no media type", "sound")
    for name in names:
        await store.submit(name, submission(name, f"{name}@example.com"), uploaded(1))
    await change(
        tasks_database, sa.update(leakage_tasks).where(leakage_tasks.c.taskID == "odd type").values(type="roof")
    )
    await change(tasks_database, sa.delete(leakage_tasks).where(leakage_tasks.c.taskID == "no task"))
    await change(tasks_database, sa.update(photos).where(photos.c.jobID == "no media type").values(mediaType=None))
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-100), publishedAt=now(-100)))
    await sweeper.sweep_jobs()
    assert [one.job_id for one in await announcements(tasks_database)] == [*names, "sound"]
    await sweeper.sweep_jobs()
    assert len(await announcements(tasks_database)) == 5, "what was just announced is not late"


async def test_many_sweepers_at_once_do_no_harm(
    store: TaskStore,
    erasures: Erasures,
    files: _AgedFiles,
    report_pictures: ReportPictures,
    tasks_database: Database,
) -> None:
    metrics = [Metrics() for _ in range(4)]
    kept = uploaded(2)
    for one in kept:
        await files.put(one.photo_id)
    for number in range(10):
        await store.submit(f"overdue {number}", submission(f"a {number}", f"{number}@example.com"), [])
        await files.put()
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-901)))
    await store.submit("job", submission(), kept)

    async def sweep(of: Metrics) -> None:
        one = Sweeper(store, erasures, Outbox(outbox), files, report_pictures, RecordingBroker(), settings(), of)
        await one.sweep_jobs()
        await one.sweep_dropped_photos()
        await one.sweep_orphans()

    await asyncio.gather(*(sweep(of) for of in metrics))
    assert sum(value(of, "jobs_ended_total", outcome="overdue") for of in metrics) == 10
    assert files.ids() == {one.photo_id for one in kept}


async def test_the_sweeper_goes_on_after_a_server_was_away(
    store: TaskStore, files: _AgedFiles, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper_module, "SWEEP_SECONDS", 0.01)
    orphan = await files.put()
    search = files.written_between
    failures = 0

    def away(start: Any, end: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures < 3:
            raise PhotoStoreError("away")
        return search(start, end)

    monkeypatch.setattr(files, "written_between", away)
    running = asyncio.create_task(sweeper.run())
    await until(lambda: orphan not in files.ids())
    running.cancel()
    assert failures == 3, "the search is not due again at once"
    with pytest.raises(PhotoNotFoundError):
        await files.open(orphan)
