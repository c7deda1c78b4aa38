"""No photo that is let through takes long to decode, however it was made to."""

import contextlib
import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from services.analysis.thermography.reading import decoding_cost, pictures
from services.analysis.thermography.reading.decoding_cost import (
    MAX_PIECES,
    MAX_SCANS,
    MAX_TILE_PIXELS,
    MOST_CPU_SECONDS,
    CostlyPhotoError,
    is_matrix_profile,
    jpeg_profile,
    jpeg_to_decode,
    orientation_of,
    png_profile,
)
from services.analysis.thermography.reading.heif_cost import heif_to_decode
from services.analysis.thermography.reading.pictures import UnreadablePhotoError, open_picture

SLOW_MACHINE = 3.0
"""Times that the machine of a test may be slower than the one that the bounds were measured on."""


def flat(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (100, 90, 80))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def many_scans(width: int, height: int, count: int) -> bytes:
    """A whole progressive JPEG, its last scan repeated."""
    data = saved(flat(width, height), "JPEG", progressive=True)
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]


def with_segment(data: bytes, at: int, segment: bytes) -> bytes:
    return data[:at] + segment + data[at:]


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a decoder was called")

    monkeypatch.setattr(pictures.Image, "open", never)
    monkeypatch.setattr(pictures.pillow_heif, "open_heif", never)


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadablePhotoError) as refused:
        open_picture(data, enough=1000)
    return str(refused.value)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "data",
    [
        many_scans(4000, 3000, 1200),
        many_scans(64, 64, MAX_SCANS + 1),
        many_scans(7200, 7200, 40),
    ],
    ids=["a small file of a thousand scans", "a small picture of many scans", "a large picture of few scans"],
)
def test_a_jpeg_whose_scans_take_too_long_is_refused_before_it_is_decoded(data: bytes) -> None:
    sentence = refusal(data)
    assert "progressive JPEG" in sentence
    assert "please" in sentence


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("marker", [0xFE, 0xE5])
def test_scans_are_counted_behind_an_end_marker_that_a_segment_holds(marker: int) -> None:
    data = many_scans(640, 480, 2 * MAX_SCANS)
    inside = with_segment(data, data.rfind(b"\xff\xda"), b"")
    first_end = inside.find(b"\xff\xda", inside.find(b"\xff\xda") + 2)
    hidden = with_segment(inside, first_end, bytes([0xFF, marker]) + b"\x00\x04\xff\xd9")
    assert "progressive JPEG" in refusal(hidden)


@pytest.mark.usefixtures("no_decoder")
def test_scans_are_counted_behind_bytes_that_mean_nothing() -> None:
    data = many_scans(640, 480, 2 * MAX_SCANS)
    frame = data.find(b"\xff\xc2")
    assert "progressive JPEG" in refusal(with_segment(data, frame, b"\x00\x17junk"))


@pytest.mark.usefixtures("no_decoder")
def test_an_arithmetic_coded_jpeg_is_refused_with_what_to_do() -> None:
    data = saved(flat(640, 480), "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert "save it as an ordinary JPEG" in refusal(data)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * (MAX_PIECES + 1),
        saved(flat(64, 64), "PNG")[:33] + struct.pack(">I4sI", 0, b"tEXt", 0) * (MAX_PIECES + 1),
        b"RIFF\x00\x00\x00\x00WEBP" + b"ANMF\x10\x00\x00\x00" * 3 * (MAX_PIECES + 1),
    ],
    ids=["jpeg", "png", "webp"],
)
def test_a_file_of_too_many_pieces_is_refused(data: bytes) -> None:
    assert "too many pieces" in refusal(data)


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"progressive": True, "subsampling": 0}, {"restart_marker_blocks": 1}],
    ids=["baseline", "progressive", "full colours", "restart markers"],
)
def test_what_cameras_and_programs_write_is_let_through(options: dict[str, object]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", **options)
    assert open_picture(data, enough=640).size == (640, 480)


def test_the_picture_of_a_jpeg_survives_the_loss_of_what_it_does_not_need() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "x" * 1000
    data = saved(noise, "JPEG", exif=exif, comment=b"a comment")
    bare = jpeg_to_decode(data)
    assert b"a comment" not in bare
    assert b"xxxx" not in bare
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(bare))), np.asarray(Image.open(io.BytesIO(data))))


def worst_jpeg() -> bytes:
    return many_scans(7200, 7200, 12)


def long_png() -> bytes:
    """30 megapixels of 16-bit colours with transparency, in seven passes."""
    side = 5472

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 1)
    packer, rows = zlib.compressobj(1), bytes(8 * side + 1)
    body = b"".join(packer.compress(rows) for _ in range(2 * side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def fill() -> bytes:
    return b"\xff\xd8\xff\xe0" + b"\xff" * 25_000_000


def png_with_greedy_exif() -> bytes:
    """Sixty thousand entries that each name all of the other bytes."""
    entries = 60_000
    size = 12 * entries + 2_000_000
    tiff = b"MM\x00\x2a" + struct.pack(">IH", 8, entries)
    tiff += b"".join(struct.pack(">HHII", number, 7, 2_000_000, 12 * entries + 10) for number in range(entries))
    tiff += bytes(size - len(tiff))
    data = saved(flat(64, 64), "PNG")
    return data[:33] + struct.pack(">I", len(tiff)) + b"eXIf" + tiff + bytes(4) + data[33:]


@pytest.mark.parametrize("make", [worst_jpeg, long_png, fill, png_with_greedy_exif], ids=lambda make: make.__name__)
def test_the_worst_photos_that_were_constructed_stay_below_the_bound(make: Callable[[], bytes]) -> None:
    data = make()
    started = time.process_time()
    with contextlib.suppress(UnreadablePhotoError):
        open_picture(data, enough=1000)
    assert time.process_time() - started < MOST_CPU_SECONDS * SLOW_MACHINE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_the_orientation_is_read_from_every_format(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(saved(flat(64, 48), kind, exif=exif), enough=64)
    assert picture.size == ((48, 64) if orientation >= 5 else (64, 48))
    assert picture.rgb.shape[:2] == picture.size[::-1]


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"XX*\0" + bytes(90)])
def test_damaged_exif_is_upright(exif: bytes) -> None:
    assert orientation_of(exif) == 1


# ── HEIC ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def heic(width: int = 256, height: int = 192, **options: object) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    pillow_heif.from_pillow(Image.fromarray(noise).resize((width, height))).save(file, **options)
    return file.getvalue()


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def heic_of(kinds: list[bytes], references: list[tuple[int, list[int]]], area: tuple[int, int]) -> bytes:
    """A HEIC's boxes: items 1, 2, … of these kinds, what each is made of, and the size of all."""
    infes = b"".join(
        box(b"infe", b"\x02\0\0\0" + struct.pack(">HH", number, 0) + kind + b"\0")
        for number, kind in enumerate(kinds, 1)
    )
    dimgs = b"".join(
        box(b"dimg", struct.pack(f">HH{len(parts)}H", source, len(parts), *parts)) for source, parts in references
    )
    ipma = b"".join(struct.pack(">HBB", number, 1, 1) for number in range(1, len(kinds) + 1))
    meta = (
        box(b"pitm", bytes(4) + struct.pack(">H", 1))
        + box(b"iinf", bytes(4) + struct.pack(">H", len(kinds)) + infes)
        + box(b"iref", bytes(4) + dimgs)
        + box(
            b"iprp",
            box(b"ipco", box(b"ispe", bytes(4) + struct.pack(">II", *area)))
            + box(b"ipma", bytes(4) + struct.pack(">I", len(kinds)) + ipma),
        )
    )
    return box(b"ftyp", b"heic" + bytes(4)) + box(b"meta", bytes(4) + meta)


def test_an_ordinary_heic_is_let_through_and_shows_the_same() -> None:
    data = heic(exif=b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x00")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "heif_to_decode", lambda unchanged: unchanged)
        before = open_picture(data, enough=256)
    after = open_picture(data, enough=256)
    assert after.size == (256, 192)
    assert np.array_equal(before.rgb, after.rgb)


@pytest.mark.usefixtures("no_decoder")
def test_a_grid_that_names_one_tile_for_every_place_is_refused() -> None:
    tiles = MAX_TILE_PIXELS // (512 * 512) + 2
    assert "too many tiles" in refusal(heic_of([b"grid", b"hvc1"], [(1, [2] * tiles)], (512, 512)))


@pytest.mark.usefixtures("no_decoder")
def test_grids_of_grids_are_multiplied() -> None:
    kinds = [b"grid", b"grid", b"grid", b"hvc1"]
    assert "too many tiles" in refusal(heic_of(kinds, [(1, [2] * 40), (2, [3] * 40), (3, [4] * 40)], (64, 64)))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", [b"iovl", b"av01", b"unci", b"jpeg"])
def test_a_heic_of_another_kind_is_refused_with_what_to_do(kind: bytes) -> None:
    assert "save it as an ordinary JPEG" in refusal(heic_of([kind], [], (64, 64)))


@pytest.mark.usefixtures("no_decoder")
def test_an_item_that_is_made_of_itself_is_refused() -> None:
    assert "do not read" in refusal(heic_of([b"grid"], [(1, [1])], (64, 64)))


@pytest.mark.usefixtures("no_decoder")
def test_the_size_in_the_coded_data_counts_and_not_only_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    at = data.find(b"ispe") + 8
    small = data[:at] + struct.pack(">II", 64, 64) + data[at + 8 :]
    monkeypatch.setattr("services.analysis.thermography.reading.heif_cost.MAX_TILE_PIXELS", 200 * 150)
    with pytest.raises(CostlyPhotoError, match="too many tiles"):
        heif_to_decode(small)


def test_boxes_that_are_damaged_anywhere_raise_nothing_else() -> None:
    data = heic(64, 64)
    rng = np.random.default_rng(7)
    for _ in range(200):
        changed = bytearray(data)
        for place in rng.integers(0, min(len(data), 700), 3):
            changed[place] = rng.integers(0, 256)
        with contextlib.suppress(CostlyPhotoError):
            heif_to_decode(bytes(changed))


def test_the_bounds_leave_room_for_the_largest_photos_of_phones() -> None:
    tiles = -(-5712 // 512) * -(-4284 // 512) * 512 * 512  # 24 megapixels in tiles
    assert tiles < MAX_TILE_PIXELS
    assert decoding_cost.MAX_BLOCK_VISITS > 10 * 1.5 * 50_000_000 / 64, "50 megapixels in ten scans"


PROFILE = bytes(range(256)) * 600  # 150 kB: three segments of a JPEG


def test_the_profile_of_a_jpeg_is_put_together_from_its_segments() -> None:
    assert jpeg_profile(saved(flat(64, 64), "JPEG", icc_profile=PROFILE), 10**6) == PROFILE


def test_the_profile_of_a_png_is_unpacked() -> None:
    assert png_profile(saved(flat(64, 64), "PNG", icc_profile=PROFILE), 10**6) == PROFILE


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_without_a_profile_has_none(kind: str) -> None:
    read = jpeg_profile if kind == "JPEG" else png_profile
    assert read(saved(flat(64, 64), kind), 10**6) == b""


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_profile_beyond_the_bound_is_left_out(kind: str) -> None:
    read = jpeg_profile if kind == "JPEG" else png_profile
    assert read(saved(flat(64, 64), kind, icc_profile=PROFILE), len(PROFILE) - 1) == b""


def test_a_png_profile_that_unpacks_to_a_gigabyte_costs_no_more_than_the_bound() -> None:
    packed = zlib.compress(bytes(2**24), 9)
    chunk = b"iCCP" + b"bomb\0\0" + packed
    data = saved(flat(64, 64), "PNG")
    bomb = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    assert png_profile(bomb, 1000) == b""


def test_a_damaged_profile_of_a_png_is_none() -> None:
    data = saved(flat(64, 64), "PNG", icc_profile=PROFILE)
    at = data.index(b"iCCP") + 20
    assert png_profile(data[:at] + bytes(200) + data[at + 200 :], 10**6) == b""


def icc(*tags: bytes) -> bytes:
    """A profile's header and directory of tags, which hold nothing."""
    return bytes(128) + struct.pack(">I", len(tags)) + b"".join(tag + bytes(8) for tag in tags)


MATRIX = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")


def test_a_profile_of_a_matrix_and_three_curves_is_used() -> None:
    assert is_matrix_profile(icc(b"desc", *MATRIX))


@pytest.mark.parametrize("table", [b"A2B0", b"B2A1", b"D2B1", b"B2D3"])
def test_a_profile_with_a_table_is_left_out_because_tables_are_costly(table: bytes) -> None:
    assert not is_matrix_profile(icc(*MATRIX, table))


@pytest.mark.parametrize(
    "profile", [b"", bytes(131), icc(*MATRIX)[:150], bytes(128) + b"\xff\xff\xff\xff", icc(b"desc")]
)
def test_a_profile_without_a_whole_directory_or_matrix_is_left_out(profile: bytes) -> None:
    assert not is_matrix_profile(profile)
