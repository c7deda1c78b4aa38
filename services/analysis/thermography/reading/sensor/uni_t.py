"""Temperatures out of a BMP of a UNI-T camera: a level per pixel, and the temperatures of three of them.

The layout is described at :mod:`~services.analysis.thermography.reading.sensor.headers`. The camera stretches the
contrast before it stores the levels, so a level tells the order, and degrees only near the coldest, the hottest and the
middle of the view (measured on 340 pictures by the author of that description). Between the three they run evenly here.
"""

import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading.sensor.headers import UniTNotes, uni_t_notes
from services.analysis.thermography.reading.sensor.values import SensorReading, reading_of

_HOTTEST_LEVEL = 254
_REASON = (
    "The camera stores the temperatures of three places only and the picture with more contrast, "
    "so the other temperatures are estimates."
)


def read(data: bytes) -> SensorReading | None:
    """Read the temperatures of a UNI-T BMP; None when the file is none. Raise DamagedCalibrationError as reading_of."""
    notes = uni_t_notes(data)
    if notes is None:
        return None
    width, height = notes.size
    levels = np.frombuffer(data, np.uint8, width * height, notes.levels).reshape(height, width)
    return reading_of(_celsius_of_level(notes, int(levels[notes.centre_at[::-1]]))[levels], (_REASON,))


def _celsius_of_level(notes: UniTNotes, centre: int) -> NDArray[np.float32]:
    """Tabulate °C for each of the 256 levels, given the level of the view's centre."""
    # Where the centre is as bright as can be, the levels below lead up to its temperature: the camera cut off the rest.
    known = {0: notes.coldest, _HOTTEST_LEVEL: notes.hottest} | {min(centre, _HOTTEST_LEVEL): notes.centre}
    levels = sorted(known)
    degrees = np.interp(np.arange(256), levels, [known[level] for level in levels])
    degrees[0], degrees[_HOTTEST_LEVEL:] = notes.coldest, notes.hottest
    return ((degrees - 32) / 1.8 if notes.fahrenheit else degrees).astype(np.float32)
