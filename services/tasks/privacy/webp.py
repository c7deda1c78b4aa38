"""WebP: the chunks that make the picture, its colour profile, and its orientation."""

from collections.abc import Iterator

from services.tasks.privacy.exif import upright
from services.tasks.privacy.pieces import Pieces, UnreadableError

_HEAD_BYTES = 12
_PICTURE = {b"VP8 ", b"VP8L", b"ALPH"}
_KEPT = _PICTURE | {b"ICCP", b"ANIM"}
_FRAME_HEAD = 16
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04
_MOST_CHUNKS = 10_000


def cleaned(photo: bytes) -> Pieces:
    """The pieces of ``photo`` that may be shown."""
    chunks = list(_chunks(photo, _HEAD_BYTES, len(photo)))
    if not any(kind in {*_PICTURE, b"ANMF"} for kind, _, _ in chunks):
        raise UnreadableError("no picture data")
    exif = next((photo[start + 8 : end] for kind, start, end in chunks if kind == b"EXIF"), b"")
    block = upright(exif.removeprefix(b"Exif\0\0"))
    shown = [(kind, start, end) for kind, start, end in chunks if _is_shown(photo, kind, start, end)]
    turned = b"EXIF" + len(block).to_bytes(4, "little") + block if block else b""
    size = 4 + sum(end - start for _, start, end in shown) + len(turned)
    pieces = Pieces(len(photo))
    pieces.put(b"RIFF" + size.to_bytes(4, "little") + b"WEBP")
    for kind, start, end in shown:
        if kind == b"VP8X" and end > start + 8:
            flags = photo[start + 8] & ~(_EXIF_FLAG | _XMP_FLAG) | (_EXIF_FLAG if block else 0)
            pieces.keep(start, start + 8)
            pieces.put(bytes([flags]))
            pieces.keep(start + 9, end)
        else:
            pieces.keep(start, end)
    pieces.put(turned)
    return pieces


def _is_shown(photo: bytes, kind: bytes, start: int, end: int) -> bool:
    if kind == b"ANMF":
        return all(inner in _PICTURE for inner, _, _ in _chunks(photo, start + 8 + _FRAME_HEAD, end))
    return kind in _KEPT or kind == b"VP8X"


def _chunks(photo: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, from, to) of each chunk with its padding; ends where a chunk is cut off."""
    for _ in range(_MOST_CHUNKS):
        size = int.from_bytes(photo[at + 4 : at + 8], "little")
        after = at + 8 + size + size % 2
        if at + 8 > end or after > end:
            return
        yield photo[at : at + 4], at, after
        at = after
    raise UnreadableError("too many chunks")
