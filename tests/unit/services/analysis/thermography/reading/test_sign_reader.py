"""The sign reader's network at run time."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.reading.sign_reader import MOST_PIXELS, read_signs
from services.analysis.thermography.reading.strokes import LINE_HEIGHT, find_lines, ink, line_picture


def line(text: str) -> np.ndarray:
    image = Image.new("RGB", (320, 120), (40, 40, 60))
    ImageDraw.Draw(image).text((60, 40), text, font=ImageFont.load_default(26), fill=(255, 255, 255))
    above = ink(np.asarray(image), dark=False)
    return line_picture(above, max(find_lines(above, dark=False), key=lambda found: found.signs).box)


def said(lines: list[np.ndarray]) -> list[str]:
    return ["".join(sign.sign for sign in signs) for signs in read_signs(lines)]


def test_signs_are_read_from_left_to_right() -> None:
    assert said([line("27.43")]) == ["27.43"]
    (signs,) = read_signs([line("27.43")])
    assert [sign.at for sign in signs] == sorted(sign.at for sign in signs)
    assert all(0 < sign.sure <= 1 for sign in signs)


def test_a_line_reads_the_same_alone_and_among_others() -> None:
    lines = [line(text) for text in ("18.7", "-5.2", "69.1°F", "104")]
    assert said(lines) == [said([one])[0] for one in lines]


def test_reading_the_same_lines_twice_gives_the_same() -> None:
    lines = [line("18.7"), line("24.1")]
    assert read_signs(lines) == read_signs(lines)


def test_nothing_is_read_from_nothing() -> None:
    assert read_signs([]) == []
    assert read_signs([np.zeros((LINE_HEIGHT, 60), np.float32)]) == [[]]


def test_more_lines_than_can_be_read_are_left_out() -> None:
    one = line("18.7")
    found = read_signs([one] * (2 * MOST_PIXELS // one.shape[1]))
    assert found[0]
    assert found[-1] == []
