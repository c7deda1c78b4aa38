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
from services.analysis.thermography.reading import overlays, palettes
from services.analysis.thermography.reading.camera_notes import noted_range
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

GLANCE_SIDE_PX = 120
"""Longer side of the picture that tells most colour photos from thermal ones."""

LIKENESS_SIDE_PX = 240
"""Longer side of the picture that tells which way round sensor data lie."""

TRUSTED = 0.7
"""Share of explained pixels below which a palette is not trusted, and garish colours are not read at all."""

UNREADABLE = 0.5
"""At most this share counts as explained where colours are mixed with another picture's or are of an unknown palette:
the one that seems to explain them is then a chance."""

BAR_EXPLAINED = 1.5
"""Times as far from the palette as elsewhere that the colours of a colour bar may lie: that it runs evenly tells more,
and JPEG mixes the colours of a bar, which is a few pixels wide, with its frame's."""

FOREIGN = 40.0
"""A colour farther from the palette than this (0..255) does not show temperature at all: print or another photo."""

DETAILED = 0.03
"""Fine structures of at least this strength are those of an ordinary photo: four photos of rooms and houses show 0.043
to 0.054 in a view of 480 pixels, seven thermal pictures 0.006 to 0.018."""

GARISH = 110
"""Channels as far apart as this (0..255) are rare in photos of rooms and common in false colour."""

FOREIGN_GREY = 20.0
"""The same for grey palettes, which an inset photo of pale things comes close to."""

CLIPPED = 0.012
"""This near to an end of the scale (0..1) the truth may lie beyond it."""

_MIXTURE_PX = 7  # within which the two sides of a step lie: enlarged sensor pixels
_MIXTURE_STEP = 0.15  # of the scale; print stands on a more even ground
_RIM = 0.15  # of the shorter side: where a view shows mostly wall
_WALL_SCATTER = 0.06  # thermal index, of sound walls under temperatures as they are typed
_BRIGHT_IS_WARM = 1.5  # times as likely as the other way round, where nothing tells


class ScaleSource(StrEnum):
    """Where the degrees come from."""

    RADIOMETRIC = "radiometric"  # a temperature per pixel in the file
    METADATA = "metadata"  # the range in the camera's notes of the file
    PRINTED = "printed"  # the range printed on the picture: read from it, or given by the caller
    ESTIMATED = "estimated"  # nowhere in the photo: detection estimates the degrees


@dataclass(frozen=True, slots=True)
class Thermogram:
    """What a thermal photo says, upright, at working resolution."""

    temperature: NDArray[np.float32]  # (h, w), °C; from 0, cold end, to 1, hot end, when ``scale`` is ESTIMATED
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
    either_way: bool = False  # grey whose bright may mean cold: neither a colour bar nor its range tells
    damaged: bool = False  # the file's own temperatures cannot be read, and what else it says may be wrong too
    trust: float = 1.0  # 0..1, what the doubts about the reading leave of the confidence; ``reasons`` name them


@dataclass(frozen=True, slots=True)
class _Layout:
    """What was found on the reduced picture; boxes in its pixels."""

    area: overlays.Box
    palette: int  # index into palettes.known()
    bar: overlays.ColourBar | None


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
    def layout(self) -> _Layout:
        """Where the thermal area is, its palette and a colour bar."""
        return _layout(self.reduced)

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


def looks_thermal(photo: Photograph) -> float:
    """Say how much a photo looks like a thermal one, 0..1; what is above 0.5 more likely is one than not."""
    if photo.radiometric is not None:  # be they damaged
        return 1.0
    layout = photo.layout
    x0, y0, x1, y1 = layout.area
    area = photo.reduced[y0:y1, x0:x1]
    explained = palettes.explained_share(area, layout.palette)
    colour = float(overlays.coloured(area).mean())
    if layout.palette in palettes.grey():
        # A grey photo has fine detail; a grey thermal picture is smooth, and may carry a colour bar.
        likely = 0.9 if layout.bar is not None else 0.65 if _detail(area) < DETAILED else 0.35
        return likely * (1.0 if explained > 0.85 and colour < 0.1 else 0.3)
    certain = 0.15 * explained if layout.bar is not None else 0.0
    garish = float(overlays.coloured(area, GARISH).mean())
    # Without garish colours, beige walls and wooden floors may happen to lie along some palette.
    sure = 0.45 + 0.55 * min(1.0, garish / 0.1)
    pure = float(np.clip((explained - 0.45) / 0.4, 0, 1) * np.clip(0.35 + colour, 0, 0.85)) * sure
    # Mixed with another photo it is a thermal one still: more garish than any room.
    mixed = 0.6 * min(1.0, garish / 0.4)
    return max(pure + certain, mixed)


def looks_ordinary(photo: Photograph) -> bool:
    """Whether a glance shows that a photo is no thermal one: coloured, but nowhere garish.

    Of 127 thermal photos, synthetic and real, none looks ordinary; of 103 colour photos 89 do.
    """
    if photo.radiometric is not None:
        return False
    height, width = photo.picture.rgb.shape[:2]
    few = cv2.resize(photo.picture.rgb, fit((width, height), GLANCE_SIDE_PX), interpolation=cv2.INTER_NEAREST)
    rgb = np.asarray(few, np.uint8)
    return bool(overlays.coloured(rgb).mean() >= 0.1 and overlays.coloured(rgb, GARISH).mean() < 0.05)


def _detail(rgb: NDArray[np.uint8]) -> float:
    """How strong the fine structures of a picture (h, w, 3) are, 0..1: what nine tenths of its pixels stay below."""
    grey = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) / np.float32(255)).astype(np.float32)
    return float(np.quantile(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0)), 0.9))


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
    palette = _palette_of(palettes.bins(small))
    thumbnail = np.asarray(cv2.resize(small, THUMBNAIL_PX, interpolation=cv2.INTER_AREA), np.uint8)
    drawn, _ = palettes.places(thumbnail, palette)
    return best_turn(celsius, drawn, upright=height > width, either_way=palette in palettes.grey())


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
    rgb = np.ascontiguousarray(photo.working[y0:y1, x0:x1])
    place, gap = palettes.places(rgb, palette)
    visible = ~overlays.print_mask(rgb)
    if layout.bar is not None:
        _strike_out(visible, layout.bar.box, enlarged, (x0, y0))
    visible &= ~overlays.plain_corners(rgb)
    explained = float((gap[visible] < palettes.explained_within(palette)).mean()) if visible.any() else 0.0
    foreign = gap > (FOREIGN_GREY if palette in palettes.grey() else FOREIGN)
    if palette not in palettes.grey():
        place, foreign = _without_mixtures(place, foreign)
    valid = visible & ~_hidden_by(foreign)
    place = _smoothed_over(place, valid)
    garish = float(overlays.coloured(rgb).mean()) > 0.3
    blended = garish and palettes.blended(rgb[visible], palette)
    if blended or (garish and explained < TRUSTED):
        explained = min(explained, UNREADABLE)
    if blended:
        reasons.append(
            "The thermal colours seem to be mixed with an ordinary photo, so temperatures cannot be read from them: "
            "please save the thermal picture alone (no fusion, blending or picture-in-picture)."
        )
    elif explained < TRUSTED:
        reasons.append("The photo's colours match no thermal palette that we know.")
    source, (low, high) = scale
    if source is ScaleSource.ESTIMATED and not blended:
        bar = None if layout.bar is None else _enlarged(layout.bar.box, enlarged)
        printed = read_printed_range(photo.working, bar, inside_c=inside_c, outside_c=outside_c)
        if printed is not None:
            source, (low, high) = ScaleSource.PRINTED, printed
        else:
            reasons.append("The photo does not tell its temperature scale, so that was estimated.")
    temperature = (low + (high - low) * place).astype(np.float32)
    noted = source is ScaleSource.METADATA
    if not sure and noted and _shows_room_reversed(temperature, low + high, valid, inside_c, outside_c):
        palette = palettes.reversed_grey(palette)
        place, temperature = 1 - place, np.asarray(low + high - temperature, np.float32)
    size = photo.picture.size
    full = size[0] / photo.working.shape[1]
    window = (round(x0 * full), round(y0 * full), round(x1 * full), round(y1 * full))
    return Thermogram(
        temperature, valid, (place < CLIPPED) & valid, (place > 1 - CLIPPED) & valid, source,
        palettes.known()[palette].name, explained, blended, estimate_noise(temperature), window, size, tuple(reasons),
        not sure, isinstance(photo.radiometric, DamagedCalibrationError),
    )  # fmt: skip


def _with_polarity(layout: _Layout) -> tuple[int, bool]:
    """Decide between white-hot and black-hot, where there is a choice; also tells whether that is sure."""
    if layout.palette not in palettes.grey():
        return layout.palette, True
    if layout.bar is None:
        return layout.palette, False
    return layout.palette if layout.bar.hot_first else palettes.reversed_grey(layout.palette), True


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


def _layout(small: NDArray[np.uint8]) -> _Layout:
    """Find the thermal area, its palette and a colour bar."""
    area, palette = _area_and_palette(small)
    place, gap = palettes.places(small, palette)
    bar = overlays.colour_bar(place, gap, BAR_EXPLAINED * palettes.explained_within(palette))
    if bar is not None and overlays.is_beside(bar.box, area, grey=palette in palettes.grey()):
        area = overlays.area_beside(small, bar.box) or area
    return _Layout(area, palette, bar)


def _area_and_palette(small: NDArray[np.uint8]) -> tuple[overlays.Box, int]:
    area = overlays.thermal_area(small)
    x0, y0, x1, y1 = area
    # Print and bars outside the area help to name the palette, grey surroundings do not.
    telling = overlays.coloured(small)
    telling[y0:y1, x0:x1] = True
    return area, _palette_of(palettes.bins(small)[telling])


def _palette_of(bins: NDArray[np.uint16]) -> int:
    """The palette that explains the bins of pixels best.

    The square root lets the few pixels of rare colours, a colour bar's above all, speak as well as the many of a wall.
    """
    histogram = np.bincount(bins.ravel(), minlength=32768)
    return palettes.matches(np.sqrt(histogram))[0].index


def _enlarged(box: overlays.Box, scale: float) -> overlays.Box:
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return x0, y0, x1, y1


def _without_mixtures(
    place: NDArray[np.float32], foreign: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The places and what is foreign, without the mixtures of colours along a steep step of the temperature.

    The picture's enlargement and JPEG mix the colours of both sides of a narrow leak, and of a palette of many hues
    the mixture is none of its colours. There the place lies between those around it, which are far apart; around print
    they are alike.
    """
    if not foreign.any():
        return place, foreign
    around = np.ones((_MIXTURE_PX, _MIXTURE_PX), np.uint8)
    most = np.asarray(cv2.dilate(np.where(foreign, np.float32(-1), place), around))
    least = np.asarray(cv2.erode(np.where(foreign, np.float32(2), place), around))
    mixed = foreign & (most - least > _MIXTURE_STEP) & (most >= 0)
    known = (~foreign).astype(np.float32)
    near = cv2.blur(known, around.shape)
    mean = np.asarray(cv2.blur(place * known, around.shape)) / np.maximum(near, 1e-6)
    return np.where(mixed, mean, place).astype(np.float32), foreign & ~mixed


def _hidden_by(shows_nothing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find what shows no temperature, and the whole of a photo inset in a corner: some of its colours fit by chance."""
    height, width = shows_nothing.shape
    foreign = shows_nothing.astype(np.uint8)
    size = max(9, max(height, width) // 24)
    among = np.asarray(cv2.blur(foreign * np.uint8(255), (size, size))) > 90
    hidden = (np.asarray(cv2.dilate(foreign, np.ones((3, 3), np.uint8))) > 0) | among
    count, _, stats, _ = cv2.connectedComponentsWithStats(among.astype(np.uint8))
    for x, y, w, h, area in stats[1:count]:
        near_side = x <= size or x + w >= width - size
        near_end = y <= size or y + h >= height - size
        if near_side and near_end and 0.02 < w * h / foreign.size < 0.3 and area > 0.5 * w * h:
            hidden[max(y - size // 2, 0) : y + h + size // 2, max(x - size // 2, 0) : x + w + size // 2] = True
    return hidden


def _strike_out(visible: NDArray[np.bool_], box: overlays.Box, scale: float, origin: tuple[int, int]) -> None:
    """Mark a box, given on the reduced picture, as hidden, with a margin for its frame and the blur of JPEG."""
    margin = 3
    x0, x1 = (round(value * scale) - origin[0] for value in (box[0] - margin, box[2] + margin))
    y0, y1 = (round(value * scale) - origin[1] for value in (box[1] - margin, box[3] + margin))
    if x1 > 0 and y1 > 0:
        visible[max(y0, 0) : y1, max(x0, 0) : x1] = False


def _smoothed_over(place: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill what is not valid with the mean of what is valid around it, so that filters see no false edges."""
    if valid.all() or not valid.any():
        return place
    weight = valid.astype(np.float32)
    filled = place * weight
    size = (31, 31)
    near = cv2.blur(weight, size)
    mean = cv2.blur(filled, size) / np.maximum(near, 1e-6)
    mean[near < 1e-3] = float(filled.sum() / weight.sum())
    return np.where(valid, place, mean).astype(np.float32)
