import io
import os
from pathlib import Path

import flyr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analysis.thermography.reading.radiometric import (
    COLDEST_C,
    HOTTEST_C,
    DamagedCalibrationError,
    read_radiometric,
)
from tests.unit.services.analysis.thermography.rjpeg import (
    Camera,
    camera_info,
    flir_file,
    jpeg_of,
    raw_data,
    rjpeg,
    with_segments,
)

PLAIN_JPEG = jpeg_of(np.full((96, 128, 3), 90, np.uint8))
RAW = np.linspace(11_000, 16_000, 48 * 64).reshape(48, 64).astype(np.uint16)


def by_flyr(data: bytes) -> np.ndarray:
    return flyr.unpack(io.BytesIO(data)).celsius


cameras = st.builds(
    Camera,
    emissivity=st.floats(0.6, 1.0),
    distance=st.floats(0.1, 30),
    reflected=st.floats(253, 313),
    air=st.floats(253, 313),
    window=st.floats(253, 313),
    window_transmission=st.floats(0.7, 1.0),
    humidity=st.floats(0.05, 0.95),
)


@settings(max_examples=40, deadline=None)
@given(camera=cameras, png=st.booleans())
def test_temperatures_agree_with_an_independent_decoder_for_any_calibration(camera, png):
    data = rjpeg(RAW, camera, png=png)
    np.testing.assert_allclose(read_radiometric(data), by_flyr(data), atol=0.01)


def test_the_rows_and_columns_of_the_sensor_are_kept():
    raw = RAW.copy()
    raw[5, 40] = 20_000
    celsius = read_radiometric(rjpeg(raw))
    assert celsius.shape == (48, 64)
    assert np.unravel_index(celsius.argmax(), celsius.shape) == (5, 40)


def test_a_black_body_up_close_follows_plancks_curve():
    camera = Camera(emissivity=1.0, distance=0.0)
    kelvin = 300.0
    level = camera.planck_r1 / (camera.planck_r2 * (np.exp(camera.planck_b / kelvin) - 1)) - camera.planck_o
    celsius = read_radiometric(rjpeg(np.full((40, 40), round(level), np.uint16), camera))
    assert celsius.mean() == pytest.approx(kelvin - 273.15, abs=0.05)


def test_records_in_the_other_byte_order_say_the_same():
    little, big = (
        with_segments(PLAIN_JPEG, flir_file({1: raw_data(RAW, order=order), 0x20: camera_info(Camera(), order)}))
        for order in "<>"
    )
    np.testing.assert_array_equal(read_radiometric(little), read_radiometric(big))


def test_segments_out_of_order_are_put_in_order():
    data = rjpeg(RAW)
    first = data.index(b"\xff\xe1")
    second = data.index(b"\xff\xe1", first + 4)
    third = data.index(b"\xff\xe1", second + 4)
    swapped = data[:first] + data[second:third] + data[first:second] + data[third:]
    np.testing.assert_array_equal(read_radiometric(swapped), read_radiometric(data))


def test_an_ordinary_jpeg_has_no_temperatures():
    assert read_radiometric(PLAIN_JPEG) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"not a picture"])
def test_what_is_no_jpeg_has_no_temperatures(data):
    assert read_radiometric(data) is None


def test_an_empty_flir_segment_holds_no_temperatures():
    assert read_radiometric(with_segments(PLAIN_JPEG, b"")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"planck_r1": 0.0},
        {"planck_r1": float("nan")},
        {"planck_b": float("inf")},
        {"planck_r2": 0.0},
        {"emissivity": 0.0},
        {"emissivity": 7.0},
        {"distance": float("nan")},
        {"reflected": 0.0},
        {"window_transmission": 0.0},
        {"humidity": float("nan")},
        {"humidity": -1.0},
        {"alpha_1": -1e30},
    ],
    ids=str,
)
def test_a_corrupted_calibration_is_refused(change):
    with pytest.raises(DamagedCalibrationError, match="temperatures stored in the photo"):
        read_radiometric(rjpeg(RAW, Camera().with_(**change)))


def test_an_all_zero_calibration_is_refused():
    body = flir_file({1: raw_data(RAW), 0x20: bytes(0x400)})
    with pytest.raises(DamagedCalibrationError):
        read_radiometric(with_segments(PLAIN_JPEG, body))


@pytest.mark.parametrize("png", [False, True])
def test_raw_data_of_another_size_than_it_claims_is_refused(png):
    body = flir_file({1: raw_data(RAW, png=png, size=(640, 480)), 0x20: camera_info(Camera())})
    with pytest.raises(DamagedCalibrationError):
        read_radiometric(with_segments(PLAIN_JPEG, body))


def test_a_sensor_of_impossible_size_is_refused():
    body = flir_file({1: raw_data(RAW, size=(65535, 65535)), 0x20: camera_info(Camera())})
    with pytest.raises(DamagedCalibrationError):
        read_radiometric(with_segments(PLAIN_JPEG, body))


@pytest.mark.parametrize("shape", [(2, 2), (4, 4), (31, 31), (3, 1500), (2000, 2), (24, 300)])
def test_a_sensor_that_is_too_small_to_show_anything_is_refused(shape):
    with pytest.raises(DamagedCalibrationError, match=rf"too few to show anything \({shape[1]} × {shape[0]}\)"):
        read_radiometric(rjpeg(np.resize(RAW, shape)))


@pytest.mark.parametrize("shape", [(24, 32), (32, 24), (60, 80)])
def test_the_smallest_sensors_that_are_sold_are_read(shape):
    assert read_radiometric(rjpeg(np.resize(RAW, shape))).shape == shape


@pytest.mark.parametrize("missing", [0x01, 0x20])
def test_a_missing_record_is_damage(missing):
    records = {1: raw_data(RAW), 0x20: camera_info(Camera())}
    del records[missing]
    with pytest.raises(DamagedCalibrationError):
        read_radiometric(with_segments(PLAIN_JPEG, flir_file(records)))


@pytest.mark.parametrize(("level", "planck_r1"), [(0, 16556.0), (9_000, 100_000.0), (65_535, 2_000.0)])
def test_temperatures_outside_a_house_are_refused(level, planck_r1):
    with pytest.raises(DamagedCalibrationError, match="impossible"):
        read_radiometric(rjpeg(np.full_like(RAW, level), Camera(planck_r1=planck_r1)))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 4000), value=st.integers(0, 255), cut=st.integers(0, 12_000))
def test_damage_anywhere_ends_in_sane_temperatures_or_a_clear_refusal(at, value, cut):
    data = bytearray(rjpeg(RAW))
    data[2 + at] = value
    told, celsius = "", None
    try:
        celsius = read_radiometric(bytes(data[: len(data) - cut]))
    except DamagedCalibrationError as refusal:
        told = str(refusal)
    assert told == "" or told.endswith(".")
    assert celsius is None or ((celsius >= COLDEST_C) & (celsius <= HOTTEST_C)).all()


PICTURES = os.environ.get("THERMAL_PICTURES")


@pytest.mark.skipif(PICTURES is None, reason="THERMAL_PICTURES names no folder of thermal pictures")
def test_every_real_r_jpeg_agrees_with_an_independent_decoder():
    compared = 0
    for path in sorted(Path(str(PICTURES)).rglob("*.jp*g")):
        data = path.read_bytes()
        celsius = read_radiometric(data)
        if celsius is not None:
            np.testing.assert_allclose(celsius, by_flyr(data), atol=0.01, err_msg=path.name)
            compared += 1
    assert compared > 0
