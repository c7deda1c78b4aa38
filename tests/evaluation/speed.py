"""Time and memory for the largest usual pair: a 12-megapixel colour photo and a 1440x1080 thermal picture."""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from contracts.events import TaskType
from services.analysis.thermography import submission
from tests.evaluation.outcome import analyse_files
from tests.synthetic import make_scene
from tests.synthetic.pictures import jpeg

STAGES = ("Photograph", "looks_thermal", "read_thermogram", "assess", "write_report", "draw_sheet", "draw_thumbnail")
_RUNS = 11


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over some runs on one core, in milliseconds; memory of the worker in MB."""

    total: float
    stages: dict[str, float]
    idle_memory: float  # after the imports
    peak_memory: float


def measure_speed(thermal: bytes, colour: bytes) -> Speed:
    """Analyse a pair several times in this process, which should be a fresh one: its peak memory counts."""
    idle = _peak()
    spent: dict[str, list[float]] = {stage: [] for stage in STAGES}
    originals = {stage: getattr(submission, stage) for stage in STAGES}
    totals = []
    with tempfile.TemporaryDirectory() as folder:
        _analyse(thermal, colour, Path(folder))  # tables and fonts are loaded once
        try:
            for stage, function in originals.items():
                setattr(submission, stage, _timed(function, spent[stage]))
            for _ in range(_RUNS):
                started = time.perf_counter()
                _analyse(thermal, colour, Path(folder))
                totals.append((time.perf_counter() - started) * 1000)
        finally:
            for stage, function in originals.items():
                setattr(submission, stage, function)
    medians = {stage: sum(times) / _RUNS for stage, times in spent.items()}
    return Speed(statistics.median(totals), medians, idle, _peak())


def _timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            times.append((time.perf_counter() - started) * 1000)

    return timed


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _analyse(thermal: bytes, colour: bytes, scratch: Path) -> None:
    analyse_files(thermal, colour, scratch, task_type=TaskType.WINDOW, inside_f=69.0, outside_f=30.0)


def large_pair(seed: int) -> tuple[bytes, bytes]:
    """Thermal and colour photo of a scene at the size of a current phone's, with as much grain."""
    scene = make_scene(seed)
    upright = scene.colour_picture.shape[0] > scene.colour_picture.shape[1]
    small, large = ((1080, 1440), (3000, 4000)) if upright else ((1440, 1080), (4000, 3000))
    thermal = cv2.resize(scene.thermal_picture, small, interpolation=cv2.INTER_CUBIC)
    colour = cv2.resize(scene.colour_picture, large, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(seed).integers(-6, 7, colour.shape[:2], dtype=np.int16)
    grained = np.clip(colour + grain[..., None], 0, 255).astype(np.uint8)
    return jpeg(np.asarray(thermal, np.uint8), quality=90), jpeg(grained, quality=90)
