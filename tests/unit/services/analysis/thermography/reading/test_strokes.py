"""Finding lines of print."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.reading.strokes import (
    LINE_HEIGHT,
    LONGEST_LINE,
    SIGN_HEIGHT,
    TextLine,
    find_lines,
    ink,
    line_picture,
    without,
)


def picture(text: str, *, light_on: int | None = None, size: float = 24) -> np.ndarray:
    ground, shade = (240, 10) if light_on is None else (light_on, 255)
    image = Image.new("RGB", (320, 240), (ground,) * 3)
    ImageDraw.Draw(image).text((60, 100), text, font=ImageFont.load_default(size), fill=(shade,) * 3)
    return np.asarray(image)


def lines_of(rgb: np.ndarray, *, dark: bool) -> list[TextLine]:
    return find_lines(ink(rgb, dark=dark), dark=dark)


@pytest.mark.parametrize("dark", [False, True])
def test_a_number_is_one_line_in_either_ink(dark: bool) -> None:
    rgb = picture("18.7", light_on=None if dark else 40)
    (line,) = [line for line in lines_of(rgb, dark=dark) if line.signs > 1]
    assert 55 < line.box[0] < 66
    assert 100 < line.box[2] < 112
    assert 14 < line.height < 20


def test_numbers_far_apart_are_two_lines() -> None:
    found = lines_of(picture("18.7          24.1", light_on=30, size=20), dark=False)
    assert sum(line.signs > 1 for line in found) == 2


def test_a_long_line_is_cut_at_a_gap() -> None:
    found = lines_of(picture("Im 105 Mv 6 Vu 19 Ab 20 Cd", light_on=30, size=14), dark=False)
    assert len(found) > 1
    assert all(line.box[2] - line.box[0] <= LONGEST_LINE * line.height for line in found)


def test_print_in_a_box_without_print_is_left_out() -> None:
    above = ink(picture("18.7", light_on=30), dark=False)
    assert find_lines(without(above, (40, 90, 200, 140)), dark=False) == []


@pytest.mark.parametrize("size", [9, 16, 24, 40])
def test_a_line_is_brought_to_one_height_whatever_its_size(size: float) -> None:
    above = ink(picture("88", light_on=30, size=size), dark=False)
    line = max(find_lines(above, dark=False), key=lambda line: line.signs)
    drawn = line_picture(above, line.box)
    assert drawn.shape[0] == LINE_HEIGHT
    tall = np.flatnonzero(drawn.max(1) > 0.5)
    assert tall[-1] - tall[0] + 1 == pytest.approx(SIGN_HEIGHT, abs=2)
    assert 0.9 < drawn.max() <= 1.25


def test_a_line_at_the_rim_is_filled_up_with_nothing() -> None:
    above = np.zeros((60, 80), np.uint8)
    above[50:60, 70:80] = 200
    drawn = line_picture(above, (70, 50, 80, 60))
    assert drawn.shape[0] == LINE_HEIGHT
    assert np.isfinite(drawn).all()
    assert drawn[:, -12:].max() < 0.1


def test_an_even_picture_has_no_lines() -> None:
    assert lines_of(np.full((100, 100, 3), 80, np.uint8), dark=False) == []
