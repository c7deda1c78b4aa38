"""TIFF: the tags that tell how to read the pixels, and the pixels. Offsets stay; all else becomes zeros."""

import struct

from services.tasks.privacy import icc
from services.tasks.privacy.pieces import Overlay, Pieces
from services.tasks.privacy.work import UnreadableError, Work

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by type
_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _PROFILE = 273, 279, 324, 325, 34675
_KEPT = frozenset(
    [
        *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, _STRIPS, 274, 277, 278, _STRIP_SIZES),
        *(280, 281, 282, 283, 284, 290, 291, 292, 293, 296, 301, 317, 318, 319, 320, 321, 322, 323),
        *(_TILES, _TILE_SIZES, 332, 336, 338, 339, 340, 341, 342, 347, 529, 530, 531, 532, _PROFILE),
    ]
)
_MOST_PAGES = 64


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown."""
    page = _Pages(photo, work)
    try:
        page.read()
    except struct.error:
        raise UnreadableError("it breaks off") from None
    pieces = Pieces(len(photo))
    page.overlay.onto(pieces)
    return pieces


class _Pages:
    """The pages of a TIFF, one after the other."""

    def __init__(self, photo: bytes, work: Work) -> None:
        self._photo = photo
        self._work = work
        self._order = "<" if photo.startswith(b"II") else ">"
        self._profiles: dict[tuple[int, int], bool] = {}  # by place and size: whether it can be read
        self.overlay = Overlay(len(photo), work)

    def read(self) -> None:
        """Leave all pages in the overlay."""
        self.overlay.keep(0, 8)
        (at,) = self._numbers("I", 4)
        seen: set[int] = set()
        while at:
            if at in seen or len(seen) >= _MOST_PAGES:
                raise UnreadableError("too many pages")
            seen.add(at)
            at = self._page(at)

    def _numbers(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + form, self._photo, at)

    def _page(self, at: int) -> int:
        """Leave a page in the overlay; where the next one is, or 0."""
        (count,) = self._numbers("H", at)
        after = at + 2 + 12 * count
        (following,) = self._numbers("I", after)
        entries = []
        numbers: dict[int, tuple[int, ...]] = {}
        for entry in range(at + 2, after, 12):
            self._work.step()
            tag, kind, values = self._numbers("HHI", entry)
            if tag not in _KEPT or kind not in _SIZES:
                continue
            size, place = _SIZES[kind] * values, entry + 8
            if size > 4:
                (place,) = self._numbers("I", place)
            if tag == _PROFILE and not self._has_profile(place, size):
                continue
            if size > 4:
                self.overlay.keep(place, place + size)
            entries.append(self._photo[entry : entry + 12])
            if tag in (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES) and kind in (3, 4):
                self._work.step(values)
                numbers[tag] = self._numbers(f"{values}{'H' if kind == 3 else 'I'}", place)
        for places, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES)):
            for start, length in zip(numbers.get(places, ()), numbers.get(sizes, ()), strict=False):
                self.overlay.keep(start, start + length)
        self.overlay.write(at, struct.pack(f"{self._order}H", len(entries)) + b"".join(entries))
        self.overlay.write(at + 2 + 12 * len(entries), struct.pack(f"{self._order}I", following))
        return following

    def _has_profile(self, place: int, size: int) -> bool:
        """Whether a colour profile that can be read lies there. Its texts are made empty."""
        if (place, size) not in self._profiles:
            self._work.look(size)
            try:
                profile = icc.cleaned(self._photo[place : place + size], self._work)
                profile.settle()
            except UnreadableError:
                self._profiles[place, size] = False
            else:
                self._profiles[place, size] = True
                self.overlay.lay(place, profile)
        return self._profiles[place, size]
