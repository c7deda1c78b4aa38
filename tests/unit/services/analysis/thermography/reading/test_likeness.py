import cv2
import numpy as np
import pytest

from services.analysis.thermography.reading import palettes
from services.analysis.thermography.reading.likeness import looks_ordinary, looks_thermal
from services.analysis.thermography.reading.thermogram import Photograph
from tests.synthetic import make_scene
from tests.unit.services.analysis.thermography.reading.drawings import colour_photo, drawn, grey_room, scene
from tests.unit.services.analysis.thermography.reading.test_thermogram import THERMAL
from tests.unit.services.analysis.thermography.rjpeg import jpeg_of


@pytest.mark.parametrize("kind", THERMAL)
def test_a_thermal_photo_looks_thermal(kind):
    assert looks_thermal(Photograph(THERMAL[kind])) > 0.5


@pytest.mark.parametrize("grey", [False, True])
def test_an_ordinary_photo_does_not_look_thermal(grey):
    photo = colour_photo()
    if grey:
        photo = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    assert looks_thermal(Photograph(jpeg_of(photo))) < 0.5


def test_a_blended_photo_looks_more_thermal_than_an_ordinary_one():
    photo = grey_room(480, 640)
    photo[60:420, 80:560] = drawn(scene(480, 360), palettes.known()[2].colours) * 0.6 + photo[60:420, 80:560] * 0.4
    ordinary = Photograph(jpeg_of(colour_photo()))
    assert looks_thermal(Photograph(jpeg_of(photo))) > looks_thermal(ordinary) + 0.1


@pytest.mark.parametrize("seed", range(7, 11))
def test_a_glance_tells_a_colour_photo_and_takes_no_thermal_photo_for_one(seed: int) -> None:
    pair = make_scene(seed, colour_size=(320, 240))
    assert looks_ordinary(Photograph(pair.colour))
    assert not looks_ordinary(Photograph(pair.thermal))


@pytest.mark.parametrize("colour", [(128, 128, 128), (255, 0, 0)])
def test_a_glance_does_not_tell_what_is_grey_or_garish(colour: tuple[int, int, int]) -> None:
    assert not looks_ordinary(Photograph(jpeg_of(np.full((96, 128, 3), colour, np.uint8))))
