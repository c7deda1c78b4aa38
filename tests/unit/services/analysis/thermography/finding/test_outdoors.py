import cv2
import numpy as np
import pytest

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.finding.detection import detect
from services.analysis.thermography.reading.thermogram import ScaleSource
from tests.unit.services.analysis.thermography.finding.test_detection import WINTER, Index, thermogram, wall

COLOURS = Conditions(1.0, 0.0, typed=True, reasons=())


def facade(edge: float) -> Index:
    """A wall with warmer windows below what is cold along the top; ``edge`` pixels blur what parts them."""
    view = np.full((240, 320), 0.6, np.float32)
    for left in (30, 130, 230):
        view[140:200, left : left + 50] = 0.9
    view[:80] = 0.0
    return np.asarray(cv2.GaussianBlur(view, (0, 0), edge) + (wall() - 0.95), np.float32)


def test_a_view_with_the_sky_along_its_top_is_taken_from_outside_without_temperatures() -> None:
    found = detect(thermogram(facade(1.0), COLOURS, ScaleSource.ESTIMATED), WINTER, TaskType.WALL)
    assert "sky" in str(found.refusal)


def test_a_ceiling_that_is_cold_along_the_top_is_no_sky() -> None:
    assert detect(thermogram(facade(14.0), COLOURS, ScaleSource.ESTIMATED), WINTER, TaskType.WALL).refusal is None


@pytest.mark.parametrize("part", [TaskType.WINDOW, TaskType.DOOR])
def test_a_cold_pane_along_the_top_is_no_sky(part: TaskType) -> None:
    assert detect(thermogram(facade(1.0), COLOURS, ScaleSource.ESTIMATED), WINTER, part).refusal is None
