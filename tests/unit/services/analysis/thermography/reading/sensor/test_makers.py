"""Files of other makers than FLIR: each is written here from temperatures that are known."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.analysis.thermography.reading.pictures import UnreadablePhotoError, open_picture
from services.analysis.thermography.reading.radiometric import DamagedCalibrationError, read_radiometric
from services.analysis.thermography.reading.sensor.values import COLDEST_C, HOTTEST_C
from services.analysis.thermography.reading.thermogram import Photograph, ScaleSource, read_thermogram
from tests.unit.services.analysis.thermography.sensors import (
    big_endian_tiff,
    infiray_jpeg,
    kelvin_picture,
    uni_t_bmp,
)

WALL = np.linspace(-12.0, 31.0, 96 * 128).reshape(96, 128)
LEVELS = np.linspace(0, 254, 96 * 128).reshape(96, 128).astype(np.uint8)
"""Sensor's view (h, w), colder above; and as a UNI-T camera stores such a view."""

FILES = {
    "PNG of hundredths": kelvin_picture(WALL, "PNG", 100),
    "PNG of tenths": kelvin_picture(WALL, "PNG", 10),
    "TIFF of hundredths": kelvin_picture(WALL, "TIFF", 100),
    "TIFF of tenths, packed": kelvin_picture(WALL, "TIFF", 10, compression="tiff_lzw"),
    "TIFF, deflated": kelvin_picture(WALL, "TIFF", 100, compression="tiff_adobe_deflate"),
    "big-endian TIFF": big_endian_tiff(WALL, 100),
    "InfiRay P2": infiray_jpeg(WALL),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_temperatures_are_read_to_a_tenth_of_a_degree(data):
    reading = read_radiometric(data)
    np.testing.assert_allclose(reading.celsius, WALL, atol=0.0501)
    assert reading.known.all()
    assert reading.reasons == ()


@pytest.mark.parametrize("data", [*FILES.values(), uni_t_bmp(LEVELS, -12, 10, 31)], ids=[*FILES, "UNI-T"])
def test_such_a_photo_opens_and_becomes_a_thermogram_that_lies_as_it_does(data):
    thermogram = read_thermogram(Photograph(data), inside_c=20.0, outside_c=0.0)
    assert thermogram.scale is ScaleSource.RADIOMETRIC
    assert thermogram.photo_size == (128, 96)
    assert thermogram.temperature[:10].mean() < 0 < 25 < thermogram.temperature[-10:].mean()


@pytest.mark.parametrize("coldest", [-59.0, -40.0, 0.0])
@pytest.mark.parametrize("parts", [10, 100])
def test_the_unit_of_kelvins_is_told_by_the_values_wherever_they_lie(coldest, parts):
    celsius = np.linspace(coldest, 149.0, 60 * 80).reshape(60, 80)
    np.testing.assert_allclose(read_radiometric(kelvin_picture(celsius, "PNG", parts)).celsius, celsius, atol=0.0501)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_16_bit_photo_has_no_temperatures(form):
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)).save(buffer, form)
    assert read_radiometric(buffer.getvalue()) is None
    assert open_picture(buffer.getvalue(), enough=640).size == (80, 60)


def test_a_16_bit_png_of_a_size_that_no_sensor_has_is_not_decoded_for_temperatures():
    assert read_radiometric(kelvin_picture(np.full((2100, 2100), 20.0), "PNG", 100)) is None


def test_of_a_png_of_kelvins_only_the_chunks_that_show_it_reach_the_decoder():
    """Each compressed text would cost a decoder its unpacking; a damaged one shows that no decoder sees it."""
    data = kelvin_picture(WALL, "PNG", 100)
    text = b"zTXt" + b"note\0\0" + b"no deflated data"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    np.testing.assert_allclose(read_radiometric(data[:33] + 1_500 * chunk + data[33:]).celsius, WALL, atol=0.0501)


def test_a_png_of_kelvins_in_too_many_pieces_has_no_temperatures():
    data = kelvin_picture(WALL, "PNG", 100)
    empty = struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))
    assert read_radiometric(data[:33] + 20_001 * empty + data[33:]) is None


def test_uni_t_temperatures_run_from_the_coldest_over_the_centre_to_the_hottest():
    levels = LEVELS.copy()
    levels[48, 64] = 100
    reading = read_radiometric(uni_t_bmp(levels, 5.0, 18.0, 33.5))
    expected = np.interp(levels, [0, 100, 254], [5.0, 18.0, 33.5])
    np.testing.assert_allclose(reading.celsius, expected, atol=0.01)
    assert len(reading.reasons) == 1
    assert "estimates" in reading.reasons[0]


def test_uni_t_levels_lead_up_to_a_centre_that_is_cut_off():
    levels = LEVELS.copy()
    levels[48, 64] = 254
    celsius = read_radiometric(uni_t_bmp(levels, 18.5, 77.1, 150.0)).celsius
    assert celsius[levels == 127] == pytest.approx((18.5 + 77.1) / 2, abs=0.01)
    assert celsius[levels == 254] == pytest.approx(150, abs=0.01)


def test_uni_t_fahrenheit_is_converted():
    celsius = read_radiometric(uni_t_bmp(LEVELS, 32.0, 50.0, 212.0, fahrenheit=True)).celsius
    assert (celsius.min(), celsius.max()) == (0, 100)


def test_uni_t_below_zero_is_read():
    assert read_radiometric(uni_t_bmp(LEVELS, -5.2, 7.0, 14.0)).celsius.min() == pytest.approx(-5.2)


@pytest.mark.parametrize(
    "data", [uni_t_bmp(LEVELS, 30, 20, 10), uni_t_bmp(LEVELS, 5, 18, 33)[:-1]], ids=["order", "cut"]
)
def test_a_bmp_without_sound_notes_has_no_temperatures(data):
    assert read_radiometric(data) is None


@pytest.mark.parametrize(
    "data",
    [infiray_jpeg(WALL, frame_bytes=7), infiray_jpeg(np.full((8, 8), 20.0)), infiray_jpeg(np.full((96, 128), 700.0))],
    ids=["another format", "too few", "impossible"],
)
def test_an_infiray_photo_of_another_format_is_damaged(data):
    with pytest.raises(DamagedCalibrationError):
        read_radiometric(data)


def test_an_infiray_photo_whose_frames_are_missing_is_damaged():
    whole = infiray_jpeg(WALL, segment_bytes=20_000)
    cut = whole.index(b"\xff\xe3", whole.index(b"\xff\xe3") + 2)
    with pytest.raises(DamagedCalibrationError, match="damaged"):
        read_radiometric(whole[:cut])


SAMPLES = [*FILES.values(), uni_t_bmp(LEVELS, -12, 10, 31)]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), sample=st.sampled_from(SAMPLES))
def test_any_damage_ends_in_a_reading_or_none_or_a_refusal(data, sample):
    broken = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        end = data.draw(st.sampled_from([64, 400, len(broken)]))
        broken[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(broken[: len(broken) - data.draw(st.sampled_from([0, 0, 3, 30, 5000]))])
    reading = None
    with contextlib.suppress(DamagedCalibrationError):
        reading = read_radiometric(whole)
    assert reading is None or ((reading.celsius >= COLDEST_C) & (reading.celsius <= HOTTEST_C)).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), sample=st.sampled_from([FILES["big-endian TIFF"], FILES["TIFF of tenths, packed"], SAMPLES[-1]]))
def test_a_damaged_bmp_or_tiff_opens_or_is_refused_with_a_sentence(data, sample):
    broken = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(0, 60), st.integers(len(broken) - 160, len(broken) - 1)))
        broken[place] = data.draw(st.integers(0, 255))
    said = ""
    try:
        picture = open_picture(bytes(broken), enough=640)
    except UnreadablePhotoError as refusal:
        said = str(refusal)
    assert said.endswith(".") if said else max(picture.rgb.shape) <= 2048


HEADS = [b"", b"BM", b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe2", b"\xff\xd8\xff\xe1"]


@settings(max_examples=150, deadline=None)
@given(head=st.sampled_from(HEADS), rest=st.binary(max_size=400))
def test_any_bytes_end_in_none_or_a_refusal(head, rest):
    with contextlib.suppress(DamagedCalibrationError):
        assert read_radiometric(head + rest) is None
