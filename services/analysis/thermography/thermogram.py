"""A thermal photo as temperatures: the result of decoding, whatever the photo's kind was.

Three sources, best first: a temperature per pixel stored in the file (FLIR R-JPEG); a false-colour picture whose scale
is known; a false-colour picture whose scale must be guessed from the temperatures that the homeowner typed.
"""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.pictures import open_picture
from services.analysis.thermography.radiometric import DamagedCalibrationError, read_radiometric

WORKING_SIDE_PX = 640
"""Longer side of the thermal area at most: sensors of phone cameras have 80 to 640, the rest is enlargement."""


class ScaleSource(StrEnum):
    """Where the degrees come from."""

    RADIOMETRIC = "radiometric"  # a temperature per pixel in the file
    METADATA = "metadata"  # the range in the camera's notes of the file
    PRINTED = "printed"  # the range printed on the picture, given by the caller: an evaluation only
    TYPED = "typed"  # guessed from the inside and outside temperatures: an estimate
    NONE = "none"  # no degrees at all: 0 is the cold end of the scale and 1 the hot one


@dataclass(frozen=True, slots=True)
class Thermogram:
    """What a thermal photo says, upright, at working resolution."""

    temperature: NDArray[np.float32]  # (h, w), °C; an estimate when ``scale`` is TYPED; 0..1 when it is NONE
    valid: NDArray[np.bool_]  # (h, w), False where print, a logo, a bar or an unexplained colour hides the scene
    clipped_low: NDArray[np.bool_]  # (h, w), at the cold end of the scale: the truth may be colder
    clipped_high: NDArray[np.bool_]  # (h, w), at the hot end
    scale: ScaleSource
    palette: str | None  # None for radiometric data
    palette_confidence: float  # 0..1, share of the area's pixels that the palette explains; 1 for radiometric data
    blended: bool  # false colour mixed with another photo: the colours cannot be turned back into temperatures
    noise: float  # standard deviation of sensor and JPEG noise, in the unit of ``temperature``
    window: tuple[int, int, int, int]  # x0, y0, x1, y1 of the thermal area in pixels of the upright photo
    photo_size: tuple[int, int]  # (w, h) of the upright photo
    reasons: tuple[str, ...]  # what lowers the confidence: sentences for a person, the weightiest first


def read_thermogram(
    data: bytes,
    *,
    inside_c: float | None,
    outside_c: float | None,
    printed_range: tuple[float, float] | None = None,
) -> Thermogram:
    """Turn a thermal photo into temperatures.

    ``inside_c`` and ``outside_c`` are °C as typed by the homeowner, None where absent; ``printed_range`` is the scale
    in °C (cold end, hot end) where the caller knows it.

    Raises :class:`~services.analysis.thermography.pictures.UnreadablePhotoError`.
    """
    picture = open_picture(data, longest=2 * WORKING_SIDE_PX)
    try:
        celsius = read_radiometric(data)
    except DamagedCalibrationError:
        celsius = None
    width, height = picture.size
    if celsius is not None:
        nothing = np.zeros(celsius.shape, np.bool_)
        return Thermogram(
            celsius, ~nothing, nothing, nothing, ScaleSource.RADIOMETRIC, None, 1.0, False,
            estimate_noise(celsius), (0, 0, width, height), picture.size, picture.notes,
        )  # fmt: skip
    grey = (cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY) / np.float32(255)).astype(np.float32)
    nothing = np.zeros(grey.shape, np.bool_)
    return Thermogram(
        grey, ~nothing, nothing, nothing, ScaleSource.NONE, "white-hot", 0.0, False,
        estimate_noise(grey), (0, 0, width, height), picture.size, picture.notes,
    )  # fmt: skip


def looks_thermal(data: bytes) -> float:
    """Say how much a photo looks like a thermal one, 0..1.

    Raises :class:`~services.analysis.thermography.pictures.UnreadablePhotoError`.
    """
    open_picture(data, longest=320)
    try:
        return 1.0 if read_radiometric(data) is not None else 0.0
    except DamagedCalibrationError:
        return 1.0


def estimate_noise(field: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of the noise in a field (h, w), in its own unit.

    The median of the second differences' size: edges and gradients of the scene weigh little (Immerkær, *Fast Noise
    Variance Estimation*, 1996, with a median in place of the mean).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = cv2.filter2D(field, cv2.CV_32F, kernel)[1:-1, 1:-1]
    return float(np.median(np.abs(response)) / (6 * 0.6745))
