"""Temperatures out of a FLIR R-JPEG: 16-bit sensor values and the camera's calibration, hidden in APP1 segments.

The layout (segments ``FLIR``, a ``FFF`` file of records inside, their fields and offsets) is documented by ExifTool
(https://exiftool.org/TagNames/FLIR.html). The radiometric equation is the camera maker's: the sensor sees the object
through the air and a window, plus what each of them and the surroundings radiate (Minkina and Dudzik, *Infrared
Thermography: Errors and Uncertainties*, Wiley 2009, chapter 3). One lookup per sensor value makes it cheap.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, isfinite, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.basis.constants import ZERO_CELSIUS
from services.analysis.thermography.reading.decoding_cost import CostlyPhotoError, png_to_decode
from services.analysis.thermography.reading.pictures import jpeg_segments
from services.analysis.thermography.reading.sensor.values import (
    MAX_SIDE_PX,
    DamagedCalibrationError,
    SensorReading,
    has_sensor_size,
    reading_of,
)

_RAW_DATA, _CAMERA_INFO = 0x01, 0x20

# What a building has, in place of settings that it cannot have. All bounds are estimates: of 47 real files none has
# an emissivity below 0.85 or a transmission below 0.98; air and surroundings may be colder and warmer than any weather.
_EMISSIVITY, _LEAST_EMISSIVITY = 0.95, 0.8
_LEAST_TRANSMISSION = 0.9
_ROOM_K, _NATURAL_K = 293.15, (213.15, 333.15)
_NEAR_M, _FARTHEST_M = 1.0, 10_000.0
_HUMIDITY = 0.5

_Form = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The constants of the record ``CameraInfo``. Temperatures in K, distance in m, humidity as a fraction."""

    emissivity: float
    distance: float
    reflected: float
    air: float
    window: float
    window_transmission: float
    humidity: float
    planck_r1: float
    planck_b: float
    planck_f: float
    planck_o: float
    planck_r2: float
    alpha_1: float
    alpha_2: float
    beta_1: float
    beta_2: float
    x: float


def read(data: bytes) -> SensorReading | None:
    """Read the temperatures of an R-JPEG; None when the file is none.

    Raise :class:`DamagedCalibrationError` when the file carries data that is damaged or impossible.
    """
    body = _flir_file(data)
    if body is None:
        return None
    try:
        records = _records(body)
        if not records.keys() & {_RAW_DATA, _CAMERA_INFO}:
            return None  # cleaned, or of a program that writes the head alone
        raw = _raw_values(body, *records[_RAW_DATA])
        calibration, reasons = _with_building_values(_calibration(body, records[_CAMERA_INFO][0]))
        celsius = _celsius_of_raw(calibration)
    except (
        KeyError,
        IndexError,
        ValueError,
        OverflowError,
        ZeroDivisionError,
        struct.error,
        cv2.error,
        CostlyPhotoError,
    ) as error:
        raise DamagedCalibrationError("The temperatures stored in the photo are damaged.") from error
    return reading_of(celsius[raw], reasons)


def _flir_file(data: bytes) -> bytes | None:
    """Join the numbered ``FLIR`` segments; None when there are none that hold anything."""
    parts: dict[int, bytes] = {}
    if data[:3] == b"\xff\xd8\xff":
        for marker, payload in jpeg_segments(data):
            if marker == 0xE1 and payload[:5] == b"FLIR\0" and len(payload) > 8:
                parts.setdefault(payload[6], payload[8:])
    if not parts:
        return None
    return b"".join(parts[number] for number in sorted(parts))


def _records(body: bytes) -> dict[int, tuple[int, int]]:
    """Map record type to (offset, length). Numbers of the directory are big-endian unless the version says not."""
    if body[:3] not in (b"FFF", b"AFF"):
        raise ValueError("no FLIR file")
    order = ">" if 100 <= struct.unpack_from(">I", body, 0x14)[0] < 200 else "<"
    directory, count = struct.unpack_from(f"{order}II", body, 0x18)
    records: dict[int, tuple[int, int]] = {}
    for entry in range(min(count, 256)):
        kind, _subtype, _version, _id, offset, length = struct.unpack_from(
            f"{order}HHIIII", body, directory + 32 * entry
        )
        if kind and kind not in records:
            records[kind] = (offset, length)
    return records


def _byte_order(body: bytes, offset: int) -> str:
    """Each record opens with the number 2 in its own byte order."""
    return "<" if struct.unpack_from("<H", body, offset)[0] == 2 else ">"


def _raw_values(body: bytes, offset: int, length: int) -> NDArray[np.uint16]:
    order = _byte_order(body, offset)
    width, height = struct.unpack_from(f"{order}HH", body, offset + 2)
    if not 0 < min(width, height) <= max(width, height) <= MAX_SIDE_PX:
        raise ValueError("impossible sensor size")
    if not has_sensor_size(width, height):
        raise DamagedCalibrationError(
            f"The temperatures stored in the photo are too few to show anything ({width} × {height})."
        )
    values = body[offset + 32 : offset + length]
    if values[:4] == b"\x89PNG":
        if struct.unpack_from(">II", values, 16) != (width, height):
            raise ValueError("size mismatch")
        needed, _ = png_to_decode(values)
        image = cv2.imdecode(np.frombuffer(needed, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None or image.dtype != np.uint16 or image.shape != (height, width):
            raise ValueError("size mismatch")
        return _in_its_byte_order(image.astype(np.uint16))
    raw = np.frombuffer(values, f"{order}u2", count=width * height)
    return raw.reshape(height, width).astype(np.uint16)


def _in_its_byte_order(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the values (h, w) of a PNG in the byte order in which they make the smoother picture.

    Most cameras write their little-endian values into the big-endian PNG as they are; some swap them as they should.
    """
    swapped = values.byteswap()
    return values if _roughness(values) < _roughness(swapped) else swapped


def _roughness(values: NDArray[np.uint16]) -> float:
    """Return how far neighbours lie apart. In the wrong byte order a step of 1 becomes one of 256."""
    return float(np.abs(np.diff(values.astype(np.int32), axis=1)).mean())


def _calibration(body: bytes, offset: int) -> Calibration:
    order = _byte_order(body, offset)

    def floats(at: int, count: int) -> tuple[float, ...]:
        values: tuple[float, ...] = struct.unpack_from(f"{order}{count}f", body, offset + at)
        return values

    emissivity, distance, reflected, air, window, transmission = floats(0x20, 6)
    (humidity,) = floats(0x3C, 1)
    r1, b, f = floats(0x58, 3)
    alpha_1, alpha_2, beta_1, beta_2, x = floats(0x70, 5)
    (o,) = struct.unpack_from(f"{order}i", body, offset + 0x308)
    (r2,) = floats(0x30C, 1)
    calibration = Calibration(
        emissivity, distance, reflected, air, window, transmission, humidity / 100 if humidity > 2 else humidity,
        r1, b, f, float(o), r2, alpha_1, alpha_2, beta_1, beta_2, x,
    )  # fmt: skip
    constants = (r1, b, f, r2, alpha_1, alpha_2, beta_1, beta_2, x)
    if not (r1 > 0 and r2 > 0 and b > 0 and all(isfinite(value) for value in constants)):
        raise ValueError("implausible calibration")
    return calibration


def _celsius(kelvin: float) -> str:
    return f"{kelvin - ZERO_CELSIUS:.0f} °C"


def _with_building_values(c: Calibration) -> tuple[Calibration, tuple[str, ...]]:
    """Put a building's values in place of settings that it cannot have; tell a person what was replaced.

    Settings left over from another job are common. They are no damage: the sensor's own constants are apart from them.
    """
    reasons: list[str] = []

    def mended(name: str, value: float, instead: float, bounds: tuple[float, float], form: _Form) -> float:
        if bounds[0] <= round(value, 3) <= bounds[1]:
            return value
        was = (
            f"The camera was set to {name} of {form(value)}" if isfinite(value) else f"The camera tells {name} wrongly"
        )
        reasons.append(f"{was}, which does not fit a house: we took {form(instead)}.")
        return instead

    emissivity = mended("an emissivity", c.emissivity, _EMISSIVITY, (_LEAST_EMISSIVITY, 1.0), "{:.2f}".format)
    transmission = mended(
        "a transmission through the lens window",
        c.window_transmission,
        1.0,
        (_LEAST_TRANSMISSION, 1.0),
        "{:.2f}".format,
    )
    air = mended("an air temperature", c.air, _ROOM_K, _NATURAL_K, _celsius)
    reflected = mended("a reflected temperature", c.reflected, air, _NATURAL_K, _celsius)
    window = c.window if _NATURAL_K[0] <= c.window <= _NATURAL_K[1] else air  # hardly matters: it lets all through
    distance = mended("a distance", c.distance, _NEAR_M, (0.0, _FARTHEST_M), "{:.0f} m".format)
    humidity = mended("a humidity", c.humidity, _HUMIDITY, (0.0, 1.0), "{:.2f}".format)
    mended_all = replace(
        c, emissivity=emissivity, window_transmission=transmission, air=air, reflected=reflected, window=window,
        distance=distance, humidity=humidity,
    )  # fmt: skip
    return mended_all, tuple(reasons)


def _celsius_of_raw(c: Calibration) -> NDArray[np.float32]:
    """Tabulate °C for each of the 65,536 sensor values; NaN where the equation has no answer."""

    def raw_of(kelvin: float) -> float:
        return c.planck_r1 / (c.planck_r2 * (exp(c.planck_b / kelvin) - c.planck_f)) - c.planck_o

    air_c = c.air - ZERO_CELSIUS
    water = sqrt(c.humidity * exp(1.5587 + 0.06939 * air_c - 0.00027816 * air_c**2 + 0.00000068455 * air_c**3))
    half_path = -sqrt(c.distance / 2)  # the window stands half way
    air = c.x * exp(half_path * (c.alpha_1 + c.beta_1 * water)) + (1 - c.x) * exp(
        half_path * (c.alpha_2 + c.beta_2 * water)
    )
    to_window = c.emissivity * air
    behind_window = to_window * c.window_transmission
    stray = (
        raw_of(c.reflected) * (1 - c.emissivity) / c.emissivity
        + raw_of(c.air) * (1 - air) / to_window
        + raw_of(c.window) * (1 - c.window_transmission) / behind_window
        + raw_of(c.air) * (1 - air) / (behind_window * air)
    )
    radiance = np.arange(65536, dtype=np.float64) / (behind_window * air) - stray + c.planck_o
    with np.errstate(divide="ignore", invalid="ignore"):
        kelvin = c.planck_b / np.log(c.planck_r1 / (c.planck_r2 * radiance) + c.planck_f)
    return np.where(radiance > 0, kelvin - ZERO_CELSIUS, np.nan).astype(np.float32)
