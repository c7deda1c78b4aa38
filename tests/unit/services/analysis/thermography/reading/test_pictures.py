import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.analysis.thermography.reading import pictures
from services.analysis.thermography.reading.pictures import MAX_PIXELS, UnreadablePhotoError, open_picture, photo_format


def scene(width: int = 160, height: int = 120) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2, 0] = 255
    rgb[: height // 2, width // 2 :, 1] = 255
    rgb[height // 2 :, : width // 2, 2] = 255
    rgb[height // 2 :, width // 2 :] = 255
    return Image.fromarray(rgb)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(rgb: np.ndarray) -> list[str]:
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    height, width = rgb.shape[:2]
    points = [(height // 4, width // 4), (height // 4, 3 * width // 4), (3 * height // 4, width // 4)]
    return [names[tuple(int(value > 127) for value in rgb[point])] for point in points]


UPRIGHT = ["red", "green", "blue"]


def orientated(orientation: int) -> bytes:
    """The scene stored as a camera held in that way would store it."""
    undo = {
        1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270],
    }[orientation]  # fmt: skip
    image = scene()
    for step in undo:
        image = image.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, "JPEG", exif=exif, quality=95)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_taken_with_the_phone_turned_comes_out_upright(orientation):
    picture = open_picture(orientated(orientation), enough=160)
    assert corners(picture.rgb) == UPRIGHT
    assert picture.size == (160, 120)
    assert picture.rgb.shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
    ],
)
def test_every_format_and_colour_mode_becomes_the_same_rgb(kind, mode):
    picture = open_picture(saved(scene().convert(mode), kind), enough=160)
    assert corners(picture.rgb) == UPRIGHT
    assert picture.rgb.dtype == np.uint8


def test_a_heic_photo_is_read():
    buffer = io.BytesIO()
    pillow_heif.from_pillow(scene()).save(buffer, quality=90)
    picture = open_picture(buffer.getvalue(), enough=160)
    assert photo_format(buffer.getvalue()) == "HEIF"
    assert corners(picture.rgb) == UPRIGHT


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_large_photo_is_made_smaller_and_keeps_its_own_size_in_mind(kind):
    picture = open_picture(saved(scene(2000, 1500), kind), enough=640)
    assert 640 <= picture.rgb.shape[1] < 2 * 640
    assert picture.rgb.shape[0] == picture.rgb.shape[1] * 3 // 4
    assert picture.size == (2000, 1500)
    assert corners(picture.rgb) == UPRIGHT


@pytest.mark.parametrize("mode", ["P", "1", "L", "LA", "RGBA", "I;16"])
def test_a_large_png_of_any_mode_is_made_smaller(mode):
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 2000).astype(np.uint8), (1500, 1)))
    rgb = open_picture(saved(grey.convert(mode), "PNG"), enough=640).rgb
    assert rgb.shape == (500, 667, 3)
    assert rgb[:, :60].mean() < 40
    assert rgb[:, -60:].mean() > 200


def test_what_is_transparent_keeps_its_colour():
    rgba = np.full((150, 200, 4), (200, 100, 50, 0), np.uint8)
    assert (open_picture(saved(Image.fromarray(rgba), "PNG"), enough=50).rgb == (200, 100, 50)).all()


def test_a_small_photo_is_never_enlarged():
    assert open_picture(saved(scene(), "PNG"), enough=640).rgb.shape == (120, 160, 3)


def test_sixteen_bit_grey_is_stretched_between_its_extremes():
    values = np.linspace(29_000, 30_000, 100 * 200).reshape(100, 200).astype(np.uint16)
    rgb = open_picture(saved(Image.fromarray(values), "PNG"), enough=200).rgb
    assert rgb[0, 0].tolist() == [0, 0, 0]
    assert rgb[-1, -1].tolist() == [255, 255, 255]
    assert abs(int(rgb[50, 100, 0]) - 128) <= 2


def test_sixteen_bit_grey_of_one_value_is_black():
    rgb = open_picture(saved(Image.fromarray(np.full((64, 64), 30_000, np.uint16)), "PNG"), enough=64).rgb
    assert not rgb.any()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_and_says_so(kind):
    data = saved(scene(), kind, save_all=True, append_images=[Image.new("RGB", (160, 120), "grey")], duration=100)
    picture = open_picture(data, enough=160)
    assert corners(picture.rgb) == UPRIGHT
    assert "first frame" in picture.notes[0]


def test_an_empty_file_is_named_as_such():
    with pytest.raises(UnreadablePhotoError, match="empty"):
        open_picture(b"", enough=640)


@pytest.mark.parametrize("data", [b"GIF89a" + bytes(50), b"%PDF-1.7", b"{}", bytes(4000)])
def test_a_file_that_is_no_photo_says_what_to_send(data):
    with pytest.raises(UnreadablePhotoError, match="JPEG, PNG, WebP or HEIC"):
        open_picture(data, enough=640)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_photo_ends_in_a_clear_sentence(kind):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    data = saved(noise, kind)
    with pytest.raises(UnreadablePhotoError, match=r"(cut off|damaged).*\."):
        open_picture(data[: len(data) // 2], enough=640)


def textured(mode: str = "RGB") -> Image.Image:
    grey = np.add.outer(np.arange(150) % 17, np.arange(201) % 23) * 6
    return Image.fromarray(grey.astype(np.uint8)).convert(mode)


SCANS = [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True, "subsampling": 0}]


@pytest.mark.parametrize("options", SCANS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_is_cut_off_and_ended_by_a_marker_is_told_from_a_whole_one(mode, options):
    data = saved(textured(mode), "JPEG", **options)
    scans = data.index(b"\xff\xda") + 14
    for share in (0.05, 0.25, 0.5, 0.75):
        cut = data[: scans + int((len(data) - scans) * share)] + b"\xff\xd9"
        with pytest.raises(UnreadablePhotoError, match="cut off"):
            open_picture(cut, enough=640)


@pytest.mark.parametrize("options", SCANS, ids=str)
@pytest.mark.parametrize("image", [textured(), Image.new("RGB", (201, 150), (128, 128, 128))], ids=["textured", "grey"])
@pytest.mark.parametrize("trailer", [b"", b"what some cameras add \xff\xd8\xff\xda"])
def test_a_whole_jpeg_is_decoded_to_its_last_pixel(image, options, trailer):
    data = saved(image, "JPEG", **options)
    with Image.open(io.BytesIO(data)) as whole:
        assert (open_picture(data + trailer, enough=640).rgb == np.asarray(whole)).all()


def test_the_first_picture_of_several_in_a_file_is_read():
    data = saved(textured(), "MPO", save_all=True, append_images=[scene()])
    assert open_picture(data, enough=640).size == (201, 150)


@pytest.mark.parametrize("size", [(33, 400), (400, 33), (32, 60_000)])
def test_a_strip_is_refused(size):
    with pytest.raises(UnreadablePhotoError, match=rf"strip \({size[0]} × {size[1]} pixels\)"):
        open_picture(saved(Image.new("RGB", size), "PNG"), enough=640)


def test_a_long_screenshot_is_no_strip():
    assert open_picture(saved(Image.new("RGB", (100, 1200)), "PNG"), enough=2000).size == (100, 1200)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_of_one_pixel_is_refused(kind):
    with pytest.raises(UnreadablePhotoError, match=r"too small \(1 × 1 pixels\)"):
        open_picture(saved(Image.new("RGB", (1, 1)), kind), enough=640)


def png_claiming(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(64)


def jpeg_claiming(width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    data = bytearray(saved(scene().convert(mode), "JPEG", **options))
    at = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("bomb", [png_claiming(30_000, 30_000), jpeg_claiming(30_000, 30_000)], ids=["png", "jpeg"])
def test_a_decompression_bomb_is_refused_by_its_header_before_any_decoder_sees_it(bomb, monkeypatch):
    def never(*_args, **_kwargs):
        raise AssertionError("the decoder was called")

    monkeypatch.setattr(pictures.Image, "open", never)
    with pytest.raises(UnreadablePhotoError, match=r"too large \(30000 × 30000 pixels"):
        open_picture(bomb, enough=640)


@pytest.mark.parametrize(
    ("size", "mode", "subsampling", "refused"),
    [
        ((8000, 8000), "RGB", 2, True),  # 96 million coefficients
        ((8192, 6144), "RGB", 2, False),  # 75 million: 50 megapixels as phones save them
        ((8000, 6000), "RGB", 0, True),  # 144 million
        ((6000, 4400), "RGB", 0, False),
        ((6000, 4400), "CMYK", 0, True),
        ((8000, 8000), "L", 0, False),
    ],
)
def test_a_progressive_jpeg_is_refused_by_the_coefficients_that_it_takes_to_decode(
    size, mode, subsampling, refused, monkeypatch
):
    monkeypatch.setattr(pictures.Image, "open", lambda *_args, **_kwargs: pytest.fail("the decoder was called"))
    data = jpeg_claiming(*size, mode, progressive=True, subsampling=subsampling)
    with pytest.raises(UnreadablePhotoError if refused else pytest.fail.Exception, match=r"progressive|decoder"):
        open_picture(data, enough=640)


def test_a_baseline_jpeg_of_many_pixels_is_decoded_row_by_row_and_not_refused(monkeypatch):
    monkeypatch.setattr(pictures.Image, "open", lambda *_args, **_kwargs: pytest.fail("the decoder was called"))
    with pytest.raises(pytest.fail.Exception):
        open_picture(jpeg_claiming(8000, 8000, subsampling=0), enough=640)


def test_a_webp_bomb_is_refused_before_its_pixels_are_decoded(monkeypatch):
    data = saved(Image.new("RGB", (4_100, 4_000)), "WEBP", lossless=True)
    assert MAX_PIXELS["WEBP"] < 4_100 * 4_000
    monkeypatch.setattr(pictures.Image.Image, "load", lambda _self: pytest.fail("the pixels were decoded"))
    with pytest.raises(UnreadablePhotoError, match="too large"):
        open_picture(data, enough=640)


def test_a_damaged_exif_block_costs_the_orientation_and_not_the_photo():
    data = bytearray(orientated(1))
    at = data.index(b"Exif\0\0") + 6
    data[at + 4 : at + 8] = b"\xff\xff\xff\x7f"
    assert corners(open_picture(bytes(data), enough=160).rgb) == UPRIGHT


SAMPLES = [saved(scene(), "JPEG"), saved(scene(), "PNG"), saved(scene(), "WEBP"), orientated(6)]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_anywhere_gives_a_picture_or_a_sentence_and_nothing_else(data):
    sample = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(0, 6))):
        sample[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    sample = sample[: data.draw(st.integers(0, len(sample)))]
    told, shape = "", (0, 0)
    try:
        shape = open_picture(bytes(sample), enough=64).rgb.shape
    except UnreadablePhotoError as refusal:
        told = str(refusal)
    assert told.endswith(".") or (len(shape) == 3 and 0 < max(shape[:2]) < 2 * 64)


@given(st.binary(max_size=300))
def test_random_bytes_behind_a_jpeg_start_never_crash_the_segment_walk(rest):
    list(pictures.jpeg_segments(b"\xff\xd8\xff" + rest))
