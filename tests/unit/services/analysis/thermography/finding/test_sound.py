"""What a sound part would show."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.analysis.thermography.basis.building import sound_glass_index
from services.analysis.thermography.finding.opening import Opening
from services.analysis.thermography.finding.sound import sound_from_front, sound_glass, wall_level

Index = NDArray[np.float32]
SHAPE = (240, 320)
METRES = 0.0075  # per pixel: the window below is 1.2 m wide
OPENING = Opening((80, 40, 240, 200), np.array(((80, 40), (239, 40), (239, 199), (80, 199)), np.float32))
WALL = np.full(SHAPE, 0.95, np.float32)
FRAME, GLASS = 0.76, 0.66


def window() -> Index:
    """A sound window of two panes."""
    index = WALL.copy()
    index[40:200, 80:240] = FRAME
    index[52:188, 92:154] = GLASS
    index[52:188, 166:228] = GLASS
    return cv2.GaussianBlur(index, (0, 0), 1.2)


def sound(index: Index) -> Index:
    return sound_from_front(index, WALL, sound_glass(WALL), np.zeros(SHAPE, bool), OPENING, METRES)


def test_a_sound_window_is_as_it_should_be() -> None:
    index = window()
    assert float((sound(index) - index).max()) < 0.06


def test_a_cold_stripe_along_a_whole_mullion_is_not_taken_for_structure() -> None:
    index = window()
    index[46:194, 155:165] = 0.45
    missing = sound(index) - index
    assert float(missing[60:180, 157:163].mean()) > 0.15


def test_a_plume_beside_the_window_is_compared_with_the_wall() -> None:
    index = window()
    index[208:220, 100:220] = 0.7
    missing = sound(index) - index
    assert float(missing[210:218, 105:215].min()) > 0.18


def test_a_pane_far_below_double_glazing_is_compared_with_double_glazing() -> None:
    index = window()
    index[52:188, 92:154] = 0.4
    expected = sound(index)
    np.testing.assert_allclose(expected[80:160, 110:140], sound_glass_index(), atol=0.01)


def test_a_warm_thing_that_does_not_reach_the_rim_of_the_view_is_no_wall() -> None:
    index = np.full(SHAPE, 0.8, np.float32)
    index[60:180, 60:260] = 0.96
    level = wall_level(index, np.ones(SHAPE, bool))
    np.testing.assert_allclose(level, 0.8, atol=0.02)


def test_of_two_common_levels_the_likelier_one_is_the_wall_though_a_frame_fills_more_of_the_view() -> None:
    index = np.full(SHAPE, 0.85, np.float32)
    index[:80] = 0.96
    level = wall_level(index, np.ones(SHAPE, bool))
    np.testing.assert_allclose(level[:60], 0.96, atol=0.02)


def test_a_wall_is_found_where_the_room_was_typed_three_degrees_too_warm() -> None:
    index = np.full(SHAPE, 0.8, np.float32)
    index[60:180, 60:260] = 1.0
    index[:12, :60] = 1.0
    level = wall_level(index, np.ones(SHAPE, bool))
    np.testing.assert_allclose(level, 0.8, atol=0.02)


def test_glass_is_expected_warmer_where_the_wall_shows_a_warmer_room_than_was_typed() -> None:
    assert float(sound_glass(np.full(SHAPE, 1.045, np.float32)).min()) == pytest.approx(1.1 * sound_glass_index())


def test_glass_in_a_cold_wall_is_expected_as_warm_as_in_a_sound_one() -> None:
    assert float(sound_glass(np.full(SHAPE, 0.8, np.float32)).min()) == pytest.approx(sound_glass_index())


def test_a_pane_is_cold_or_sound_as_a_whole() -> None:
    index = window()
    index[52:188, 92:154] = np.linspace(sound_glass_index() - 0.05, sound_glass_index() - 0.11, 136)[:, None]
    expected = sound(cv2.GaussianBlur(index, (0, 0), 1.2))
    assert float(np.ptp(expected[80:160, 123])) < 0.06


def test_a_frame_that_is_colder_than_usual_says_that_it_is_colder_outside_than_was_typed() -> None:
    usual, colder = (float(sound_glass(WALL, frame).min()) for frame in (0.75, 0.6))
    assert usual == pytest.approx(sound_glass_index())
    assert colder < usual - 0.03
