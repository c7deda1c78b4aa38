"""What every reader of sensor data answers, and the bounds within which the data can be true."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLDEST_C = -60.0
"""Nothing on the ground is colder; a clear sky is, for a thermal camera."""

HOTTEST_C = 400.0
"""Nothing in a house but a fire is hotter."""

MAX_SIDE_PX = 2048
"""No hand-held thermal sensor has more."""

MIN_SIDES_PX = (24, 32)
"""The smallest sensors that are sold have 24 × 32 pixels. Fewer show nothing."""

_MOST_ASPECT = 12  # times as long as wide, as of any picture: pictures of several views are put together

_LEAST_KNOWN = 0.2  # of the view, an estimate: a facade below four fifths of sky; a wrong calibration leaves nothing
_MOST_HOT = 0.005  # of the view: broken pixels and a lamp; more of them come from a wrong calibration


class DamagedCalibrationError(Exception):
    """The file carries temperatures but they cannot be trusted; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class SensorReading:
    """Temperatures as the sensor holds them."""

    celsius: NDArray[np.float32]  # (h, w), clipped to COLDEST_C and HOTTEST_C
    known: NDArray[np.bool_]  # (h, w), False where the truth lies beyond those bounds: sky, fire
    reasons: tuple[str, ...] = ()  # what lowers the confidence: sentences for a person


def has_sensor_size(width: int, height: int) -> bool:
    """Whether a thermal sensor can have so many pixels and show something."""
    shorter, longer = sorted((width, height))
    return MIN_SIDES_PX[0] <= shorter and MIN_SIDES_PX[1] <= longer <= min(MAX_SIDE_PX, _MOST_ASPECT * shorter)


def reading_of(celsius: NDArray[np.float32], reasons: tuple[str, ...] = ()) -> SensorReading:
    """Mark what lies beyond the bounds. NaN counts as too cold: the sensor saw less than its calibration covers.

    Raise :class:`DamagedCalibrationError` when too little lies within the bounds.
    """
    hot = celsius > HOTTEST_C
    known = (celsius >= COLDEST_C) & ~hot
    if known.mean() < _LEAST_KNOWN or hot.mean() > _MOST_HOT:
        raise DamagedCalibrationError("The temperatures stored in the photo are impossible.")
    clipped = np.clip(np.nan_to_num(celsius, nan=COLDEST_C), COLDEST_C, HOTTEST_C)
    return SensorReading(clipped.astype(np.float32), known, reasons)
