"""A FLIR camera's photo stays a thermogram, and loses the place and the owner of the camera."""

import struct

import numpy as np
import pytest

from services.analysis.thermography.reading.radiometric import read_radiometric
from tests.unit.services.analysis.thermography.rjpeg import (
    Camera,
    camera_info,
    flir_file,
    jpeg_of,
    raw_data,
    with_segments,
)
from tests.unit.services.tasks.privacy.rebuilt import rebuilt
from tests.unit.services.tasks.privacy.telling import TELLING, picture

RAW = np.random.default_rng(0).integers(15000, 16000, (30, 40)).astype(np.uint16)
PICTURE = jpeg_of(np.repeat(np.repeat(RAW.astype(np.uint8)[..., None], 3, 2), 2, 1))
GPS, TEXT, EMBEDDED = 0x2B, 0x23, 0x0E


def photo(**also: bytes) -> bytes:
    records = {0x01: raw_data(RAW), 0x20: camera_info(Camera())} | {int(k[1:], 16): v for k, v in also.items()}
    return with_segments(PICTURE, flir_file(records))


def test_the_temperatures_stay_and_the_place_goes() -> None:
    told = photo(x2b=b"N" + TELLING, x23=TELLING, x24=TELLING, x2c=TELLING, x77=TELLING)
    shown = rebuilt(told)
    assert told.count(TELLING) >= 3  # some lie across two segments
    assert TELLING not in shown
    assert b"40.44" not in shown
    assert len(shown) == len(told)
    assert np.array_equal(read_radiometric(shown).celsius, read_radiometric(told).celsius)
    assert read_radiometric(told) is not None


@pytest.mark.parametrize(("offset", "length"), [(0x104, 16), (0x1A0, 16), (0x21C, 32), (0x384, 10)])
def test_serial_numbers_and_dates_go(offset: int, length: int) -> None:
    camera = bytearray(camera_info(Camera()))
    camera[offset : offset + length] = b"S" * length
    told = with_segments(PICTURE, flir_file({0x01: raw_data(RAW), 0x20: bytes(camera)}))
    shown = rebuilt(told)
    assert told.count(b"SSSS") > shown.count(b"SSSS") == PICTURE.count(b"SSSS")
    assert np.array_equal(read_radiometric(shown).celsius, read_radiometric(told).celsius)


def test_the_colour_photo_inside_stays_when_it_tells_nothing() -> None:
    plain = rebuilt(picture("JPEG", 1))
    assert TELLING not in rebuilt(photo(xe=bytes(32) + picture("JPEG")))
    # One segment, so that it can be found in one piece.
    body = flir_file({0x01: raw_data(RAW[:4, :4]), 0x20: camera_info(Camera()), EMBEDDED: bytes(32) + plain})
    whole = PICTURE[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 10) + b"FLIR\0\1\0\0" + body + PICTURE[2:]
    assert plain in rebuilt(whole)


@pytest.mark.parametrize("cut", [0, 10, 64, 100, 400])
def test_a_measurement_that_cannot_be_read_is_left_out(cut: int) -> None:
    body = flir_file({0x01: raw_data(RAW), GPS: TELLING})[:cut] + TELLING
    assert rebuilt(with_segments(PICTURE, body)) == PICTURE


def test_segments_in_disorder_are_left_out() -> None:
    body = flir_file({0x01: raw_data(RAW), GPS: TELLING})
    one = with_segments(PICTURE, body)
    first = 2 + 2 + int.from_bytes(one[4:6], "big")
    second = first + 2 + int.from_bytes(one[first + 2 : first + 4], "big")
    swapped = one[:2] + one[first:second] + one[2:first] + one[second:]
    assert rebuilt(swapped) == PICTURE
