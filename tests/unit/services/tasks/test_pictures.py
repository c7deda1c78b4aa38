"""What the first bytes of a file tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.pictures import HEAD_BYTES, media_type

KNOWN = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
    (b"RIFF\x24\x00\x00\x00WEBPVP8L", "image/webp"),
    (b"\x00\x00\x00\x18ftypheic", "image/heic"),
    (b"\x00\x00\x00\x24ftypheix", "image/heic"),
    (b"\x00\x00\x00\x18ftypmif1", "image/heic"),
    (b"\x00\x00\x00\x1cftypavif", "image/avif"),
    (b"II*\x00\x08\x00\x00\x00", "image/tiff"),
    (b"MM\x00*\x00\x00\x00\x08", "image/tiff"),
    (b"GIF87a\x01\x00\x01\x00", "image/gif"),
    (b"GIF89a\x01\x00\x01\x00", "image/gif"),
    (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00", "image/bmp"),
]
UNKNOWN = [
    b"",
    b"\xff\xd8",
    b"\x89PNG\n\n\x1a\n",
    b"RIFF\x24\x00\x00\x00WAVEfmt ",
    b"\x00\x00\x00\x18ftypmp42",
    b"II+\x00\x08\x00\x00\x00",
    b"BM",
    b"BM is how a bitmap begins, and a text too",
    b"%PDF-1.7",
    b"<svg xmlns='http://www.w3.org/2000/svg'>",
    b"<html><script>",
]


@pytest.mark.parametrize(("head", "found"), KNOWN)
def test_a_picture_is_known_by_its_first_bytes(head: bytes, found: str) -> None:
    assert media_type(head) == found


@pytest.mark.parametrize("head", UNKNOWN)
def test_what_is_no_picture_that_we_know_has_no_type(head: bytes) -> None:
    assert media_type(head) is None


@given(st.sampled_from(KNOWN), st.binary(max_size=64))
def test_what_follows_does_not_matter(known: tuple[bytes, str], rest: bytes) -> None:
    head, found = known
    assert media_type((head + rest)[:HEAD_BYTES]) == found
