"""The temperature range that FLIR cameras note in a picture's EXIF block, for pictures whose raw data is gone.

The camera's notes (EXIF tag 0x927C) are a list of TIFF entries of their own; entry 1 is the hottest and entry 2 the
coldest temperature of the scale, in K (ExifTool, https://exiftool.org/TagNames/FLIR.html). Programs that rewrite EXIF
leave the notes' offsets pointing anywhere, so what is read must make sense to be believed.
"""

import struct

from services.analysis.thermography.basis.constants import ZERO_CELSIUS
from services.analysis.thermography.reading.pictures import jpeg_segments

_EXIF_IFD, _MAKER_NOTE = 0x8769, 0x927C
_IMAGE_MAX, _IMAGE_MIN = 1, 2
_RATIONALS = {5: "II", 10: "ii"}


def noted_range(data: bytes) -> tuple[float, float] | None:
    """Read the scale's (cold end, hot end) in °C; None when the file notes none that makes sense.

    Cameras round it to whole kelvins.
    """
    if data[:3] != b"\xff\xd8\xff":
        return None
    for marker, payload in jpeg_segments(data):
        if marker == 0xE1 and payload[:6] == b"Exif\0\0":
            try:
                return _range_of(payload[6:])
            except struct.error:
                return None
    return None


def _range_of(tiff: bytes) -> tuple[float, float] | None:
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    exif = _entries(tiff, first, order).get(_EXIF_IFD)
    if exif is None:
        return None
    notes = _entries(tiff, exif[1], order).get(_MAKER_NOTE)
    if notes is None:
        return None
    for notes_order in "<>":  # some cameras write their notes in the other byte order
        entries = _entries(tiff, notes[1], notes_order)
        ends = [_kelvin(tiff, entries.get(tag), notes_order) for tag in (_IMAGE_MIN, _IMAGE_MAX)]
        low, high = ends
        if low is not None and high is not None and 200 < low < high < 700:
            return low - ZERO_CELSIUS, high - ZERO_CELSIUS
    return None


def _entries(tiff: bytes, at: int, order: str) -> dict[int, tuple[int, int]]:
    """Map tag to (type, value or offset) of the directory at an offset; empty where it does not look like one."""
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    if count > 200:
        return {}
    entries = {}
    for index in range(count):
        tag, kind, _count, value = struct.unpack_from(f"{order}HHII", tiff, at + 2 + 12 * index)
        entries[tag] = (kind, value)
    return entries


def _kelvin(tiff: bytes, entry: tuple[int, int] | None, order: str) -> float | None:
    if entry is None or entry[0] not in _RATIONALS or entry[1] + 8 > len(tiff):
        return None
    numerator, denominator = struct.unpack_from(f"{order}{_RATIONALS[entry[0]]}", tiff, entry[1])
    return numerator / denominator if denominator else None
