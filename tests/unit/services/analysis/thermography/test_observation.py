from dataclasses import replace

import pytest

from contracts.events import TaskType
from contracts.reports import Severity
from services.analysis.thermography.detection import detect
from services.analysis.thermography.observation import assess, expected_losses, heat_losses
from tests.unit.services.analysis.thermography.test_detection import SUMMER, WINTER, thermogram, wall, with_plume


def test_a_grave_leak_is_called_no_more_than_low_when_it_is_warmer_outside_and_the_reasons_say_so() -> None:
    index = with_plume(with_plume(with_plume(wall(), 60, 60), 150, 60), 150, 200)
    winter = assess(0, thermogram(index, WINTER), WINTER, TaskType.WALL)
    summer = assess(0, thermogram(index, SUMMER), SUMMER, TaskType.WALL)
    assert winter.severity is Severity.MODERATE
    assert summer.severity is Severity.LOW
    assert summer.loss.total == pytest.approx(0.79)
    assert any("no more than a low severity" in reason for reason in summer.reasons)


def test_the_largest_loss_comes_first() -> None:
    index = with_plume(with_plume(wall(), 60, 100, depth=0.2), 150, 100)
    losses = [loss.total for loss in assess(0, thermogram(index, WINTER), WINTER, TaskType.WALL).losses]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 2


def test_a_doubtful_region_counts_for_less_and_a_sure_one_in_full() -> None:
    (region,) = detect(thermogram(with_plume(wall(), 60, 100), WINTER), WINTER, TaskType.WALL).regions
    (loss,) = heat_losses([region], TaskType.WALL)
    (sure,) = expected_losses([replace(region, chance=0.95)], [loss])
    (doubtful,) = expected_losses([replace(region, chance=0.3)], [loss])
    assert sure == loss
    assert doubtful.total == pytest.approx(loss.total * 0.3 / 0.85)


def test_a_picture_whose_colours_are_mixed_with_a_photo_is_refused_in_one_sentence() -> None:
    mixed = replace(thermogram(wall()), blended=True, reasons=("The colours are mixed.", "The scale was estimated."))
    assert len(assess(0, mixed, WINTER, TaskType.WALL).reasons) == 1
