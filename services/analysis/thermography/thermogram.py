"""A thermal photo as temperatures: the result of decoding, whatever the photo's kind was.

Three sources, best first: a temperature per pixel stored in the file (FLIR R-JPEG); a false-colour picture whose scale
is known; a false-colour picture whose scale must be guessed from the temperatures that the homeowner typed.
"""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography import overlays, palettes
from services.analysis.thermography.pictures import Picture, open_picture
from services.analysis.thermography.radiometric import DamagedCalibrationError, read_radiometric

WORKING_SIDE_PX = 640
"""Longer side of the thermal area at most: sensors of phone cameras have 80 to 640, the rest is enlargement."""

LAYOUT_SIDE_PX = 480
"""Longer side of the reduced picture on which the thermal area, the palette and the colour bar are found."""

TRUSTED = 0.7
"""Share of explained pixels below which a palette is not trusted."""

CLIPPED = 0.012
"""This near to an end of the scale (0..1) the truth may lie beyond it."""


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """What was found on the reduced picture; boxes in its pixels."""

    area: overlays.Box
    palette: int  # index into palettes.known()
    explained: float
    bar: overlays.ColourBar | None


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
    picture = open_picture(data, longest=WORKING_SIDE_PX)
    reasons = list(picture.notes)
    try:
        celsius = read_radiometric(data)
    except DamagedCalibrationError as damage:
        reasons.append(f"{damage} They were estimated from the picture's colours instead.")
        celsius = None
    if celsius is not None:
        return _radiometric(celsius, picture, reasons)
    return _false_colour(picture, reasons, inside_c, outside_c, printed_range)


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


def _radiometric(celsius: NDArray[np.float32], picture: Picture, reasons: list[str]) -> Thermogram:
    nothing = np.zeros(celsius.shape, np.bool_)
    return Thermogram(
        celsius, ~nothing, nothing, nothing, ScaleSource.RADIOMETRIC, None, 1.0, False,
        estimate_noise(celsius), (0, 0, *picture.size), picture.size, tuple(reasons),
    )  # fmt: skip


def _false_colour(
    picture: Picture,
    reasons: list[str],
    inside_c: float | None,
    outside_c: float | None,
    printed_range: tuple[float, float] | None,
) -> Thermogram:
    layout, small_scale = _layout(picture.rgb)
    palette = palettes.known()[layout.palette]
    x0, y0, x1, y1 = (round(value * small_scale) for value in layout.area)
    rgb = np.ascontiguousarray(picture.rgb[y0:y1, x0:x1])
    place, gap = palettes.places(rgb, layout.palette)
    valid = ~overlays.print_mask(rgb, place, gap)
    if layout.bar is not None:
        _strike_out(valid, layout.bar.box, small_scale, (x0, y0))
    explained = float((gap[valid] < palettes.EXPLAINED).mean()) if valid.any() else 0.0
    place = _smoothed_over(place, valid)
    low, high, source = 0.0, 1.0, ScaleSource.NONE
    if printed_range is not None:
        (low, high), source = printed_range, ScaleSource.PRINTED
    temperature = (low + (high - low) * place).astype(np.float32)
    full = picture.size[0] / picture.rgb.shape[1]
    window = (round(x0 * full), round(y0 * full), round(x1 * full), round(y1 * full))
    return Thermogram(
        temperature, valid, (place < CLIPPED) & valid, (place > 1 - CLIPPED) & valid, source, palette.name,
        explained, explained < TRUSTED, estimate_noise(temperature), window, picture.size, tuple(reasons),
    )  # fmt: skip


def _layout(rgb: NDArray[np.uint8]) -> tuple[_Layout, float]:
    """Find area, palette and colour bar; also returned: pixels of ``rgb`` per pixel of the reduced picture."""
    scale = max(1.0, max(rgb.shape[:2]) / LAYOUT_SIDE_PX)
    small = rgb
    if scale > 1:
        size = (round(rgb.shape[1] / scale), round(rgb.shape[0] / scale))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    area = overlays.thermal_area(small)
    x0, y0, x1, y1 = area
    histogram = np.bincount(palettes.bins(small[y0:y1, x0:x1]).ravel(), minlength=32768).astype(np.float64)
    match = palettes.matches(histogram)[0]
    place, gap = palettes.places(small, match.index)
    bar = overlays.colour_bar(place, gap, palettes.EXPLAINED)
    return _Layout(area, match.index, match.explained, bar), scale


def _strike_out(valid: NDArray[np.bool_], box: overlays.Box, scale: float, origin: tuple[int, int]) -> None:
    """Mark a box, given on the reduced picture, as not valid, with a margin for its frame and the blur of JPEG."""
    margin = 3
    x0, x1 = (round(value * scale) - origin[0] for value in (box[0] - margin, box[2] + margin))
    y0, y1 = (round(value * scale) - origin[1] for value in (box[1] - margin, box[3] + margin))
    if x1 > 0 and y1 > 0:
        valid[max(y0, 0) : y1, max(x0, 0) : x1] = False


def _smoothed_over(place: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill what is not valid with the mean of what is valid around it, so that filters see no false edges."""
    if valid.all() or not valid.any():
        return place
    filled = np.where(valid, place, 0).astype(np.float32)
    weight = valid.astype(np.float32)
    size = (31, 31)
    mean = cv2.blur(filled, size) / np.maximum(cv2.blur(weight, size), 1e-6)
    far = cv2.blur(weight, size) < 1e-3
    mean[far] = float(filled.sum() / weight.sum())
    return np.where(valid, place, mean).astype(np.float32)
