"""PNG: the chunks that make the picture, and its orientation."""

import zlib

from services.tasks.privacy import icc
from services.tasks.privacy.exif import upright
from services.tasks.privacy.pieces import Pieces
from services.tasks.privacy.work import UnreadableError, Work

_SIGNATURE_BYTES = 8
_PICTURE = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs acTL fcTL fdAT".split()
)
_PROFILE_NAME = b"ICC profile\0\0"  # and how it is compressed
_MOST_NAME_BYTES = 79
_MOST_PROFILE_BYTES = 256 * 1024  # most have a few KB; a larger one is left out


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown: up to its end, or to where it breaks off."""
    pieces = Pieces(len(photo))
    pieces.keep(0, _SIGNATURE_BYTES)
    at, oriented, coloured, shown = _SIGNATURE_BYTES, False, False, False
    while True:
        work.step()
        size, kind = int.from_bytes(photo[at : at + 4], "big"), photo[at + 4 : at + 8]
        end = at + 12 + size
        if len(kind) < 4 or end > len(photo):
            break
        if kind in _PICTURE:
            pieces.keep(at, end)
            shown = shown or kind == b"IDAT"
        elif kind == b"iCCP" and not coloured:
            coloured = True
            if profile := _profile(photo[at + 8 : end - 4], work):
                pieces.put(_chunk(kind, profile))
        elif kind == b"eXIf" and not oriented:
            oriented = True
            work.look(size)
            if block := upright(photo[at + 8 : end - 4]):
                pieces.put(_chunk(kind, block))
        if kind == b"IEND":
            break
        at = end
    if not shown:
        raise UnreadableError("no picture data")
    return pieces


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _profile(data: bytes, work: Work) -> bytes:
    """The same colour profile without its texts and its name; nothing when it cannot be read."""
    work.look(len(data))
    name, separator, rest = data[: _MOST_NAME_BYTES + 2].partition(b"\0")
    if not separator or rest[:1] != b"\0":
        return b""
    decompression = zlib.decompressobj()
    try:
        profile = decompression.decompress(data[len(name) + 2 :], _MOST_PROFILE_BYTES)
        if not decompression.eof:
            return b""
        shown = icc.cleaned(profile, work).applied(profile)
    except (UnreadableError, zlib.error):
        return b""
    return _PROFILE_NAME + zlib.compress(shown)
