"""A thermal photo as temperatures: the result of decoding, whatever the photo's kind was.

Three sources, best first: a temperature per pixel stored in the file (FLIR R-JPEG); a false-colour picture whose scale
is noted in the file or printed on it; one without a scale, of which only the order of temperatures is known.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.basis.constants import SOUND_WALL_INDEX
from services.analysis.thermography.reading import palettes
from services.analysis.thermography.reading.camera_notes import noted_range
from services.analysis.thermography.reading.colours import Sample
from services.analysis.thermography.reading.inversion import Inversion, inverted
from services.analysis.thermography.reading.layout import Layout, find_layout
from services.analysis.thermography.reading.overlays import Box
from services.analysis.thermography.reading.palettes import Palette
from services.analysis.thermography.reading.pictures import fit, open_picture
from services.analysis.thermography.reading.printed import read_printed_range
from services.analysis.thermography.reading.radiometric import (
    DamagedCalibrationError,
    SensorReading,
    read_radiometric,
)
from services.analysis.thermography.reading.sensor.turning import THUMBNAIL_PX, Turn, best_turn
from services.analysis.thermography.reading.sensor.values import COLDEST_C, HOTTEST_C

WORKING_SIDE_PX = 640
"""Longer side of the thermal area at most: sensors of phone cameras have 80 to 640, the rest is enlargement."""

DOUBTED_SENSOR_TRUST = 0.6
"""What is left of the confidence, an estimate, where the camera's settings did not fit a house and were replaced, or
where it stores too little to tell every temperature."""

LAYOUT_SIDE_PX = 480
"""Longer side of the reduced picture on which the thermal area, the palette and the colour bar are found."""

LIKENESS_SIDE_PX = 240
"""Longer side of the picture that tells which way round sensor data lie."""

TRUSTED = 0.7
"""Share of explained pixels below which a palette is not trusted."""

_LEAST_EXPLAINED = 0.45
"""At most this share counts as explained where the colours are none of a thermal picture."""

_MUCH_HIDDEN = 0.25  # share of the thermal part from which on what hides it is told
_MUCH_BEYOND = 0.25  # the same of what lies beyond the scale or an alarm's limit
_SMALL_PART = 0.15  # share of the photo: picture in picture takes a quarter, a photographed display a tenth
_TRUST_SMALL, _TRUST_HIDDEN, _TRUST_BEYOND, _TRUST_MIXED = (
    0.8,
    0.6,
    0.8,
    0.85,
)  # what is left of the confidence: estimates
_RIM = 0.15  # of the shorter side: where a view shows mostly wall
_WALL_SCATTER = 0.06  # thermal index, of sound walls under temperatures as they are typed
_BRIGHT_IS_WARM = 1.5  # times as likely as the other way round, where nothing tells


class ScaleSource(StrEnum):
    """Where the degrees come from."""

    RADIOMETRIC = "radiometric"  # a temperature per pixel in the file
    METADATA = "metadata"  # the range in the camera's notes of the file
    PRINTED = "printed"  # the range printed on the picture: read from it, or given by the caller
    ESTIMATED = "estimated"  # nowhere in the photo: detection estimates the degrees
    ORDER = "order"  # nowhere either, and the places tell which spot is warmer, not by how much

    @property
    def tells_degrees(self) -> bool:
        """Whether ``temperature`` is in °C; from 0, cold end, to 1, hot end, otherwise."""
        return self in (ScaleSource.RADIOMETRIC, ScaleSource.METADATA, ScaleSource.PRINTED)


@dataclass(frozen=True, slots=True)
class Thermogram:
    """What a thermal photo says, upright, at working resolution."""

    temperature: NDArray[np.float32]  # (h, w), °C; from 0, cold end, to 1, hot end, unless ``scale`` tells degrees
    valid: NDArray[np.bool_]  # (h, w), False where print, a logo, a bar or an unexplained colour hides the scene
    clipped_low: NDArray[np.bool_]  # (h, w), at the cold end of the scale: the truth may be colder
    clipped_high: NDArray[np.bool_]  # (h, w), at the hot end
    scale: ScaleSource
    palette: str | None  # None for radiometric data
    palette_confidence: float  # 0..1, share of the area's pixels that the palette explains; 1 for radiometric data
    blended: bool  # false colour mixed with a grey photo
    noise: float  # standard deviation of sensor and JPEG noise, in the unit of ``temperature``
    window: tuple[int, int, int, int]  # x0, y0, x1, y1 of the thermal area in pixels of the upright photo
    photo_size: tuple[int, int]  # (w, h) of the upright photo
    reasons: tuple[str, ...]  # what lowers the confidence: sentences for a person, the weightiest first
    either_way: bool = False  # grey whose bright may mean cold: neither a colour bar nor its range tells
    damaged: bool = False  # the file's own temperatures cannot be read, and what else it says may be wrong too
    unreadable: str | None = None  # why no temperatures can be read at all, and what to do: a sentence for a person
    trust: float = 1.0  # 0..1, what the doubts about the reading leave of the confidence; ``reasons`` name them


class Photograph:
    """A photo that may be a thermal one, decoded once for all that is asked of it.

    Raises :class:`~services.analysis.thermography.reading.pictures.UnreadablePhotoError`.
    """

    def __init__(self, data: bytes, *, enough: int = WORKING_SIDE_PX) -> None:
        """``enough``: pixels of the longer side that are of use, at least those of a thermogram."""
        self.data = data
        self.picture = open_picture(data, enough=enough)

    @cached_property
    def radiometric(self) -> SensorReading | DamagedCalibrationError | None:
        """°C per sensor pixel as the sensor holds it, or what is wrong with them; None when there are none."""
        try:
            return read_radiometric(self.data)
        except DamagedCalibrationError as damage:
            return damage

    @cached_property
    def reduced(self) -> NDArray[np.uint8]:
        """The picture (h, w, 3) on which the layout is found."""
        return self.at_most(LAYOUT_SIDE_PX)

    @cached_property
    def working(self) -> NDArray[np.uint8]:
        """The picture (h, w, 3) whose colours are turned into temperatures."""
        return self.at_most(WORKING_SIDE_PX)

    @cached_property
    def layout(self) -> Layout:
        """Where the thermal part is, how it is drawn, and a colour bar."""
        return find_layout(self.reduced)

    def at_most(self, longest: int) -> NDArray[np.uint8]:
        """The picture (h, w, 3), made smaller where its longer side has more than ``longest`` pixels."""
        rgb = self.picture.rgb
        size = fit((rgb.shape[1], rgb.shape[0]), longest)
        # By area, although it takes longer: with interpolation a leak of a real photo was missed.
        return rgb if size == rgb.shape[1::-1] else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def read_thermogram(
    photo: Photograph,
    *,
    inside_c: float | None,
    outside_c: float | None,
    printed_range: tuple[float, float] | None = None,
) -> Thermogram:
    """Turn a thermal photo into temperatures.

    ``inside_c`` and ``outside_c`` are °C as typed by the homeowner, None where absent; ``printed_range`` is the scale
    in °C (cold end, hot end) where the caller knows it.
    """
    reasons = list(photo.picture.notes)
    sensed = photo.radiometric
    if isinstance(sensed, DamagedCalibrationError):
        reasons.append(f"{sensed} They were estimated from the picture's colours instead.")
    elif sensed is not None:
        return _radiometric(sensed, photo, reasons)
    scale = ScaleSource.ESTIMATED, (0.0, 1.0)
    if printed_range is not None:
        scale = ScaleSource.PRINTED, printed_range
    elif (noted := noted_range(photo.data)) is not None:
        scale = ScaleSource.METADATA, noted
    return _false_colour(photo, reasons, scale, inside_c, outside_c)


def estimate_noise(field: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of the noise in a field (h, w), in its own unit.

    The median of the second differences' size: edges and gradients of the scene weigh little (Immerkær, *Fast Noise
    Variance Estimation*, 1996, with a median in place of the mean).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = cv2.filter2D(field, cv2.CV_32F, kernel)[1:-1, 1:-1]
    return float(np.median(np.abs(response)) / (6 * 0.6745))


def _radiometric(sensed: SensorReading, photo: Photograph, reasons: list[str]) -> Thermogram:
    turn = _turn_of(sensed.celsius, photo.reduced)
    celsius, known = turn.applied_to(sensed.celsius), turn.applied_to(sensed.known)
    size = photo.picture.size
    longer = max(celsius.shape)
    if longer > WORKING_SIDE_PX:
        fitting = fit((celsius.shape[1], celsius.shape[0]), WORKING_SIDE_PX)
        celsius = cv2.resize(celsius, fitting, interpolation=cv2.INTER_AREA).astype(np.float32)
        known = cv2.resize(known.astype(np.uint8), fitting, interpolation=cv2.INTER_NEAREST) > 0
    beyond = ~known
    return Thermogram(
        celsius, known, beyond & (celsius <= COLDEST_C), beyond & (celsius >= HOTTEST_C), ScaleSource.RADIOMETRIC,
        None, 1.0, False, estimate_noise(celsius), (0, 0, *size), size, (*reasons, *sensed.reasons),
        trust=DOUBTED_SENSOR_TRUST if sensed.reasons else 1.0,
    )  # fmt: skip


def _turn_of(celsius: NDArray[np.float32], rgb: NDArray[np.uint8]) -> Turn:
    """Find how sensor data lie against the picture beside them in the file."""
    # The whole of a small picture names the palette as well: nothing is measured by it here.
    height, width = rgb.shape[:2]
    small = np.asarray(cv2.resize(rgb, fit((width, height), LIKENESS_SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)
    palette = palettes.known()[palettes.matches(Sample.of(small).histogram)[0].index]
    thumbnail = np.asarray(cv2.resize(small, THUMBNAIL_PX, interpolation=cv2.INTER_AREA), np.uint8)
    drawn = palettes.places(thumbnail, palette).place
    return best_turn(celsius, drawn, upright=height > width, either_way=palette.is_grey)


def _false_colour(
    photo: Photograph,
    reasons: list[str],
    scale: tuple[ScaleSource, tuple[float, float]],
    inside_c: float | None,
    outside_c: float | None,
) -> Thermogram:
    layout = photo.layout
    palette, sure = _with_polarity(layout)
    enlarged = max(photo.working.shape) / max(photo.reduced.shape)
    x0, y0, x1, y1 = _enlarged(layout.area, enlarged)
    bar = None if layout.bar is None else _enlarged(layout.bar.box, enlarged)
    rgb = np.ascontiguousarray(photo.working[y0:y1, x0:x1])
    inside = None if bar is None else (bar[0] - x0, bar[1] - y0, bar[2] - x0, bar[3] - y0)
    seen = inverted(rgb, palette, inside)
    unreadable = _unreadable(photo, seen)
    source, (low, high) = scale
    if source is ScaleSource.ESTIMATED and unreadable is None:
        printed = read_printed_range(photo.working, bar, inside_c=inside_c, outside_c=outside_c)
        if printed is not None and layout.drawing.linear:
            source, (low, high) = ScaleSource.PRINTED, printed
        elif layout.drawing.linear:
            reasons.append("The photo does not tell its temperature scale, so that was estimated.")
    if not layout.drawing.linear:
        source, (low, high) = ScaleSource.ORDER, (0.0, 1.0)
        reasons.append("The photo's palette is none that we know: it shows where it is colder, not by how much.")
    temperature = (low + (high - low) * seen.place).astype(np.float32)
    noted = source is ScaleSource.METADATA
    if not sure and noted and _shows_room_reversed(temperature, low + high, seen.valid, inside_c, outside_c):
        palette, seen = palettes.reversed_grey(palette), seen.reversed()
        temperature = np.asarray(low + high - temperature, np.float32)
    trust = _doubts(photo, seen, reasons)
    size = photo.picture.size
    full = size[0] / photo.working.shape[1]
    window = (round(x0 * full), round(y0 * full), round(x1 * full), round(y1 * full))
    return Thermogram(
        temperature, seen.valid, seen.below, seen.above, source, palette.name, seen.explained, palette.share < 1,
        estimate_noise(temperature), window, size, tuple(reasons), not sure,
        isinstance(photo.radiometric, DamagedCalibrationError), unreadable, trust,
    )  # fmt: skip


def _unreadable(photo: Photograph, seen: Inversion) -> str | None:
    """Say why the colours cannot be read as temperatures, and what to do; None where they can."""
    if photo.layout.drawing.fits and seen.explained >= _LEAST_EXPLAINED:
        return None
    if _is_small_part(photo):
        return (
            "The thermal picture in the photo is too small or too dim to be read: "
            "please send the file that the camera saved, or photograph its display straight on and close up."
        )
    return (
        "The colours of the photo are none that a thermal camera draws with: "
        "please send the camera's own picture, with iron, rainbow or grey as its palette."
    )


def _is_small_part(photo: Photograph) -> bool:
    """Whether most of the photo is something else, as where a camera's display was photographed."""
    x0, y0, x1, y1 = photo.layout.area
    height, width = photo.reduced.shape[:2]
    return bool((x1 - x0) * (y1 - y0) < _SMALL_PART * width * height)


def _doubts(photo: Photograph, seen: Inversion, reasons: list[str]) -> float:
    """Return what the doubts about the reading leave of the confidence, 0..1, and add their reasons."""
    trust = 1.0
    if _is_small_part(photo):
        reasons.append("The thermal picture is a small part of the photo: the file that the camera saved shows more.")
        trust *= _TRUST_SMALL
    if photo.layout.drawing.palette.share < 1:
        reasons.append("A grey photo is mixed into the thermal colours: they were read by their hue.")
        trust *= _TRUST_MIXED
    hidden = 1.0 - float(seen.valid.mean())
    if hidden > _MUCH_HIDDEN:
        reasons.append(f"Print or another picture hides {hidden:.0%} of the thermal picture.")
        trust *= _TRUST_HIDDEN
    beyond = float((seen.below | seen.above).mean())
    if seen.limit:
        reasons.append("One colour covers everything beyond a limit: how far beyond was not seen.")
        trust *= _TRUST_BEYOND
    elif beyond > _MUCH_BEYOND:
        reasons.append(f"The scale ends before the scene does: {beyond:.0%} of it lies beyond the scale.")
        trust *= _TRUST_BEYOND
    return trust


def _with_polarity(layout: Layout) -> tuple[Palette, bool]:
    """Decide between white-hot and black-hot, where there is a choice; also tells whether that is sure."""
    palette = layout.drawing.palette
    if not palette.is_grey:
        return palette, True
    if layout.bar is None:
        return palette, False
    return palette if layout.bar.hot_first else palettes.reversed_grey(palette), True


def _shows_room_reversed(
    temperature: NDArray[np.float32],
    ends: float,
    valid: NDArray[np.bool_],
    inside_c: float | None,
    outside_c: float | None,
) -> bool:
    """Whether a grey picture makes a room only when its scale, whose two ends add up to ``ends``, is turned round.

    The rim of a view shows mostly sound wall, and how warm that is follows from the temperatures indoors and outdoors.
    """
    if inside_c is None or outside_c is None or inside_c == outside_c:
        return False
    rim = valid.copy()
    margin = max(2, round(_RIM * min(rim.shape)))
    rim[margin:-margin, margin:-margin] = False
    if not rim.any():
        return False

    def like_wall(celsius: NDArray[np.float32]) -> float:
        off = (celsius - outside_c) / (inside_c - outside_c) - SOUND_WALL_INDEX
        return float(np.exp(-0.5 * (off / _WALL_SCATTER) ** 2).mean())

    return like_wall(np.asarray(ends - temperature[rim], np.float32)) > _BRIGHT_IS_WARM * like_wall(temperature[rim])


def _enlarged(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return x0, y0, x1, y1
