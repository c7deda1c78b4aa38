"""Temperatures that a photo carries for every pixel of its sensor, whatever the maker of the camera."""

from services.analysis.thermography.reading.sensor import flir, infiray, kelvin, uni_t
from services.analysis.thermography.reading.sensor.values import DamagedCalibrationError, SensorReading

__all__ = ["DamagedCalibrationError", "SensorReading", "read_radiometric"]

_READERS = (flir.read, infiray.read, uni_t.read, kelvin.read)


def read_radiometric(data: bytes) -> SensorReading | None:
    """Read °C per sensor pixel as the sensor holds them; None when the file carries no such data.

    Raise :class:`DamagedCalibrationError` when the file carries data that is damaged or impossible.
    """
    for read in _READERS:
        reading = read(data)
        if reading is not None:
            return reading
    return None
