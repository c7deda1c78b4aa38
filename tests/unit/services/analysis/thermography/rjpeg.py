"""Builds FLIR R-JPEGs for tests: a JPEG whose APP1 segments carry raw sensor values and a calibration."""

import io
import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEGMENT_BYTES = 2500
"""Few enough that even a small picture needs several segments, as real files do."""


@dataclass(frozen=True)
class Camera:
    """The calibration that goes into the file: temperatures in K, distance in m, humidity as a fraction."""

    emissivity: float = 0.95
    distance: float = 1.0
    reflected: float = 293.15
    air: float = 293.15
    window: float = 293.15
    window_transmission: float = 1.0
    humidity: float = 0.5
    planck_r1: float = 16556.0
    planck_b: float = 1428.0
    planck_f: float = 1.0
    planck_o: int = -342
    planck_r2: float = 0.0125
    alpha_1: float = 0.006569
    alpha_2: float = 0.01262
    beta_1: float = -0.002276
    beta_2: float = -0.00667
    x: float = 1.9

    def with_(self, **changes: float) -> "Camera":
        return replace(self, **changes)  # type: ignore[arg-type]


def camera_info(camera: Camera, order: str = "<") -> bytes:
    """The record CameraInfo."""
    record = bytearray(0x400)
    struct.pack_into(f"{order}H", record, 0, 2)
    c = camera
    struct.pack_into(
        f"{order}6f", record, 0x20, c.emissivity, c.distance, c.reflected, c.air, c.window, c.window_transmission
    )
    struct.pack_into(f"{order}f", record, 0x3C, c.humidity)
    struct.pack_into(f"{order}3f", record, 0x58, c.planck_r1, c.planck_b, c.planck_f)
    struct.pack_into(f"{order}5f", record, 0x70, c.alpha_1, c.alpha_2, c.beta_1, c.beta_2, c.x)
    struct.pack_into(f"{order}i", record, 0x308, c.planck_o)
    struct.pack_into(f"{order}f", record, 0x30C, c.planck_r2)
    return bytes(record)


def raw_data(
    raw: NDArray[np.uint16],
    *,
    png: bool = False,
    order: str = "<",
    size: tuple[int, int] | None = None,
    proper: bool = False,
) -> bytes:
    """The record RawData; ``size`` is the (width, height) that it claims, by default the true one.

    ``proper``: a PNG holds its values in the byte order of PNG, as few cameras write it.
    """
    width, height = size or (raw.shape[1], raw.shape[0])
    head = bytearray(32)
    struct.pack_into(f"{order}3H", head, 0, 2, width, height)
    if not png:
        return bytes(head) + raw.astype(f"{order}u2").tobytes()
    buffer = io.BytesIO()
    Image.fromarray(raw if proper else raw.byteswap()).save(buffer, "PNG")  # most: their byte order in another's PNG
    return bytes(head) + buffer.getvalue()


def flir_file(records: dict[int, bytes]) -> bytes:
    """The file inside the segments: header, directory, records by their type."""
    directory = bytearray(32 * 8)
    body = b""
    start = 64 + len(directory)
    for entry, (kind, record) in enumerate(records.items()):
        struct.pack_into(">HHIIII", directory, 32 * entry, kind, 1, 100, 1, start + len(body), len(record))
        body += record
    header = bytearray(64)
    header[:4] = b"FFF\0"
    struct.pack_into(">IIII", header, 0x14, 100, 64, 8, 2)
    return bytes(header) + bytes(directory) + body


def with_segments(jpeg: bytes, body: bytes) -> bytes:
    """Put a FLIR file into the APP1 segments of a JPEG."""
    parts = [body[at : at + SEGMENT_BYTES] for at in range(0, len(body), SEGMENT_BYTES)] or [b""]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 10) + b"FLIR\0\1" + bytes([number, len(parts) - 1]) + part
        for number, part in enumerate(parts)
    )
    return jpeg[:2] + segments + jpeg[2:]


def jpeg_of(rgb: NDArray[np.uint8], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", **({"quality": 92} | options))
    return buffer.getvalue()


def rjpeg(
    raw: NDArray[np.uint16],
    camera: Camera | None = None,
    *,
    png: bool = False,
    picture: NDArray[np.uint8] | None = None,
) -> bytes:
    """A whole R-JPEG; the picture beside the data is grey and of twice the sensor's size unless given."""
    if picture is None:
        grey = ((raw - raw.min()) / max(int(np.ptp(raw)), 1) * 255).astype(np.uint8)
        picture = np.repeat(np.repeat(np.repeat(grey[..., None], 3, 2), 2, 0), 2, 1)
    return with_segments(
        jpeg_of(picture), flir_file({0x01: raw_data(raw, png=png), 0x20: camera_info(camera or Camera())})
    )
