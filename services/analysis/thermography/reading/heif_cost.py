"""What a HEIC would cost to decode, told from its boxes before any decoder sees it.

A HEIC's picture is put together from items. Its own claim of a size says little: a grid may name one tile for each of
ten thousand places, a tile may be larger than the part of it that shows, and an item may hold a whole film. So what
counts here is what is decoded: for each item that the picture is made of, as often as it is named, the size in its
sequence parameters times the pictures in its data. The layout of the boxes is that of ISO/IEC 14496-12 and 23008-12,
that of the parameters ITU-T H.265, 7.3.2.2.
"""

import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.analysis.thermography.reading.decoding_cost import (
    MAX_HEIF_BYTES,
    MAX_PIECES,
    MAX_TILE_PIXELS,
    SAVE_ANEW,
    CostlyPhotoError,
)

_CODED, _DERIVED = b"hvc1", frozenset({b"grid", b"iden"})
_TEXTS = frozenset({b"Exif", b"mime", b"uri "})
_IGNORED = b"none"
_PARAMETERS = 33  # the type of a sequence parameter set
_TRANSPARENCY = frozenset({b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"})
_MOST_DEPTH = 4
_MOST_PARAMETERS = 16
_HEAD = 128  # bytes of a unit that tell its kind, and the size of its pictures


@dataclass(slots=True)
class _Items:
    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    extras: list[int] = field(default_factory=list)  # auxiliary pictures, transparency among them
    properties: list[tuple[bytes, int, int]] = field(default_factory=list)
    of_item: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    idat: int = 0
    texts: list[int] = field(default_factory=list)  # where the kinds of items stand that hold text
    pixels: dict[int, int] = field(default_factory=dict)  # of items that were looked at
    units: int = 0  # that were looked at
    bytes: int = 0  # of items that were looked at


def heif_to_decode(data: bytes) -> bytes:
    """Return a HEIC whose texts (EXIF and the like) no parser will look into. Raises :class:`CostlyPhotoError`."""
    items = _Items()
    try:
        _read(data, items)
        pixels = _pixels(data, items, items.primary, 0)
        for item in set(items.extras):
            if items.kinds.get(item) in {_CODED, *_DERIVED} and _is_transparency(data, items, item):
                pixels += _pixels(data, items, item, 0)
    except (struct.error, IndexError):
        return data  # the decoder finds it damaged too: boxes that cannot be read name no item
    if pixels > MAX_TILE_PIXELS:
        raise CostlyPhotoError(
            f"The photo is put together from too many tiles ({pixels / 1e6:.0f} megapixels of them): {SAVE_ANEW}"
        )
    changed = bytearray(data)
    for at in items.texts:
        changed[at : at + 4] = _IGNORED
    return bytes(changed)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, begin, end) of the contents of each box in a range."""
    for _ in range(MAX_PIECES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        stop = end if size == 0 else at + size
        if stop < begin or stop > end:
            return
        yield kind, begin, stop
        at = stop
    raise CostlyPhotoError(f"The photo is made of too many pieces: {SAVE_ANEW}")


def _read(data: bytes, items: _Items) -> None:
    for kind, begin, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            _read_meta(data, begin + 4, end, items)


def _read_meta(data: bytes, at: int, stop: int, items: _Items) -> None:
    for kind, begin, end in _boxes(data, at, stop):
        version = data[begin] if begin < end else 0
        if kind == b"pitm":
            items.primary = struct.unpack_from(">I" if version else ">H", data, begin + 4)[0]
        elif kind == b"idat":
            items.idat = begin
        elif kind == b"iinf":
            _read_kinds(data, begin + (8 if version else 6), end, items)
        elif kind == b"iloc":
            _read_extents(data, begin, version, items)
        elif kind == b"iref":
            _read_references(data, begin + 4, end, ">I" if version else ">H", items)
        elif kind == b"iprp":
            _read_properties(data, begin, end, items)


def _read_kinds(data: bytes, at: int, stop: int, items: _Items) -> None:
    for kind, begin, _ in _boxes(data, at, stop):
        if kind == b"infe" and data[begin] >= 2:
            wide = data[begin] >= 3
            (item,) = struct.unpack_from(">I" if wide else ">H", data, begin + 4)
            place = begin + 4 + (4 if wide else 2) + 2
            items.kinds[item] = data[place : place + 4]
            if items.kinds[item] in _TEXTS:
                items.texts.append(place)


def _read_extents(data: bytes, begin: int, version: int, items: _Items) -> None:
    sizes, more = data[begin + 4], data[begin + 5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    count, at = _number(data, begin + 6, wide), begin + 6 + wide
    for _ in range(_few(count)):
        item = _number(data, at, wide)
        at += wide
        method = _number(data, at, 2) & 15 if version in (1, 2) else 0
        at += 4 if version in (1, 2) else 2
        base = _number(data, at, base_size)
        extents = _number(data, at + base_size, 2)
        at += base_size + 2
        for _ in range(_few(extents)):
            at += index_size
            offset = _number(data, at, offset_size)
            length = _number(data, at + offset_size, length_size)
            at += offset_size + length_size
            items.extents[item].append((base + offset, length, method))


def _few(count: int) -> int:
    if count > MAX_PIECES:
        raise CostlyPhotoError(f"The photo is made of too many pieces: {SAVE_ANEW}")
    return count


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size])


def _read_references(data: bytes, at: int, stop: int, form: str, items: _Items) -> None:
    wide = struct.calcsize(form)
    total = 0
    for kind, begin, end in _boxes(data, at, stop):
        (source,) = struct.unpack_from(form, data, begin)
        (count,) = struct.unpack_from(">H", data, begin + wide)
        named = [_number(data, begin + wide + 2 + wide * n, wide) for n in range(count) if begin + wide * n < end]
        total = _few(total + len(named))
        if kind == b"dimg":
            items.parts[source] += named
        elif kind == b"auxl":
            items.extras.append(source)


def _read_properties(data: bytes, at: int, stop: int, items: _Items) -> None:
    for kind, begin, end in _boxes(data, at, stop):
        if kind == b"ipco":
            items.properties = list(_boxes(data, begin, end))
        elif kind == b"ipma":
            wide, far = (4 if data[begin] else 2), data[begin + 3] & 1
            count, place, total = _number(data, begin + 4, 4), begin + 8, 0
            for _ in range(_few(count)):
                item = _number(data, place, wide)
                own = data[place + wide]
                place += wide + 1
                total = _few(total + own)
                for _ in range(own):
                    index = _number(data, place, 1 + far) & (0x7FFF if far else 0x7F)
                    place += 1 + far
                    items.of_item[item].append(index - 1)


def _pixels(data: bytes, items: _Items, item: int, depth: int) -> int:
    """Return how many pixels are decoded for an item, those of all its parts included."""
    if item in items.pixels:
        return items.pixels[item]
    kind = items.kinds.get(item, b"")
    if kind in _DERIVED and depth < _MOST_DEPTH:
        parts = Counter(items.parts[item])
        pixels = sum(times * _pixels(data, items, part, depth + 1) for part, times in parts.items())
    elif kind == _CODED:
        pixels = _coded_pixels(data, items, item)
    else:
        raise CostlyPhotoError(f"The photo is a HEIC of a kind that we do not read: {SAVE_ANEW}")
    items.pixels[item] = pixels
    return pixels


def _is_transparency(data: bytes, items: _Items, item: int) -> bool:
    """Return whether an auxiliary picture is decoded together with the picture that it belongs to."""
    named = [items.properties[index] for index in items.of_item[item] if 0 <= index < len(items.properties)]
    return any(
        kind == b"auxC" and data[begin + 4 : min(end, begin + 68)].split(b"\0")[0] in _TRANSPARENCY
        for kind, begin, end in named
    )


def _coded_pixels(data: bytes, items: _Items, item: int) -> int:
    """Return the pixels of a coded item: of its largest size, as often as there are pictures in its data."""
    area = 0
    for index in items.of_item[item]:
        if 0 <= index < len(items.properties):
            name, begin, end = items.properties[index]
            if name == b"ispe":
                area = max(area, _number(data, begin + 4, 4) * _number(data, begin + 8, 4))
            elif name == b"hvcC":
                area = max(area, max(map(_area, _configured(data, begin, end)), default=0))
    pictures = 0
    for unit in _units(data, items, item):
        if (unit[0] >> 1) & 63 == _PARAMETERS:
            area = max(area, _area(unit))
        elif unit[0] >> 7 == 0 and (unit[0] >> 1) & 63 < 32 and len(unit) > 2 and unit[2] >> 7:
            pictures += 1
    return area * max(pictures, 1)


def _configured(data: bytes, begin: int, end: int) -> Iterator[bytes]:
    """Yield the sequence parameter sets of a decoder configuration."""
    at = begin + 23
    for _ in range(data[begin + 22]):
        kind, count = data[at] & 63, _number(data, at + 1, 2)
        at += 3
        if count > _MOST_PARAMETERS:
            raise CostlyPhotoError(f"The photo is made of too many pieces: {SAVE_ANEW}")
        for _ in range(count):
            length = _number(data, at, 2)
            if kind == _PARAMETERS and at + 2 + length <= end:
                yield data[at + 2 : at + 2 + length]
            at += 2 + length


def _units(data: bytes, items: _Items, item: int) -> Iterator[bytes]:
    """Yield the head of each unit of an item's data: what is before it tells its length."""
    pieces = []
    for offset, length, method in items.extents[item]:
        start = offset + (items.idat if method == 1 else 0)
        pieces.append(data[start : start + length] if length else data[start:])
        items.bytes += len(pieces[-1])
        if items.bytes > MAX_HEIF_BYTES:
            raise CostlyPhotoError(f"The photo's file is too large for a HEIC: {SAVE_ANEW}")
        if items.bytes > len(data):  # items that share their data could be made to read it without an end
            raise CostlyPhotoError(f"The photo's pieces overlap: {SAVE_ANEW}")
    body, at = b"".join(pieces), 0
    while at + 6 <= len(body):
        items.units = _few(items.units + 1)
        length = int.from_bytes(body[at : at + 4])
        yield body[at + 4 : at + 4 + min(length, _HEAD)] or b"\xff"
        at += 4 + length


def _area(unit: bytes) -> int:
    """Return the pixels of the pictures that a sequence parameter set describes; as good as endless, if unreadable."""
    bits = _Bits(unit[2:_HEAD].replace(b"\0\0\3", b"\0\0"))
    try:
        bits.take(4)
        layers = bits.take(3)
        bits.take(1 + 88 + 8)
        present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
        bits.take(2 * (8 - layers) if layers else 0)
        for profile, level in present:
            bits.take(88 * profile + 8 * level)
        bits.golomb()
        if bits.golomb() == 3:
            bits.take(1)
        return bits.golomb() * bits.golomb()
    except IndexError:
        return MAX_TILE_PIXELS + 1


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
