import numpy as np
import pytest

from services.analysis.thermography.reading.sensor.turning import THUMBNAIL_PX, Turn, best_turn

ANY_TURN = [Turn(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


def room(height: int, width: int) -> np.ndarray:
    """A wall that is colder below, with a window in its middle and a leak at the window's left: nearly symmetric."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    celsius = 20 + 2 * (1 - y)
    celsius[(abs(x - 0.5) < 0.2) & (abs(y - 0.45) < 0.25)] -= 4
    celsius[(abs(x - 0.25) < 0.06) & (abs(y - 0.6) < 0.3)] -= 6
    return celsius.astype(np.float32)


def drawn_from(celsius: np.ndarray, noise: float = 0.0) -> np.ndarray:
    rows = np.linspace(0, celsius.shape[0] - 1, THUMBNAIL_PX[1]).round().astype(int)
    columns = np.linspace(0, celsius.shape[1] - 1, THUMBNAIL_PX[0]).round().astype(int)
    place = (celsius[np.ix_(rows, columns)] - celsius.min()) / np.ptp(celsius)
    return (place + np.random.default_rng(3).normal(0, noise, place.shape)).astype(np.float32)


def found(celsius: np.ndarray, drawn: np.ndarray, *, upright: bool = False, either_way: bool = False) -> Turn:
    return best_turn(celsius, drawn, upright=upright, either_way=either_way)


@pytest.mark.parametrize("turn", ANY_TURN, ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_the_turn_of_a_picture_is_found_mirrored_or_not(turn, noise):
    celsius = room(60, 80)
    seen = turn.applied_to(celsius)
    assert found(celsius, drawn_from(seen, noise), upright=seen.shape[0] > seen.shape[1]) == turn


def test_a_mirrored_picture_in_grey_is_found_either_way():
    celsius = room(60, 80)
    assert found(celsius, 1 - drawn_from(celsius[:, ::-1]), either_way=True) == Turn(mirrored=True)


def test_a_symmetric_scene_stays_as_it_lies():
    celsius = room(60, 80)
    symmetric = (celsius + celsius[:, ::-1]) / 2
    assert found(symmetric, drawn_from(symmetric, noise=0.2)) == Turn()


def test_a_picture_that_shows_something_else_leaves_the_data_as_they_lie():
    celsius = room(60, 80)
    other = np.random.default_rng(1).random(THUMBNAIL_PX, np.float32)
    assert found(celsius, other - 0.2 * drawn_from(celsius)) == Turn()


def test_an_even_view_stays_as_it_lies():
    assert found(np.full((60, 80), 20, np.float32), np.zeros(THUMBNAIL_PX, np.float32)) == Turn()
