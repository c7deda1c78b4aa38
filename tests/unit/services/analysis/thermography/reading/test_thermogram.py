import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.reading import palettes
from services.analysis.thermography.reading.pictures import UnreadablePhotoError
from services.analysis.thermography.reading.thermogram import (
    WORKING_SIDE_PX,
    Photograph,
    ScaleSource,
    Thermogram,
    estimate_noise,
    read_thermogram,
)
from tests.unit.services.analysis.thermography.reading.drawings import (
    GREY,
    IRON,
    colour_photo,
    drawn,
    grey_room,
    scene,
    with_grey_bar,
)
from tests.unit.services.analysis.thermography.reading.test_camera_notes import tiff_with_notes
from tests.unit.services.analysis.thermography.rjpeg import Camera, jpeg_of, rjpeg


def read(data: bytes, **known: float | tuple[float, float] | None) -> Thermogram:
    return read_thermogram(Photograph(data), **({"inside_c": None, "outside_c": None} | known))


def test_raw_values_give_temperatures_and_no_palette():
    raw = np.linspace(11_000, 14_000, 60 * 80).reshape(60, 80).astype(np.uint16)
    found = read(rjpeg(raw))
    assert found.scale is ScaleSource.RADIOMETRIC
    assert found.palette is None
    assert found.palette_confidence == 1
    assert found.valid.all()
    assert found.window == (0, 0, 160, 120)
    assert found.temperature.shape == (60, 80)


@pytest.mark.parametrize("quarters", range(4))
def test_raw_values_are_turned_like_the_picture_beside_them(quarters):
    place = scene(80, 60)
    raw = (11_000 + 3_000 * place).astype(np.uint16)
    shown = np.ascontiguousarray(np.rot90(cv2.resize(drawn(place), (320, 240)), quarters))
    found = read(rjpeg(raw, picture=shown)).temperature
    expected = np.rot90(read(rjpeg(raw)).temperature, quarters)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("quarters", range(4))
def test_raw_values_are_turned_like_a_picture_that_is_dark_where_it_is_warm(quarters):
    place = scene(80, 60)
    place[:20, :30] = 0.9  # nothing like itself upside down
    raw = (11_000 + 3_000 * place).astype(np.uint16)
    grey = np.clip(255 - 250 * cv2.resize(place, (320, 240)), 0, 255).astype(np.uint8)
    shown = np.ascontiguousarray(np.rot90(np.repeat(grey[..., None], 3, 2), quarters))
    found = read(rjpeg(raw, picture=shown)).temperature
    np.testing.assert_array_equal(found, np.rot90(read(rjpeg(raw)).temperature, quarters))


def test_a_damaged_calibration_falls_back_to_the_colours_and_says_so():
    place = scene(160, 120)
    data = rjpeg((11_000 + 3_000 * place).astype(np.uint16), Camera(planck_r1=0.0), picture=drawn(scene(320, 240)))
    found = read(data, inside_c=21.0, outside_c=1.0)
    assert found.scale is ScaleSource.ESTIMATED
    assert found.palette == "iron"
    assert found.damaged
    assert "temperatures stored in the photo are damaged" in found.reasons[0]


@pytest.mark.parametrize("palette", palettes.known()[:11], ids=lambda palette: palette.name)
def test_a_printed_range_gives_temperatures_within_a_few_tenths(palette):
    place = scene()
    found = read(jpeg_of(drawn(place, palette.colours), quality=80), printed_range=(5.0, 25.0))
    truth = place if palette.name != "black-hot" else 1 - place  # no bar: bright is taken for warm
    assert found.scale is ScaleSource.PRINTED
    assert found.palette in (palette.name, "white-hot")
    assert np.abs(found.temperature - (5 + 20 * truth)).mean() < 0.25


def test_the_range_in_the_cameras_notes_is_used_where_no_raw_values_are_left():
    place = scene()
    payload = b"Exif\0\0" + tiff_with_notes((298, 1), (278, 1))
    jpeg = jpeg_of(drawn(place))
    data = jpeg[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + jpeg[2:]
    found = read(data, inside_c=21.0, outside_c=1.0)
    assert found.scale is ScaleSource.METADATA
    assert np.abs(found.temperature - (4.85 + 20 * place)).mean() < 0.2


def test_the_range_printed_on_the_picture_is_read_from_it():
    place = scene()
    photo = Image.fromarray(with_grey_bar(place, IRON))
    pen = ImageDraw.Draw(photo)
    for text, y in (("24.5", 66), ("8.5", 384)):
        pen.rectangle((570, y, 634, y + 30), fill=(0, 0, 0))
        pen.text((576, y), text, font=ImageFont.load_default(24), fill=(255, 255, 255))
    found = read(jpeg_of(np.asarray(photo)), inside_c=21.0, outside_c=1.0)
    assert found.scale is ScaleSource.PRINTED
    assert np.abs(found.temperature - (8.5 + 16 * place))[found.valid].mean() < 0.2


@pytest.mark.parametrize(("inside", "outside"), [(21.0, 1.0), (None, None), (21.0, None), (None, 1.0), (20.0, 20.0)])
def test_without_a_scale_only_places_on_it_are_known_and_the_reasons_say_so(inside, outside):
    place = scene()
    found = read(jpeg_of(drawn(place)), inside_c=inside, outside_c=outside)
    assert found.scale is ScaleSource.ESTIMATED
    assert np.abs(found.temperature - place).mean() < 0.01
    assert any("estimated" in reason for reason in found.reasons)


@given(inside=st.floats(-40, 260), outside=st.floats(-40, 260))
@settings(max_examples=8, deadline=None)
def test_any_typed_temperatures_give_finite_ones_with_warm_above_cold(inside, outside):
    place = scene(160, 120)
    found = read(jpeg_of(drawn(place)), inside_c=inside, outside_c=outside).temperature
    assert np.isfinite(found).all()
    assert found[place > 0.78].mean() > found[place < 0.5].mean()


@pytest.mark.parametrize("name", ["white-hot", "black-hot"])
def test_the_colour_bar_tells_black_hot_from_white_hot(name):
    place = scene()
    colours = GREY if name == "white-hot" else GREY[::-1]
    found = read(jpeg_of(with_grey_bar(place, colours)), printed_range=(0.0, 1.0))
    assert found.palette == name
    assert np.abs(found.temperature - place)[found.valid].mean() < 0.02
    assert not found.valid[240, 608]
    assert found.reasons == ()


def test_a_grey_picture_without_a_bar_admits_that_warm_may_be_dark():
    found = read(jpeg_of(drawn(scene(), GREY)))
    assert found.palette == "white-hot"
    assert found.either_way


@pytest.mark.parametrize("name", ["white-hot", "black-hot"])
def test_a_grey_picture_with_a_noted_range_is_read_the_way_round_that_shows_a_room(name):
    place = np.full((480, 640), (20.0 - 4.85) / 20.0)  # a wall of 20 °C at 21 °C inside
    place[120:360, 200:440] = 0.3
    payload = b"Exif\0\0" + tiff_with_notes((298, 1), (278, 1))
    jpeg = jpeg_of(drawn(place, GREY if name == "white-hot" else GREY[::-1]))
    data = jpeg[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + jpeg[2:]
    found = read(data, inside_c=21.0, outside_c=1.0)
    assert found.palette == name
    assert np.abs(found.temperature - (4.85 + 20 * place)).mean() < 0.2


def test_a_pure_picture_is_not_called_blended():
    found = read(jpeg_of(drawn(scene()), quality=70))
    assert not found.blended
    assert found.palette_confidence > 0.95
    assert not any("mixed" in reason for reason in found.reasons)


def test_the_ends_of_the_scale_are_marked():
    place = np.clip(2.2 * scene() - 0.7, 0, 1)
    found = read(jpeg_of(drawn(place)), printed_range=(10.0, 20.0))
    assert found.clipped_low[place == 0].mean() > 0.9
    assert not found.clipped_low[place > 0.05].any()
    assert not found.clipped_high[place < 0.95].any()


def test_print_and_bar_are_not_valid_and_leave_no_false_temperature():
    place = scene()
    photo = with_grey_bar(place, IRON)
    cv2.putText(photo, "18.4 C", (250, 220), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 3, cv2.LINE_AA)
    found = read(jpeg_of(photo, quality=90), printed_range=(0.0, 1.0))
    hidden = (photo != drawn(place)).any(2)
    assert found.valid[hidden].mean() < 0.05
    assert found.valid.mean() > 0.9
    print_only = hidden.copy()
    print_only[:, 590:] = False
    assert np.abs(found.temperature - place)[print_only].mean() < 0.06


def test_a_photo_inset_in_a_corner_is_hidden_whole():
    photo = drawn(scene())
    inset = cv2.resize(colour_photo(), (200, 150)).astype(np.float32)
    inset[60:90, 60:110] = 0  # a dark door, of a colour that the palette has
    photo[330:, :200] = inset.astype(np.uint8)
    found = read(jpeg_of(photo, quality=90))
    assert not found.valid[332:, :198].any()
    assert found.valid[:300].mean() > 0.97


def test_a_thermal_area_is_given_in_pixels_of_the_upright_photo():
    photo = grey_room(1080, 1440)
    photo[126:954, 207:1233] = drawn(scene(1026, 828))
    found = read(jpeg_of(photo, quality=88))
    assert found.photo_size == (1440, 1080)
    assert max(found.temperature.shape) <= WORKING_SIDE_PX
    assert all(abs(one - other) <= 6 for one, other in zip(found.window, (207, 126, 1233, 954), strict=True))


@pytest.mark.parametrize("sigma", [0.02, 0.05])
def test_noise_is_estimated_over_edges_and_gradients(sigma):
    field = scene().astype(np.float32) * 10
    field[100:300, 200:400] += 5
    noisy = field + np.random.default_rng(2).normal(0, sigma, field.shape).astype(np.float32)
    assert estimate_noise(noisy) == pytest.approx(sigma, rel=0.15)


THERMAL = {
    "iron": jpeg_of(drawn(scene())),
    "rainbow": jpeg_of(drawn(scene(), palettes.known()[2].colours)),
    "grey with a bar": jpeg_of(with_grey_bar(scene(), GREY)),
    "radiometric": rjpeg((11_000 + 3_000 * scene(80, 60)).astype(np.uint16)),
    "damaged radiometric": rjpeg((11_000 + 3_000 * scene(80, 60)).astype(np.uint16), Camera(planck_r1=0.0)),
}


def test_what_cannot_be_opened_is_refused_with_a_sentence():
    with pytest.raises(UnreadablePhotoError, match=r"\.$"):
        Photograph(THERMAL["iron"][:2000])


def digest(data: bytes) -> str:
    found = read(data, inside_c=21.0, outside_c=1.0)
    arrays = (found.temperature, found.valid, found.clipped_low, found.clipped_high)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_the_same_photo_gives_the_same_bytes_in_any_process(tmp_path):
    path = tmp_path / "thermal.jpg"
    path.write_bytes(THERMAL["grey with a bar"])
    code = (
        "import sys; from pathlib import Path; "
        "from tests.unit.services.analysis.thermography.reading.test_thermogram import digest; "
        "print(digest(Path(sys.argv[1]).read_bytes()))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    root = Path(__file__).parents[6]
    other = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(path)], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == digest(path.read_bytes())


PICTURES = os.environ.get("THERMAL_PICTURES")


@pytest.mark.skipif(PICTURES is None, reason="THERMAL_PICTURES names no folder of thermal pictures")
def test_the_temperatures_printed_on_real_phone_pictures_are_met():
    folder = Path(str(PICTURES))
    labels = json.loads((folder / "labels.json").read_text())["pictures"]
    errors = []
    for name, label in labels.items():
        if "spot" not in label:
            continue
        found = read((folder / name).read_bytes(), printed_range=tuple(label["range"]))
        x0, y0, x1, y1 = found.window
        left, top, right, bottom = label["rect"]
        height, width = found.temperature.shape
        x = round(((left + right) / 2 - x0) / (x1 - x0) * width)
        y = round(((top + bottom) / 2 - y0) / (y1 - y0) * height)
        errors.append(abs(float(np.median(found.temperature[y - 5 : y + 6, x - 5 : x + 6])) - label["spot"]))
    assert len(errors) >= 14
    assert np.mean(errors) <= 0.6


def test_a_narrow_leak_whose_colours_are_mixed_by_enlargement_is_not_taken_for_print():
    colours = next(palette.colours for palette in palettes.known() if palette.name == "rainbow-hc")
    place = np.full((120, 160), 0.9)
    place[60:63, 40:120] = 0.1
    enlarged = cv2.resize(
        drawn(cv2.GaussianBlur(place, (0, 0), 0.7), colours), (640, 480), interpolation=cv2.INTER_CUBIC
    )
    found = read(jpeg_of(enlarged), printed_range=(0.0, 20.0))
    assert found.palette == "rainbow-hc"
    assert found.valid[236:254, 170:470].mean() > 0.9
    assert float(found.temperature[240:250, 200:440].mean()) < 10
