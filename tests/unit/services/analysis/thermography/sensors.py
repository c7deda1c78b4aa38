"""Builds the files of thermal cameras other than FLIR's for tests, from temperatures in °C."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Celsius = NDArray[np.floating]


def uni_t_bmp(
    levels: NDArray[np.uint8], coldest: float, centre: float, hottest: float, *, fahrenheit: bool = False
) -> bytes:
    """A BMP of a UNI-T camera: the picture, a level (h, w) per pixel, colours, and notes in the unit of the camera."""
    height, width = levels.shape
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(levels[..., None], 3, 2)).save(buffer, "BMP")
    picture = buffer.getvalue()
    notes = struct.pack("<Bhh2shB4s", fahrenheit, round(hottest * 10), round(coldest * 10), b"\xff\0",
                        round(centre * 10), 95, b"\x06\0\0\0")  # fmt: skip
    places = struct.pack("<6H", 1, 2, 3, 4, width // 2, height // 2)
    return picture + levels.tobytes() + bytes(512) + notes + places


def infiray_jpeg(celsius: Celsius, *, segment_bytes: int = 60_000, frame_bytes: int | None = None) -> bytes:
    """A JPEG of an InfiRay P2: the format in APP2, a preview and the sensor's frame in APP3 segments."""
    height, width = celsius.shape
    raw = np.round((celsius + 273.15) * 64).astype("<u2")
    preview = np.full((height, width), 0x8040, "<u2")
    head = bytearray(80)
    head[4:10] = b"IJPEG\0"
    struct.pack_into("<I", head, 32, 2 * width * height if frame_bytes is None else frame_bytes)
    struct.pack_into("<4H", head, 40, 2, width, height, 16)
    frames = preview.tobytes() + raw.tobytes() + bytes(2 * width * height)  # the third is empty
    parts = [frames[at : at + segment_bytes] for at in range(0, len(frames), segment_bytes)]
    segments = _segment(0xE2, bytes(head)) + b"".join(_segment(0xE3, part) for part in parts)
    buffer = io.BytesIO()
    Image.fromarray(_grey(celsius)).save(buffer, "JPEG", quality=92)
    jpeg = buffer.getvalue()
    return jpeg[:2] + segments + jpeg[2:]


def kelvin_picture(celsius: Celsius, form: str, parts: int, **options: object) -> bytes:
    """A PNG or TIFF of one 16-bit channel that holds ``parts`` of a kelvin."""
    buffer = io.BytesIO()
    Image.fromarray(np.round((celsius + 273.15) * parts).astype(np.uint16)).save(buffer, form, **options)
    return buffer.getvalue()


def big_endian_tiff(celsius: Celsius, parts: int, *more: tuple[int, int]) -> bytes:
    """A TIFF of hundredths or tenths of a kelvin in big-endian numbers whose directory follows the pixels.

    ``more``: further tags with a number.
    """
    height, width = celsius.shape
    pixels = np.round((celsius + 273.15) * parts).astype(">u2").tobytes()
    short, long = 3, 4
    tags = [
        (0x100, long, width), (0x101, long, height), (0x102, short, 16), (0x103, short, 1), (0x106, short, 1),
        (0x111, long, 8), (0x115, short, 1), (0x116, long, height), (0x117, long, len(pixels)),
        *((tag, long, number) for tag, number in more),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1)
        + (struct.pack(">HH", value, 0) if kind == short else struct.pack(">I", value))
        for tag, kind, value in tags
    )
    return b"MM\0*" + struct.pack(">I", 8 + len(pixels)) + pixels + struct.pack(">H", len(tags)) + entries + bytes(4)


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def _grey(celsius: Celsius) -> NDArray[np.uint8]:
    place = (celsius - celsius.min()) / max(float(np.ptp(celsius)), 1e-6) * 255
    return np.repeat(place.astype(np.uint8)[..., None], 3, 2)
