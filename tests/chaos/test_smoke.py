"""A short run with faults of many kinds keeps every promise; then each is broken, and the checker sees it."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.nemeses import NEMESES
from tests.chaos.plants import PLANTS, plant
from tests.chaos.run import Run, new_history
from tests.chaos.system import Pace, running
from tests.chaos.workload import Camera
from tests.e2e.issuer import issuing

SEED = 2025
FAULT_SECONDS = 75.0
PHONES = 5
LONG = ("full disk of a server", "rolling restart")  # each takes up to a minute

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Outcome:
    """What a run came to, and what the checker found after each planted bug."""

    report: str
    submissions: int
    faults: int
    violations: int
    found: dict[str, set[str]]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run for all tests of this module."""
    return asyncio.run(_run(tmp_path_factory.mktemp("chaos")))


async def _run(folder: Path) -> Outcome:
    rng = random.Random(SEED)  # noqa: S311 - chance must follow from the seed
    history = new_history(folder)
    try:
        with issuing("127.0.0.1") as issuer:
            async with running(folder, issuer, pace=Pace(), analyzer="mock", rng=rng) as system:
                run = Run(system, history, SEED, PHONES, Camera(SEED))
                await run.go(FAULT_SECONDS, [nemesis for nemesis in NEMESES if nemesis.group not in LONG])
                await run.judge(constant_image=True)
                text = report.markdown(run.course, history.events)
                violations = len(run.course.violations)
                found = {}
                for kind in PLANTS:
                    stores = await run.stores(patient=False)
                    await asyncio.to_thread(plant, kind, system, stores, run.acknowledged())
                    await run.poll_all()
                    found[kind] = {violation.kind for violation in await run.judge(constant_image=True, patient=False)}
    finally:
        history.close()
    taken = report.figures(history.events)["jobs acknowledged"]
    return Outcome(text, taken, sum(fault.did is not None for fault in run.course.faults), violations, found)


def test_a_run_with_faults_breaks_no_promise(outcome: Outcome) -> None:
    assert outcome.violations == 0, outcome.report
    assert outcome.submissions > 0
    assert outcome.faults > 0


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_bug_is_found(outcome: Outcome, kind: str) -> None:
    assert kind in outcome.found[kind]
