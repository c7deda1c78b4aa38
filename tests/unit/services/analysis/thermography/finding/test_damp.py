import cv2
import numpy as np
import pytest

from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.finding.damp import find_cool_places_of
from services.analysis.thermography.reading.thermogram import ScaleSource, Thermogram
from tests.unit.services.analysis.thermography.finding.test_detection import Index, thermogram

AS_IT_IS = Conditions(1.0, 0.0, typed=True, reasons=())  # the index is the temperature


def damp_wall(cooler: float, blur: float = 12.0) -> Index:
    """A wall at 24 °C that is cooler along its foot."""
    wall = np.full((240, 320), 24.0, np.float32)
    wall[190:, 60:260] -= np.float32(cooler)
    noise = np.random.default_rng(4).normal(0, 0.05, wall.shape)
    return np.asarray(cv2.GaussianBlur(wall, (0, 0), blur) + noise, np.float32)


def photo(temperature: Index, scale: ScaleSource = ScaleSource.RADIOMETRIC) -> Thermogram:
    return thermogram(temperature, AS_IT_IS, scale)


def coloured(temperature: Index) -> Thermogram:
    """The same where the palette spans 5 K and the photo does not say so."""
    return photo(((temperature - 21.0) / 5.0).astype(np.float32), ScaleSource.ESTIMATED)


def test_a_cool_place_with_soft_edges_is_outlined() -> None:
    for view in (photo(damp_wall(2.5)), coloured(damp_wall(2.5))):
        (place,) = find_cool_places_of(view)
        assert place.mask[225, 160]
        assert not place.mask[100, 160]


def test_an_even_wall_has_no_cool_place() -> None:
    assert find_cool_places_of(photo(damp_wall(0.0))) == ()
    assert find_cool_places_of(coloured(damp_wall(0.0))) == ()


def test_a_thing_with_sharp_edges_is_no_cool_place() -> None:
    assert find_cool_places_of(photo(damp_wall(3.0, blur=0.8))) == ()


@pytest.mark.parametrize("warmth", [8.0, 14.0])
def test_a_view_with_a_person_or_a_machine_has_no_cool_place(warmth: float) -> None:
    wall = damp_wall(2.5)
    wall[40:150, 100:200] += np.float32(warmth)
    assert find_cool_places_of(photo(wall)) == ()


def test_a_picture_that_is_hidden_altogether_has_no_cool_place() -> None:
    view = photo(damp_wall(2.5))
    view.valid[:] = False
    assert find_cool_places_of(view) == ()
