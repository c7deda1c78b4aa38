"""Temperatures out of a PNG or TIFF of one channel of 16 bits that holds kelvins, as many programs export them.

No field tells the unit, the values do: a house between −60 and 150 °C makes 21,315 to 42,315 hundredths of a kelvin or
2,131 to 4,231 tenths. A 16-bit photo has values all over the range of 16 bits.
"""

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.analysis.thermography.basis.constants import ZERO_CELSIUS
from services.analysis.thermography.reading.decoding_cost import png_to_decode
from services.analysis.thermography.reading.sensor.headers import is_sensor_tiff
from services.analysis.thermography.reading.sensor.values import COLDEST_C, SensorReading, has_sensor_size, reading_of

_HOTTEST_C = 150.0
_PER_KELVIN = (100, 10)
_OUTLIERS = (0.5, 99.5)  # percentiles: broken pixels lie beyond them


def read(data: bytes) -> SensorReading | None:
    """Read the temperatures of a picture of kelvins; None when the file is none, or is damaged."""
    values = _values(data)
    if values is None:
        return None
    low, high = np.percentile(values, _OUTLIERS)
    for parts in _PER_KELVIN:
        if low / parts - ZERO_CELSIUS >= COLDEST_C and high / parts - ZERO_CELSIUS <= _HOTTEST_C:
            return reading_of((values / np.float32(parts) - np.float32(ZERO_CELSIUS)).astype(np.float32))
    return None


def _values(data: bytes) -> NDArray[np.uint16] | None:
    """Decode a picture (h, w) of one 16-bit channel of a sensor's size; None when the header tells another."""
    form = "PNG" if _is_sensor_png(data) else "TIFF" if is_sensor_tiff(data) else None
    if form is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd tags; a warning must not become an error
            needed = png_to_decode(data)[0] if form == "PNG" else data
            image = Image.open(io.BytesIO(needed), formats=[form])
            if not image.mode.startswith("I;16") or not has_sensor_size(*image.size):
                return None
            return np.asarray(image).astype(np.uint16)
    except Exception:  # noqa: BLE001 - the decoder raises anything at all on hostile bytes; pictures.py tells a person
        return None


def _is_sensor_png(data: bytes) -> bool:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 33:
        return False
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    return (depth, colour) == (16, 0) and min(width, height) > 0 and has_sensor_size(width, height)
