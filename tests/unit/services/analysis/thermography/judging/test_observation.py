from dataclasses import replace

import numpy as np
import pytest

from contracts.events import TaskType
from contracts.reports import Severity
from services.analysis.thermography.basis.conditions import CELSIUS, Conditions
from services.analysis.thermography.finding.detection import detect
from services.analysis.thermography.judging.observation import assess, expected_losses, heat_losses
from services.analysis.thermography.reading.thermogram import ScaleSource, Thermogram
from tests.unit.services.analysis.thermography.finding.test_damp import damp_wall, photo
from tests.unit.services.analysis.thermography.finding.test_detection import (
    SUMMER,
    WINTER,
    thermogram,
    wall,
    with_plume,
)


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


def test_a_picture_that_cannot_be_read_is_refused_in_the_words_of_the_reading() -> None:
    foreign = replace(thermogram(wall()), unreadable="Please send the camera's picture.", reasons=("One.", "Two."))
    assert assess(0, foreign, WINTER, TaskType.WALL).reasons == ("Please send the camera's picture.",)


def test_a_picture_that_is_mixed_with_a_photo_is_judged() -> None:
    mixed = replace(thermogram(wall()), blended=True)
    assert assess(0, mixed, WINTER, TaskType.WALL).severity is not Severity.UNKNOWN


def test_the_doubts_of_the_reading_lower_the_trust() -> None:
    sure = assess(0, thermogram(wall()), WINTER, TaskType.WALL)
    doubted = assess(0, replace(thermogram(wall()), trust=0.5), WINTER, TaskType.WALL)
    assert doubted.trust == pytest.approx(0.5 * sure.trust)


def spanning(spread: float, scale: ScaleSource) -> Thermogram:
    """A view that rises evenly from left to right by ``spread``, K or share of the palette."""
    view = thermogram(wall(), WINTER, scale)
    start = 0.5 if scale is ScaleSource.ESTIMATED else 19.0
    across = np.linspace(start, start + spread, 320, dtype=np.float32)
    return replace(view, temperature=np.tile(across, (240, 1)))


@pytest.mark.parametrize("spread", [0.0, 0.01])
@pytest.mark.parametrize("scale", list(ScaleSource))
def test_a_blank_picture_is_no_sound_wall(scale: ScaleSource, spread: float) -> None:
    assessment = assess(0, spanning(spread, scale), WINTER, TaskType.WALL)
    assert assessment.severity is Severity.UNKNOWN
    assert assessment.trust == 0.0
    assert "shows no differences in temperature" in assessment.reasons[0]


@pytest.mark.parametrize(
    ("scale", "spread"), [(ScaleSource.RADIOMETRIC, 0.3), (ScaleSource.PRINTED, 0.3), (ScaleSource.ESTIMATED, 0.06)]
)
def test_a_wall_that_is_truly_even_is_sound(scale: ScaleSource, spread: float) -> None:
    assert assess(0, spanning(spread, scale), WINTER, TaskType.WALL).severity is Severity.NONE


@pytest.mark.parametrize("rows", [1, 20])
def test_a_picture_of_which_nearly_nothing_is_in_view_is_not_judged(rows: int) -> None:
    view = thermogram(wall(), WINTER)
    valid = np.zeros_like(view.valid)
    valid[100 : 100 + rows] = True
    assessment = assess(0, replace(view, valid=valid), WINTER, TaskType.WALL)
    assert assessment.severity is Severity.UNKNOWN
    assert "Too little of the thermal picture" in assessment.reasons[0]


def test_a_thermal_picture_that_is_but_a_strip_is_not_judged() -> None:
    strip = thermogram(wall()[:10, :300], WINTER, ScaleSource.ESTIMATED)
    assert assess(0, strip, WINTER, TaskType.WALL).severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("change", "words"), [({"damaged": True}, "damaged"), ({"either_way": True}, "bright means warm")]
)
def test_what_the_file_or_the_picture_leaves_open_lowers_the_trust_and_is_named(
    change: dict[str, bool], words: str
) -> None:
    plain = assess(0, thermogram(wall()), WINTER, TaskType.WALL)
    doubtful = assess(0, replace(thermogram(wall()), **change), WINTER, TaskType.WALL)
    assert doubtful.trust < plain.trust
    assert words in doubtful.reasons[0]


def test_temperatures_that_were_typed_the_wrong_way_round_lower_the_trust() -> None:
    right, wrong = Conditions.from_fahrenheit(68.0, 32.0), Conditions.from_fahrenheit(32.0, 68.0)
    assert (right.inside, right.outside) == (wrong.inside, wrong.outside)
    trusted, doubted = (assess(0, thermogram(wall(), right), typed, TaskType.WALL) for typed in (right, wrong))
    assert doubted.trust < trusted.trust
    assert "swapped" in doubted.reasons[0]


def test_temperatures_that_the_photo_contradicts_lower_the_trust() -> None:
    view = thermogram(wall() + np.float32(0.3))
    contradicted = assess(0, view, WINTER, TaskType.WALL)
    assert contradicted.trust < 0.5
    assert "please check" in contradicted.reasons[0]


def test_a_view_that_is_no_room_is_not_judged_and_the_reason_says_why() -> None:
    assessment = assess(0, thermogram(with_plume(wall() + np.float32(1.0), 60, 100)), WINTER, TaskType.WALL)
    assert assessment.severity is Severity.UNKNOWN
    assert "warmer than any room" in " ".join(assessment.reasons)


@pytest.mark.parametrize("difference", [9.0, 6.0, 4.0])
def test_a_grave_leak_is_called_no_more_than_low_under_a_small_difference(difference: float) -> None:
    mild = Conditions(20.0, 20.0 - difference, typed=True, reasons=())
    index = with_plume(with_plume(with_plume(wall(), 60, 60), 150, 60), 150, 200)
    assessment = assess(0, thermogram(index, mild), mild, TaskType.WALL)
    assert assessment.severity is Severity.LOW
    assert f"{'only 4 °C' if difference < 5 else 'less than 10 °C'}" in assessment.reasons[0]


def test_a_smaller_difference_makes_a_smaller_loss() -> None:
    index = with_plume(wall(), 60, 100, depth=0.25)
    losses = []
    for difference in (12.0, 8.0, 5.0):
        mild = Conditions(20.0, 20.0 - difference, typed=True, reasons=())
        losses.append(assess(0, thermogram(index, mild), mild, TaskType.WALL).loss.total)
    assert losses == sorted(losses, reverse=True)
    assert losses[1] == pytest.approx(0.8 * losses[0], rel=0.05)


def test_a_photo_that_tells_the_order_only_is_called_no_more_than_low_with_little_trust() -> None:
    index = with_plume(with_plume(with_plume(wall(), 60, 60), 150, 60), 150, 200)
    colours = ((index - index.min()) / np.ptp(index)).astype(np.float32)
    view = thermogram(colours, Conditions(1.0, 0.0, typed=True, reasons=()), ScaleSource.ORDER)
    assessment = assess(0, view, WINTER, TaskType.WALL)
    assert assessment.severity is Severity.LOW
    assert assessment.trust < 0.4
    assert any("not by how many degrees" in reason for reason in assessment.reasons)


def test_a_cool_place_without_a_heat_flow_is_shown_and_the_severity_stays_unknown() -> None:
    even = Conditions(24.0, 25.0, typed=True, reasons=())
    damp = assess(0, photo(damp_wall(2.5)), even, TaskType.WALL)
    assert damp.severity is Severity.UNKNOWN
    assert len(damp.cool_places) == 1
    assert "moisture" in damp.reasons[0]
    dry = assess(0, photo(damp_wall(0.0)), even, TaskType.WALL)
    assert dry.cool_places == ()
    assert "about as warm inside as outside" in dry.reasons[0]


def test_temperatures_that_were_typed_in_celsius_lower_the_trust() -> None:
    typed = Conditions.from_fahrenheit(20.0, 0.0)
    assessment = assess(0, thermogram(wall()), typed, TaskType.WALL)
    assert CELSIUS in assessment.reasons
    assert assessment.trust < assess(0, thermogram(wall()), WINTER, TaskType.WALL).trust


def test_a_leak_in_a_view_full_of_edges_is_called_no_more_than_low() -> None:
    leaking = with_plume(with_plume(with_plume(wall(), 60, 60), 150, 60), 150, 200)
    ridges = np.where(np.arange(320) % 8 < 4, 0.0, 0.04).astype(np.float32)
    plain, ridged = (assess(0, thermogram(index), WINTER, TaskType.WALL) for index in (leaking, leaking + ridges))
    assert detect(thermogram(leaking + ridges), WINTER, TaskType.WALL).cluttered
    assert plain.severity is Severity.MODERATE
    assert ridged.severity is Severity.LOW
    assert any("Many things are in view" in reason for reason in ridged.reasons)
