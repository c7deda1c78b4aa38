"""PNG: the chunks that make the picture, and its orientation."""

import zlib

from services.tasks.privacy.exif import upright
from services.tasks.privacy.pieces import Pieces, UnreadableError

_SIGNATURE_BYTES = 8
_PICTURE = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs acTL fcTL fdAT".split()
)
_MOST_CHUNKS = 50_000


def cleaned(photo: bytes) -> Pieces:
    """The pieces of ``photo`` that may be shown: up to its end, or to where it breaks off."""
    pieces = Pieces(len(photo))
    pieces.keep(0, _SIGNATURE_BYTES)
    at, oriented, shown = _SIGNATURE_BYTES, False, False
    for _ in range(_MOST_CHUNKS):
        size, kind = int.from_bytes(photo[at : at + 4], "big"), photo[at + 4 : at + 8]
        end = at + 12 + size
        if len(kind) < 4 or end > len(photo):
            break
        if kind in _PICTURE:
            pieces.keep(at, end)
            shown = shown or kind == b"IDAT"
        elif kind == b"eXIf" and not oriented:
            oriented = True
            if block := upright(photo[at + 8 : end - 4]):
                check = zlib.crc32(kind + block).to_bytes(4, "big")
                pieces.put(len(block).to_bytes(4, "big") + kind + block + check)
        if kind == b"IEND":
            break
        at = end
    if not shown:
        raise UnreadableError("no picture data")
    return pieces
