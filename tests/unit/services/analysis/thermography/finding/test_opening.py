"""The outline of windows and doors."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.analysis.thermography.finding.opening import Opening, find_opening, is_frontal

Cold = NDArray[np.float32]
NOTHING_HIDDEN = np.zeros((240, 320), bool)
WINDOW = ((80, 40), (240, 40), (240, 190), (80, 190))  # x, y of the corners from the top left one clockwise


def below_wall(corners: tuple[tuple[int, int], ...] = WINDOW, frame: float = 0.2, pane: float = 0.3) -> Cold:
    """How far a wall with a window lies below the wall's index, 240 × 320, with a camera's blur and noise."""
    cold = np.zeros((240, 320), np.float32)
    outline = np.array(corners, np.int32)
    cv2.fillConvexPoly(cold, outline, frame)
    middle = outline.mean(0)
    cv2.fillConvexPoly(cold, np.rint(middle + 0.8 * (outline - middle)).astype(np.int32), pane)
    return cv2.GaussianBlur(cold, (0, 0), 1.5) + np.random.default_rng(1).normal(0, 0.004, cold.shape).astype(
        np.float32
    )


def corners_of(cold: Cold, hidden: NDArray[np.bool_] = NOTHING_HIDDEN) -> NDArray[np.float32]:
    opening = find_opening(cold, hidden)
    assert opening is not None
    return opening.corners


def test_a_wall_without_anything_cold_has_no_opening() -> None:
    assert find_opening(np.zeros((240, 320), np.float32), NOTHING_HIDDEN) is None


def test_a_window_is_outlined_to_two_pixels() -> None:
    np.testing.assert_allclose(corners_of(below_wall()), WINDOW, atol=2)


def test_a_window_that_is_held_askew_is_outlined_by_its_own_sides() -> None:
    askew = ((84, 36), (244, 44), (238, 196), (78, 184))
    np.testing.assert_allclose(corners_of(below_wall(askew)), askew, atol=2.5)


@pytest.mark.parametrize("gap", [5, 8])
def test_a_plume_below_the_sill_is_no_part_of_the_window(gap: int) -> None:
    cold = below_wall()
    cold[191 + gap : 203 + gap, 90:200] = 0.3
    np.testing.assert_allclose(corners_of(cold), WINDOW, atol=2)


def test_a_bridge_above_the_window_is_no_part_of_it() -> None:
    cold = below_wall()
    cold[18:30, 50:270] = 0.15
    np.testing.assert_allclose(corners_of(cold), WINDOW, atol=2)


def test_what_hides_part_of_a_side_does_not_bend_it() -> None:
    cold, hidden = below_wall(), NOTHING_HIDDEN.copy()
    hidden[150:240, 200:280] = True
    cold[hidden] = -0.3
    np.testing.assert_allclose(corners_of(cold, hidden), WINDOW, atol=2)


def test_what_stands_before_the_lower_half_does_not_cut_a_door_short() -> None:
    door = ((100, 20), (200, 20), (200, 230), (100, 230))
    cold, hidden = below_wall(door, 0.1, 0.12), NOTHING_HIDDEN.copy()
    hidden[130:215, 125:320] = True
    cold[hidden] = -0.3
    assert corners_of(cold, hidden)[2:, 1].min() > 225


def test_the_frame_is_what_lies_along_the_sides_of_an_opening() -> None:
    frame = Opening((80, 40, 241, 191), np.array(WINDOW, np.float32)).frame((240, 320))
    assert frame[42, 160]
    assert frame[100, 82]
    assert not frame[115, 160]
    assert not frame[30, 160]


def test_a_window_seen_from_the_front_is_frontal_and_a_cold_view_is_not() -> None:
    cold = below_wall()
    opening = find_opening(cold, NOTHING_HIDDEN)
    assert opening is not None
    assert is_frontal(opening, cold, NOTHING_HIDDEN)
    everything = np.full((240, 320), 0.2, np.float32)
    whole = find_opening(everything, NOTHING_HIDDEN)
    assert whole is not None
    assert not is_frontal(whole, everything, NOTHING_HIDDEN)


def test_an_opening_covers_what_lies_within_its_corners() -> None:
    opening = Opening((80, 40, 241, 191), np.array(WINDOW, np.float32))
    assert opening.size == (160, 150)
    covered = opening.covers((240, 320))
    assert covered.sum() == 161 * 151
    assert covered[40:191, 80:241].all()


def test_a_cold_patch_of_the_wall_beside_a_window_is_no_part_of_it() -> None:
    cold = below_wall()
    cold[45:185, 256:312] = 0.2
    np.testing.assert_allclose(corners_of(cold), WINDOW, atol=2)


def test_of_two_cold_places_the_one_in_the_middle_of_the_view_is_the_window() -> None:
    cold = below_wall()
    cold[5:235, 256:318] = 0.3
    np.testing.assert_allclose(corners_of(cold), WINDOW, atol=2)


def test_a_leak_right_below_a_windows_sill_is_no_part_of_the_window() -> None:
    cold = below_wall()
    cold[190:197, 90:230] = 0.34
    opening = find_opening(cv2.GaussianBlur(cold, (0, 0), 1.0), NOTHING_HIDDEN, sill=True)
    assert opening is not None
    np.testing.assert_allclose(opening.corners, WINDOW, atol=3)


def test_a_frame_colder_than_usual_is_no_leak_below_the_sill() -> None:
    opening = find_opening(below_wall(frame=0.36, pane=0.25), NOTHING_HIDDEN, sill=True)
    assert opening is not None
    np.testing.assert_allclose(opening.corners, WINDOW, atol=3)
