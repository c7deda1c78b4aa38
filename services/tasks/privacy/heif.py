"""HEIC and AVIF: the coded pictures and what belongs to them. Offsets stay; all else becomes zeros.

The boxes are those of ISO/IEC 14496-12 (file format) and 23008-12 (image items).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.tasks.privacy import icc
from services.tasks.privacy.pieces import Overlay, Pieces
from services.tasks.privacy.work import UnreadableError, Work

_FREE = b"free"  # the name of a box, and here of an item, that readers pass over
_META_PARTS = {b"hdlr", b"pitm", b"iinf", b"iloc", b"iref", b"iprp", b"dinf", b"grpl"}
_PICTURES = {b"hvc1", b"av01", b"avc1", b"vvc1", b"j2k1", b"grid", b"iovl", b"iden", b"tmap"}
_TELLING_PROPERTIES = {b"udes", b"altt", b"uuid", b"crtt", b"mdft", b"taic", b"itai"}  # descriptions and times
_IN_FILE, _IN_META = 0, 1
_COLOUR, _NUMBERS, _PROFILES = b"colr", b"nclx", (b"prof", b"rICC")  # colours as four numbers, or by a profile
_NUMBERS_BYTES, _HANDLER_BYTES = 7, 24


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    body: int
    end: int


class _Numbers:
    """Reads numbers one behind the other, up to ``end``."""

    def __init__(self, photo: bytes, at: int, end: int) -> None:
        self._photo, self.at, self._end = photo, at, end

    def next(self, size: int) -> int:
        if self.at + size > self._end:
            raise UnreadableError("a box breaks off")
        self.at += size
        return int.from_bytes(self._photo[self.at - size : self.at], "big")


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown."""
    overlay = Overlay(len(photo), work)
    meta = None
    for box in _boxes(photo, 0, len(photo), work):
        overlay.keep(box.start, box.body)
        if box.kind == b"ftyp":
            overlay.keep(box.start, box.end)
        elif box.kind == b"meta" and meta is None:
            meta = box
        elif box.kind != b"mdat":
            overlay.write(box.start + 4, _FREE)
    if meta is None:
        raise UnreadableError("no picture, perhaps a film")
    _clean_meta(photo, meta, overlay, work)
    pieces = Pieces(len(photo))
    overlay.onto(pieces)
    return pieces


def _clean_meta(photo: bytes, meta: _Box, overlay: Overlay, work: Work) -> None:
    overlay.keep(meta.body, meta.body + 4)
    parts: dict[bytes, _Box] = {}
    for box in _boxes(photo, meta.body + 4, meta.end, work):
        overlay.keep(box.start, box.body)
        if box.kind in _META_PARTS:
            overlay.keep(box.start, box.end)
            if box.kind == b"hdlr":
                overlay.erase(min(box.body + _HANDLER_BYTES, box.end), box.end)  # the name of who wrote the file
        elif box.kind != b"idat":
            overlay.write(box.start + 4, _FREE)
        if parts.setdefault(box.kind, box) is not box and box.kind in (b"iinf", b"iloc", b"idat", b"iprp"):
            raise UnreadableError("a box is there twice")
    if b"iinf" not in parts or b"iloc" not in parts:
        raise UnreadableError("no items")
    shown = _clean_items(photo, parts[b"iinf"], overlay, work)
    for kind, start, size in _extents(photo, parts[b"iloc"], shown, work):
        if kind == _IN_META:
            if b"idat" not in parts:
                raise UnreadableError("no data")
            start += parts[b"idat"].body
        overlay.keep(start, start + size)
    if b"iprp" in parts:
        for container in _boxes(photo, parts[b"iprp"].body, parts[b"iprp"].end, work):
            if container.kind == b"ipco":
                for box in _boxes(photo, container.body, container.end, work):
                    _clean_property(photo, box, overlay, work)


def _clean_property(photo: bytes, box: _Box, overlay: Overlay, work: Work) -> None:
    if box.kind in _TELLING_PROPERTIES:
        _free(box, overlay)
    elif box.kind == _COLOUR:
        kind, start = photo[box.body : box.body + 4], box.body + 4
        if kind == _NUMBERS and start + _NUMBERS_BYTES <= box.end:
            overlay.erase(start + _NUMBERS_BYTES, box.end)
            return
        try:
            if kind not in _PROFILES:
                raise UnreadableError("colours of an unknown kind")
            work.look(box.end - start)
            profile = icc.cleaned(photo[start : box.end], work)
            profile.settle()
        except UnreadableError:
            _free(box, overlay)
        else:
            overlay.lay(start, profile)


def _free(box: _Box, overlay: Overlay) -> None:
    """Make a box empty that is named by its place among others, which therefore has to stay."""
    overlay.write(box.start + 4, _FREE)
    overlay.erase(box.body, box.end)


def _clean_items(photo: bytes, iinf: _Box, overlay: Overlay, work: Work) -> set[int]:
    """Make those items free that are no pictures; the numbers of those that are."""
    shown = set()
    counted = 4 if photo[iinf.body : iinf.body + 1] > b"\0" else 2
    for box in _boxes(photo, iinf.body + 4 + counted, iinf.end, work):
        numbers = _Numbers(photo, box.body, box.end)
        version = numbers.next(1)
        if box.kind != b"infe" or version not in (2, 3):
            raise UnreadableError("an unknown kind of item")
        numbers.next(3)
        item = numbers.next(4 if version == 3 else 2)
        numbers.next(2)
        kind = numbers.next(4).to_bytes(4, "big")
        if kind in _PICTURES:
            shown.add(item)
        else:
            overlay.write(numbers.at - 4, _FREE)
        overlay.erase(numbers.at, box.end)  # the item's name; of others than pictures a media type or an address
    if not shown:
        raise UnreadableError("no picture data")
    return shown


def _extents(photo: bytes, iloc: _Box, shown: set[int], work: Work) -> Iterator[tuple[int, int, int]]:
    """(where from, from, how many bytes) of the data of each item that is ``shown``."""
    numbers = _Numbers(photo, iloc.body, iloc.end)
    version = numbers.next(1)
    if version > 2:
        raise UnreadableError("an unknown table of items")
    numbers.next(3)
    sizes = numbers.next(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(numbers.next(4 if version == 2 else 2)):
        work.step()
        item = numbers.next(4 if version == 2 else 2)
        construction = numbers.next(2) & 15 if version else _IN_FILE
        elsewhere = numbers.next(2)
        base = numbers.next(base_size)
        for _ in range(numbers.next(2)):
            work.step()
            if version:
                numbers.next(index_size)
            offset, length = numbers.next(offset_size), numbers.next(length_size)
            if item not in shown:
                continue
            if construction not in (_IN_FILE, _IN_META) or (construction == _IN_FILE and (elsewhere or not length)):
                if construction in (_IN_FILE, _IN_META):
                    raise UnreadableError("data without a place or an end")
                raise UnreadableError("data made of other items")
            yield construction, base + offset, length


def _boxes(photo: bytes, at: int, end: int, work: Work) -> Iterator[_Box]:
    while at != end:
        work.step()
        numbers = _Numbers(photo, at, end)
        size, kind = numbers.next(4), numbers.next(4).to_bytes(4, "big")
        if size == 1:
            size = numbers.next(8)
        elif size == 0:
            size = end - at
        if at + size > end or at + size < numbers.at:
            raise UnreadableError("a box lies outside of its own")
        yield _Box(kind, at, numbers.at, at + size)
        at += size
