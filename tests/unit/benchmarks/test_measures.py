"""A benchmark loses nothing that it has measured."""

import asyncio

import pytest

from tests.benchmarks import measures as measures_module
from tests.benchmarks.load import Load
from tests.benchmarks.measures import Bench
from tests.benchmarks.results import Measure


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench of measures that need no system."""

    async def good(bench: Bench, measure: Measure) -> None:
        measure.add("rate", "/s", 1.0)

    async def failing(bench: Bench, measure: Measure) -> None:
        measure.add("rate", "/s", 2.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(_refused())

    async def endless(bench: Bench, measure: Measure) -> None:
        measure.add("rate", "/s", 3.0)
        await asyncio.sleep(3600)

    takes = {"good": (good, "Good"), "failing": (failing, "Failing"), "endless": (endless, "Endless")}
    monkeypatch.setattr(measures_module, "MEASURES", takes)
    return Bench.__new__(Bench)


async def _refused() -> None:
    raise ConnectionError("the server closed the connection")


async def test_a_measure_that_fails_keeps_its_figures_and_its_reason_and_the_next_is_taken(bench: Bench) -> None:
    noted: list[list[Measure]] = []
    await bench.run(["failing", "good"], lambda measures: noted.append(list(measures)))
    assert [len(measures) for measures in noted] == [1, 2]
    failed, good = noted[-1]
    assert [figure.values for figure in failed.figures] == [(2.0,)]
    assert failed.failures == ["ConnectionError: the server closed the connection"]
    assert good.failures == []


async def test_a_measure_that_is_interrupted_is_noted(bench: Bench) -> None:
    noted: list[Measure] = []
    running = asyncio.create_task(bench.run(["endless", "good"], noted.extend))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (interrupted,) = noted
    assert interrupted.failures == ["interrupted"]
    assert interrupted.figures


def test_answers_that_were_none_make_a_measure_fail_and_are_counted() -> None:
    measure = Measure("Submissions")
    loads = [Load(1.0, 0.1, [0.1] * 8, {503: 2}), Load(1.0, 0.1, [0.1] * 9, {503: 1, 429: 4}), Load(1.0, 0.1, [0.1])]
    Bench._failed(measure, "submissions", loads)
    assert measure.failures == ["submissions: beside 18 good answers 3 times 503, 4 times 429"]
    Bench._failed(measure, "others", loads[2:])
    assert len(measure.failures) == 1
