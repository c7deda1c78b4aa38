"""WebP: the chunks that make the picture, its colour profile, and its orientation."""

from collections.abc import Iterator

from services.tasks.privacy import icc
from services.tasks.privacy.exif import upright
from services.tasks.privacy.pieces import Overlay, Pieces
from services.tasks.privacy.work import UnreadableError, Work

_HEAD_BYTES, _CHUNK_HEAD = 12, 8
_PICTURE = {b"VP8 ", b"VP8L", b"ALPH"}
_KEPT = _PICTURE | {b"VP8X", b"ANIM"}
_FRAME_HEAD = 16
_PROFILE_FLAG, _EXIF_FLAG, _XMP_FLAG = 0x20, 0x08, 0x04

Chunk = tuple[bytes, int, int]  # name, from, to


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown."""
    chunks = list(_chunks(photo, _HEAD_BYTES, len(photo), work))
    if not any(kind in {*_PICTURE, b"ANMF"} for kind, _, _ in chunks):
        raise UnreadableError("no picture data")
    block = upright(_exif(photo, chunks, work).removeprefix(b"Exif\0\0"))
    coloured, profile = _profile(photo, chunks, work)
    shown = [chunk for chunk in chunks if chunk == coloured or _is_shown(photo, chunk, work)]
    turned = b"EXIF" + len(block).to_bytes(4, "little") + block if block else b""
    size = 4 + sum(end - start for _, start, end in shown) + len(turned)
    pieces = Pieces(len(photo))
    pieces.put(b"RIFF" + size.to_bytes(4, "little") + b"WEBP")
    for chunk in shown:
        kind, start, end = chunk
        body = start + _CHUNK_HEAD
        if kind == b"VP8X" and end > body:
            flags = photo[body] & ~(_PROFILE_FLAG | _EXIF_FLAG | _XMP_FLAG)
            flags |= (_EXIF_FLAG if block else 0) | (_PROFILE_FLAG if coloured else 0)
            pieces.keep(start, body)
            pieces.put(bytes([flags]))
            pieces.keep(body + 1, end)
        elif chunk == coloured and profile is not None:
            pieces.keep(start, body)
            profile.onto(pieces, body)
        else:
            pieces.keep(start, end)
    pieces.put(turned)
    return pieces


def _exif(photo: bytes, chunks: list[Chunk], work: Work) -> bytes:
    for kind, start, end in chunks:
        if kind == b"EXIF":
            work.look(end - start)
            return photo[start + _CHUNK_HEAD : end]
    return b""


def _profile(photo: bytes, chunks: list[Chunk], work: Work) -> tuple[Chunk | None, Overlay | None]:
    """The first chunk with a colour profile and what may be shown of it; nothing when that cannot be read."""
    for chunk in chunks:
        kind, start, end = chunk
        if kind == b"ICCP":
            work.look(end - start)
            try:
                profile = icc.cleaned(photo[start + _CHUNK_HEAD : end], work)
                profile.settle()
            except UnreadableError:
                return None, None
            return chunk, profile
    return None, None


def _is_shown(photo: bytes, chunk: Chunk, work: Work) -> bool:
    kind, start, end = chunk
    if kind == b"ANMF":
        return all(inner in _PICTURE for inner, _, _ in _chunks(photo, start + _CHUNK_HEAD + _FRAME_HEAD, end, work))
    return kind in _KEPT


def _chunks(photo: bytes, at: int, end: int, work: Work) -> Iterator[Chunk]:
    """(name, from, to) of each chunk with its padding; ends where a chunk is cut off."""
    while True:
        work.step()
        size = int.from_bytes(photo[at + 4 : at + _CHUNK_HEAD], "little")
        after = at + _CHUNK_HEAD + size + size % 2
        if at + _CHUNK_HEAD > end or after > end:
            return
        yield photo[at : at + 4], at, after
        at = after
