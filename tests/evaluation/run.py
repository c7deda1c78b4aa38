"""Run the evaluation: spread the work over processes, gather it, write it."""

import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2

from tests.evaluation.outcome import Mistyped, Outcome, evaluate
from tests.evaluation.photographs import PictureRow, evaluate_pictures
from tests.evaluation.sheets import write_sheets
from tests.evaluation.speed import large_pair, measure_speed
from tests.evaluation.writing import Results, write_report
from tests.synthetic import Condition

SEED_RANGES = {"dev": 1_000, "held-out": 13_000_000}
"""First seed of each range; nothing is ever tuned on the second, which moves on once seen."""

SPECIAL = (Condition.SUMMER, Condition.MILD, Condition.EXTERIOR, Condition.BLENDED)
MISTYPED = (Mistyped(inside=5), Mistyped(inside=-5), Mistyped(outside=8), Mistyped(outside=-8))
"""Of a third of the winter scenes: a thermostat in another room, and the forecast instead of the weather."""

OUT = Path("out/evaluation")
SUMMARY = Path("docs/evaluation.md")
_SAME_BYTES = 12  # scenes analysed again in a fresh process


def prepare_worker() -> None:
    """One core for each worker, and after everybody else."""
    cv2.setNumThreads(1)
    os.nice(10)


def run(*, scenes: int, seed_range: str, pictures: Path | None) -> None:
    """Evaluate ``scenes`` winter scenes and a tenth as many of each special condition, and the real pictures."""
    started = time.monotonic()
    cells = OUT / "scenes"
    shutil.rmtree(OUT, ignore_errors=True)
    cells.mkdir(parents=True)
    first = SEED_RANGES[seed_range]
    jobs = [(first + number, Condition.WINTER) for number in range(scenes)]
    jobs += [(first + number, condition) for condition in SPECIAL for number in range(max(2, scenes // 10))]
    outcomes = _in_processes(jobs, cells)
    again = _in_processes(jobs[:_SAME_BYTES], None)
    mistyped = {by: _in_processes(jobs[: scenes // 3], None, by) for by in MISTYPED}
    same = sum(a.digest == b.digest for a, b in zip(outcomes, again, strict=False))
    rows: list[PictureRow] = []
    if pictures is not None and pictures.is_dir():
        with _pool(1) as pool:
            rows = pool.submit(evaluate_pictures, pictures, OUT).result()
    with _pool(1) as pool:
        pair = pool.submit(large_pair, first + 1).result()
    with _pool(1) as pool:  # a fresh process: what drawing the pair took in memory does not count
        speed = pool.submit(measure_speed, *pair).result()
    results = Results(
        seed_range=seed_range,
        first_seed=first,
        winter=[outcome for outcome in outcomes if outcome.condition is Condition.WINTER],
        special={c: [outcome for outcome in outcomes if outcome.condition is c] for c in SPECIAL},
        mistyped=mistyped,
        pictures=rows,
        speed=speed,
        same_bytes=(same, len(again)),
    )
    write_sheets(outcomes, cells, OUT)
    write_report(results, OUT / "report.md", SUMMARY if seed_range == "held-out" else None)
    sys.stdout.write((OUT / "report.md").read_text())
    sys.stdout.write(f"\nin {time.monotonic() - started:.0f} s\n")


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=prepare_worker)


def _in_processes(
    jobs: list[tuple[int, Condition]], cells: Path | None, mistyped: Mistyped | None = None
) -> list[Outcome]:
    with _pool(min(2, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(evaluate, seed, condition, cells, mistyped or Mistyped()) for seed, condition in jobs]
        return [future.result() for future in futures]
