"""What the headers of BMP and TIFF files tell: whether a file of a kind that is mostly no thermal photo is one.

Only bounded parts of the file are looked at, and nothing is decoded. UNI-T's cameras write their data behind the pixels
of a BMP, at a place that the BMP's own header fixes (described by Santi-hr,
https://github.com/Santi-hr/UNI-T-Thermal-Utilities): a byte per pixel, 256 colours of 2 bytes, then 26 bytes of notes.
"""

import struct
from dataclasses import dataclass

from services.analysis.thermography.reading.sensor.values import has_sensor_size

_BMP_HEAD, _COLOURS_BYTES, _NOTES_BYTES = 54, 512, 26
_WIDTH, _HEIGHT, _BITS, _SAMPLES = 0x100, 0x101, 0x102, 0x115  # tags of TIFF
_TILES = frozenset({0x142, 0x143})  # a decoder's memory follows from their size, which nothing bounds
_SHORT, _LONG = 3, 4
_MOST_TAGS = 64


@dataclass(frozen=True, slots=True)
class UniTNotes:
    """What a UNI-T camera notes behind the picture. Positions are (column, row)."""

    size: tuple[int, int]  # w, h
    levels: int  # where the byte per pixel begins in the file
    fahrenheit: bool
    hottest: float  # in that unit, as are the others
    coldest: float
    centre: float
    centre_at: tuple[int, int]


def uni_t_notes(data: bytes) -> UniTNotes | None:
    """Read the notes of a UNI-T camera; None when the file is no BMP of one."""
    if data[:2] != b"BM" or data[6:10] != bytes(4) or len(data) < _BMP_HEAD:
        return None
    (levels,) = struct.unpack_from("<I", data, 2)
    width, height = struct.unpack_from("<ii", data, 18)
    height = abs(height)  # negative where the rows run downwards
    if width <= 0 or not has_sensor_size(width, height):
        return None
    at = levels + width * height + _COLOURS_BYTES
    if levels < _BMP_HEAD or len(data) < at + _NOTES_BYTES:
        return None
    unit, hottest, coldest, centre, emissivity = struct.unpack_from("<Bhh2xhB", data, at)
    places = struct.unpack_from("<6H", data, at + 14)  # column and row of the coldest, the hottest and the centre
    inside = all(column < width for column in places[::2]) and all(row < height for row in places[1::2])
    if unit > 1 or not inside or not coldest <= centre <= hottest or not 0 < emissivity <= 100:
        return None
    return UniTNotes(
        (width, height), levels, unit == 1, hottest / 10, coldest / 10, centre / 10, (places[4], places[5])
    )


def is_sensor_tiff(data: bytes) -> bool:
    """Whether a file is a TIFF of one channel of 16 bits that a thermal sensor may have: photos have other formats."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return False
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    if directory + 2 > len(data):
        return False
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    if count > _MOST_TAGS or directory + 2 + 12 * count > len(data):
        return False
    tags: dict[int, int] = {}
    for entry in range(count):
        tag, kind, number, value = struct.unpack_from(f"{order}HHI4s", data, directory + 2 + 12 * entry)
        if tag in _TILES:
            return False
        if number == 1 and kind in (_SHORT, _LONG):
            (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", value)
    sides = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    return min(sides) > 0 and has_sensor_size(*sides) and tags.get(_BITS) == 16 and tags.get(_SAMPLES, 1) == 1
