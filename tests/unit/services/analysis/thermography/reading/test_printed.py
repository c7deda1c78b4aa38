"""Reading the printed scale: right or not at all."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.reading.printed import Box, read_printed_range

BAR: Box = (600, 120, 616, 360)


def picture(*texts: tuple[str, int, int], size: float = 24, background: int = 30, width: int = 640) -> np.ndarray:
    image = Image.new("RGB", (width, width * 3 // 4), (background, background, background + 10))
    pen = ImageDraw.Draw(image)
    for text, x, y in texts:
        pen.text((x, y), text, font=ImageFont.load_default(size), fill=(255, 255, 255))
    return np.asarray(image)


def read(rgb: np.ndarray, bar: Box | None = BAR) -> tuple[float, float] | None:
    return read_printed_range(rgb, bar, inside_c=21.0, outside_c=0.0)


@pytest.mark.parametrize(("low", "high"), [("12.5", "24.8"), ("8", "31"), ("-3.9", "16.0"), ("7.2", "60.3")])
def test_the_numbers_at_the_ends_of_an_upright_bar_are_the_scale(low: str, high: str) -> None:
    assert read(picture((high, 570, 90), (low, 570, 366))) == (float(low), float(high))


def test_the_numbers_beside_a_lying_bar_are_the_scale() -> None:
    assert read(picture(("11.4", 130, 438), ("22.9", 452, 438)), bar=(190, 440, 440, 456)) == (11.4, 22.9)


def test_a_centre_with_plus_minus_is_the_scale_without_any_bar() -> None:
    assert read(picture(("Vu 19.5 ± 7.5°C", 4, 4), size=32), bar=None) == (12.0, 27.0)


def test_fahrenheit_is_told_by_what_is_possible() -> None:
    rgb = picture(("74.3", 570, 90), ("50.0", 570, 366))
    scale = read_printed_range(rgb, BAR, inside_c=21.0, outside_c=0.0)
    assert scale == pytest.approx((10.0, 23.5))


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_a_compressed_small_picture_is_read_right_or_not_at_all(quality: int) -> None:
    rgb = picture(("24.8", 283, 42), ("12.5", 283, 182), size=13, width=320)
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert read(cv2.imdecode(data, cv2.IMREAD_COLOR), bar=(300, 60, 308, 180)) in {(12.5, 24.8), None}


@pytest.mark.parametrize(
    "texts",
    [
        (),
        (("24.8", 570, 90),),  # one end only
        (("12.5", 570, 90), ("24.8", 570, 366)),  # the cold end above
        (("24.8", 570, 90), ("3", 570, 366)),  # two styles
        (("999", 570, 90), ("12", 570, 366)),  # no room has that
        (("24.8", 100, 90), ("12.5", 100, 366)),  # nowhere near the bar
        (("HOT", 570, 90), ("COLD", 560, 366)),
    ],
)
def test_what_is_no_scale_is_not_read(texts: tuple[tuple[str, int, int], ...]) -> None:
    assert read(picture(*texts)) is None


def test_a_number_with_a_hidden_sign_is_not_read() -> None:
    rgb = picture(("24.8", 570, 90), ("12.5", 570, 366)).copy()
    rgb[366:396, 572:581] = 255  # over the one
    assert read(rgb) is None


def test_a_picture_full_of_specks_is_read_in_bounded_effort() -> None:
    rng = np.random.default_rng(0)
    specks = np.where(rng.random((480, 640, 1)) < 0.02, 255, 20).astype(np.uint8)
    assert read(np.repeat(cv2.dilate(specks, np.ones((9, 3), np.uint8))[..., None], 3, 2)) is None


def test_print_on_a_pale_ground_is_read() -> None:
    assert read(picture(("24.8", 570, 90), ("12.5", 570, 366), background=210)) == (12.5, 24.8)


def test_a_number_whose_first_sign_is_lost_in_something_bright_is_read_whole_or_not_at_all() -> None:
    rgb = picture(("24.8", 570, 90), ("16.5", 570, 366))
    ground = rgb.copy()
    ground[360:400, 500:583] = np.maximum(ground[360:400, 500:583], 110)
    assert read(ground) in {(16.5, 24.8), None}


def test_the_light_end_of_a_lying_bar_is_no_sign_beside_its_number() -> None:
    rgb = picture(("11.4", 130, 438), ("22.9", 445, 438)).copy()
    rgb[440:456, 190:440] = np.linspace(0, 255, 250)[:, None]
    assert read(rgb, bar=(190, 440, 440, 456)) == (11.4, 22.9)
