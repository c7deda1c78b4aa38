"""From TaskSubmitted to its end: announce, fetch the photos, analyse, store the pictures, tell the outcome.

The order makes a repetition harmless: nothing is remembered here, pictures count only once AnalysisCompleted names
them, and tasks ignores a second outcome. A failure that may pass (tasks or the broker is away) propagates, so that
the delivery is retried; the photos being unusable is an outcome, not a failure.
"""

import asyncio
import re
import tempfile
import time
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
LOST = "The photos of this submission are no longer there. Please submit them again."

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


class Submissions:
    """Handles TaskSubmitted."""

    def __init__(self, broker: Broker, photos: PhotoExchange, analyser: Analyser) -> None:
        self._broker = broker
        self._photos = photos
        self._analyser = analyser

    def handlers(self) -> Handlers:
        """By event, for :meth:`~services.chassis.messaging.broker.Broker.subscribe`."""
        return {TaskSubmitted: self.handle}

    async def handle(self, submitted: TaskSubmitted) -> None:
        """Bring one submission to its end."""
        started = time.perf_counter()
        await self._tell(AnalysisStarted(job_id=submitted.job_id))
        try:
            with tempfile.TemporaryDirectory(prefix="analysis-", ignore_cleanup_errors=True) as folder:
                outcome: EventData = await self._outcome(submitted, Path(folder))
        except JobEndedError:
            log.info("the job has ended meanwhile")
            return
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
            files = await asyncio.gather(*(self._fetch(submitted.job_id, photo, folder) for photo in submitted.photos))
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
        return await self._completed(submitted.job_id, analysis)

    async def _completed(self, job_id: str, analysis: Analysis) -> AnalysisCompleted:
        async def store(name: str, source: Path | None) -> str | None:
            return None if source is None else await self._photos.store(job_id, name, source)

        image_id, thumbnail_id = await asyncio.gather(
            store("image", analysis.image), store("thumbnail", analysis.thumbnail)
        )
        return AnalysisCompleted(job_id=job_id, report=analysis.report, image_id=image_id, thumbnail_id=thumbnail_id)

    async def _fetch(self, job_id: str, photo: Photo, folder: Path) -> PhotoFile:
        extension = _EXTENSION.search(photo.name)
        path = folder / f"{photo.photo_id}{extension.group() if extension else ''}"
        await self._photos.fetch(job_id, photo.photo_id, path)
        return PhotoFile(path, photo.name, photo.kind, photo.observation)

    async def _tell(self, data: EventData) -> None:
        await self._broker.publish(Envelope.wrap(data, traceparent=traceparent()))
