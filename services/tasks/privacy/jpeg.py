"""JPEG: what decodes the picture, its colour profile, its orientation, and a FLIR camera's measurement."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.tasks.privacy import flir, icc
from services.tasks.privacy.exif import upright
from services.tasks.privacy.pieces import Pieces
from services.tasks.privacy.spread import Spread, joined
from services.tasks.privacy.work import UnreadableError, Work

_SOI, _EOI, _SOS, _APP0, _APP1, _APP2, _APP14 = b"\xff\xd8", 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC8}  # frames, Huffman tables and arithmetic conditioning
_DECODING = _FRAMES | {_EOI, _SOS, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF}  # tables, restarts, line numbers, hierarchies
_EXIF, _JFIF, _ADOBE, _ICC = b"Exif\0\0", b"JFIF\0", b"Adobe", b"ICC_PROFILE\0"
_JFIF_BYTES, _ADOBE_BYTES = 12, 12  # the form's version and the density, before a thumbnail; how colours are stored
_NO_THUMBNAIL = bytes(2)
_ICC_HEAD = 4 + len(_ICC) + 2  # marker, length and name; number, and number of the last
_SEARCHED_BYTES = 64 * 1024

_MARKER = re.compile(rb"\xff{1,64}([^\xff])", re.DOTALL)  # it may be padded
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # in a scan, 0 and restarts follow 0xFF

Segment = tuple[int, int, int]  # marker, from, to


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown: up to the end of the first picture, or to where it breaks off."""
    segments = list(_segments(photo, work))

    def is_bare(picture: bytes) -> bool:
        try:
            return _picture(picture, list(_segments(picture, work)), None, work).is_same(picture)
        except UnreadableError:
            return False

    measured = flir.measurement(photo, [(s, e) for m, s, e in segments if m == _APP1], is_bare, work)
    return _picture(photo, segments, measured, work)


def _picture(photo: bytes, segments: Sequence[Segment], measured: Spread | None, work: Work) -> Pieces:
    if not any(marker == _SOS for marker, _, _ in segments):
        raise UnreadableError("no picture data")
    profile = _profile(photo, segments, work)
    pieces = Pieces(len(photo))
    pieces.keep(0, len(_SOI))
    formed = oriented = ended = False
    for marker, start, end in segments:
        work.step()
        body = start + 4
        if marker in _DECODING:
            pieces.keep(start, end)
            ended = marker == _EOI
        elif marker == _APP0 and photo.startswith(_JFIF, body, end) and not formed:
            formed = True
            _shorten(photo, (start, end), _JFIF_BYTES, _NO_THUMBNAIL, pieces)
        elif marker == _APP14 and photo.startswith(_ADOBE, body, end):
            _shorten(photo, (start, end), _ADOBE_BYTES, b"", pieces)
        elif profile is not None and start + _ICC_HEAD in profile:
            pieces.keep(start, start + _ICC_HEAD)
            profile.onto(pieces, start + _ICC_HEAD, end)
        elif marker == _APP1 and photo.startswith(_EXIF, body, end) and not oriented:
            oriented = True
            if block := upright(photo[body + len(_EXIF) : end]):
                pieces.put(b"\xff\xe1" + (2 + len(_EXIF + block)).to_bytes(2, "big") + _EXIF + block)
        elif measured is not None and start + flir.SEGMENT_HEAD in measured:
            pieces.keep(start, start + flir.SEGMENT_HEAD)
            measured.onto(pieces, start + flir.SEGMENT_HEAD, end)
    if not ended:
        pieces.put(bytes((0xFF, _EOI)))
    return pieces


def _shorten(photo: bytes, segment: tuple[int, int], kept: int, rest: bytes, pieces: Pieces) -> None:
    """Leave the first ``kept`` bytes of a segment's payload, and ``rest`` in place of the others."""
    start, end = segment
    body = start + 4
    if end < body + kept:
        return
    if photo[body + kept : end] == rest:
        pieces.keep(start, end)
        return
    pieces.put(photo[start : start + 2] + (2 + kept + len(rest)).to_bytes(2, "big"))
    pieces.keep(body, body + kept)
    pieces.put(rest)


def _profile(photo: bytes, segments: Sequence[Segment], work: Work) -> Spread | None:
    """The colour profile in the segments, or None when there is no whole one that can be read."""
    parts = []
    for marker, start, end in segments:
        if marker == _APP2 and photo.startswith(_ICC, start + 4, end) and end >= start + _ICC_HEAD:
            parts.append((photo[start + _ICC_HEAD - 2], photo[start + _ICC_HEAD - 1], start + _ICC_HEAD, end))
    parts.sort()
    if not parts or [number for number, _, _, _ in parts] != list(range(1, parts[0][1] + 1)):
        return None
    if any(count != following for (_, count, _, _), (_, following, _, _) in pairwise(parts)):
        return None
    stretches = [(start, end) for _, _, start, end in parts]
    try:
        return Spread(stretches, icc.cleaned(joined(photo, stretches, work), work))
    except UnreadableError:
        return None


def _segments(photo: bytes, work: Work) -> Iterator[Segment]:
    """(marker, from, to) of each segment, a scan with its data; ends where the picture does, or makes no sense."""
    at = len(_SOI)
    while (found := _MARKER.match(photo, at)) is not None:
        work.step()
        marker, start = photo[found.end() - 1], found.end() - 2
        if marker == _EOI:
            yield marker, start, start + 2
            return
        end = start + 2 + int.from_bytes(photo[start + 2 : start + 4], "big")
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8 or end < start + 4 or end > len(photo):
            return
        if marker == _SOS:
            end = _scan_end(photo, end, work)
        yield marker, start, end
        at = end


def _scan_end(photo: bytes, at: int, work: Work) -> int:
    while at < len(photo):
        # A search keeps all other threads waiting, so it goes step by step; a marker may lie across two steps.
        found = _SCAN_END.search(photo, at, at + _SEARCHED_BYTES + 1)
        searched = found.start() if found else min(at + _SEARCHED_BYTES, len(photo))
        work.look(searched - at)
        if found:
            return found.start()
        at = searched
    return len(photo)
