"""Pictures that nobody draws on purpose: whatever is in them, reading ends in a thermogram of finite values."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analysis.thermography.reading.likeness import looks_thermal
from services.analysis.thermography.reading.thermogram import Photograph, Thermogram, read_thermogram
from tests.unit.services.analysis.thermography.rjpeg import jpeg_of

COLOUR = st.tuples(*[st.integers(0, 255)] * 3)
BOX = st.tuples(*[st.floats(0, 1)] * 4, COLOUR)


def read_anything(rgb: np.ndarray) -> Thermogram:
    photo = Photograph(jpeg_of(rgb, quality=85))
    assert 0 <= looks_thermal(photo) <= 1
    found = read_thermogram(photo, inside_c=21.0, outside_c=1.0)
    assert np.isfinite(found.temperature).all()
    assert found.temperature.shape == found.valid.shape == found.clipped_low.shape == found.clipped_high.shape
    x0, y0, x1, y1 = found.window
    width, height = found.photo_size
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert 0 <= found.trust <= 1
    return found


@given(st.integers(32, 260), st.integers(32, 260), COLOUR, st.lists(BOX, max_size=9), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_rectangles_of_any_colour_are_read_without_an_error(width, height, ground, boxes, noise):
    rgb = np.full((height, width, 3), ground, np.float32)
    for x0, y0, x1, y1, colour in boxes:
        corners = [(int(x * width), int(y * height)) for x, y in ((x0, y0), (x1, y1))]
        cv2.rectangle(rgb, *corners, colour, -1)
    rgb += np.random.default_rng(noise).normal(0, noise, rgb.shape)
    read_anything(np.clip(rgb, 0, 255).astype(np.uint8))


@given(st.integers(0, 2**32 - 1), st.integers(1, 32))
@settings(max_examples=15, deadline=None)
def test_noise_of_any_grain_is_read_without_an_error(seed, grain):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, 192 // grain), max(2, 256 // grain), 3), dtype=np.uint8)
    read_anything(cv2.resize(small, (256, 192), interpolation=cv2.INTER_CUBIC))


@given(COLOUR, st.sampled_from([(32, 32), (32, 384), (640, 480), (2000, 400)]))
@settings(max_examples=12, deadline=None)
def test_one_colour_is_read_without_an_error(colour, size):
    read_anything(np.full((size[1], size[0], 3), colour, np.uint8))
