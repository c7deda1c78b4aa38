"""From TaskSubmitted to its end: announce, fetch the photos, analyse, store the pictures, tell the outcome.

The order makes a repetition harmless: nothing is remembered here, pictures count only once AnalysisCompleted names
them, and tasks ignores a second outcome. A failure that may pass (tasks or the broker is away, a worker has died)
propagates, so that the delivery is retried. Unusable photos are an outcome, not a failure; so is an analysis that
reached its time limit, because by then the person has given up waiting, and a hanging one would hang again.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from contracts.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
    Envelope,
    EventData,
    Photo,
    TaskSubmitted,
)
from services.analysis.analyser import Analyser, Analysis, AnalysisRequest, PhotoFile, UnusablePhotosError
from services.analysis.photos import JobEndedError, PhotoExchange, PhotoLostError
from services.chassis.correlation import traceparent
from services.chassis.messaging.broker import Broker, Handlers

log = structlog.get_logger(__name__)

GAVE_UP = "The analysis failed although it was tried several times. Please submit the photos again."
ENDED = "The submission was replaced or deleted before its analysis was done."
LOST = "The photos of this submission are no longer there. Please submit them again."
TOO_SLOW = "The analysis of these photos took too long and was stopped. Please submit them again, or take new ones."

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


class Submissions:
    """Handles TaskSubmitted. What is worked on lies in ``scratch``, by default the system's folder for such things."""

    def __init__(self, broker: Broker, photos: PhotoExchange, analyser: Analyser, scratch: Path | None = None) -> None:
        self._broker = broker
        self._photos = photos
        self._analyser = analyser
        self._scratch = scratch

    def handlers(self) -> Handlers:
        """By event, for :meth:`~services.chassis.messaging.broker.Broker.subscribe`."""
        return {TaskSubmitted: self.handle}

    async def handle(self, submitted: TaskSubmitted) -> None:
        """Bring one submission to its end."""
        started = time.perf_counter()
        outcome: EventData
        await self._tell(AnalysisStarted(job_id=submitted.job_id))
        try:
            async with _scratch_folder(self._scratch) as folder:
                outcome = await self._outcome(submitted, folder)
        except JobEndedError:
            # The job keeps the end that it has. This tells tasks that the person's next job may be announced.
            log.info("the job has ended meanwhile")
            outcome = AnalysisFailed(job_id=submitted.job_id, reason=ENDED)
        await self._tell(outcome)
        log.info(
            "analysed",
            analyser=self._analyser.name,
            outcome=outcome.TYPE,
            photos=len(submitted.photos),
            ms=round((time.perf_counter() - started) * 1e3),
        )

    async def give_up(self, submitted: EventData) -> None:
        """Tell the person who waits that there will be no report: the delivery becomes a dead letter."""
        assert isinstance(submitted, TaskSubmitted)  # noqa: S101 - the only event of the queue
        await self._tell(AnalysisFailed(job_id=submitted.job_id, reason=GAVE_UP))

    async def _outcome(self, submitted: TaskSubmitted, folder: Path) -> AnalysisCompleted | AnalysisFailed:
        try:
            # One after the other: bounded whatever was submitted, and nothing goes on once one has failed.
            files = [
                await self._fetch(submitted.job_id, photo, folder / f"photo-{number}")
                for number, photo in enumerate(submitted.photos)
            ]
        except PhotoLostError:
            return AnalysisFailed(job_id=submitted.job_id, reason=LOST)
        request = AnalysisRequest(
            job_id=submitted.job_id,
            task_id=submitted.task_id,
            task_type=submitted.task_type,
            inside_temp_f=submitted.inside_temp_f,
            outside_temp_f=submitted.outside_temp_f,
            household=submitted.household,
            photos=tuple(files),
            scratch=folder,
        )
        try:
            analysis = await self._analyser.analyse(request)
        except UnusablePhotosError as error:
            return AnalysisFailed(job_id=submitted.job_id, reason=str(error))
        except TimeoutError:
            log.error("an analysis was stopped at its time limit")  # noqa: TRY400 - the traceback is the pool's own
            return AnalysisFailed(job_id=submitted.job_id, reason=TOO_SLOW)
        return await self._completed(submitted.job_id, analysis)

    async def _completed(self, job_id: str, analysis: Analysis) -> AnalysisCompleted:
        async def store(name: str, source: Path | None) -> str | None:
            return None if source is None else await self._photos.store(job_id, name, source)

        image_id = await store("image", analysis.image)
        thumbnail_id = await store("thumbnail", analysis.thumbnail)
        return AnalysisCompleted(job_id=job_id, report=analysis.report, image_id=image_id, thumbnail_id=thumbnail_id)

    async def _fetch(self, job_id: str, photo: Photo, target: Path) -> PhotoFile:
        # Of the name that a client chose, no more than a harmless extension reaches the disk.
        extension = _EXTENSION.search(photo.name)
        path = target.with_suffix(extension.group().lower() if extension else "")
        await self._photos.fetch(job_id, photo.photo_id, path)
        return PhotoFile(path, photo.name, photo.kind, photo.observation)

    async def _tell(self, data: EventData) -> None:
        await self._broker.publish(Envelope.wrap(data, traceparent=traceparent()))


@asynccontextmanager
async def _scratch_folder(root: Path | None) -> AsyncIterator[Path]:
    """A folder of one job's own, removed with all that is in it, also when the job is cancelled."""
    folder = Path(tempfile.mkdtemp(prefix="analysis-", dir=root))  # in a thread, a cancelled wait would leave it behind
    try:
        yield folder
    finally:
        # Shielded: the removal goes on when a second cancellation arrives while we wait for it.
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
