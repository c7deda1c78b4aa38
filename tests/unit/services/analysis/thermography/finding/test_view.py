from dataclasses import replace

import cv2
import numpy as np
import pytest

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.finding.view import View, view_of
from services.analysis.thermography.reading.thermogram import ScaleSource
from tests.unit.services.analysis.thermography.finding.test_detection import WINTER, thermogram, wall


def test_what_lies_beyond_the_cold_end_of_an_estimated_scale_is_not_taken_for_the_wall() -> None:
    index = np.full((240, 320), 0.95, np.float32)
    index[:, :210] = 0.6
    index = np.asarray(cv2.GaussianBlur(index, (0, 0), 12.0) + wall(2) - 0.95, np.float32)
    beyond = index <= 0.8
    colours = np.clip((index - 0.8) / 0.2, 0.0, 1.0).astype(np.float32)
    plain = thermogram(colours, Conditions(1.0, 0.0, typed=True, reasons=()), ScaleSource.ESTIMATED)
    view = view_of(replace(plain, clipped_low=beyond), WINTER, TaskType.WALL)
    assert isinstance(view, View)
    columns = view.index.shape[1]
    assert float(np.median(view.index[:, int(0.8 * columns) :])) == pytest.approx(0.95, abs=0.03)
    assert float(np.median(view.index[:, : columns // 2])) < 0.9
