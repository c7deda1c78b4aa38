import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from contracts.reports import Severity
from services.analysis.analyser import AnalysisRequest, UnusablePhotosError
from services.analysis.thermography.analyser import ThermographyAnalyser

RequestFor = Callable[..., AnalysisRequest]


@pytest.fixture(scope="module")
def analyser() -> Iterator[ThermographyAnalyser]:
    """One for all of them: a worker takes a second to start."""
    analyser = ThermographyAnalyser(workers=1, time_limit=60.0)
    yield analyser
    asyncio.run(analyser.close())


async def test_workers_are_there_before_the_first_submission(analyser: ThermographyAnalyser) -> None:
    await analyser.start()
    assert len(multiprocessing.active_children()) == 1


async def test_a_submission_is_analysed_in_a_worker_process(
    analyser: ThermographyAnalyser, request_for: RequestFor, colour_jpeg: bytes
) -> None:
    analysis = await analyser.analyse(request_for({"obs0_rgb.jpg": colour_jpeg}))
    assert analysis.report.leakSeverity is Severity.UNKNOWN
    assert analysis.image is not None
    assert analysis.image.read_bytes().startswith(b"\xff\xd8")


async def test_photos_that_cannot_be_read_are_named_across_the_process_boundary(
    analyser: ThermographyAnalyser, request_for: RequestFor
) -> None:
    with pytest.raises(UnusablePhotosError, match=r"obs0_thermal\.jpg"):
        await analyser.analyse(request_for({"obs0_thermal.jpg": b"no photo"}))


async def test_a_hung_analysis_is_ended_and_the_next_one_runs_in_a_new_worker(
    request_for: RequestFor, colour_jpeg: bytes
) -> None:
    request = request_for({"obs0_rgb.jpg": colour_jpeg})
    endless = request.scratch / "pipe"
    os.mkfifo(endless)  # reading it waits for ever
    hung = replace(request, photos=(replace(request.photos[0], path=endless),))
    analyser = ThermographyAnalyser(workers=1, time_limit=0.5)
    try:
        with pytest.raises(TimeoutError):
            await analyser.analyse(hung)
        analyser._time_limit = 60.0  # the machine may be busy
        assert (await analyser.analyse(request)).report.leakSeverity is Severity.UNKNOWN
    finally:
        await analyser.close()


async def test_workers_that_died_while_they_had_nothing_to_do_are_replaced(
    analyser: ThermographyAnalyser, request_for: RequestFor, colour_jpeg: bytes
) -> None:
    await analyser.start()
    broken = analyser._pool
    for worker in multiprocessing.active_children():
        worker.kill()
    async with asyncio.timeout(30):
        while broken.active:
            await asyncio.sleep(0.05)
    analysis = await analyser.analyse(request_for({"obs0_rgb.jpg": colour_jpeg}))
    assert analysis.report.leakSeverity is Severity.UNKNOWN


async def test_the_event_loop_stays_free_during_an_analysis(
    analyser: ThermographyAnalyser, request_for: RequestFor, colour_jpeg: bytes
) -> None:
    running = asyncio.ensure_future(analyser.analyse(request_for({"obs0_rgb.jpg": colour_jpeg})))
    await asyncio.sleep(0)
    assert not running.done()
    await running
