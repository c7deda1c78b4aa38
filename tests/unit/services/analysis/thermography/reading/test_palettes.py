import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.analysis.thermography.reading import palettes

INDICES = range(len(palettes.known()))
FIRST = {palette.name: index for index, palette in reversed(list(enumerate(palettes.known())))}

NAMED = {name: palettes.known()[index] for name, index in FIRST.items()}


def gradient(index: int, *, width: int = 256, height: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A picture that runs through a palette from left to right, and the places that it shows."""
    place = np.linspace(0, 1, width)
    colours = palettes.known()[index].colours
    rgb = np.stack([np.interp(place * 255, np.arange(256), colours[:, channel]) for channel in range(3)], 1)
    picture = np.repeat(np.rint(rgb).astype(np.uint8)[None], height, 0)
    return picture, np.repeat(place[None], height, 0)


def histogram(rgb: np.ndarray) -> np.ndarray:
    return np.bincount(palettes.bins(rgb).ravel(), minlength=32768).astype(float)


def through_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_the_names_that_people_know_are_all_there():
    assert {"iron", "rainbow", "rainbow-hc", "white-hot", "black-hot", "arctic", "lava"} <= set(FIRST)


@pytest.mark.parametrize("index", INDICES)
def test_a_palette_turns_its_own_colours_back_into_places(index):
    rgb, place = gradient(index)
    found = palettes.places(rgb, palettes.known()[index])
    assert np.abs(found.place - place).mean() < 0.006
    assert found.gap.mean() < 2.0


@pytest.mark.parametrize("index", INDICES)
def test_the_palette_that_drew_a_picture_explains_it_best(index):
    rgb, _ = gradient(index)
    best = palettes.matches(histogram(rgb))[0]
    name = palettes.known()[index].name
    same = {"white-hot", "black-hot"} if name in palettes.GREY else {name}
    assert palettes.known()[best.index].name in same
    assert best.explained > 0.99


@pytest.mark.parametrize("name", ["iron", "rainbow", "white-hot", "lava"])
def test_jpeg_costs_little(name):
    rgb, place = gradient(FIRST[name], width=640, height=480)
    found = palettes.places(through_jpeg(rgb, 80), NAMED[name]).place
    assert np.abs(found - place).mean() < 0.008


def test_places_lie_between_entries_too():
    rgb, place = gradient(FIRST["white-hot"], width=4096)
    colours = rgb.astype(np.float32)
    found = palettes.places(np.rint(colours).astype(np.uint8), NAMED["white-hot"]).place
    iron = NAMED["iron"].colours
    middle = np.rint((iron[100] + iron[101]) / 2).astype(np.uint8)[None, None]
    between = palettes.places(middle, NAMED["iron"]).place
    assert np.abs(found - place).max() < 0.003
    assert 100.1 / 255 < between[0, 0] < 100.9 / 255


def test_hot_and_cold_exchanged_is_the_other_grey_palette():
    rgb, place = gradient(FIRST["white-hot"])
    other = palettes.reversed_grey(NAMED["white-hot"])
    assert other.name == "black-hot"
    assert palettes.reversed_grey(other).name == "white-hot"
    found = palettes.places(rgb, other).place
    assert np.abs(found - (1 - place)).max() < 0.004


def test_outlines_of_a_visible_photo_change_places_little():
    rgb, place = gradient(FIRST["iron"], width=512)
    outlined = rgb.astype(np.int16)
    outlined[:, ::16] += 25
    outlined[:, 8::16] -= 25
    found = palettes.places(np.clip(outlined, 0, 255).astype(np.uint8), NAMED["iron"]).place
    inner = np.s_[:, 40:-40]  # the black and white ends have no hue to hold on to
    assert np.abs(found - place)[inner].mean() < 0.01


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_any_colours_have_a_place_on_the_scale(seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for palette in (*palettes.known(), NAMED["iron"].mixed(0.5)):
        found = palettes.places(rgb, palette)
        assert found.place.min() >= 0
        assert found.place.max() <= 1
        assert np.isfinite(found.gap).all()


def test_random_colours_are_explained_by_no_palette():
    rgb = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert palettes.matches(histogram(rgb))[0].explained < 0.3
