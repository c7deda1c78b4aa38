"""JPEG: only segments that are known to make the picture are shown."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.privacy import jpeg
from services.tasks.privacy.work import UnreadableError
from tests.unit.services.tasks.privacy.rebuilt import rebuilt
from tests.unit.services.tasks.privacy.telling import PROFILE, TELLING, converted, image, opened, picture, pixels

EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8)
PLAIN = rebuilt(picture("JPEG", 1))


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def behind(jpeg: bytes, added: bytes) -> bytes:
    """``added`` behind the first segment."""
    at = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:at] + added + jpeg[at:]


@pytest.mark.parametrize(
    ("marker", "name"),
    [
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
        (0xE1, EXTENDED_XMP),
        (0xE1, b"Exif\0\0"),
        (0xE1, b"FLIR\0\1\0\0"),
        (0xE2, b"MPF\0"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0"),
        (0xFE, b""),
        (0xE0, b"JFXX\0\x10"),
        (0xE4, b""),
        (0xF0, b""),
    ],
)
def test_segments_that_tell_stay_behind(marker: int, name: bytes) -> None:
    told = behind(PLAIN, segment(marker, name + TELLING))
    assert TELLING in told
    assert rebuilt(told) == PLAIN


@given(st.integers(0xE0, 0xFE), st.binary(max_size=40), st.integers(0, 5))
def test_whatever_an_application_adds_stays_behind(marker: int, payload: bytes, fill: int) -> None:
    added = b"\xff" * fill + segment(marker, payload + TELLING)
    assert rebuilt(behind(PLAIN, added)) == PLAIN


def test_a_thumbnail_in_the_segment_about_the_form_stays_behind() -> None:
    head = PLAIN[: 2 + 18]
    thumbnail = b"\xff\xe0\0\x1f" + head[6:18] + b"\1\1" + TELLING[:15]
    assert rebuilt(head[:2] + thumbnail + PLAIN[20:]) == PLAIN


def test_what_hangs_on_behind_the_form_stays_behind() -> None:
    longer = PLAIN[:4] + struct.pack(">H", 16 + len(TELLING)) + PLAIN[6:20] + TELLING
    assert rebuilt(longer[:2] + b"\xff\xe0" + longer[4:] + PLAIN[20:]) == PLAIN


def test_a_second_segment_about_the_form_stays_behind() -> None:
    assert rebuilt(behind(PLAIN, PLAIN[2:20])) == PLAIN


def test_what_hangs_on_behind_the_way_of_storing_colours_stays_behind() -> None:
    stored = b"Adobe\0\x64\0\0\0\0\1"
    assert rebuilt(behind(PLAIN, segment(0xEE, stored + TELLING))) == behind(PLAIN, segment(0xEE, stored))


def with_profile(parts: list[bytes], numbers: list[int] | None = None, count: int | None = None) -> bytes:
    plain = rebuilt(without_profile())
    named = zip(numbers or range(1, len(parts) + 1), parts, strict=True)
    head = b"ICC_PROFILE\0"
    added = [segment(0xE2, head + bytes([number, count or len(parts)]) + part) for number, part in named]
    return behind(plain, b"".join(added))


def without_profile() -> bytes:
    buffer = io.BytesIO()
    image().save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2]])
def test_a_profile_in_several_segments_keeps_its_colours_alone(order: list[int]) -> None:
    parts = [PROFILE[:300], PROFILE[300:310], PROFILE[310:]]
    told = with_profile([parts[number - 1] for number in order], order)
    clean = rebuilt(told)
    assert len(clean) == len(told)
    assert np.array_equal(converted(opened(clean)), converted(opened(told)))
    assert TELLING[:4] not in clean


@pytest.mark.parametrize(("numbers", "count"), [([1], 2), ([2], 1), ([1, 1], 2), ([0, 1], 2)])
def test_a_profile_that_is_not_whole_stays_behind(numbers: list[int], count: int) -> None:
    told = with_profile([PROFILE] * len(numbers), numbers, count)
    assert rebuilt(told) == rebuilt(without_profile())


@given(st.binary(max_size=200))
def test_nothing_behind_the_picture_is_shown(rest: bytes) -> None:
    assert rebuilt(PLAIN + rest + TELLING) == PLAIN


def test_a_picture_without_an_end_gets_one_instead_of_what_follows() -> None:
    assert rebuilt(PLAIN[:-2] + b"\xff\xd8" + segment(0xE1, TELLING)) == PLAIN


def test_only_the_first_exif_tells_the_way_up() -> None:
    twice = behind(picture("JPEG", 6), segment(0xE1, b"Exif\0\0" + b"MM\0*" + bytes(20)))
    assert np.array_equal(pixels(rebuilt(twice)), pixels(picture("JPEG", 6)))


def test_a_file_of_markers_only_is_refused_soon() -> None:
    with pytest.raises(UnreadableError):
        rebuilt(b"\xff\xd8" + segment(0xFE, b"") * 1_000_000)


def test_restarts_belong_to_the_picture() -> None:
    at = PLAIN.index(b"\xff\xda") + 20
    restarted = PLAIN[:at] + b"\xff\xd0\xff\x00\xff\xd7" + PLAIN[at:]
    assert rebuilt(restarted) == restarted


@pytest.mark.parametrize("position", range(-2, 3))
def test_a_scan_ends_where_it_ends_however_long_it_is(position: int) -> None:
    scan = b"\xff\xd8\xff\xda\0\2" + bytes(2 * jpeg._SEARCHED_BYTES + position)
    assert rebuilt(scan + b"\xff\xd9" + TELLING) == scan + b"\xff\xd9"
