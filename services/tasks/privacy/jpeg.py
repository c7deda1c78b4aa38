"""JPEG: what decodes the picture, its colour profile, its orientation, and a FLIR camera's measurement."""

import re
from collections.abc import Iterator

from services.tasks.privacy.exif import upright
from services.tasks.privacy.flir import Measurement
from services.tasks.privacy.pieces import Pieces, UnreadableError

_SOI, _EOI, _SOS, _APP1 = b"\xff\xd8", 0xD9, 0xDA, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC8}  # frames, Huffman tables and arithmetic conditioning
_DECODING = _FRAMES | {_EOI, _SOS, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF}  # tables, restarts, line numbers, hierarchies
_APPLICATIONS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}  # form, colours, colours
_EXIF = b"Exif\0\0"
_MOST_SEGMENTS = 10_000
_SEARCHED_BYTES = 256 * 1024

_MARKER = re.compile(rb"\xff{1,64}([^\xff])", re.DOTALL)  # it may be padded
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # in a scan, 0 and restarts follow 0xFF


def cleaned(photo: bytes) -> Pieces:
    """The pieces of ``photo`` that may be shown: up to the end of the first picture, or to where it breaks off."""
    segments = list(_segments(photo))
    return _picture(photo, segments, Measurement(photo, [(s, e) for m, s, e in segments if m == _APP1], _is_bare))


def _is_bare(photo: bytes) -> bool:
    """Whether the JPEG is nothing but a picture; one that cannot be told is not."""
    try:
        return _picture(photo, list(_segments(photo)), None).everything
    except UnreadableError:
        return False


def _picture(photo: bytes, segments: list[tuple[int, int, int]], measured: Measurement | None) -> Pieces:
    if not any(marker == _SOS for marker, _, _ in segments):
        raise UnreadableError("no picture data")
    pieces = Pieces(len(photo))
    pieces.keep(0, len(_SOI))
    oriented = ended = False
    for marker, start, end in segments:
        body = start + 4
        if marker in _DECODING or (marker in _APPLICATIONS and photo.startswith(_APPLICATIONS[marker], body, end)):
            pieces.keep(start, end)
            ended = marker == _EOI
        elif marker == _APP1 and photo.startswith(_EXIF, body, end) and not oriented:
            oriented = True
            if block := upright(photo[body + len(_EXIF) : end]):
                pieces.put(b"\xff\xe1" + (2 + len(_EXIF + block)).to_bytes(2, "big") + _EXIF + block)
        elif measured is not None and start in measured:
            measured.onto(pieces, start, end)
    if not ended:
        pieces.put(bytes((0xFF, _EOI)))
    return pieces


def _segments(photo: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, from, to) of each segment, a scan with its data; ends where the picture does, or makes no sense."""
    at = len(_SOI)
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.match(photo, at)
        if found is None:
            return
        marker, start = photo[found.end() - 1], found.end() - 2
        if marker == _EOI:
            yield marker, start, start + 2
            return
        end = start + 2 + int.from_bytes(photo[start + 2 : start + 4], "big")
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8 or end < start + 4 or end > len(photo):
            return
        if marker == _SOS:
            end = _scan_end(photo, end)
        yield marker, start, end
        at = end
    raise UnreadableError("too many segments")


def _scan_end(photo: bytes, at: int) -> int:
    while at < len(photo):
        # A search keeps all other threads waiting, so it goes step by step; a marker may lie across two steps.
        if found := _SCAN_END.search(photo, at, at + _SEARCHED_BYTES + 1):
            return found.start()
        at += _SEARCHED_BYTES
    return len(photo)
