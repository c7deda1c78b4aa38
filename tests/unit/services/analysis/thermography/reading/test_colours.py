"""Pictures drawn in every way that cameras and apps draw them, read back."""

import cv2
import numpy as np
import pytest

from services.analysis.thermography.reading import palettes
from services.analysis.thermography.reading.thermogram import Photograph, ScaleSource, Thermogram, read_thermogram
from tests.unit.services.analysis.thermography.reading.drawings import (
    GREY,
    IRON,
    SPECTRUM,
    UNKNOWN,
    colour_photo,
    drawn,
    grey_room,
    with_bar,
)
from tests.unit.services.analysis.thermography.rjpeg import jpeg_of

NAMED = {palette.name: palette.colours for palette in reversed(palettes.known())}
COLD_C, HOT_C = 8.0, 23.0


def room(height: int = 480, width: int = 640) -> np.ndarray:
    """Places 0..1 of a wall with a window, a leak below the window and a warm pipe: the whole scale is used."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height, x / width
    place = 0.62 + 0.08 * np.sin(4 * x) + 0.05 * y
    place -= 0.3 * ((np.abs(x - 0.3) < 0.15) & (np.abs(y - 0.35) < 0.2))
    place -= 0.6 * np.exp(-(((x - 0.3) / 0.2) ** 2 + ((y - 0.62) / 0.05) ** 2))
    place += 0.4 * np.exp(-(((x - 0.8) / 0.05) ** 2))
    return np.clip(cv2.GaussianBlur(place, (0, 0), 2.5), 0, 1)


def read(data: bytes, **known: tuple[float, float] | None) -> Thermogram:
    return read_thermogram(Photograph(data), inside_c=21.0, outside_c=2.0, **known)


def order(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation."""
    ranks = [np.argsort(np.argsort(field.ravel(), kind="stable"), kind="stable") for field in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def mixture(place: np.ndarray, colours: np.ndarray, share: float, seed: int = 3) -> np.ndarray:
    """A palette picture over a grey photo with furniture, texture and light from one side."""
    height, width = place.shape
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.normal(0, 60, place.shape).astype(np.float32), (0, 0), 3) + np.linspace(40, 190, width)
    for _ in range(6):
        x, y = rng.integers(0, width), rng.integers(0, height)
        cv2.rectangle(grey, (int(x), int(y)), (int(x) + 90, int(y) + 60), float(rng.uniform(10, 240)), -1)
    photo = np.clip(grey, 0, 255)[..., None]
    return np.clip(np.rint(share * drawn(place, colours).astype(np.float32) + (1 - share) * photo), 0, 255).astype(
        np.uint8
    )


def seen_part(found: Thermogram, place: np.ndarray) -> np.ndarray:
    """The truth, cut and scaled like what was read."""
    height, width = found.photo_size[::-1]
    x0, y0, x1, y1 = found.window
    whole = cv2.resize(place.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(whole[y0:y1, x0:x1], found.temperature.shape[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("quality", [90, 40])
@pytest.mark.parametrize("share", [0.45, 0.6, 0.8])
@pytest.mark.parametrize("name", ["spectrum", "iron", "rainbow", "turbo", "viridis"])
def test_a_picture_mixed_with_a_grey_photo_gives_its_temperatures(name, share, quality):
    place = room()
    found = read(jpeg_of(mixture(place, NAMED[name], share), quality=quality), printed_range=(COLD_C, HOT_C))
    truth = COLD_C + (HOT_C - COLD_C) * seen_part(found, place)
    assert found.blended
    assert found.unreadable is None
    assert found.valid.mean() > 0.85
    assert np.abs(found.temperature - truth)[found.valid].mean() <= 1.0
    assert order(found.temperature[found.valid], truth[found.valid]) >= 0.95


@pytest.mark.parametrize("name", ["iron", "spectrum", "rainbow", "arctic"])
def test_a_small_picture_from_a_messenger_gives_its_temperatures(name):
    place = room(120, 160)
    found = read(jpeg_of(drawn(place, NAMED[name]), quality=40), printed_range=(COLD_C, HOT_C))
    truth = COLD_C + (HOT_C - COLD_C) * seen_part(found, place)
    assert np.abs(found.temperature - truth)[found.valid].mean() <= 0.8
    assert order(found.temperature, truth) >= 0.95


@pytest.mark.parametrize("quality", [90, 50])
@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_palette_gives_the_order_of_temperatures(name, quality):
    place = room()
    found = read(jpeg_of(drawn(place, UNKNOWN[name]), quality=quality))
    assert found.scale is ScaleSource.ORDER
    assert found.unreadable is None
    assert not found.blended
    assert order(found.temperature[found.valid], seen_part(found, place)[found.valid]) >= 0.95


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_colour_bar_of_an_unknown_palette_gives_its_temperatures(name):
    picture, box = with_bar(UNKNOWN[name])
    place = room(360, 480)
    scene = drawn(place, UNKNOWN[name])
    scene[box[1] : box[3], box[0] : box[2]] = picture[box[1] : box[3], box[0] : box[2]]
    found = read(jpeg_of(scene, quality=90), printed_range=(COLD_C, HOT_C))
    truth = COLD_C + (HOT_C - COLD_C) * seen_part(found, place)
    assert found.scale is ScaleSource.PRINTED
    assert np.abs(found.temperature - truth)[found.valid].mean() <= 0.5


def test_a_colour_photo_that_is_called_thermal_is_not_read():
    rng = np.random.default_rng(1)
    photo = np.zeros((480, 640, 3), np.float32)
    for _ in range(60):
        x, y = int(rng.integers(0, 640)), int(rng.integers(0, 480))
        colour = tuple(float(value) for value in rng.uniform(0, 255, 3))
        cv2.rectangle(photo, (x, y), (x + 120, y + 90), colour, -1)
    found = read(jpeg_of(np.clip(photo + rng.normal(0, 12, photo.shape), 0, 255).astype(np.uint8)))
    assert found.unreadable is not None


def alarmed(
    place: np.ndarray, colours: np.ndarray, limit: float, paint: tuple[int, int, int], below: bool
) -> np.ndarray:
    noise = np.random.default_rng(2).normal(0, 0.006, place.shape)
    picture = drawn(np.clip(place + noise, 0, 1), colours)
    picture[(place < limit) if below else (place > limit)] = paint
    return picture


PAINTS = {
    "blue": (0, 80, 255),
    "green": (0, 220, 0),
    "red": (255, 0, 40),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
}


@pytest.mark.parametrize("name", ["iron", "white-hot"])
@pytest.mark.parametrize("paint", PAINTS)
def test_an_alarm_below_a_limit_bounds_the_temperatures(paint, name):
    place = room()
    if name == "iron" and paint in ("red", "magenta"):
        pytest.skip("the palette itself has these colours")
    found = read(jpeg_of(alarmed(place, NAMED[name], 0.3, PAINTS[paint], below=True)), printed_range=(COLD_C, HOT_C))
    painted = cv2.erode((seen_part(found, place) < 0.3).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    limit = COLD_C + 0.3 * (HOT_C - COLD_C)
    assert found.valid[painted].mean() > 0.95
    assert found.clipped_low[painted].mean() > 0.95
    assert np.abs(found.temperature[painted] - limit).mean() < 0.8
    assert any("limit" in reason for reason in found.reasons)
    assert found.trust < 1


@pytest.mark.parametrize("paint", ["blue", "green", "cyan"])
def test_an_alarm_above_a_limit_bounds_the_temperatures(paint):
    place = room()
    found = read(jpeg_of(alarmed(place, IRON, 0.8, PAINTS[paint], below=False)), printed_range=(COLD_C, HOT_C))
    painted = cv2.erode((seen_part(found, place) > 0.8).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert found.clipped_high[painted].mean() > 0.95
    assert np.abs(found.temperature[painted] - (COLD_C + 0.8 * (HOT_C - COLD_C))).mean() < 0.8


@pytest.mark.parametrize("colours", [IRON, GREY, SPECTRUM], ids=["iron", "grey", "spectrum"])
def test_a_cold_pane_is_not_taken_for_an_alarm(colours):
    place = np.full((480, 640), 0.7)
    place[100:300, 150:400] = 0.3
    noise = np.random.default_rng(2).normal(0, 0.006, place.shape)
    found = read(jpeg_of(drawn(np.clip(cv2.GaussianBlur(place, (0, 0), 3) + noise, 0, 1), colours)))
    assert not found.clipped_low.any()
    assert found.trust == 1


def test_black_below_the_scale_and_white_above_it_are_bounds():
    place = 1.5 * room() - 0.25
    colours = NAMED["blue-red"]
    picture = drawn(np.clip(place, 0, 1), colours)
    picture[place < 0], picture[place > 1] = 0, 255
    found = read(jpeg_of(picture), printed_range=(COLD_C, HOT_C))
    truth = seen_part(found, place)
    below, above = truth < -0.01, truth > 1.01
    assert found.clipped_low[below].mean() > 0.9
    assert found.clipped_high[above].mean() > 0.9
    assert found.valid[below | above].mean() > 0.95


def test_a_large_hidden_part_costs_confidence_with_its_reason():
    picture = drawn(room())
    picture[:220, :420] = cv2.resize(np.random.default_rng(3).integers(0, 256, (22, 42, 3), np.uint8), (420, 220))
    found = read(jpeg_of(picture))
    assert found.trust < 1
    assert any("hides" in reason for reason in found.reasons)


def test_a_mixture_says_so_and_costs_confidence():
    found = read(jpeg_of(mixture(room(), SPECTRUM, 0.6)))
    assert any("grey photo is mixed" in reason for reason in found.reasons)
    assert found.trust < 1


def test_a_pure_picture_beside_its_grey_photo_is_not_called_mixed():
    photo = grey_room(480, 640)
    photo[60:420, 80:560] = drawn(room(360, 480), SPECTRUM)
    found = read(jpeg_of(photo))
    assert not found.blended


def test_a_photo_of_a_small_display_is_read_and_says_what_would_show_more():
    photo = cv2.GaussianBlur(colour_photo(1200, 1600), (0, 0), 2)
    photo[700:1010, 380:780] = drawn(room(310, 400))
    found = read(jpeg_of(photo))
    assert found.unreadable is None
    assert any("file that the camera saved" in reason for reason in found.reasons)
    assert found.window[0] == pytest.approx(380, abs=8)
    assert found.window[3] == pytest.approx(1010, abs=8)


def test_the_advice_on_a_small_display_that_cannot_be_read_is_to_send_the_file():
    photo = cv2.GaussianBlur(colour_photo(1200, 1600), (0, 0), 2)
    rng = np.random.default_rng(3)
    glare = np.full((310, 400, 3), 255, np.uint8)  # saturated patches of any hue and brightness: no scale has them all
    glare[..., 0] = cv2.resize(rng.integers(0, 180, (31, 40), np.uint8), (400, 310), interpolation=cv2.INTER_NEAREST)
    glare[..., 2] = cv2.resize(rng.integers(110, 256, (31, 40), np.uint8), (400, 310), interpolation=cv2.INTER_NEAREST)
    photo[700:1010, 380:780] = cv2.cvtColor(glare, cv2.COLOR_HSV2RGB)
    found = read(jpeg_of(photo))
    assert found.unreadable is not None
    assert "display" in found.unreadable
