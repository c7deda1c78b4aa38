"""HEIC and AVIF, box by box: what no library at hand writes."""

import struct

import pytest

from services.tasks.privacy.work import UnreadableError
from tests.unit.services.tasks.privacy.rebuilt import rebuilt
from tests.unit.services.tasks.privacy.telling import TELLING

PIXELS = b"pixels of the picture"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, body: bytes) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]) + body)


def item(number: int, kind: bytes, name: bytes = b"\0") -> bytes:
    return full(b"infe", 2, struct.pack(">HH4s", number, 0, kind) + name)


FTYP = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")


def photo(*, version: int = 1, construction: int = 1, items: bytes | None = None, more: bytes = b"") -> bytes:
    """A picture (item 1) and EXIF (item 2), one behind the other in ``idat`` or ``mdat``."""
    data = PIXELS + TELLING

    def meta(base: int) -> bytes:
        def place(number: int, offset: int, length: int) -> bytes:
            how = struct.pack(">H", construction) if version else b""
            return struct.pack(">H", number) + how + struct.pack(">HHII", 0, 1, base + offset, length)

        listed = items or item(1, b"hvc1") + item(2, b"Exif", TELLING + b"\0")
        locations = struct.pack(">BBH", 0x44, 0, 2) + place(1, 0, len(PIXELS)) + place(2, len(PIXELS), len(TELLING))
        parts = full(b"iinf", 0, struct.pack(">H", 2) + listed) + full(b"iloc", version, locations) + more
        return full(b"meta", 0, parts + (box(b"idat", data) if construction == 1 else b""))

    if construction == 1:
        return FTYP + meta(0)
    base = len(FTYP) + len(meta(0)) + 8
    return FTYP + meta(base) + box(b"mdat", data)


@pytest.mark.parametrize(("version", "construction"), [(1, 1), (1, 0), (0, 0)])
def test_the_data_of_pictures_stays_where_it_is(version: int, construction: int) -> None:
    told = photo(version=version, construction=construction)
    shown = rebuilt(told)
    assert len(shown) == len(told)
    assert shown.index(PIXELS) == told.index(PIXELS)
    assert told.count(TELLING) == 2
    assert TELLING not in shown
    assert b"Exif" not in shown


@pytest.mark.parametrize("kind", [b"uuid", b"mpvd", b"moov", b"free", b"sefd", b"meta"])
def test_boxes_that_are_not_known_become_free_ones(kind: bytes) -> None:
    told = photo(construction=0) + box(kind, TELLING)
    shown = rebuilt(told)
    assert (len(shown), PIXELS in shown, TELLING in shown) == (len(told), True, False)


def test_descriptions_among_the_properties_become_free_ones() -> None:
    properties = box(b"iprp", box(b"ipco", box(b"ispe", b"size") + full(b"udes", 0, TELLING)) + box(b"ipma", b"which"))
    shown = rebuilt(photo(more=properties + box(b"udta", TELLING)))
    assert TELLING not in shown
    assert b"ispesize" in shown
    assert b"which" in shown


@pytest.mark.parametrize("construction", [2, 3])
def test_data_made_of_other_items_is_refused(construction: int) -> None:
    with pytest.raises(UnreadableError):
        rebuilt(photo(construction=construction))


def test_a_file_without_a_picture_is_refused() -> None:
    with pytest.raises(UnreadableError):
        rebuilt(photo(items=item(1, b"mime") + item(2, b"Exif")))
    with pytest.raises(UnreadableError):
        rebuilt(FTYP + box(b"moov", TELLING) + box(b"mdat", TELLING))
