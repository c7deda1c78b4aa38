"""Reading the printed scale and spots: right or not at all."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.reading.numerals import Unit
from services.analysis.thermography.reading.printed import Box, PrintedScale, read_printed_range, read_printed_scale
from services.analysis.thermography.reading.scales import Evidence
from training.print.matrix import draw_matrix

BAR: Box = (600, 120, 616, 360)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
_SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc",
    "5": "afgcd", "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abfgcd",
}  # fmt: skip


def ground(shade: int = 30, width: int = 640) -> Image.Image:
    return Image.new("RGB", (width, width * 3 // 4), (shade, shade, shade + 10))


def picture(
    *texts: tuple[str, int, int], size: float = 24, background: int = 30, width: int = 640, ink: tuple[int, ...] = WHITE
) -> np.ndarray:
    image = ground(background, width)
    pen = ImageDraw.Draw(image)
    for text, x, y in texts:
        pen.text((x, y), text, font=ImageFont.load_default(size), fill=ink)
    return np.asarray(image)


def read(rgb: np.ndarray, bar: Box | None = BAR) -> tuple[float, float] | None:
    return read_printed_range(rgb, bar, inside_c=21.0, outside_c=0.0)


def scale_of(rgb: np.ndarray, bar: Box | None = BAR) -> PrintedScale:
    scale = read_printed_scale(rgb, bar, inside_c=21.0, outside_c=0.0)
    assert scale is not None
    return scale


@pytest.mark.parametrize(
    ("low", "high"),
    [("12.5", "24.8"), ("8", "31"), ("-3.9", "16.0"), ("7.2", "60.3"), ("14,0", "20,8"), ("11.1", "21.7")],
)
def test_the_numbers_at_the_ends_of_an_upright_bar_are_the_scale(low: str, high: str) -> None:
    expected = tuple(float(end.replace(",", ".")) for end in (low, high))
    assert read(picture((high, 560, 90), (low, 560, 366))) == expected


def test_dark_numbers_on_a_white_margin_are_the_scale() -> None:
    rgb = picture(("24.8", 570, 90), ("12.5", 570, 366), background=244, ink=BLACK)
    assert read(rgb) == (12.5, 24.8)


def test_the_numbers_beside_a_lying_bar_are_the_scale() -> None:
    assert read(picture(("11.4", 130, 438), ("22.9", 452, 438)), bar=(190, 440, 440, 456)) == (11.4, 22.9)


def test_the_numbers_beside_the_ends_of_a_bar_are_the_scale() -> None:
    scale = scale_of(picture(("24 °C", 50, 120), ("-9 °C", 50, 340)), bar=(20, 120, 36, 360))
    assert (scale.low, scale.high, scale.unit_printed) == (-9.0, 24.0, True)


def test_ticks_along_the_bar_are_the_scale() -> None:
    ticks = [(str(26 - 2 * at), 565, 112 + 40 * at) for at in range(7)]
    scale = scale_of(picture(*ticks, size=17), bar=(540, 120, 556, 360))
    assert scale.evidence is Evidence.TICKS
    assert (scale.low, scale.high) == pytest.approx((14, 26), abs=0.3)


def test_ticks_that_do_not_fit_a_line_are_not_a_scale() -> None:
    ticks = [(text, 565, 112 + 40 * at) for at, text in enumerate(("26", "13", "22", "31", "18", "40", "14"))]
    assert read(picture(*ticks, size=17), bar=(540, 120, 556, 360)) is None


def test_a_centre_with_plus_minus_is_the_scale_without_any_bar() -> None:
    assert read(picture(("Vu 19.5 ± 7.5°C", 4, 4), size=32), bar=None) == (12.0, 27.0)


def test_captions_are_the_scale_without_any_bar() -> None:
    scale = scale_of(picture(("Max 30.4°C", 8, 20), ("Min 16.9°C", 8, 60)), bar=None)
    assert (scale.low, scale.high, scale.evidence) == (16.9, 30.4, Evidence.CAPTIONS)


def test_fahrenheit_is_told_by_what_is_possible() -> None:
    rgb = picture(("74.3", 570, 90), ("50.0", 570, 366))
    assert read(rgb) == pytest.approx((10.0, 23.5))


def test_a_printed_unit_tells_fahrenheit_where_both_are_possible() -> None:
    plain = (("68.2", 570, 90), ("15.9", 570, 366))
    assert read(picture(*plain)) is None
    scale = scale_of(picture(*plain, ("59.5°F", 10, 10)))
    assert scale.unit is Unit.FAHRENHEIT
    assert (scale.low, scale.high) == pytest.approx((-8.94, 20.11), abs=0.01)


def test_a_range_that_no_room_has_is_read_where_both_units_say_so() -> None:
    assert read(picture(("310", 560, 90), ("140", 560, 366))) == (140, 310)


def test_kelvin_is_read_where_it_is_printed() -> None:
    scale = scale_of(picture(("296.4 K", 540, 90), ("285.2 K", 540, 366)))
    assert (scale.low, scale.high) == pytest.approx((12.05, 23.25))


def test_a_range_that_no_room_has_is_read_where_its_unit_is_printed() -> None:
    scale = scale_of(picture(("150.0 °C", 530, 90), ("48.5 °C", 530, 366)))
    assert (scale.low, scale.high) == (48.5, 150.0)


def test_a_spot_is_told_with_its_place() -> None:
    scale = scale_of(picture(("24.8", 570, 90), ("12.5", 570, 366), ("19.1 °C", 300, 220)))
    (spot,) = scale.spots
    assert spot.celsius == 19.1
    assert 295 < spot.label[0] < 310
    assert 215 < spot.label[1] < 235


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
        (("24.8", 100, 90), ("12.5", 100, 366)),  # nowhere near the bar
        (("HOT", 570, 90), ("COLD", 560, 366)),
        (("11:45", 560, 90), ("2020/12/13", 500, 366)),
        (("24.8 °C", 540, 90), ("54.5 °F", 540, 366)),  # two units
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


def test_a_picture_full_of_numbers_has_no_scale() -> None:
    rng = np.random.default_rng(1)
    texts = [(f"{rng.uniform(-40, 200):.1f}", x, y) for x in range(0, 600, 60) for y in range(0, 460, 30)]
    assert read(picture(*texts, size=20), bar=None) is None


def test_print_on_a_pale_ground_is_read() -> None:
    assert read(picture(("24.8", 570, 90), ("12.5", 570, 366), background=190)) == (12.5, 24.8)


def test_a_number_whose_first_sign_is_lost_in_something_bright_is_read_whole_or_not_at_all() -> None:
    ground_ = picture(("24.8", 570, 90), ("16.5", 570, 366)).copy()
    ground_[360:400, 500:583] = np.maximum(ground_[360:400, 500:583], 110)
    assert read(ground_) in {(16.5, 24.8), None}


def test_the_light_end_of_a_lying_bar_is_no_sign_beside_its_number() -> None:
    rgb = picture(("11.4", 130, 438), ("22.9", 452, 438)).copy()
    rgb[440:456, 190:440] = np.linspace(0, 255, 250)[:, None]
    assert read(rgb, bar=(190, 440, 440, 456)) == (11.4, 22.9)


def test_signs_of_five_by_seven_dots_are_read() -> None:
    rgb = np.asarray(ground()).copy()
    for text, y in (("23.7", 80), ("14.6", 370)):
        mask, _, (top, foot, _, _) = draw_matrix(text, 21)
        cut = mask[int(top) : int(foot), 40:-40, None]
        part = rgb[y : y + cut.shape[0], 550 : 550 + cut.shape[1]]
        part[:] = np.maximum(part, (cut * 255).astype(np.uint8))
    assert read(rgb) == (14.6, 23.7)


def test_seven_segment_numbers_are_read_right_or_not_at_all() -> None:
    image = ground()
    pen = ImageDraw.Draw(image)
    for number, y in (("25.3", 84), ("14.9", 372)):
        _seven_segments(pen, number, 552, y)
    assert read(np.asarray(image)) in {(14.9, 25.3), None}


def _seven_segments(pen: ImageDraw.ImageDraw, number: str, x: int, y: int) -> None:
    """Draw a number 22 pixels high."""
    ends = {
        "a": (1, 0, 10, 0), "g": (1, 10, 10, 10), "d": (1, 20, 10, 20),
        "f": (0, 1, 0, 9), "b": (11, 1, 11, 9), "e": (0, 11, 0, 19), "c": (11, 11, 11, 19),
    }  # fmt: skip
    for sign in number:
        if sign == ".":
            pen.rectangle((x - 3, y + 19, x - 1, y + 22), fill=WHITE)
            x += 4
            continue
        for segment in _SEGMENTS[sign]:
            x0, y0, x1, y1 = ends[segment]
            pen.rectangle((x + x0, y + y0, x + x1 + 2, y + y1 + 2), fill=WHITE)
        x += 18
