"""The one thing in EXIF that a viewer needs: which side of the picture is up."""

import struct

_ORIENTATION = 0x0112
_SHORT = 3
_MOST_ENTRIES = 1000


def upright(tiff: bytes) -> bytes | None:
    """An EXIF block (a TIFF header and one entry) with nothing but the orientation that ``tiff`` tells.

    None when it tells none that turns the picture, or cannot be read.
    """
    orientation = _orientation(tiff)
    if orientation is None or not 2 <= orientation <= 8:
        return None
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0)


def _orientation(tiff: bytes) -> int | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(min(count, _MOST_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, at + 2 + 12 * entry)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return int(value)
    except struct.error:
        pass  # it ends before it says so
    return None
