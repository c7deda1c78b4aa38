"""What a photo would cost to decode, told from its structure before any decoder sees it.

A header that claims few pixels does not bound the work: a progressive JPEG may go over all of them a thousand times, a
HEIC may name one tile for each of ten thousand places, and a file of millions of empty pieces keeps the parsers of
the decoders busy. Everything here is counted by looking at the structure alone, in time that grows with the file.

The bounds keep the decoding of any photo that is let through below :data:`MOST_CPU_SECONDS`; the worst that was
constructed for each is named beside it, measured on the machine of ``docs/performance.md``.
"""

import re
import struct
import zlib
from collections.abc import Iterator

MOST_CPU_SECONDS = 2.0

MAX_SCANS = 100
"""Of a JPEG. Cameras write 1, programs that optimise up to about 20."""

MAX_BLOCK_VISITS = 20_000_000
"""Blocks of 8 × 8 that all scans of a JPEG go over together: 53 megapixels in ten scans make 8 million."""

MAX_PIECES = 20_000
"""Segments of a JPEG, chunks of a PNG or WebP, boxes of a HEIC. The largest photos have a few thousand."""

MAX_TILE_PIXELS = 32_000_000
"""Of a HEIC: the pixels of all tiles that its picture is put together from, as often as each is named."""

MAX_HEIF_BYTES = 20_000_000
"""Of a HEIC's picture: here the bytes cost more than the pixels. 24 megapixels of a phone take 3 to 6 MB."""

_NEXT_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # neither a stuffed byte nor a restart
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}
_SCAN, _END, _APP0, _APP14, _COMMENT = 0xDA, 0xD9, 0xE0, 0xEE, 0xFE
_ALONE = frozenset({0x01, 0xD8})
_CUT_OFF_BYTES = 65_536  # of a JPEG without a scan that the decoder sees: it will say what is missing
_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})

SAVE_ANEW = "please open it in a photo app and save it as an ordinary JPEG, or send a new photo."


class CostlyPhotoError(Exception):
    """The photo would take too long to decode; the message is a sentence that tells the homeowner what to do."""


# ── JPEG ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def jpeg_to_decode(data: bytes) -> bytes:
    """Return a JPEG without what decoding its first picture does not need. Raises :class:`CostlyPhotoError`.

    Comments and application segments go, but for the two that tell how colours are coded: parsers of what they hold
    can be made to read the same bytes again and again.
    """
    frame, scans, visits = b"", 0, 0
    kept, last, reached = [], 0, 2
    for number, (marker, start, begin, end) in enumerate(_jpeg_pieces(data)):
        if number == MAX_PIECES:
            raise CostlyPhotoError(f"The photo is made of too many pieces: {SAVE_ANEW}")
        if not scans and start > reached:  # a decoder skips what lies between segments byte by byte
            kept.append(data[last:reached])
            last = start
        reached = end
        payload = data[begin : min(end, begin + 64)]
        if marker in _ARITHMETIC:
            raise CostlyPhotoError(f"The photo is an arithmetic-coded JPEG, which we do not read: {SAVE_ANEW}")
        if marker in _FRAMES:
            frame = frame or payload
        elif marker == _SCAN:
            scans += 1
            visits += _blocks(frame, payload)
            # The picture's own size bounds a single scan.
            if scans > MAX_SCANS or (scans > 1 and visits > MAX_BLOCK_VISITS):
                raise CostlyPhotoError(
                    f"The photo is a progressive JPEG of too many passes for its size ({scans} or more): {SAVE_ANEW}"
                )
        elif marker == _COMMENT or _APP0 < marker < _APP14 or marker == 0xEF:
            kept.append(data[last:start])
            last = end
    kept.append(data[last:] if scans else data[last : reached + _CUT_OFF_BYTES])
    return b"".join(kept)


def _jpeg_pieces(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (marker, start, payload's begin and end) of each segment up to the end of the first picture.

    As the decoder finds them: from any place, it goes on to the next byte that makes a marker, whatever lies between.
    """
    at = 2
    while (found := _NEXT_MARKER.search(data, at)) is not None:
        marker, begin = found[1][0], found.end()
        if marker == _END:
            return
        if marker in _ALONE or marker < 0xC0:
            at = begin
            yield marker, found.start(), begin, begin
            continue
        if begin + 2 > len(data):
            return
        end = begin + max(2, struct.unpack_from(">H", data, begin)[0])
        yield marker, found.start(), begin + 2, end
        at = end


def _blocks(frame: bytes, scan: bytes) -> int:
    """Return how many blocks a scan goes over, given the frame's header: those of each of its channels."""
    if len(frame) < 6 or not scan:
        return 0
    height, width = struct.unpack_from(">HH", frame, 1)
    factors = {frame[at]: frame[at + 1] for at in range(6, len(frame) - 2, 3)}
    across = max((both >> 4 for both in factors.values()), default=1) or 1
    down = max((both & 15 for both in factors.values()), default=1) or 1
    units = -(-width // (8 * across)) * -(-max(height, 1) // (8 * down))
    named = scan[1 : 1 + 2 * scan[0] : 2]
    return sum(units * (factors.get(channel, 0) >> 4) * (factors.get(channel, 0) & 15) for channel in named)


# ── PNG and WebP ─────────────────────────────────────────────────────────────────────────────────────────────────────


def png_to_decode(data: bytes) -> tuple[bytes, bool]:
    """Return a PNG's chunks that its first picture needs, and whether it is an animation.

    Raises :class:`CostlyPhotoError`.
    """
    kept, at, is_animation = [data[:8]], 8, False
    for _ in range(MAX_PIECES):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        is_animation |= kind == b"acTL"
        if kind in _KEPT_CHUNKS:
            kept.append(data[at:end])
        if kind == b"IEND":
            break
        at = end
    else:
        raise CostlyPhotoError(f"The photo is made of too many pieces: {SAVE_ANEW}")
    return b"".join(kept), is_animation


def raise_if_webp_costly(data: bytes) -> None:
    """Raise :class:`CostlyPhotoError` for a WebP of too many chunks, frames of an animation among them."""
    at, pieces = 12, 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        pieces += 1
        if pieces > MAX_PIECES:
            raise CostlyPhotoError(f"The photo is made of too many pieces: {SAVE_ANEW}")
        # A frame of an animation holds chunks itself; they are counted with the others.
        at += 24 if kind == b"ANMF" else 8 + length + length % 2


# ── orientation ──────────────────────────────────────────────────────────────────────────────────────────────────────

_ORIENTATION = 0x0112
_MOST_ENTRIES = 500


def orientation_of(exif: bytes) -> int:
    """Return the orientation (1..8) that EXIF bytes tell; 1 where they tell none.

    Only the first directory is looked at, and nothing that its entries refer to.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for index in range(min(count, _MOST_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * index)
            if tag == _ORIENTATION and kind == 3:
                return int(value) if 1 <= value <= 8 else 1
    except (struct.error, KeyError):
        pass  # a damaged EXIF block costs the orientation, not the photo
    return 1


def jpeg_exif(data: bytes) -> bytes:
    """Return the EXIF of a JPEG, empty where there is none; only its first few segments are looked at."""
    for _, (marker, _, begin, end) in zip(range(100), _jpeg_pieces(data), strict=False):
        if marker == 0xE1 and data[begin : begin + 6] == b"Exif\0\0":
            return data[begin:end]
        if marker == _SCAN:
            break
    return b""


def png_exif(data: bytes) -> bytes:
    """Return the EXIF of a PNG, empty where there is none; only its first chunks are looked at."""
    at = 8
    for _ in range(MAX_PIECES):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            return data[at + 8 : at + 8 + min(length, 65536)]
        at += 12 + length
    return b""


# ── colour profiles ──────────────────────────────────────────────────────────────────────────────────────────────────

_JPEG_PROFILE = b"ICC_PROFILE\0"
_MOST_SEGMENTS = 1_000  # looked at for a profile; a profile of 4 MB takes 62


def jpeg_profile(data: bytes, most_bytes: int) -> bytes:
    """Return the ICC profile of a JPEG, empty where there is none or it is larger than ``most_bytes``."""
    parts: dict[int, bytes] = {}
    for _, (marker, _, begin, end) in zip(range(_MOST_SEGMENTS), _jpeg_pieces(data), strict=False):
        if marker == 0xE2 and data[begin : begin + 12] == _JPEG_PROFILE and end > begin + 14:
            parts.setdefault(data[begin + 12], data[begin + 14 : end])
        if marker == _SCAN:
            break
    profile = b"".join(parts[number] for number in sorted(parts))
    return profile if len(profile) <= most_bytes else b""


def png_profile(data: bytes, most_bytes: int) -> bytes:
    """Return the ICC profile of a PNG, empty where there is none, it is damaged or larger than ``most_bytes``."""
    at = 8
    for _ in range(MAX_PIECES):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"iCCP":
            _name, _, packed = data[at + 8 : at + 8 + length].partition(b"\0")
            unpacking = zlib.decompressobj()
            try:
                profile = unpacking.decompress(packed[1:], most_bytes + 1)
            except zlib.error:
                return b""
            return profile if len(profile) <= most_bytes else b""
        if kind == b"IDAT":
            break
        at += 12 + length
    return b""


_MATRIX_TAGS = frozenset({b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"})
_TABLES = re.compile(rb"[ADB]2[ADB][0-3]")  # A2B0, B2A0, D2B0 and their like
_MOST_PROFILE_TAGS = 100


def is_matrix_profile(profile: bytes) -> bool:
    """Whether an ICC profile converts colours by a matrix and three curves alone, in bounded time."""
    if len(profile) < 132:
        return False
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > _MOST_PROFILE_TAGS or 132 + 12 * count > len(profile):
        return False
    tags = {profile[132 + 12 * number : 136 + 12 * number] for number in range(count)}
    return tags >= _MATRIX_TAGS and not any(_TABLES.fullmatch(tag) for tag in tags)
