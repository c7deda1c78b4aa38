"""What is shown of the files of thermal cameras other than FLIR's: the picture, and nothing of what was written in."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from tests.unit.services.analysis.thermography.sensors import infiray_jpeg, kelvin_picture, uni_t_bmp
from tests.unit.services.tasks.privacy.rebuilt import rebuilt
from tests.unit.services.tasks.privacy.telling import TELLING

CELSIUS = np.linspace(5, 25, 40 * 60).reshape(40, 60)
LEVELS = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
ARTIST, DATE, COMMENT = 315, 306, 270


def tagged_tiff(compression: str) -> bytes:
    tags = ImageFileDirectory_v2()
    tags[ARTIST] = tags[COMMENT] = TELLING.decode("latin-1")
    tags[DATE] = "2026:01:30 16:35:32"
    return kelvin_picture(CELSIUS, "TIFF", 100, tiffinfo=tags, compression=compression)


def pixels(photo: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(photo)))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_a_tiff_of_kelvins_keeps_its_pixels_and_loses_its_texts(compression: str) -> None:
    told = tagged_tiff(compression)
    assert TELLING in told
    assert b"2026:01:30" in told
    shown = rebuilt(told)
    assert TELLING not in shown
    assert b"2026:01:30" not in shown
    np.testing.assert_array_equal(pixels(shown), pixels(told))


def test_a_uni_t_bmp_keeps_its_pixels_and_loses_what_follows_them() -> None:
    told = uni_t_bmp(LEVELS, 5, 12, 25) + TELLING  # the time of the photo, or whatever a program adds
    shown = rebuilt(told)
    assert TELLING not in shown
    np.testing.assert_array_equal(pixels(shown), pixels(told))


def test_an_infiray_jpeg_keeps_its_pixels_and_loses_its_names() -> None:
    whole = infiray_jpeg(CELSIUS)
    named = b"\xff\xe9" + (len(TELLING) + 2).to_bytes(2, "big") + TELLING
    told = whole[:2] + named + whole[2:]
    shown = rebuilt(told)
    assert TELLING not in shown
    np.testing.assert_array_equal(pixels(shown), pixels(told))
