"""What kind of picture some bytes are. Clients name every file ``application/octet-stream``, so only bytes count."""

import struct

ANALYSED = frozenset({"image/jpeg", "image/png", "image/webp", "image/heic"})
"""What analysis reads, and so what we take. The store holds others that the old backend took: they are only shown."""

ANALYSED_IF_THERMAL = frozenset({"image/bmp", "image/tiff"})
"""What analysis reads, and we take, only where a thermal camera or its program wrote it: see ThermalProbe."""

HEAD_BYTES = 32
"""So many of a file's first bytes tell any type."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"avif")

_BMP_HEAD, _COLOURS_BYTES, _NOTES_BYTES = 54, 512, 26  # of a UNI-T camera's BMP
_MOST_TAGS, _TAG_BYTES = 64, 12  # of a TIFF
_WIDTH, _HEIGHT, _BITS, _SAMPLES = 0x100, 0x101, 0x102, 0x115
_TILES = frozenset({0x142, 0x143})
_SHORT, _LONG = 3, 4
_SENSOR_SIDES, _SENSOR_ASPECT = (24, 32, 2048), 12  # least of the shorter and the longer side, most; longer to shorter


def media_type(head: bytes) -> str | None:
    """The media type that the first HEAD_BYTES bytes of a file tell, or None when they are no picture that we know."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "image/avif" if head[8:12] == b"avif" else "image/heic"
    if head.startswith((b"II*\x00", b"MM\x00*")):
        return "image/tiff"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"BM") and head[6:10] == bytes(4):  # two letters alone begin many a text
        return "image/bmp"
    return None


class ThermalProbe:
    """Tells whether a BMP or TIFF holds a thermal sensor's data, while the file passes in pieces of any size.

    The first bytes tell where the telling part lies: a UNI-T camera's notes behind the picture, or a TIFF's directory.
    Nothing else is kept, so a probe holds less than 1 KiB. The formats are described where analysis reads them.
    """

    def __init__(self) -> None:
        self._head = b""
        self._place: tuple[int, int] | None = None  # where the telling part begins and ends
        self._part = b""
        self._seen = 0

    def feed(self, data: bytes) -> None:
        """Look at the next piece of the file."""
        if len(self._head) < _BMP_HEAD:
            self._head += data[: _BMP_HEAD - len(self._head)]
            if len(self._head) == _BMP_HEAD:
                self._place = _telling_part(self._head)
                self._part = b"" if self._place is None else self._head[slice(*self._place)]
        if self._place is not None:
            start, stop = (max(0, at - self._seen) for at in (self._place[0] + len(self._part), self._place[1]))
            self._part += data[start:stop]
        self._seen += len(data)

    def is_thermal(self) -> bool:
        """Whether the file, now at its end, is a thermal one."""
        if self._head.startswith(b"BM"):
            return _are_uni_t_notes(self._part, struct.unpack_from("<ii", self._head.ljust(_BMP_HEAD, b"\0"), 18))
        return _describes_sensor(self._part, "<" if self._head.startswith(b"II") else ">")


def _telling_part(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"BM"):
        (size,) = struct.unpack_from("<I", head, 2)
        width, height = struct.unpack_from("<ii", head, 18)
        notes = size + width * abs(height) + _COLOURS_BYTES
        fits = size >= _BMP_HEAD and width > 0 and _is_sensor_size(width, abs(height))
        return (notes, notes + _NOTES_BYTES) if fits else None
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None:
        return None
    (directory,) = struct.unpack_from(f"{order}I", head, 4)
    return directory, directory + 2 + _MOST_TAGS * _TAG_BYTES


def _are_uni_t_notes(notes: bytes, size: tuple[int, int]) -> bool:
    if len(notes) < _NOTES_BYTES:
        return False
    unit, hottest, coldest, centre, emissivity = struct.unpack_from("<Bhh2xhB", notes)
    places = struct.unpack_from("<6H", notes, 14)
    inside = all(column < size[0] for column in places[::2]) and all(row < abs(size[1]) for row in places[1::2])
    return unit <= 1 and inside and coldest <= centre <= hottest and 0 < emissivity <= 100


def _describes_sensor(directory: bytes, order: str) -> bool:
    """Whether a TIFF's directory tells of one channel of 16 bits that a thermal sensor may have."""
    count = struct.unpack_from(f"{order}H", directory)[0] if len(directory) >= 2 else 0
    if not 0 < count <= _MOST_TAGS or len(directory) < 2 + _TAG_BYTES * count:
        return False
    tags: dict[int, int] = {}
    for entry in range(count):
        tag, kind, number, value = struct.unpack_from(f"{order}HHI4s", directory, 2 + _TAG_BYTES * entry)
        if tag in _TILES:
            return False
        if number == 1 and kind in (_SHORT, _LONG):
            (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", value)
    is_sensor = _is_sensor_size(tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0))
    return is_sensor and tags.get(_BITS) == 16 and tags.get(_SAMPLES, 1) == 1


def _is_sensor_size(width: int, height: int) -> bool:
    shorter, longer = sorted((width, height))
    least_shorter, least_longer, most = _SENSOR_SIDES
    return least_shorter <= shorter and least_longer <= longer <= min(most, _SENSOR_ASPECT * shorter)
