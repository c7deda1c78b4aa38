"""The sweeper: what was lost or left over on the way is found here, so that every job ends and no photo is kept for
nothing. What is to be erased is erased here.

Each step is safe in any number of replicas at once and safe to repeat.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import structlog

from contracts.topology import ANALYSIS_SUBMISSIONS, TASKS_RESULTS, Subscription
from services.chassis.database import TRANSIENT
from services.chassis.messaging.broker import Broker, PublishError
from services.chassis.metrics import Metrics
from services.chassis.outbox import Outbox
from services.tasks.erasure import Erasures
from services.tasks.photos.store import PhotoNotFoundError, PhotoStore, PhotoStoreError
from services.tasks.report_pictures import ReportPictures
from services.tasks.settings import TasksSettings
from services.tasks.store import TaskStore

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 5.0  # at most; replicas that started together drift apart
ORPHANS_EVERY_SECONDS = 600.0
ORPHAN_DAYS = 7  # how far back the search for orphans looks; each is met by many searches before it leaves the span
BATCH = 200
REPUBLISH_BATCH = 100  # in one transaction, and so many at most at a time
AWAY: tuple[type[Exception], ...] = (*TRANSIENT, PhotoStoreError)


class Sweeper:
    """Looks after unfinished jobs, unwanted photos, and what is to be erased."""

    def __init__(
        self,
        store: TaskStore,
        erasures: Erasures,
        waiting: Outbox,
        photos: PhotoStore,
        report_pictures: ReportPictures,
        broker: Broker,
        settings: TasksSettings,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._erasures = erasures
        self._outbox = waiting
        self._photos = photos
        self._report_pictures = report_pictures
        self._broker = broker
        self._settings = settings
        self._metrics = metrics

    async def run(self) -> None:
        """Sweep until cancelled. Servers that are away are tried again at the next round."""
        orphans_due = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            try:
                await self.sweep_jobs()
                await self.sweep_deleted_accounts()
                await self.sweep_dropped_photos()
                await self.sweep_report_pictures()
                await self.sweep_sizes()
                if clock() >= orphans_due:
                    await self.sweep_keys()
                    await self.sweep_old_submissions()
                    await self.sweep_orphans()
                    orphans_due = clock() + ORPHANS_EVERY_SECONDS
            except AWAY as error:
                log.warning("cannot sweep now", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret

    async def sweep_jobs(self) -> None:
        """End jobs that are overdue, announce again those that may be lost, and bring the gauges up to date."""
        # While results wait to be read, one of a job that is overdue may be among them, as after a long stop of ours.
        # Its picture is kept for so long and no longer.
        are_read = await self._is_empty(TASKS_RESULTS)
        limit = self._settings.job_deadline_seconds if are_read else self._settings.photo_grace_seconds
        ended = await self._store.end_overdue(limit)
        if ended:
            self._metrics.jobs_ended.labels("overdue").inc(ended)
            log.error("jobs were given up", jobs=ended)
        if forgotten := await self._store.announce_forgotten(REPUBLISH_BATCH):
            log.info("waiting jobs were announced that no end had announced", jobs=forgotten)
        unfinished = await self._store.unfinished()
        self._metrics.jobs_unfinished.set(unfinished.jobs)
        self._metrics.jobs_waiting.set(unfinished.waiting)
        self._metrics.jobs_unfinished_seconds.set(unfinished.oldest_seconds)
        if unfinished.oldest_seconds < self._settings.job_republish_seconds or await self._queues_are_long():
            return
        announced = await self._store.republish_unfinished(self._settings.job_republish_seconds, REPUBLISH_BATCH)
        if announced:
            log.warning("late jobs were announced again", jobs=announced)

    async def _queues_are_long(self) -> bool:
        """Whether events wait in the outbox or in analysis' queue, or nobody can tell.

        Then jobs are late because of that, and another announcement of each would only make the queues longer. An
        event gets lost for good only with the broker's disk, or as a dead letter: the queue is short then.
        """
        return self._outbox.backlog.rows >= REPUBLISH_BATCH or not await self._is_empty(ANALYSIS_SUBMISSIONS)

    async def _is_empty(self, subscription: Subscription) -> bool:
        """Whether nothing waits in a queue; no, when nobody can tell."""
        try:
            return (await self._broker.depth(subscription)).waiting == 0
        except PublishError as error:
            log.warning("cannot see how long a queue is", queue=subscription.queue, error=str(error))
            return False

    async def sweep_deleted_accounts(self) -> None:
        """Erase what is kept of deleted accounts, up to the bytes of their photos, which are dropped with it."""
        if erased := await self._erasures.erase_deleted_accounts():
            log.info("tasks of deleted accounts were erased", tasks=erased)

    async def sweep_old_submissions(self) -> None:
        """Erase submissions that have grown older than RETENTION_DAYS, and forget erasures that are long done."""
        if self._settings.retention_days:
            while erased := await self._erasures.erase_older(self._settings.retention_days):
                log.info("submissions were erased for their age", tasks=erased)
        await self._erasures.forget_erasures()

    async def sweep_dropped_photos(self) -> None:
        """Remove photos that were replaced, or of erased tasks: first the bytes, then the row that knows of them."""
        while dropped := await self._store.dropped_photos(self._settings.photo_grace_seconds, BATCH):
            await self._photos.delete(dropped)
            await self._store.forget_photos(dropped)
            log.info("dropped photos were removed", photos=len(dropped))

    async def sweep_report_pictures(self) -> None:
        """Remove pictures of reports whose job has ended without them, or is gone: first the bytes, then the row."""
        while found := await self._report_pictures.left_over(BATCH):
            await self._photos.delete([photo_id for photo_id, is_named in found if not is_named])
            await self._report_pictures.forget([photo_id for photo_id, _ in found])

    async def sweep_sizes(self) -> None:
        """Look up the sizes of some photos that no row tells: they count for the quota of their person."""
        sizes: dict[str, int] = {}
        for photo_id in await self._store.unsized_photos(BATCH):
            try:
                sizes[photo_id] = (await self._photos.open(photo_id)).size
            except PhotoNotFoundError:
                sizes[photo_id] = 0  # its row stays, its bytes are gone: it takes no room
        if sizes:
            await self._store.note_sizes(sizes)

    async def sweep_keys(self) -> None:
        """Forget idempotency keys whose time is over."""
        while await self._store.forget_keys(BATCH) == BATCH:
            pass

    async def sweep_orphans(self) -> None:
        """Remove photos older than the grace period that no record refers to: uploads that never came to an end."""
        # Photos bear their writer's time. When our clock and the database's differ, the earlier one decides.
        present = min(datetime.now(UTC), await self._store.clock())
        end = present - timedelta(seconds=self._settings.photo_grace_seconds)
        found = 0
        async for candidates in self._photos.written_between(end - timedelta(days=ORPHAN_DAYS), end):
            if candidates and (orphans := await self._store.unknown_photos(candidates)):
                found += len(orphans)
                await self._photos.delete(orphans)
                self._metrics.orphan_photos.inc(len(orphans))
                log.info("orphaned photos were removed", photos=len(orphans))
        self._metrics.orphan_images.set(found)
