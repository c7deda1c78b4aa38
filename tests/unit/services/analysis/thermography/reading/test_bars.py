import numpy as np
import pytest

from services.analysis.thermography.reading import bars, palettes
from tests.unit.services.analysis.thermography.reading.drawings import (
    GREY,
    IRON,
    UNKNOWN,
    drawn,
    near,
    wall,
    with_bar,
)


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_colour_bar_is_found_with_its_hot_end(index, lying):
    photo, box = with_bar(palettes.known()[index].colours, lying=lying)
    palette = palettes.known()[index]
    found = palettes.places(photo, palette)
    bar = bars.colour_bar(found.place, found.gap, palette.explained_within)
    assert bar is not None
    assert near(bar.box, box, by=6)
    assert bar.hot_first


@pytest.mark.parametrize("lying", [False, True])
def test_the_hot_end_of_a_black_hot_bar_is_at_the_other_end_when_read_as_white_hot(lying):
    photo, _ = with_bar(GREY, lying=lying, hot_first=False)
    found = palettes.places(photo, palettes.known()[4])
    bar = bars.colour_bar(found.place, found.gap, palettes.EXPLAINED_GREY)
    assert bar is not None
    assert not bar.hot_first


def test_a_scene_without_a_bar_has_none():
    found = palettes.places(drawn(wall(360, 480)), palettes.known()[0])
    assert bars.colour_bar(found.place, found.gap, palettes.EXPLAINED) is None


def test_a_colour_bar_is_found_in_its_full_breadth_where_only_its_middle_has_the_palettes_colours():
    place = np.full((240, 320), 0.6, np.float32)
    place[60:180, 290:302] = np.linspace(1, 0, 120, dtype=np.float32)[:, None]
    gap = np.zeros(place.shape, np.float32)
    gap[60:180, 290:302] = 40
    gap[60:180, 295:298] = 5
    found = bars.colour_bar(place, gap, 20)
    assert found is not None
    assert near(found.box, (290, 60, 302, 180), by=4)


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("name", UNKNOWN)
def test_the_bar_of_an_unknown_palette_gives_its_colours_from_cold_to_hot(name, lying):
    photo, box = with_bar(UNKNOWN[name], lying=lying)
    strip = bars.colour_strip(photo)
    assert strip is not None
    assert near(strip.box, box, by=6)
    at = np.linspace(0, 255, len(strip.colours))
    truth = np.stack([np.interp(at, np.arange(256), UNKNOWN[name][:, channel]) for channel in range(3)], 1)
    assert np.abs(strip.colours - truth).mean() < 8


@pytest.mark.parametrize("colours", [IRON, GREY, *UNKNOWN.values()])
def test_a_scene_has_no_strip_of_colours(colours):
    assert bars.colour_strip(drawn(wall(360, 480), colours)) is None
