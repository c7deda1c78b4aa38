"""Cold regions of a thermal photo: where they are, what they probably are, and what they are not.

Everything is judged on the thermal index f = (T − T_outside)/(T_inside − T_outside), 1 for the room and 0 for outside,
so that a cold wall on a cold and on a mild day look alike, and a warm leak in summer looks like a cold one in winter.

1. The level of the sound wall is found, not assumed: a smooth surface through the pixels near the commonest level. Hot
   objects lie far from it and take no part, however large they are.
2. Windows and doors are colder than the wall by nature. Their outline is found as the rectangle that gathers the cold,
   and inside it a pixel is compared with its own part: what runs through its row or column (frame, sash, pane) is
   structure, what is short is not. Glass is expected to have the index of double glazing; colder is a defect.
3. What is missing from the expected index forms regions. Those whose depth, size and shape speak for a defect, and not
   for structure or for the edge of something hot or hidden, are kept. Each is named after its shape: a leak fades out
   from a crack, missing insulation is an even field, a bridge a line, cold glass an even pane.

The thresholds are calibrated on synthetic scenes of the development seeds and on phone pictures; they are estimates.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.basis.building import opening_area, single_glass_deficit
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.basis.constants import CLOSE_UP_AREA, WALL_VIEW_AREA
from services.analysis.thermography.finding.opening import Opening, find_opening, is_frontal
from services.analysis.thermography.finding.scale import conditions_in_view, estimate_temperature
from services.analysis.thermography.finding.sound import (
    COLD_PANE,
    sound_askew,
    sound_from_front,
    sound_glass,
    wall_level,
)
from services.analysis.thermography.reading.thermogram import Thermogram

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WORKING_SIDE = 320  # pixels of the longer side; cracks are several pixels wide then
_WARM = 0.06  # above the wall: a hot object, or what it warms
_WEAK, _STRONG = 0.05, 0.075  # missing index: outline of a region, and what may make it one
_DOUBTFUL_FIELD = 0.02  # m² of missing index that an even cold field counts for where the part is not known
_NOTHING_SEEN = "Nothing of the thermal picture could be used."
_DOUBTFUL_REASON = "An even cold field is normal for a window or door and a defect in a wall: it counts as a small one."
_OVER_HEAT_REASON = "The cold field over something hot was taken for a window, which is as cold when nothing is wrong."
_WARMER_PART = 0.7  # quantile: indoors wall shows in three tenths of a view at least, however cold the window in it
_OUTSIDE_INDEX = 0.4  # indoors that part is warmer
_MOSTLY_OUTSIDE_INDEX = 0.2  # indoors half of a view is warmer, whatever fills it
_ROOM = 0.7, 1.15  # index of what belongs to a room, its cold window aside
_LEAST_ROOM, _MOST_COLD = 0.1, 0.75  # share of a view that is of a room at least, and colder than that at most
_COLDEST_ROOM, _WARMEST_ROOM = 14.0, 32.0  # °C, of the warmer part and of the wall where nobody says how warm it is
_ALL_WARMER = 0.9  # share of a view that is warmer than the room only where the room is warmer than was typed
_COLDER_THAN_OUTSIDE = (0.005, -0.1)  # so much of a view is never colder than outside by a tenth of the difference
_COLD_ROOM = "The photo looks taken from outside or of a cold room; please take it in a heated room."
_FROM_OUTSIDE = (
    "The photo looks taken from outside, or the room is colder than the inside temperature given: "
    "please check that, and take the photo in a heated room."
)
_NO_ROOM = "What is in view is warmer than any room, so it says nothing of leaks: please take a window, door or wall."
_ROOM_WARMER = "Nearly all in view is warmer than the inside temperature given; that was not used: please check it."
_OUTSIDE_COLDER = "Places in view are colder than the outside temperature given; that was not used: please check it."
_BEYOND_OUTSIDE = -0.15  # in summer: hotter than outside by a seventh of the difference
_HOT = 0.12  # above the wall: a radiator, not just warm air
_CONVINCING = -1.5  # log odds from which on a region is shown: a defect in one of five cases, and counted as such
_RIM_PX = 9  # gaps up to this broad do not open a ring
_WIDEST_CRACK = 0.25  # m, across; a region within an opening that is wider and hollow runs around something
_RIM_DEPTH = 0.16  # missing index up to which such a ring is the rim of a sound pane
_ALONG_BORDER = 0.4  # share of a region's rim that lies on the border of the view, of a strip along it
_BORDER_STRIP = 0.02  # of the longer side: as narrow as no defect at the border is
_ENCLOSED = 0.5  # times the rim's own area that it encloses at least
_EVIDENCE = {
    "constant": 11.0,
    "depth": 5.0,
    "area": 0.45,
    "length": 0.64,
    "filled": 2.6,
    "in opening": 1.11,
    "slope": -55,
    "door": -1.26,
}
_CLEARLY_COLDER = 0.25  # of the view: what speaks against taking bright for warm
_STUDS = 3  # lines of one photo from which on they are no bridges but studs
_DEEPEST_BRIDGE = 0.33  # missing index: of uninsulated concrete or brick, U = 2.8 W/m²K; colder is air
_LINE = 5.0  # times as long as wide
_WIDEST_BRIDGE = 0.22  # m; a bay between studs is wider
_GAP_PX = 5  # gaps narrower than this do not part a region
_PEAK_SHARE = 0.3  # of a region's depth that its outline includes
_SMALLEST, _SMALLEST_PIECE = 0.003, 0.0015  # share of the view: of a cold place, and of each piece that is outlined


@dataclass(frozen=True, slots=True)
class Shape:
    """How a region's missing index is spread: what tells its kind."""

    length: float  # longest extent, m
    width: float  # extent across, m
    filled: float  # share of its bounding rectangle
    evenness: float  # median by 95th percentile of the missing index
    variation: float  # along its length: standard deviation by mean of the missing index
    reach: float  # longest extent by the view's
    in_opening: float  # share within a window or door
    edge: float  # share of its rim on the border of the view


@dataclass(frozen=True, slots=True)
class Region:
    """One connected cold region of a thermal photo."""

    kind: DefectKind
    kind_confidence: float  # 0..1
    chance: float  # 0..1, that it is a defect at all
    mask: Mask  # (h, w) of the detection's raster, with what print hides of it
    shape: Shape
    deficit: float  # integral of the missing thermal index over the region, m²
    taken: float  # the same of the missing share of the index, m²
    coldest_index: float
    coldest_temperature: float  # °C


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one thermal photo."""

    regions: tuple[Region, ...]
    refusal: str | None = None  # why the view says nothing about leaks, for a person
    contradiction: str | None = None  # in what the view contradicts the temperatures that were typed, for a person
    reasons: tuple[str, ...] = ()  # what else lowers the confidence, for a person


def detect(thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Detection:
    """Find the regions that lose heat."""
    temperature, valid, saturated = _reduced(thermogram)
    if not valid.any():
        return Detection((), reasons=(_NOTHING_SEEN,))
    known = thermogram.scale.tells_degrees
    if not known:
        temperature = _estimated(temperature, valid, saturated, conditions, part)
        if thermogram.either_way and not conditions.cooling_season:
            temperature = _likelier_way(temperature, thermogram, conditions, part)
    index = ((temperature - conditions.outside) / conditions.difference).astype(np.float32)
    contradiction = None
    if known and conditions.typed and not conditions.cooling_season:
        contradiction = _contradiction(index[valid])
        if contradiction is not None:
            conditions = Conditions.from_fahrenheit(None, None)
    if known and _is_cold(temperature[valid], conditions):
        return Detection((), _COLD_ROOM, contradiction)
    if known and contradiction is None and _seen_from_outside(index[valid]):
        return Detection((), _FROM_OUTSIDE if conditions.typed else _COLD_ROOM)
    if known and not conditions.typed and not conditions.cooling_season:
        conditions = conditions_in_view(temperature, valid, conditions, part)
        if conditions.inside > _WARMEST_ROOM:
            return Detection((), _NO_ROOM, contradiction)
        index = ((temperature - conditions.outside) / conditions.difference).astype(np.float32)
    if conditions.cooling_season:
        valid &= index > _BEYOND_OUTSIDE  # hotter than the air on either side: an object
        if not valid.any():
            return Detection((), reasons=(_NOTHING_SEEN,))
    wall = wall_level(index, valid)
    unknown = _unknown(index, wall, valid)
    opening = _opening(index, wall, unknown, part)
    metres = _metres_per_pixel(index.shape, opening, part)
    if opening is not None and not is_frontal(opening, wall - index, unknown):
        opening = None
    glass = sound_glass(wall, _frame_index(index, unknown, opening) if part is TaskType.WINDOW else None)
    askew = opening is None and part in (TaskType.WINDOW, TaskType.DOOR)
    if opening is not None:
        expected = sound_from_front(index, wall, glass, unknown, opening, metres)
    elif askew:
        expected = sound_askew(index, wall, glass, unknown, metres)
    else:
        expected = wall
    missing = np.where(valid, np.maximum(expected - index, 0.0), 0.0).astype(np.float32)
    slope = _slope(missing)
    regions, reasons = [], []
    for mask in _regions(missing, int(valid.sum())):
        shape = _shape(mask, missing, opening, metres)
        evidence = _evidence(mask, shape, missing, slope, part)
        if evidence < _CONVINCING:
            continue
        if not known and shape.filled < 0.25 and shape.reach > 0.9:
            continue  # studs and corners all over the view: a sound wall whose own unevenness fills the palette
        if _is_rim(mask, shape, missing):
            continue  # as it is around every sound pane
        if shape.edge > _ALONG_BORDER and shape.width < _BORDER_STRIP * max(index.shape) * metres:
            continue  # what is left of a margin, or a corner cut off
        deepest = float(np.quantile(missing[mask], 0.95)) if known else 0.0
        kind, sure = _kind(shape, deepest, part, askew=askew)
        lost = missing
        window = part in (None, TaskType.WALL) and shape.evenness > 0.5 and _above_radiator(mask, index - wall)
        if window:
            kind, sure = DefectKind.COLD_GLAZING, 0.4
        if kind is DefectKind.COLD_GLAZING and opening is not None and mask[opening.frame(mask.shape)].mean() > 0.5:
            continue  # the frame too: a temperature was mistyped, for glass alone is colder than its frame
        if kind is DefectKind.COLD_GLAZING:
            lost = np.maximum(glass - index, 0.0)
            if float(np.median(lost[mask])) < COLD_PANE:
                if part is not None and not window:
                    continue  # a pane or panel as cold as double glazing: even, and nothing wrong with it
                lost = np.full_like(index, _DOUBTFUL_FIELD / (float(mask.sum()) * metres**2))
                reasons.append(_OVER_HEAT_REASON if window else _DOUBTFUL_REASON)
            else:
                lost = lost * np.float32(math.sqrt(single_glass_deficit() / float(lost[mask].mean())))
        chance = 1.0 / (1.0 + math.exp(-evidence))
        whole = _behind_print(mask, ~valid)
        regions.append(_region(mask, whole, shape, kind, sure, chance, index, expected, lost, metres, conditions))
    if not known:
        regions = _without_studs(regions)
    return Detection(tuple(regions), None, contradiction, tuple(dict.fromkeys(reasons)))


def _reduced(thermogram: Thermogram) -> tuple[Field, Mask, Mask]:
    """Temperatures, which of them are valid, and which lie at the hot end of the scale, at the working size."""
    scale = min(1.0, _WORKING_SIDE / max(thermogram.temperature.shape))
    size = tuple(max(1, round(side * scale)) for side in thermogram.temperature.shape[::-1])
    temperature = cv2.resize(thermogram.temperature, size, interpolation=cv2.INTER_AREA)
    temperature = cv2.GaussianBlur(temperature, (0, 0), 0.8)
    valid, hot = (
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for mask in (thermogram.valid, thermogram.clipped_high)
    )
    # Thin print is filled from both sides when the colours are read; the rim of what hides more is a mixture.
    whole = cv2.morphologyEx(valid.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    valid = cv2.erode(whole, np.ones((5, 5), np.uint8), borderValue=1) > 0
    return np.asarray(temperature, np.float32), valid, hot


def _unknown(index: Field, wall: Field, valid: Mask) -> Mask:
    """What hides the part: print, hot objects and their blur."""
    return ~valid | (cv2.dilate((index > wall + _WARM).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _estimated(colours: Field, valid: Mask, saturated: Mask, conditions: Conditions, part: TaskType | None) -> Field:
    """Temperatures (°C) of a photo that does not tell its scale; of a window again once the frame is known."""
    temperature = estimate_temperature(colours, valid, saturated, conditions, part)
    if part is not TaskType.WINDOW or conditions.cooling_season:
        return temperature
    index = ((temperature - conditions.outside) / conditions.difference).astype(np.float32)
    wall = wall_level(index, valid)
    unknown = _unknown(index, wall, valid)
    opening = find_opening(wall - index, unknown, sill=True)
    if opening is None or not is_frontal(opening, wall - index, unknown):
        return temperature
    return estimate_temperature(colours, valid, saturated, conditions, part, frame=opening.frame(index.shape))


def _is_cold(temperature: Field, conditions: Conditions) -> bool:
    """Whether a view (°C) is colder than any heated room, where nobody says how warm the room is."""
    return not conditions.typed and float(np.quantile(temperature, _WARMER_PART)) < _COLDEST_ROOM


def _seen_from_outside(index: Field) -> bool:
    """Whether most of what is in view lies nearer to the outside than to the inside temperature, or hardly any at it.

    Hot objects say nothing about that, and lit windows or a warm wall may fill a part of a façade.
    """
    cool = index[index < 1.0 + _HOT]
    coldest, warmest = _ROOM
    room = float(((index > coldest) & (index < warmest)).mean())
    return bool(
        float(np.median(index)) < _MOSTLY_OUTSIDE_INDEX
        or (room < _LEAST_ROOM and float((index < coldest).mean()) > _MOST_COLD)
        or (len(cool) > 0 and float(np.quantile(cool, _WARMER_PART)) < _OUTSIDE_INDEX)
    )


def _contradiction(index: Field) -> str | None:
    """In what a view contradicts the temperatures that were typed, if it does: then it tells them better."""
    share, colder = _COLDER_THAN_OUTSIDE
    if float(np.quantile(index, share)) < colder:
        return _OUTSIDE_COLDER
    return _ROOM_WARMER if float((index > _ROOM[1]).mean()) > _ALL_WARMER else None


def _opening(index: Field, wall: Field, unknown: Mask, part: TaskType | None) -> Opening | None:
    """The window or door in view, if that is what was photographed."""
    if part not in (TaskType.WINDOW, TaskType.DOOR):
        return None
    return find_opening(wall - index, unknown, sill=part is TaskType.WINDOW)


def _likelier_way(temperature: Field, thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Field:
    """The temperatures (°C) of a grey picture, or of its negative where that is clearly more like a heated room.

    In winter more of a view is colder than its walls than is warmer: windows, doors, and most of what is wrong.
    """
    negative = replace(thermogram, temperature=1.0 - thermogram.temperature, clipped_high=thermogram.clipped_low)
    colours, valid, saturated = _reduced(negative)
    turned = _estimated(colours, valid, saturated, conditions, part)

    def colder(celsius: Field) -> float:
        index = ((celsius - conditions.outside) / conditions.difference).astype(np.float32)
        below = (wall_level(index, valid) - index)[valid]
        return float((below > _WEAK).mean() - (below < -_WARM).mean())

    return turned if colder(turned) > colder(temperature) + _CLEARLY_COLDER else temperature


def _frame_index(index: Field, unknown: Mask, opening: Opening | None) -> float | None:
    """The index of an opening's frame where it is in view."""
    if opening is None:
        return None
    frame = index[opening.frame(index.shape) & ~unknown]
    return float(np.median(frame)) if len(frame) else None


def _metres_per_pixel(shape: tuple[int, int], opening: Opening | None, part: TaskType | None) -> float:
    """The size of a pixel, from the usual size of what is in view."""
    if part is None or part is TaskType.WALL:
        return float(np.sqrt(WALL_VIEW_AREA / (shape[0] * shape[1])))
    if opening is None:
        return float(np.sqrt(CLOSE_UP_AREA / (shape[0] * shape[1])))
    x0, y0, x1, y1 = opening.box
    margin = 0.02 * max(shape)
    cut = (x0 < margin) + (y0 < margin) + (x1 > shape[1] - margin) + (y1 > shape[0] - margin * 2)
    if cut >= 2:
        return float(np.sqrt(CLOSE_UP_AREA / (shape[0] * shape[1])))
    width, height = opening.size
    return float(np.sqrt(opening_area(part) / (width * height)))


def _regions(missing: Field, pixels: int) -> list[Mask]:
    """Connected regions that may be a defect, outlined at a share of their own depth."""
    found = []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_joined(missing > _WEAK), connectivity=8)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < _SMALLEST * pixels:
            continue
        blob = labels == label
        peak = float(np.quantile(missing[blob], 0.98))
        if peak < _STRONG:
            continue
        core = _joined(blob & (missing >= max(_WEAK, _PEAK_SHARE * peak)))
        parts, cores, sizes, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
        for number in range(1, parts):
            mask = cores == number
            if sizes[number, cv2.CC_STAT_AREA] >= _SMALLEST_PIECE * pixels and float(missing[mask].max()) >= _STRONG:
                found.append(mask)
    return found


def _behind_print(mask: Mask, hidden: Mask) -> Mask:
    """A region with the hidden pixels that part it, or part it from the border of the view: it goes on behind print."""
    return np.asarray(mask | _between(mask, hidden) | _between(mask.T, hidden.T).T, np.bool_)


def _between(mask: Mask, hidden: Mask) -> Mask:
    """The hidden pixels that have the region on one side in their column, and the region or nothing on the other."""
    above, below = _next_seen(mask, hidden), _next_seen(mask[::-1], hidden[::-1])[::-1]
    return np.asarray(hidden & (((above == 1) & (below != 0)) | ((below == 1) & (above != 0))), np.bool_)


def _next_seen(mask: Mask, hidden: Mask) -> NDArray[np.int8]:
    """What the next pixel above that is not hidden belongs to: 1 the region, 0 something else, −1 there is none."""
    rows = np.maximum.accumulate(np.where(hidden, -1, np.arange(len(mask))[:, None]), axis=0)
    seen = np.take_along_axis(mask.astype(np.int8), np.maximum(rows, 0), axis=0)
    return np.where(rows < 0, np.int8(-1), seen)


def _joined(mask: Mask) -> NDArray[np.uint8]:
    """A mask (h, w) of 0 and 1 without narrow gaps: the streaks of an uneven crack are one leak."""
    kernel = np.ones((_GAP_PX, _GAP_PX), np.uint8)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel), np.uint8)


def _region(
    mask: Mask,
    whole: Mask,
    shape: Shape,
    kind: DefectKind,
    sure: float,
    chance: float,
    index: Field,
    expected: Field,
    lost: Field,
    metres: float,
    conditions: Conditions,
) -> Region:
    """Measure what a region lacks: what is hidden of the ``whole`` counts like the ``mask`` that is seen."""
    coldest = float(index[mask].min())
    square_metres = metres**2 * float(whole.sum() / mask.sum())
    return Region(
        kind=kind,
        kind_confidence=sure,
        chance=chance,
        mask=whole,
        shape=shape,
        deficit=float(lost[mask].sum()) * square_metres,
        taken=float((lost[mask] / np.maximum(expected[mask], 0.2)).sum()) * square_metres,
        coldest_index=coldest,
        coldest_temperature=conditions.outside + coldest * conditions.difference,
    )


def _shape(mask: Mask, missing: Field, opening: Opening | None, metres: float) -> Shape:
    """Measure a region along and across its longer axis."""
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows], 1).astype(np.float64)
    depth = missing[mask].astype(np.float64)
    _, (width, height), angle = cv2.minAreaRect(points.astype(np.float32))
    turn = np.deg2rad(angle if width >= height else angle + 90.0)
    centred = points - points.mean(0)
    along = centred @ (np.cos(turn), np.sin(turn))
    long, short = max(width, height) + 1.0, min(width, height) + 1.0
    place = np.clip(((along - along.min()) / long * 12).astype(int), 0, 11)
    means = np.bincount(place, depth, 12) / short  # missing index by unit of length: uneven cracks vary
    inner = means[1:-1]
    h, w = mask.shape
    rim = int(mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum())
    return Shape(
        length=long * metres,
        width=short * metres,
        filled=float(len(points) / (long * short)),
        evenness=float(np.median(depth) / np.quantile(depth, 0.95)),
        variation=float(inner.std() / max(inner.mean(), 1e-6)),
        reach=float(long / max(h, w)),
        in_opening=float(opening.covers(mask.shape)[mask].mean()) if opening is not None else 0.0,
        edge=rim / (2 * (long + short)),
    )


def _kind(shape: Shape, deepest: float, part: TaskType | None, *, askew: bool) -> tuple[DefectKind, float]:
    """The likeliest kind, and how sure it is (0..1). ``askew``: what is narrow has been set apart already.

    ``deepest`` is the region's largest missing index, 0 where the scale is estimated.
    """
    if askew:
        even = shape.width > 0.25 and shape.evenness > 0.72 and shape.filled > 0.6
        return (DefectKind.COLD_GLAZING, 0.5) if even else (DefectKind.AIR_LEAK, 0.5)
    if part is None and shape.width > 0.15 and shape.evenness > 0.6 and shape.filled > 0.75:
        return DefectKind.COLD_GLAZING, 0.4
    if shape.in_opening > 0.7 and shape.filled > 0.5 and shape.width > 0.25:
        return DefectKind.COLD_GLAZING, 0.7  # a plume is narrower
    broad = shape.width > 0.1 or (shape.width > 0.08 and shape.evenness > 0.7)
    pane = broad and shape.filled > 0.8 and shape.variation < 0.25
    if shape.in_opening > 0.7 and pane:
        return DefectKind.COLD_GLAZING, 0.6  # a narrow one
    line = (
        shape.width < 0.3
        and shape.in_opening < 0.5
        and shape.length > _LINE * shape.width
        and shape.variation < (0.3 if shape.reach > 0.55 else 0.2)
        and shape.evenness > 0.66
        and deepest < _DEEPEST_BRIDGE
    )
    if line and shape.width < _WIDEST_BRIDGE:
        return DefectKind.THERMAL_BRIDGE, 0.6
    if shape.width > 0.15 and shape.evenness > 0.72 and shape.filled > 0.6:
        kind = DefectKind.COLD_GLAZING if shape.in_opening > 0.7 else DefectKind.MISSING_INSULATION
        return kind, 0.7
    if line and shape.reach > 0.55:
        return DefectKind.THERMAL_BRIDGE, 0.6
    if shape.width > 0.3 and shape.in_opening < 0.5 and shape.evenness > 0.6:
        return DefectKind.MISSING_INSULATION, 0.5
    return DefectKind.AIR_LEAK, 0.6


def _evidence(mask: Mask, shape: Shape, missing: Field, slope: Field, part: TaskType | None) -> float:
    """How likely a region is a defect rather than structure, noise or the edge of something: log odds.

    A logistic regression on the 1,907 regions of 1,800 synthetic scenes of development seeds, of which 1,265 lie on a
    defect. Deep, large, long and compact ones within a window are; what ends in a steep edge for its depth is structure
    or the edge of something: cold air and cold that heat has spread end softly. Doors have more structure. ``slope`` is
    how much the missing index changes from pixel to pixel.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    evidence = (
        _EVIDENCE["constant"]
        + _EVIDENCE["depth"] * float(np.log(np.quantile(missing[mask], 0.98)))
        + _EVIDENCE["area"] * float(np.log(mask.mean()))
        + _EVIDENCE["length"] * float(np.log(shape.length))
        + _EVIDENCE["filled"] * shape.filled
        + _EVIDENCE["in opening"] * shape.in_opening
        + _EVIDENCE["slope"] * float(np.median(slope[mask & ~inner])) * (max(mask.shape) / _WORKING_SIDE)
        + _EVIDENCE["door"] * (part is TaskType.DOOR)
    )
    return float(evidence)


def _slope(missing: Field) -> Field:
    """How much the missing index changes from pixel to pixel."""
    across, down = (cv2.Sobel(missing, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(np.hypot(across, down), np.float32)


def _is_rim(mask: Mask, shape: Shape, missing: Field) -> bool:
    """Whether a region is the shallow rim of a sound pane: it runs around one, hollow and nowhere deep.

    A pane's spacer and the frame's shadow are a little colder than either; a leak that runs as far has a deep place.
    """
    hollow = shape.in_opening > 0.7 and shape.filled <= 0.5 and shape.width > _WIDEST_CRACK
    return hollow and float(np.quantile(missing[mask], 0.9)) <= _RIM_DEPTH and _runs_around(mask)


def _runs_around(mask: Mask) -> bool:
    """Whether a region encloses something, small gaps in it aside. A leak along two sides of a door does not."""
    closed = cv2.dilate(mask.astype(np.uint8), np.ones((_RIM_PX, _RIM_PX), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = cv2.drawContours(np.zeros_like(closed), outlines, -1, 1, cv2.FILLED)
    return int((whole > closed).sum()) > _ENCLOSED * int(mask.sum())


def _without_studs(regions: list[Region]) -> list[Region]:
    """The regions without lines that repeat: where the scale is estimated, studs of a sound wall look like bridges."""
    lines = sum(region.kind is DefectKind.THERMAL_BRIDGE for region in regions)
    return regions if lines < _STUDS else [region for region in regions if region.kind is not DefectKind.THERMAL_BRIDGE]


def _above_radiator(mask: Mask, above_wall: Field) -> bool:
    """Whether something hot lies below a cold field over most of its breadth: then the field is a window."""
    columns = mask.any(axis=0)
    lowest = mask.shape[0] - 1 - np.argmax(mask[::-1], axis=0)  # in each column
    below = np.arange(mask.shape[0])[:, None] > lowest
    tall = ((above_wall > _HOT) & below).sum(axis=0) > 0.12 * mask.shape[0]
    return bool((tall & columns).sum() > 0.5 * columns.sum())
