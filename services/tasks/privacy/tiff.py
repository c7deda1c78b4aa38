"""TIFF: the tags that tell how to read the pixels, and the pixels. Offsets stay; all else becomes zeros."""

import struct

from services.tasks.privacy.pieces import Overlay, Pieces, UnreadableError

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by type
_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _PROFILE = 273, 279, 324, 325, 34675
_KEPT = frozenset(
    [
        *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, _STRIPS, 274, 277, 278, _STRIP_SIZES),
        *(280, 281, 282, 283, 284, 290, 291, 292, 293, 296, 301, 317, 318, 319, 320, 321, 322, 323),
        *(_TILES, _TILE_SIZES, 332, 336, 338, 339, 340, 341, 342, 347, 529, 530, 531, 532, _PROFILE),
    ]
)
_MOST_PAGES, _MOST_ENTRIES, _MOST_STRIPS = 64, 1000, 20_000


def cleaned(photo: bytes) -> Pieces:
    """The pieces of ``photo`` that may be shown."""
    order = "<" if photo.startswith(b"II") else ">"
    overlay = Overlay(len(photo))
    overlay.keep(0, 8)
    try:
        (at,) = struct.unpack_from(f"{order}I", photo, 4)
        seen: set[int] = set()
        while at:
            if at in seen or len(seen) >= _MOST_PAGES:
                raise UnreadableError("too many pages")
            seen.add(at)
            at = _page(photo, order, at, overlay)
    except struct.error:
        raise UnreadableError("it breaks off") from None
    pieces = Pieces(len(photo))
    overlay.onto(pieces)
    return pieces


def _page(photo: bytes, order: str, at: int, overlay: Overlay) -> int:
    """Leave a page in ``overlay``; where the next one is, or 0."""
    (count,) = struct.unpack_from(f"{order}H", photo, at)
    if count > _MOST_ENTRIES:
        raise UnreadableError("too many entries")
    after = at + 2 + 12 * count
    (following,) = struct.unpack_from(f"{order}I", photo, after)
    entries = []
    numbers: dict[int, tuple[int, ...]] = {}
    for entry in range(at + 2, after, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", photo, entry)
        if tag not in _KEPT or kind not in _SIZES:
            continue
        entries.append(photo[entry : entry + 12])
        size, place = _SIZES[kind] * values, entry + 8
        if size > 4:
            (place,) = struct.unpack_from(f"{order}I", photo, place)
            overlay.keep(place, place + size)
        if tag in (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES) and kind in (3, 4):
            if values > _MOST_STRIPS:
                raise UnreadableError("too many strips")
            numbers[tag] = struct.unpack_from(f"{order}{values}{'H' if kind == 3 else 'I'}", photo, place)
    for places, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES)):
        for start, length in zip(numbers.get(places, ()), numbers.get(sizes, ()), strict=False):
            overlay.keep(start, start + length)
    overlay.write(at, struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following))
    return int(following)
