from dataclasses import replace

import cv2
import numpy as np
import pytest

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.finding.detection import detect
from services.analysis.thermography.reading.thermogram import ScaleSource
from tests.unit.services.analysis.thermography.finding.test_detection import (
    WINTER,
    Index,
    seen,
    thermogram,
    wall,
    with_plume,
)

COLD_ROOM = Conditions(14.4, 5.6, typed=True, reasons=())  # 58 °F inside, 42 °F outside
TYPED_WARM = replace(COLD_ROOM, inside=20.0)  # 68 °F typed


def before_background(warm: Index) -> Index:
    """Something warm in the middle of a wall: the wall holds the border of the view."""
    index = wall() - np.float32(0.25)
    index[40:200, 60:260] = warm[40:200, 60:260]
    return cv2.GaussianBlur(index, (0, 0), 2)


def test_a_room_colder_than_typed_is_believed_and_named() -> None:
    found = detect(thermogram(wall(), COLD_ROOM), TYPED_WARM, TaskType.WALL)
    assert found.refusal is None
    assert found.regions == ()
    assert "57 °F" in str(found.contradiction)
    assert "68 °F" in str(found.contradiction)


def test_a_leak_in_a_room_colder_than_typed_is_found_at_its_place() -> None:
    found = detect(thermogram(with_plume(wall(), 60, 100), COLD_ROOM), TYPED_WARM, TaskType.WALL)
    (region,) = found.regions
    assert region.mask[62, 130]
    assert found.conditions is not None
    assert found.conditions.inside == pytest.approx(14.4, abs=0.5)


def test_a_room_warmer_than_typed_is_believed_and_named() -> None:
    warmer = replace(WINTER, inside=16.0)
    found = detect(thermogram(with_plume(wall(), 60, 100)), warmer, TaskType.WALL)
    assert "please check the temperature" in str(found.contradiction)
    assert found.conditions is not None
    assert found.conditions.inside == pytest.approx(20.0, abs=0.5)
    assert len(found.regions) == 1


def test_a_room_as_typed_is_not_contradicted() -> None:
    assert seen(with_plume(wall(), 60, 100)).contradiction is None


@pytest.mark.parametrize("scale", [ScaleSource.RADIOMETRIC, ScaleSource.ESTIMATED])
def test_the_wall_behind_something_warm_is_no_leak(scale: ScaleSource) -> None:
    index = before_background(wall())
    if scale is ScaleSource.ESTIMATED:
        index = ((index - index.min()) / np.ptp(index)).astype(np.float32)
    conditions = WINTER if scale is ScaleSource.RADIOMETRIC else Conditions(1.0, 0.0, typed=True, reasons=())
    assert detect(thermogram(index, conditions, scale), WINTER, TaskType.WALL).regions == ()


def test_no_region_covers_most_of_a_view() -> None:
    index = wall()
    index[:, 100:] -= np.linspace(0.1, 0.3, 220, dtype=np.float32)
    index[:8], index[-8:], index[:, -8:] = 0.95, 0.95, 0.95
    regions = seen(index).regions
    assert regions
    assert max(float(region.mask.mean()) for region in regions) <= 0.6
