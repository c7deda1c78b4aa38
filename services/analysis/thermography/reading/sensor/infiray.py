"""Temperatures out of a JPEG of an InfiRay P2 (sold as Thermal Master P2 too): frames of the sensor in APP3 segments.

Described by Greg Randall (https://github.com/greg-randall/Thermal-Master-P2-Extractor): APP2 holds the format of the
frames, which follow each other through all APP3 segments. The first is a preview, the second holds K/64 for each pixel.
"""

import struct

import numpy as np

from services.analysis.thermography.basis.constants import ZERO_CELSIUS
from services.analysis.thermography.reading.pictures import jpeg_segments
from services.analysis.thermography.reading.sensor.values import (
    DamagedCalibrationError,
    SensorReading,
    has_sensor_size,
    reading_of,
)

_PER_KELVIN = 64
_APP2, _APP3 = 0xE2, 0xE3
_NAME, _FRAME_BYTES, _SIDES = slice(4, 10), 32, 42


def read(data: bytes) -> SensorReading | None:
    """Read the temperatures of an InfiRay JPEG; None when the file is none.

    Raise :class:`DamagedCalibrationError` when the file carries data that is damaged or impossible.
    """
    if data[:3] != b"\xff\xd8\xff":
        return None
    head, frames, wanted = b"", bytearray(), 0
    for marker, payload in jpeg_segments(data):
        if marker == _APP2 and payload[_NAME] == b"IJPEG\0" and len(payload) >= _SIDES + 6 and not head:
            head = payload
            wanted = 2 * _frame_bytes(head)
        elif marker == _APP3 and head and len(frames) < wanted:
            frames += payload[: wanted - len(frames)]
    if not head:
        return None
    if not wanted or len(frames) < wanted:
        raise DamagedCalibrationError("The temperatures stored in the photo are damaged.")
    width, height = struct.unpack_from("<HH", head, _SIDES)
    raw = np.frombuffer(frames, "<u2", width * height, wanted // 2).reshape(height, width)
    return reading_of((raw / np.float32(_PER_KELVIN) - ZERO_CELSIUS).astype(np.float32))


def _frame_bytes(head: bytes) -> int:
    """Return the bytes of a frame; 0 where its format is another than described."""
    (size,) = struct.unpack_from("<I", head, _FRAME_BYTES)
    width, height, bits = struct.unpack_from("<3H", head, _SIDES)
    fits = width and height and has_sensor_size(width, height) and bits == 16 and size == 2 * width * height
    return size if fits else 0
