"""A FLIR camera's measurement inside a JPEG: kept, so that the photo stays a thermogram, without place and owner.

The layout (APP1 segments ``FLIR``, in them a ``FFF`` file with a directory of records) is documented by ExifTool
(https://exiftool.org/TagNames/FLIR.html). Cleaning changes no offset; checksums of what was changed become 0, none.
"""

import struct
from collections.abc import Callable
from itertools import pairwise

from services.tasks.privacy.pieces import Overlay, Pieces, UnreadableError

_SEGMENT = b"FLIR\0\1"
_SEGMENT_HEAD = 4 + 8  # marker and length; name, number, and number of the last
_HEADER_BYTES, _HEADER_CHECKSUM, _ENTRY_BYTES, _ENTRY_CHECKSUM = 64, 60, 32, 28
_MOST_RECORDS = 128
_EMBEDDED_PICTURE, _CAMERA = 0x0E, 0x20
_PICTURE_HEAD = 32
# Sensor values, two kinds of corrections, the colour photo, the camera's calibration, spots and areas, the palette,
# the place of the picture in the colour photo. Not: text (0x23), sound (0x24), GPS (0x2b), other instruments (0x2c).
_KEPT = {0x01, 0x05, 0x06, _EMBEDDED_PICTURE, _CAMERA, 0x21, 0x22, 0x2A}
# In the record about the camera: the serial numbers of camera, lens and filter, and when the picture was taken.
_PERSONAL = ((0x104, 16), (0x1A0, 16), (0x21C, 32), (0x384, 10))


class Measurement:
    """The segments of a measurement, and what may be shown of the file in them."""

    def __init__(self, photo: bytes, segments: list[tuple[int, int]], is_bare: Callable[[bytes], bool]) -> None:
        """Find it among the APP1 ``segments`` (from, to). ``is_bare``: whether a JPEG holds nothing but a picture."""
        self._starts: dict[int, int] = {}  # of a segment in the photo: of its bytes in the file
        own = [(s, e) for s, e in segments if photo.startswith(_SEGMENT, s + 4, e) and e > s + _SEGMENT_HEAD]
        numbers = [photo[start + 10] for start, _ in own]
        if not own or any(later <= number for number, later in pairwise(numbers)):
            return
        try:
            self._overlay = _cleaned(b"".join(photo[start + _SEGMENT_HEAD : end] for start, end in own), is_bare)
        except (UnreadableError, struct.error):
            return
        begin = 0
        for start, end in own:
            self._starts[start] = begin
            begin += end - start - _SEGMENT_HEAD

    def __contains__(self, segment: int) -> bool:
        """Whether the segment that starts there belongs to a measurement that can be read."""
        return segment in self._starts

    def onto(self, pieces: Pieces, start: int, end: int) -> None:
        """Add the segment from ``start`` to before ``end`` to ``pieces``."""
        begin, body = self._starts[start], start + _SEGMENT_HEAD
        pieces.keep(start, body)
        self._overlay.onto(pieces, body, begin, begin + end - body)


def _cleaned(file: bytes, is_bare: Callable[[bytes], bool]) -> Overlay:
    if file[:4] not in (b"FFF\0", b"AFF\0"):
        raise UnreadableError("no FLIR file")
    order = ">" if 100 <= struct.unpack_from(">I", file, 0x14)[0] < 200 else "<"
    directory, count = struct.unpack_from(f"{order}II", file, 0x18)
    if count > _MOST_RECORDS:
        raise UnreadableError("too many records")
    overlay = Overlay(len(file))
    overlay.keep(0, _HEADER_BYTES)
    overlay.write(_HEADER_CHECKSUM, bytes(4))
    for entry in range(directory, directory + count * _ENTRY_BYTES, _ENTRY_BYTES):
        kind, _, _, _, start, size = struct.unpack_from(f"{order}HHIIII", file, entry)
        picture = file[start + _PICTURE_HEAD : start + size] if kind == _EMBEDDED_PICTURE else b""
        if kind not in _KEPT or (picture and not is_bare(picture.rstrip(b"\0"))):
            overlay.write(entry, bytes(_ENTRY_BYTES))  # type 0: a free entry
            continue
        overlay.keep(entry, entry + _ENTRY_BYTES)
        overlay.keep(start, start + size)
        overlay.write(entry + _ENTRY_CHECKSUM, bytes(4))
        if kind == _CAMERA:
            for offset, length in _PERSONAL:
                if offset < size:
                    overlay.write(start + offset, bytes(min(length, size - offset)))
    return overlay
