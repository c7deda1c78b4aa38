"""A FLIR camera's measurement inside a JPEG: kept, so that the photo stays a thermogram, without place and owner.

The layout (APP1 segments ``FLIR``, in them a ``FFF`` file with a directory of records) is documented by ExifTool
(https://exiftool.org/TagNames/FLIR.html). Cleaning changes no offset; checksums of what was changed become 0, none.
"""

import struct
from collections.abc import Callable
from itertools import pairwise

from services.tasks.privacy.pieces import Overlay
from services.tasks.privacy.spread import Spread, joined
from services.tasks.privacy.work import UnreadableError, Work

SEGMENT_HEAD = 4 + 8  # marker and length; name, number, and number of the last

_SEGMENT = b"FLIR\0\1"
_HEADER_BYTES, _HEADER_CHECKSUM, _ENTRY_BYTES, _ENTRY_CHECKSUM = 64, 60, 32, 28
_MOST_RECORDS = 128
_EMBEDDED_PICTURE, _CAMERA = 0x0E, 0x20
_PICTURE_HEAD = 32
# Sensor values, two kinds of corrections, the colour photo, the camera's calibration, spots and areas, the palette,
# the place of the picture in the colour photo. Not: text (0x23), sound (0x24), GPS (0x2b), other instruments (0x2c).
_KEPT = {0x01, 0x05, 0x06, _EMBEDDED_PICTURE, _CAMERA, 0x21, 0x22, 0x2A}
# In the record about the camera: the serial numbers of camera, lens and filter, and when the picture was taken.
_PERSONAL = ((0x104, 16), (0x1A0, 16), (0x21C, 32), (0x384, 10))


def measurement(
    photo: bytes, segments: list[tuple[int, int]], is_bare: Callable[[bytes], bool], work: Work
) -> Spread | None:
    """What may be shown of the measurement among the APP1 ``segments`` (from, to); None when none can be read.

    ``is_bare`` says whether a JPEG holds nothing but a picture.
    """
    own = [(s, e) for s, e in segments if photo.startswith(_SEGMENT, s + 4, e) and e > s + SEGMENT_HEAD]
    numbers = [photo[start + 10] for start, _ in own]
    if not own or any(later <= number for number, later in pairwise(numbers)):
        return None
    stretches = [(start + SEGMENT_HEAD, end) for start, end in own]
    try:
        return Spread(stretches, _cleaned(joined(photo, stretches, work), is_bare, work))
    except (UnreadableError, struct.error):
        return None


def _cleaned(file: bytes, is_bare: Callable[[bytes], bool], work: Work) -> Overlay:
    if file[:4] not in (b"FFF\0", b"AFF\0"):
        raise UnreadableError("no FLIR file")
    order = ">" if 100 <= struct.unpack_from(">I", file, 0x14)[0] < 200 else "<"
    directory, count = struct.unpack_from(f"{order}II", file, 0x18)
    if count > _MOST_RECORDS:
        raise UnreadableError("too many records")
    overlay = Overlay(len(file), work)
    overlay.keep(0, _HEADER_BYTES)
    overlay.write(_HEADER_CHECKSUM, bytes(4))
    pictures = 0
    for entry in range(directory, directory + count * _ENTRY_BYTES, _ENTRY_BYTES):
        kind, _, _, _, start, size = struct.unpack_from(f"{order}HHIIII", file, entry)
        shown = kind in _KEPT
        if kind == _EMBEDDED_PICTURE:
            pictures += 1  # a camera embeds one: further entries could name its bytes again and again
            shown = pictures == 1 and _is_shown(file[start + _PICTURE_HEAD : start + size], is_bare, work)
        if not shown:
            overlay.erase(entry, entry + _ENTRY_BYTES)  # type 0: a free entry
            continue
        overlay.keep(entry, entry + _ENTRY_BYTES)
        overlay.keep(start, start + size)
        overlay.write(entry + _ENTRY_CHECKSUM, bytes(4))
        if kind == _CAMERA:
            for offset, length in _PERSONAL:
                if offset < size:
                    overlay.erase(start + offset, start + min(offset + length, size))
    return overlay


def _is_shown(picture: bytes, is_bare: Callable[[bytes], bool], work: Work) -> bool:
    work.look(len(picture))
    return not picture or is_bare(picture.rstrip(b"\0"))
