import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analysis.thermography.reading.camera_notes import noted_range
from tests.unit.services.analysis.thermography.rjpeg import jpeg_of

PLAIN_JPEG = jpeg_of(np.full((64, 64, 3), 90, np.uint8))


def with_exif(tiff: bytes) -> bytes:
    payload = b"Exif\0\0" + tiff
    return PLAIN_JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + PLAIN_JPEG[2:]


def tiff_with_notes(
    hottest: tuple[int, int], coldest: tuple[int, int], order: str = "<", notes_order: str | None = None
) -> bytes:
    """A TIFF block: one entry to the EXIF directory, one to the notes, two rationals in them."""
    inner = notes_order or order
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    first = struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0)
    exif = struct.pack(f"{order}HHHIII", 1, 0x927C, 7, 200, 44, 0)
    notes = struct.pack(f"{inner}HHHII", 2, 1, 5, 1, 74) + struct.pack(f"{inner}HHIII", 2, 5, 1, 82, 0)
    values = struct.pack(f"{inner}4I", *hottest, *coldest)
    return head + first + exif + notes + values


@pytest.mark.parametrize("order", "<>")
def test_the_noted_ends_of_the_scale_are_read_in_celsius(order):
    data = with_exif(tiff_with_notes((298, 1), (28065, 100), order))
    assert noted_range(data) == pytest.approx((7.5, 24.85))


def test_notes_in_another_byte_order_than_the_rest_are_read():
    data = with_exif(tiff_with_notes((298, 1), (280, 1), ">", "<"))
    assert noted_range(data) == pytest.approx((6.85, 24.85))


@pytest.mark.parametrize(
    ("hottest", "coldest"), [((0, 10), (0, 10)), ((298, 0), (280, 1)), ((280, 1), (298, 1)), ((9000, 1), (280, 1))]
)
def test_a_range_that_makes_no_sense_is_ignored(hottest, coldest):
    assert noted_range(with_exif(tiff_with_notes(hottest, coldest))) is None


def test_a_picture_without_notes_has_no_range():
    assert noted_range(PLAIN_JPEG) is None
    assert noted_range(b"\x89PNG\r\n\x1a\n") is None


@given(at=st.integers(0, 89), value=st.integers(0, 255), cut=st.integers(0, 90))
def test_damaged_notes_never_raise(at, value, cut):
    tiff = bytearray(tiff_with_notes((298, 1), (280, 1)))
    tiff[at] = value
    found = noted_range(with_exif(bytes(tiff[: len(tiff) - cut])))
    assert found is None or -74 < found[0] < found[1] < 427
