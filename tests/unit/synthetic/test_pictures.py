"""The files that scenes become: raw values and notes can be read back, printing covers what it says."""

import io
import struct

import flyr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.synthetic import palettes
from tests.synthetic.pictures import Layout, colourise, draw, jpeg, radiometric_jpeg, range_exif


def ramp(rows: int = 60, columns: int = 80) -> np.ndarray:
    return np.linspace(5, 30, rows * columns, dtype=np.float32).reshape(rows, columns)


@pytest.mark.parametrize("as_png", [False, True])
@pytest.mark.parametrize("size", [(60, 80), (240, 320)])
def test_another_reader_finds_the_temperatures_that_were_written(as_png: bool, size: tuple[int, int]) -> None:
    measured = ramp(*size)
    data = radiometric_jpeg(np.zeros((*size, 3), np.uint8), measured, quality=90, as_png=as_png)
    assert np.abs(flyr.unpack(io.BytesIO(data)).celsius - measured).max() < 0.01
    assert Image.open(io.BytesIO(data)).size == size[::-1]


@given(st.floats(-20, 10), st.floats(1, 60))
def test_the_maker_note_gives_the_range(low: float, span: float) -> None:
    data = jpeg(np.zeros((24, 32, 3), np.uint8), quality=80, exif=range_exif((low, low + span)))
    note = Image.open(io.BytesIO(data)).getexif().get_ifd(0x8769)[0x927C]
    entries, greatest, least = struct.unpack("<H", note[:2]), note[30:38], note[38:46]
    assert entries == (2,)
    for rational, celsius in ((greatest, low + span), (least, low)):
        numerator, denominator = struct.unpack("<II", rational)
        assert numerator / denominator - 273.15 == pytest.approx(celsius, abs=0.001)


@pytest.mark.parametrize("name", sorted(palettes.ANCHORS))
def test_a_palette_runs_through_its_ends(name: str) -> None:
    colours = palettes.table(name)
    assert colours.shape == (256, 3)
    assert tuple(colours[0]) == palettes.ANCHORS[name][0]
    assert tuple(colours[-1]) == palettes.ANCHORS[name][-1]


def test_temperatures_beyond_the_scale_take_its_end_colours() -> None:
    colours = palettes.table("iron")
    picture = colourise(np.array([[-5, 15, 50]], np.float32), (10, 20), colours)
    assert (picture[0, 0] == colours[0]).all()
    assert (picture[0, 2] == colours[-1]).all()


@pytest.mark.parametrize("layout", list(Layout))
def test_what_is_not_covered_shows_the_scene(layout: Layout) -> None:
    grey = np.full((90, 120), 90, np.uint8)
    drawn = draw(
        np.random.default_rng(5),
        ramp(),
        layout=layout,
        palette="white-hot",
        scale=(5.0, 30.0),
        size=(640, 480),
        grey=grey,
    )
    x0, y0, x1, y1 = drawn.window
    assert 0 <= x0 < x1 <= 640
    assert 0 <= y0 < y1 <= 480
    assert drawn.picture.shape == (480, 640, 3)
    outside = np.ones((480, 640), bool)
    outside[y0:y1, x0:x1] = False
    assert drawn.covered[outside].all()
    assert drawn.covered[~outside].mean() < 0.35


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_photo_is_upright_again_for_readers_of_exif(orientation: int) -> None:
    picture = np.zeros((24, 48, 3), np.uint8)
    picture[:12, :24] = 255  # the upper left quarter
    image = Image.open(io.BytesIO(jpeg(picture, quality=95, orientation=orientation)))
    turned = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    back = image if turned[orientation] is None else image.transpose(turned[orientation])
    upright = np.asarray(back)
    assert upright.shape[:2] == (24, 48)
    assert upright[4, 8].min() > 200
    assert upright[20, 40].max() < 60
