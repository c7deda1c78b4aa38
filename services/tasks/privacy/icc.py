"""ICC colour profiles: what converts the colours stays where it is, and all text and names become empty.

The layout is that of ICC.1:2022 (https://www.color.org/specification/ICC.1-2022-05.pdf) and of ICC.1:2001 before it.
"""

import struct

from services.tasks.privacy.pieces import Overlay
from services.tasks.privacy.work import UnreadableError, Work

_HEADER_BYTES, _ENTRY_BYTES, _TYPE_BYTES, _HEAD_BYTES = 128, 12, 8, 12
_MOST_TAGS = 100  # the most that a printer's profile has is about 20
_SIGNATURE = b"acsp"
# Of the header: the size; version, class, colour spaces; the signature; flags; transparency and the like; how to
# convert, and the white. Not: the module, the date, the platform, maker and model, who made it, the checksum.
_HEADER_KEPT = ((0, 4), (8, 24), (36, 40), (46, 48), (60, 80))
_CONVERTING = frozenset(
    b"rXYZ gXYZ bXYZ rTRC gTRC bTRC kTRC wtpt bkpt chad chrm cicp gamt"
    b" A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 D2B0 D2B1 D2B2 D2B3 B2D0 B2D1 B2D2 B2D3 pre0 pre1 pre2".split()
)
_TABLES = {b"mft1", b"mft2", b"mAB ", b"mBA ", b"mpet"}
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}  # of a parametric curve, by the kind of function
# Readers may ask for these two in every profile.
_REQUIRED_TEXTS = {b"desc", b"cprt"}
_EMPTY_TEXTS = {  # by the type's name: what follows zeros
    b"text": b"",
    b"desc": b"",
    b"mluc": bytes(4) + (12).to_bytes(4, "big"),  # no text at all; the size of an entry
}


def cleaned(profile: bytes, work: Work) -> Overlay:
    """What may be shown of ``profile``, in the same size. Raises :class:`UnreadableError`."""
    if len(profile) < _HEADER_BYTES + 4 or profile[36:40] != _SIGNATURE:
        raise UnreadableError("no colour profile")
    size, (count,) = int.from_bytes(profile[:4], "big"), struct.unpack_from(">I", profile, _HEADER_BYTES)
    table = _HEADER_BYTES + 4
    first = table + count * _ENTRY_BYTES
    if count > _MOST_TAGS or not first <= size <= len(profile):
        raise UnreadableError("the colour profile's table does not fit")
    overlay = Overlay(len(profile), work)
    for start, end in _HEADER_KEPT:
        overlay.keep(start, end)
    tags = [struct.unpack_from(">4sII", profile, at) for at in range(table, first, _ENTRY_BYTES)]
    converting = {(start, length) for name, start, length in tags if name in _CONVERTING}
    for start, length in converting:
        if not first <= start <= start + length <= size:
            raise UnreadableError("a part of the colour profile lies outside of it")
        overlay.keep(start, start + _converting_bytes(profile[start : start + min(length, _HEAD_BYTES)], length))
    texts = _clear_texts(profile, first, [tag for tag in tags if tag[0] in _REQUIRED_TEXTS], converting, overlay)
    kept = [tag for tag in tags if tag[0] in _CONVERTING or tag in texts]
    overlay.write(_HEADER_BYTES, struct.pack(">I", len(kept)) + b"".join(struct.pack(">4sII", *tag) for tag in kept))
    return overlay


def _converting_bytes(head: bytes, length: int) -> int:
    """How many of a tag's ``length`` bytes convert colours. Raises :class:`UnreadableError` for another type."""
    kind = head[:4]
    try:
        if kind in _TABLES:
            return length
        if kind == b"XYZ ":
            size = _TYPE_BYTES + 12
        elif kind == b"sf32":
            size = _TYPE_BYTES + 36
        elif kind == b"cicp":
            size = _TYPE_BYTES + 4
        elif kind == b"curv":
            size = _TYPE_BYTES + 4 + 2 * struct.unpack_from(">I", head, _TYPE_BYTES)[0]
        elif kind == b"para":
            size = _TYPE_BYTES + 4 + 4 * _PARAMETERS[struct.unpack_from(">H", head, _TYPE_BYTES)[0]]
        elif kind == b"chrm":
            size = _TYPE_BYTES + 4 + 8 * struct.unpack_from(">H", head, _TYPE_BYTES)[0]
        else:
            raise UnreadableError("an unknown way to convert colours")
    except (KeyError, struct.error):
        raise UnreadableError("an unknown way to convert colours") from None
    if size > length:
        raise UnreadableError("a part of the colour profile breaks off")
    return int(size)


def _clear_texts(
    profile: bytes, first: int, texts: list[tuple[bytes, int, int]], taken: set[tuple[int, int]], overlay: Overlay
) -> list[tuple[bytes, int, int]]:
    """Make texts empty where they lie.

    Return those that could be: of a known type, and apart from one another and from the colours.
    """
    cleared, taken = [], set(taken)
    for tag in texts:
        _, start, length = tag
        empty = _EMPTY_TEXTS.get(profile[start : start + 4])
        is_apart = all(start + length <= other or start >= other + size for other, size in taken)
        if empty is None or start < first or start + length > len(profile) or not is_apart:
            continue
        if length < _TYPE_BYTES + len(empty):
            continue
        taken.add((start, length))
        overlay.keep(start, start + 4)
        overlay.write(start + _TYPE_BYTES, empty)
        cleared.append(tag)
    return cleared
