"""The thermographic analyser: runs each submission in a worker process, with a time limit that ends a hung one.

Photos are hostile until proven otherwise and decoders are C code: a worker that crashes or hangs is killed and
replaced, and costs its own submission only. Workers are spawned, not forked: a fork would inherit the event loop's
threads and connections.

The library's pool is broken for good when a worker dies that has nothing to do (the system was short of memory, say).
Then all of it is replaced: the submissions under way fail, and are retried.
"""

import asyncio
import multiprocessing
import os
from functools import partial

import cv2
import structlog
from pebble import ProcessPool
from PIL import Image

from services.analysis.analyser import Analysis, AnalysisRequest
from services.analysis.thermography.basis.climate import climate_of
from services.analysis.thermography.judging.advice import catalogue
from services.analysis.thermography.reading.thermogram import Photograph, read_thermogram
from services.analysis.thermography.submission import analyse_submission
from services.analysis.thermography.telling.rendering import encode_jpeg
from services.analysis.thermography.telling.report import METHOD

log = structlog.get_logger(__name__)

# Frees what libraries leave behind (a worker's memory grows by about 1 kB with each job); a new worker costs a second
# of start-up, in which there is one worker less.
_JOBS_PER_WORKER = 5000
_NICENESS = 5  # requests, events and databases on the same cores come first: they are what feeds the workers


class ThermographyAnalyser:
    """Analyses submissions by :func:`~services.analysis.thermography.submission.analyse_submission`.

    ``workers`` processes work at a time. An analysis that takes longer than ``time_limit`` seconds raises
    :class:`TimeoutError`, one whose worker dies :class:`pebble.ProcessExpired`; cancelling one ends its worker's work.
    """

    name = METHOD.name
    version = METHOD.version

    def __init__(self, workers: int, time_limit: float) -> None:
        self._time_limit = time_limit
        self._new_pool = partial(
            ProcessPool,
            max_workers=workers,
            max_tasks=_JOBS_PER_WORKER,
            initializer=_prepare_worker,
            context=multiprocessing.get_context("spawn"),
        )
        self._pool = self._new_pool()

    async def start(self) -> None:
        """Start the workers; they get ready while we go on."""
        pool = self._pool
        await asyncio.to_thread(lambda: pool.active)  # asking starts it

    async def analyse(self, request: AnalysisRequest) -> Analysis:
        """Analyse one submission in a worker process."""
        if not self._pool.active:
            log.error("the worker processes broke down, and are replaced")
            broken, self._pool = self._pool, self._new_pool()
            await asyncio.to_thread(_end, broken)
            await self.start()
        future = self._pool.schedule(analyse_submission, args=[request], timeout=self._time_limit)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """End all workers, with what they are doing."""
        await asyncio.to_thread(_end, self._pool)


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _prepare_worker() -> None:
    """Get ready before the first submission comes, whose time limit is running then.

    One submission uses one core: the pool is what uses the others.
    """
    if hasattr(os, "nice"):  # not on Windows
        os.nice(_NICENESS)
    cv2.setNumThreads(1)
    even = encode_jpeg(Image.new("RGB", (64, 64), "grey"), most_bytes=100_000)
    read_thermogram(Photograph(even), inside_c=None, outside_c=None)  # builds the tables of the palettes
    climate_of(None)
    catalogue()
