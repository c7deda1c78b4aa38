"""Photos that are built to be looked at for as long as possible: about ``size`` bytes each, of every form."""

import struct
import zlib
from collections.abc import Callable

from tests.unit.services.tasks.privacy.test_heif import FTYP, box, full, item

END = b"\xff\xd9"
SCAN = b"\xff\xda\0\2" + bytes(10)
FULL_SEGMENT = 65533


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + SCAN + END


def many(part: bytes, size: int) -> bytes:
    return part * (size // len(part))


def in_segments(marker: int, data: bytes, head: Callable[[int, int], bytes]) -> bytes:
    """``data`` in segments that each begin with ``head(number, count)``."""
    step = FULL_SEGMENT - len(head(0, 1))
    parts = [data[at : at + step] for at in range(0, len(data), step)][:250]
    return b"".join(segment(marker, head(number, len(parts)) + part) for number, part in enumerate(parts))


def flir(records: list[tuple[int, int, int]], body: bytes) -> bytes:
    """Segments of a FLIR file with a directory of (kind, from, size): ``body`` lies behind it."""
    header = b"FFF\0" + bytes(16) + struct.pack(">IIII", 101, 64, len(records), 0)
    entries = b"".join(struct.pack(">HHIIII", kind, 0, 0, 0, at, n) + bytes(12) for kind, at, n in records)
    file = header.ljust(64, b"\0") + entries + body
    return in_segments(0xE1, file, lambda number, count: b"FLIR\0\1" + bytes([number, count - 1]))


DIRECTORY = 64 + 128 * 32


def flir_names_a_picture_128_times(size: int) -> bytes:
    picture = jpeg(b"\xff\xda\0\2" + bytes(size - DIRECTORY - 40))
    return jpeg(flir([(0x0E, DIRECTORY, 32 + len(picture))] * 128, bytes(32) + picture))


def flir_names_pictures_that_overlap(size: int) -> bytes:
    pictures = many(bytes(32) + jpeg(), size)
    records = [(0x0E, DIRECTORY + 32 * number, len(pictures) - 32 * number) for number in range(128)]
    return jpeg(flir(records, pictures))


def flir_holds_a_picture_of_small_segments(size: int) -> bytes:
    picture = b"\xff\xd8" + many(segment(0xDB, b""), size) + SCAN + END
    return jpeg(flir([(0x0E, DIRECTORY, 32 + len(picture))] * 128, bytes(32) + picture))


def flir_names_every_other_byte(size: int) -> bytes:
    records = [(0x01, DIRECTORY + 2 * number, 1) for number in range(128)]
    return jpeg(*[flir(records, bytes(300))], segment(0xFE, bytes(min(size, 60_000))))


def jpeg_of_small_segments(size: int) -> bytes:
    return jpeg(many(segment(0xFE, b""), size))


def jpeg_of_small_tables(size: int) -> bytes:
    return jpeg(many(segment(0xDB, b"x") + segment(0xFE, b""), size))


def jpeg_of_padding(size: int) -> bytes:
    return jpeg(many(b"\xff" * 60 + segment(0xFE, b""), size))


def jpeg_of_scans(size: int) -> bytes:
    return jpeg(many(b"\xff\xda\0\2", size))


def jpeg_of_stuffed_bytes(size: int) -> bytes:
    return b"\xff\xd8\xff\xda\0\2" + many(b"\xff\0", size) + END


def jpeg_of_profile_parts(size: int) -> bytes:
    return jpeg(many(segment(0xE2, b"ICC_PROFILE\0\1\1"), size))


def jpeg_with_a_profile_that_names_its_bytes_again(size: int) -> bytes:
    tags = b"".join(struct.pack(">4sII", b"A2B0", 132 + 12 * 100 + n, size - 3000) for n in range(100))
    profile = struct.pack(">I", size) + bytes(32) + b"acsp" + bytes(88) + struct.pack(">I", 100) + tags
    data = profile + many(b"mft2", size - len(profile))
    return jpeg(in_segments(0xE2, data, lambda number, count: b"ICC_PROFILE\0" + bytes([number + 1, count])))


def jpeg_with_exif_of_many_entries(size: int) -> bytes:
    entries = b"MM\0*" + struct.pack(">IH", 8, 0xFFFF) + bytes(60_000)
    return jpeg(many(segment(0xE1, b"Exif\0\0" + entries), size))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png_of_empty_chunks(size: int) -> bytes:
    return png(many(chunk(b"IDAT", b"") + chunk(b"tEXt", b""), size))


def png_of_profiles(size: int) -> bytes:
    return png(many(chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(10_000_000))), size))


def png_of_exif(size: int) -> bytes:
    return png(many(chunk(b"eXIf", b"MM\0*" + struct.pack(">IH", 8, 0xFFFF) + bytes(12_000)), size))


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks) + riff(b"VP8 ", b"pixels")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def webp_of_frames(size: int) -> bytes:
    return webp(many(riff(b"ANMF", bytes(16) + riff(b"VP8 ", b"") * 1000), size))


def webp_of_small_frames(size: int) -> bytes:
    return webp(many(riff(b"ANMF", bytes(16)) + riff(b"XMP ", b""), size))


def webp_of_empty_chunks(size: int) -> bytes:
    return webp(many(riff(b"XMP ", b"") + riff(b"ICCP", b""), size))


def gif_of_empty_extensions(size: int) -> bytes:
    return b"GIF89a" + bytes(7) + many(b"\x21\x01\0", size) + b";"


def gif_of_small_blocks(size: int) -> bytes:
    return b"GIF89a" + bytes(7) + b"\x21\xf9" + many(b"\1x", size) + b"\0;"


def gif_of_shown_and_hidden_extensions(size: int) -> bytes:
    return b"GIF89a" + bytes(7) + many(b"\x21\xf9\0\x21\x01\0", size) + b";"


def bmp(size: int) -> bytes:
    head = b"BM" + struct.pack("<IIII", size, 0, 54, 40)
    return head + struct.pack("<iiHHIIiiII", size, 1 << 20, 1, 24, 0, 0, 0, 0, 0xFFFFFFF, 0) + bytes(size)


def tiff_of_pages(size: int) -> bytes:
    """Pages of entries that all name the same table of strips."""
    count = (size - 8 - 64 * 100) // 4
    strips = 8 + 64 * 30
    page_bytes = 2 + 2 * 12 + 4
    pages = b"".join(
        struct.pack(">H", 2)
        + struct.pack(">HHII", 273, 4, count, strips)
        + struct.pack(">HHII", 279, 4, count, strips)
        + struct.pack(">I", 0 if number == 63 else 8 + page_bytes * (number + 1))
        for number in range(64)
    )
    return b"MM\0*" + struct.pack(">I", 8) + pages.ljust(64 * page_bytes, b"\0") + bytes(size)


def tiff_of_entries(size: int) -> bytes:
    count = min(size // 12, 0xFFFF)
    return b"MM\0*" + struct.pack(">IH", 8, count) + many(struct.pack(">HHII", 256, 4, 1, 0), size) + bytes(12)


def tiff_of_profiles(size: int) -> bytes:
    count = 1000
    entries = b"".join(struct.pack(">HHII", 34675, 7, size - number, 8) for number in range(count))
    return b"MM\0*" + struct.pack(">IH", 8, count) + entries + bytes(4) + bytes(size)


def heif(properties: bytes = b"", *, items: bytes = b"", places: bytes = b"", more: bytes = b"") -> bytes:
    listed = full(b"iinf", 0, struct.pack(">H", 1) + (items or item(1, b"hvc1")))
    located = full(b"iloc", 1, places or struct.pack(">BBHHHHHII", 0x44, 0, 1, 1, 1, 0, 1, 0, 4))
    meta = full(
        b"meta", 0, listed + located + (box(b"iprp", properties) if properties else b"") + box(b"idat", b"data")
    )
    return FTYP + meta + more


def heif_of_property_containers(size: int) -> bytes:
    return heif(many(box(b"ipco", box(b"udes", b"") * 1000), size))


def heif_of_small_property_containers(size: int) -> bytes:
    return heif(many(box(b"ipco", b"") + box(b"ipco", box(b"colr", b"prof")), size))


def heif_of_boxes(size: int) -> bytes:
    return heif(more=many(box(b"free", b""), size))


def heif_of_items(size: int) -> bytes:
    return heif(items=many(item(1, b"hvc1") + item(2, b"mime"), size))


def heif_of_extents(size: int) -> bytes:
    """One item whose extents all lie over each other."""
    count = min(size // 8, 0xFFFF)
    head = struct.pack(">BBHHHHH", 0x44, 0, 1, 1, 1, 0, count)
    return heif(places=head + struct.pack(">II", 0, 4) * count)


def heif_of_empty_extents(size: int) -> bytes:
    """Extents that take no room in the table."""
    head = struct.pack(">BBH", 0, 0, 0xFFFF)
    return heif(places=head + struct.pack(">HHHH", 1, 1, 0, 0xFFFF) * (size // 8))


ALL: dict[str, Callable[[int], bytes]] = {
    made.__name__: made
    for made in (
        flir_names_a_picture_128_times,
        flir_names_pictures_that_overlap,
        flir_holds_a_picture_of_small_segments,
        flir_names_every_other_byte,
        jpeg_of_small_segments,
        jpeg_of_small_tables,
        jpeg_of_padding,
        jpeg_of_scans,
        jpeg_of_stuffed_bytes,
        jpeg_of_profile_parts,
        jpeg_with_a_profile_that_names_its_bytes_again,
        jpeg_with_exif_of_many_entries,
        png_of_empty_chunks,
        png_of_profiles,
        png_of_exif,
        webp_of_frames,
        webp_of_small_frames,
        webp_of_empty_chunks,
        gif_of_empty_extensions,
        gif_of_small_blocks,
        gif_of_shown_and_hidden_extensions,
        bmp,
        tiff_of_pages,
        tiff_of_entries,
        tiff_of_profiles,
        heif_of_property_containers,
        heif_of_small_property_containers,
        heif_of_boxes,
        heif_of_items,
        heif_of_extents,
        heif_of_empty_extents,
    )
}
