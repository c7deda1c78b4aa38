"""BMP: the headers, the palette and the pixels."""

import struct

from services.tasks.privacy.pieces import Overlay, Pieces
from services.tasks.privacy.work import UnreadableError, Work

_FILE_HEADER, _OLD_HEADER, _NEW_HEADER, _NEWEST_HEADER = 14, 12, 40, 124
_PLAIN, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6
_COLOUR_SPACE, _PROFILE, _NO_PROFILE = 14 + 56, 14 + 112, b" niW"  # the place of a profile can be a path


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown."""
    try:
        return _cleaned(photo, work)
    except struct.error:
        raise UnreadableError("it breaks off") from None


def _cleaned(photo: bytes, work: Work) -> Pieces:
    pixels, header = struct.unpack_from("<II", photo, 10)
    if header == _OLD_HEADER:
        width, height, _, depth = struct.unpack_from("<4H", photo, 18)
        compression, size, colours, colour_bytes = _PLAIN, 0, 0, 3
    elif _NEW_HEADER <= header <= _NEWEST_HEADER:
        width, height, _, depth, compression, size, _, _, colours = struct.unpack_from("<iiHHIIiiI", photo, 18)
        colour_bytes = 4
    else:
        raise UnreadableError("an unknown header")
    if compression in (_PLAIN, _MASKS, _MASKS_WITH_ALPHA):
        size = (abs(width) * depth + 31) // 32 * 4 * abs(height)
    masks = {_MASKS: 12, _MASKS_WITH_ALPHA: 16}.get(compression, 0) if header == _NEW_HEADER else 0
    palette = (colours or (1 << depth if depth <= 8 else 0)) * colour_bytes
    end = _FILE_HEADER + header + masks + palette
    overlay = Overlay(len(photo), work)
    overlay.keep(0, min(end, pixels))
    overlay.keep(pixels, pixels + size)
    if header == _NEWEST_HEADER and photo[_COLOUR_SPACE : _COLOUR_SPACE + 4] in (b"KNIL", b"DEBM"):
        overlay.write(_COLOUR_SPACE, _NO_PROFILE)
        overlay.write(_PROFILE, bytes(8))
    pieces = Pieces(len(photo))
    overlay.onto(pieces)
    return pieces
