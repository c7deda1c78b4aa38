"""Cold regions of a thermal photo: where they are, what they probably are, and what they are not.

Everything is judged on the thermal index f = (T − T_outside)/(T_inside − T_outside), 1 for the room and 0 for outside,
so that a cold wall on a cold and on a mild day look alike, and a warm leak in summer looks like a cold one in winter.

1. The level of the sound wall is found, not assumed: a smooth surface through the pixels near the commonest level. Hot
   objects lie far from it and take no part, however large they are.
2. Windows and doors are colder than the wall by nature. Their outline is found as the rectangle that gathers the cold,
   and inside it a pixel is compared with its own part: what runs through its row or column (frame, sash, pane) is
   structure, what is short is not. Glass is expected to have the index of double glazing; colder is a defect.
3. What is missing from the expected index forms regions. Each is named after its shape: a leak fades out from a crack,
   missing insulation is an even field, a bridge a line, cold glass an even pane.

The thresholds are calibrated on synthetic scenes of the development seeds and on phone pictures; they are estimates.
"""

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.conditions import Conditions
from services.analysis.thermography.constants import CLOSE_UP_AREA, WALL_VIEW_AREA
from services.analysis.thermography.energy import opening_area, sound_glass_index
from services.analysis.thermography.scale import SOUND_WALL_INDEX, estimate_temperature
from services.analysis.thermography.thermogram import ScaleSource, Thermogram

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1; x1 and y1 beyond the last pixel

_WORKING_SIDE = 320  # pixels of the longer side; cracks are several pixels wide then
_WALL_BAND = 0.05  # how far pixels of one wall lie apart
# How far a wall may be from the level of a sound one (standard deviations). The camera or the typed temperature may be
# off by two degrees; a colder level may as well be the defect.
_WARMER_WALL, _COLDER_WALL = 0.12, 0.06
_COLD = 0.04  # below the wall from which on a pixel may belong to a window or door
_WARM = 0.06  # above the wall: a hot object, or what it warms
_WARMED = 0.02  # above the wall: warmed by the sun or by air from a radiator
_CLEARLY_COLD = 0.08
_WIDEST_PLUME = 0.20  # m
_FRAME_SHARE = 0.06  # thickness of a frame by the shorter side of its window
_POOREST_FRAME = 0.66  # of wood or plastic: U = 2.6 W/m²K
_FRAME_SPREAD = 0.03  # by which parts of one frame differ
_WEAK, _STRONG = 0.05, 0.115  # missing index: outline of a region, and what makes it one
_COLD_PANE = 0.085  # below sound double glazing from which on a pane is a defect
_LEAST_OPENING = 0.1  # share of the view that a window or door fills at least
_OPENING_MARGIN = 0.04  # of its shorter side: it may stand askew
_RANK = 0.7  # a part is what fills this share of its row or column
_ALONG = 0.8  # of a row or column that its level is taken from
_DOUBTFUL_FIELD = 0.02  # m² of missing index that an even cold field counts for where the part is not known
_DOUBTFUL_REASON = "An even cold field is normal for a window or door and a defect in a wall: please say which it is."
_OUTSIDE_INDEX = 0.4  # indoors most of a view is warmer
_COLDEST_ROOM = 14.0  # °C, of most of a view where nobody says how warm the room is
_BEYOND_OUTSIDE = -0.15  # in summer: hotter than outside by a seventh of the difference
_HOT = 0.12  # above the wall: a radiator, not just warm air
_KNOWN = (ScaleSource.RADIOMETRIC, ScaleSource.METADATA, ScaleSource.PRINTED)
_STRONG_UNSCALED = 0.15  # where the scale is estimated: it may be half as wide again as it is
_WIDEST_CRACK = 0.25  # m, across; a region within an opening that is wider and hollow runs around something
_RIM_DEPTH = 0.16  # missing index up to which such a ring is the rim of a sound pane
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
    lopsided: float  # across its length: 0 where the deepest line runs in the middle, 1 at the rim
    reach: float  # longest extent by the view's
    in_opening: float  # share within a window or door
    edge: float  # share of its rim on the border of the view


@dataclass(frozen=True, slots=True)
class Region:
    """One connected cold region of a thermal photo."""

    kind: DefectKind
    kind_confidence: float  # 0..1
    mask: Mask  # (h, w) of the detection's raster
    shape: Shape
    deficit: float  # integral of the missing thermal index over the region, m²
    taken: float  # the same of the missing share of the index, m²
    deepest: float  # largest missing thermal index
    coldest_index: float
    coldest_temperature: float  # °C


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one thermal photo."""

    regions: tuple[Region, ...]
    seen_from_outside: bool
    reasons: tuple[str, ...]  # what lowers the confidence, for a person


def detect(thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Detection:
    """Find the regions that lose heat."""
    temperature, valid, saturated = _reduced(thermogram)
    if not valid.any():
        return Detection((), False, ("Nothing of the thermal picture could be used.",))
    if thermogram.scale in (ScaleSource.TYPED, ScaleSource.NONE):
        temperature = estimate_temperature(temperature, valid, saturated, conditions, part)
    index = ((temperature - conditions.outside) / conditions.difference).astype(np.float32)
    if thermogram.scale in _KNOWN and (
        float(np.median(index[valid])) < _OUTSIDE_INDEX
        or (not conditions.typed and float(np.median(temperature[valid])) < _COLDEST_ROOM)
    ):
        return Detection((), True, ())
    if conditions.cooling_season:
        valid &= index > _BEYOND_OUTSIDE  # hotter than the air on either side: an object
        if not valid.any():
            return Detection((), False, ("Nothing of the thermal picture could be used.",))
    wall = _wall_level(index, valid)
    hot = cv2.dilate((index > wall + _WARM).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    opening = _opening(wall - index, hot | ~valid, part)
    metres = _metres_per_pixel(index.shape, opening, part)
    askew = False
    if opening is not None and not _frontal(opening, wall - index, hot | ~valid):
        opening = None
    if opening is not None:
        expected = _expected(index, wall, hot | ~valid, opening, metres)
    elif part in (TaskType.WINDOW, TaskType.DOOR):
        expected = _expected_askew(index, wall, hot | ~valid, metres)
        askew = True
    else:
        expected = wall
    missing = np.where(valid, np.maximum(expected - index, 0.0), 0.0).astype(np.float32)
    regions, reasons = [], []
    strong = _STRONG if thermogram.scale in _KNOWN else _STRONG_UNSCALED
    for mask in _regions(missing, int(valid.sum()), strong):
        shape = _shape(mask, missing, opening, metres)
        if thermogram.scale not in _KNOWN and shape.filled < 0.25 and shape.reach > 0.9:
            continue  # studs and corners all over the view: a sound wall whose own unevenness fills the palette
        if _is_rim(mask, shape, missing):
            continue  # as it is around every sound pane
        kind, sure = _kind(shape, part, askew=askew)
        lost = missing
        window = part in (None, TaskType.WALL) and shape.evenness > 0.6 and _above_radiator(mask, index - wall)
        if window:
            kind, sure = DefectKind.COLD_GLAZING, 0.4
        if kind is DefectKind.COLD_GLAZING:
            lost = np.maximum(np.float32(sound_glass_index()) - index, 0.0)
            if float(np.median(lost[mask])) < _COLD_PANE:
                if part is not None and not window:
                    continue  # a pane or panel as cold as double glazing: even, and nothing wrong with it
                lost = np.full_like(index, _DOUBTFUL_FIELD / (float(mask.sum()) * metres**2))
                reasons.append(_DOUBTFUL_REASON)
        regions.append(_region(mask, shape, kind, sure, index, expected, lost, metres, conditions))
    return Detection(tuple(regions), False, tuple(dict.fromkeys(reasons)))


def _reduced(thermogram: Thermogram) -> tuple[Field, Mask, Mask]:
    """Temperatures, which of them are valid, and which lie at the hot end of the scale, at the working size."""
    scale = min(1.0, _WORKING_SIDE / max(thermogram.temperature.shape))
    size = (round(thermogram.temperature.shape[1] * scale), round(thermogram.temperature.shape[0] * scale))
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


def _wall_level(index: Field, valid: Mask) -> Field:
    """The index of the sound wall, as if it went on behind everything else in view.

    A surface c0 + c1·x + c2·y + c3·(x² + y²), which covers warm air below the ceiling and a lens's vignetting, through
    the pixels near the commonest level; Tukey's weights leave out all else.
    """
    h, w = index.shape
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
    step = max(1, round(np.sqrt(h * w / 5000)))
    f, ok = index[::step, ::step].ravel(), valid[::step, ::step].ravel()
    basis = np.stack([np.ones_like(x), x, y, x * x + y * y - 0.67])
    a = basis[:, ::step, ::step].reshape(4, -1)
    levels = np.linspace(0.75, 1.2, 91)
    off = levels - SOUND_WALL_INDEX
    prior = np.exp(-0.5 * (off / np.where(off > 0, _WARMER_WALL, _COLDER_WALL)) ** 2)
    count = np.array([np.count_nonzero(ok & (np.abs(f - level) < 0.02)) for level in levels])
    start = float(levels[np.argmax((count + 0.01 * ok.sum()) * prior)])
    c = np.array([start, 0, 0, 0], np.float64)
    ridge = np.diag([0.01, 0.03, 0.03, 0.03]) * max(int(ok.sum()), 1)
    for _ in range(6):
        r = (f - c @ a) / _WALL_BAND
        weight = np.where(ok & (np.abs(r) < 1), (1 - r**2) ** 2, 0.0)
        normal = (a * weight) @ a.T + ridge
        c = np.linalg.solve(normal, (a * weight) @ f + ridge @ np.array([start, 0, 0, 0]))
    return np.asarray(np.tensordot(c, basis, 1), np.float32)


def _opening(below_wall: Field, unknown: Mask, part: TaskType | None) -> Box | None:
    """The rectangle of a window or door: the one that gathers most cold pixels and fewest others.

    ``unknown`` pixels, hidden by a hot object or by print, count for neither.
    """
    if part not in (TaskType.WINDOW, TaskType.DOOR):
        return None
    h, w = below_wall.shape
    scale = 64 / max(h, w)
    size = (max(8, round(w * scale)), max(8, round(h * scale)))
    small = cv2.resize(below_wall, size, interpolation=cv2.INTER_AREA)
    hidden = cv2.resize(unknown.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    gain = np.clip((small - _COLD) / 0.04, -1.5, 1.0).astype(np.float64) * (1.0 - hidden)
    sums = np.vstack([np.zeros((1, gain.shape[1])), np.cumsum(gain, 0)])
    best, box = 0.0, None
    for top in range(gain.shape[0]):  # for all bottoms at once, the run of columns with the greatest sum
        columns = sums[top + 1 :] - sums[top]
        prefix = np.hstack([np.zeros((len(columns), 1)), np.cumsum(columns, 1)])
        value = prefix - np.minimum.accumulate(prefix, 1)
        bottom, right = np.unravel_index(int(np.argmax(value)), value.shape)
        if value[bottom, right] > best:
            best = float(value[bottom, right])
            left = int(np.argmin(prefix[bottom, : right + 1]))
            box = (left, top, int(right), top + 1 + int(bottom))
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < _LEAST_OPENING * gain.size:
        return None
    x0, y0, x1, y1 = (round(value / scale) for value in box)
    x1, y1 = min(x1, w), min(y1, h)
    cold = (below_wall > _CLEARLY_COLD).astype(np.float32)
    counted = (~unknown).astype(np.float32)
    y1 = _grown(cold[:, x0:x1], counted[:, x0:x1], y0, y1)
    x1 = _grown(cold[y0:y1].T, counted[y0:y1].T, x0, x1)
    x0 = w - _grown(cold[y0:y1, ::-1].T, counted[y0:y1, ::-1].T, w - x1, w - x0)
    y0 += _lintel(np.where(unknown, np.float32(np.nan), below_wall)[y0:y1, x0:x1]) if y0 > 0 else 0
    return x0, y0, x1, y1


def _grown(cold: Field, counted: Field, start: int, end: int) -> int:
    """The last row of an opening that begins at ``start``: further than ``end`` where a part of it follows.

    Sun or a radiator's warm air across the frame parts its outer side from the rest.
    """
    stop = min(end + round(0.15 * (end - start)), cold.shape[0])
    share = (cold * counted)[end:stop].sum(1) / np.maximum(counted[end:stop].sum(1), 1)
    rows = np.flatnonzero(share > 0.35)
    return end + int(rows[-1]) + 1 if len(rows) else end


def _lintel(cold: Field) -> int:
    """How many rows at the top of an opening are no part of it: a cold line above it, parted by a strip of wall."""
    rows, columns = cold.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows that are hidden altogether
        profile = np.nanmedian(cold[:, columns // 5 : columns - columns // 5], axis=1)
    quarter = profile[: rows // 4]
    if len(quarter) == 0 or np.isnan(profile).all():
        return 0
    light = np.flatnonzero(quarter < min(0.5 * float(np.nanmedian(profile)), 0.09))
    return int(light[-1]) + 1 if len(light) else 0


def _frontal(opening: Box, below_wall: Field, unknown: Mask) -> bool:
    """Whether the rectangle is a window or door seen from the front: cold all over, little cold beside it, and wall."""
    x0, y0, x1, y1 = opening
    h, w = below_wall.shape
    borders = (x0 <= 1) + (y0 <= 1) + (x1 >= w - 1) + (y1 >= h - 1)
    cold = (below_wall > _WEAK) & ~unknown
    inside = cold[y0:y1, x0:x1]
    filled = inside.sum() / max((~unknown[y0:y1, x0:x1]).sum(), 1)
    beside = 1.0 - inside.sum() / max(cold.sum(), 1)
    return bool(borders < 3 and filled > 0.6 and beside < 0.5)


def _expected_askew(index: Field, wall: Field, unknown: Mask, metres: float) -> Field:
    """The index to expect in a window or door seen aslant or too near to tell its parts: that of its surroundings.

    What is narrower than a plume is compared with what lies around it, and all with sound double glazing.
    """
    around = _closed(np.where(unknown, 0.0, np.minimum(index, wall)).astype(np.float32), metres)
    return np.minimum(np.maximum(np.where(around > 0, around, wall), sound_glass_index()), wall).astype(np.float32)


def _closed(field: Field, metres: float) -> Field:
    """Fill what is darker than its surroundings and narrower than the widest plume."""
    size = max(3, round(_WIDEST_PLUME / metres)) | 1
    kernel = np.ones((size, size), np.uint8)  # square: it must not fill the corners of a pane
    return np.asarray(cv2.morphologyEx(field, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def _expected(index: Field, wall: Field, unknown: Mask, opening: Box, metres: float) -> Field:
    """The index that each pixel would have if nothing were wrong with a window or door seen from the front.

    Inside: the commoner level along its row or its column, whichever is colder, and a frame's at least. A frame runs
    through its row or column, a pane fills most of both; a leak does neither. What is warmer than the wall hides the
    window (a hand, the sun, a radiator's warm air) and has no say. Nothing sound is colder than double glazing, and
    what is wider than any plume is a part of its own.
    """
    h, w = index.shape
    margin = round(_OPENING_MARGIN * min(opening[2] - opening[0], opening[3] - opening[1]))
    x0, y0 = max(opening[0] - margin, 0), max(opening[1] - margin, 0)
    x1, y1 = min(opening[2] + margin, w), min(opening[3] + margin, h)
    around = wall[y0:y1, x0:x1]
    hidden = unknown[y0:y1, x0:x1] | (index[y0:y1, x0:x1] > around + _WARMED)
    part = np.where(hidden, np.float32(np.nan), index[y0:y1, x0:x1])
    level = np.fmin(_level_along_rows(part), _level_along_rows(part.T).T)
    level = np.where(np.isnan(level), around, level)
    level = np.maximum(level, _frame_level(index, unknown, opening))
    closed = _closed(np.where(hidden, 0, part).astype(np.float32), metres)
    level = np.maximum(np.minimum(level, np.where(closed > 0, closed, level)), sound_glass_index())
    expected = wall.copy()
    expected[y0:y1, x0:x1] = np.minimum(level, around)
    return expected


def _frame_level(index: Field, unknown: Mask, opening: Box) -> float:
    """What a frame may have: the commonest index along the rim of the opening, where it is in view.

    Never less than a poor frame has, for a leak may run along all of the rim that is in view.
    """
    x0, y0, x1, y1 = opening
    h, w = index.shape
    thick = max(2, round(_FRAME_SHARE * min(x1 - x0, y1 - y0)))
    rim = np.zeros((y1 - y0, x1 - x0), bool)
    if y0 > 1:
        rim[:thick] = True
    if y1 < h - 1:
        rim[-thick:] = True
    if x0 > 1:
        rim[:, :thick] = True
    if x1 < w - 1:
        rim[:, -thick:] = True
    values = index[y0:y1, x0:x1][rim & ~unknown[y0:y1, x0:x1]]
    return max(float(np.median(values)) - _FRAME_SPREAD, _POOREST_FRAME) if len(values) else _POOREST_FRAME


def _level_along_rows(field: Field) -> Field:
    """The running upper quantile along each row over most of its length; NaN pixels do not count."""
    h, w = field.shape
    step = max(1, w // 48)
    columns = w // step
    with np.errstate(invalid="ignore"):
        blocks = field[:, : columns * step].reshape(h, columns, step)
        known = ~np.isnan(blocks)
        coarse = np.where(known, blocks, 0).sum(2) / np.maximum(known.sum(2), 1)
        coarse[~known.any(2)] = np.nan
    reach = max(1, round(_ALONG * columns / 2))
    offsets = np.unique(np.linspace(-reach, reach, 15).round().astype(int))
    padded = np.pad(coarse, ((0, 0), (reach, reach)), constant_values=np.nan)
    stack = np.sort(np.stack([padded[:, reach + o : reach + o + columns] for o in offsets]), axis=0)  # NaN come last
    rank = np.rint((np.count_nonzero(~np.isnan(stack), axis=0) - 1) * _RANK).astype(int)
    level = np.take_along_axis(stack, np.maximum(rank, 0)[None], axis=0)[0]
    at = np.clip((np.arange(w) + 0.5) / step - 0.5, 0, columns - 1)
    left = np.floor(at).astype(int)
    right = np.minimum(left + 1, columns - 1)
    share = (at - left).astype(np.float32)
    return np.asarray(level[:, left] * (1 - share) + level[:, right] * share, np.float32)


def _metres_per_pixel(shape: tuple[int, int], opening: Box | None, part: TaskType | None) -> float:
    """The size of a pixel, from the usual size of what is in view."""
    if part is None or part is TaskType.WALL:
        return float(np.sqrt(WALL_VIEW_AREA / (shape[0] * shape[1])))
    if opening is None:
        return float(np.sqrt(CLOSE_UP_AREA / (shape[0] * shape[1])))
    x0, y0, x1, y1 = opening
    margin = 0.02 * max(shape)
    cut = (x0 < margin) + (y0 < margin) + (x1 > shape[1] - margin) + (y1 > shape[0] - margin * 2)
    if cut >= 2 or (cut == 1 and part is TaskType.WINDOW):
        return float(np.sqrt(CLOSE_UP_AREA / (shape[0] * shape[1])))
    return float(np.sqrt(opening_area(part) / ((x1 - x0) * (y1 - y0))))


def _regions(missing: Field, pixels: int, strong: float) -> list[Mask]:
    """Connected regions with a strong part, outlined at a share of their own depth."""
    found = []
    count, labels, stats, _ = cv2.connectedComponentsWithStats((missing > _WEAK).astype(np.uint8), connectivity=8)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < _SMALLEST * pixels:
            continue
        blob = labels == label
        peak = float(np.quantile(missing[blob], 0.98))
        if peak < strong:
            continue
        core = (blob & (missing >= max(_WEAK, _PEAK_SHARE * peak))).astype(np.uint8)
        parts, cores, sizes, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
        for number in range(1, parts):
            mask = cores == number
            if sizes[number, cv2.CC_STAT_AREA] >= _SMALLEST_PIECE * pixels and float(missing[mask].max()) >= strong:
                found.append(mask)
    return found


def _region(
    mask: Mask,
    shape: Shape,
    kind: DefectKind,
    sure: float,
    index: Field,
    expected: Field,
    lost: Field,
    metres: float,
    conditions: Conditions,
) -> Region:
    """Measure what a region lacks."""
    coldest = float(index[mask].min())
    return Region(
        kind=kind,
        kind_confidence=sure,
        mask=mask,
        shape=shape,
        deficit=float(lost[mask].sum()) * metres**2,
        taken=float((lost[mask] / np.maximum(expected[mask], 0.2)).sum()) * metres**2,
        deepest=float(lost[mask].max()),
        coldest_index=coldest,
        coldest_temperature=conditions.outside + coldest * conditions.difference,
    )


def _shape(mask: Mask, missing: Field, opening: Box | None, metres: float) -> Shape:
    """Measure a region along and across its longer axis."""
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows], 1).astype(np.float64)
    depth = missing[mask].astype(np.float64)
    _, (width, height), angle = cv2.minAreaRect(points.astype(np.float32))
    turn = np.deg2rad(angle if width >= height else angle + 90.0)
    centred = points - points.mean(0)
    along = centred @ (np.cos(turn), np.sin(turn))
    across = centred @ (-np.sin(turn), np.cos(turn))
    long, short = max(width, height) + 1.0, min(width, height) + 1.0
    place = np.clip(((along - along.min()) / long * 12).astype(int), 0, 11)
    means = np.bincount(place, depth, 12) / short  # missing index by unit of length: uneven cracks vary
    inner = means[1:-1]
    off = np.average(across, weights=depth**3) - (across.max() + across.min()) / 2
    h, w = mask.shape
    rim = int(mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum())
    return Shape(
        length=long * metres,
        width=short * metres,
        filled=float(len(points) / (long * short)),
        evenness=float(np.median(depth) / np.quantile(depth, 0.95)),
        variation=float(inner.std() / max(inner.mean(), 1e-6)),
        lopsided=float(min(abs(off) / (short / 2), 1.0)),
        reach=float(long / max(h, w)),
        in_opening=_share_inside(mask, opening) if opening is not None else 0.0,
        edge=rim / (2 * (long + short)),
    )


def _kind(shape: Shape, part: TaskType | None, *, askew: bool) -> tuple[DefectKind, float]:
    """The likeliest kind, and how sure it is (0..1). ``askew``: what is narrow has been set apart already."""
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
    if shape.width > 0.15 and shape.evenness > 0.72 and shape.filled > 0.6:
        kind = DefectKind.COLD_GLAZING if shape.in_opening > 0.7 else DefectKind.MISSING_INSULATION
        return kind, 0.7
    if shape.in_opening < 0.5 and shape.reach > 0.55 and shape.variation < 0.3 and shape.evenness > 0.55:
        return DefectKind.THERMAL_BRIDGE, 0.6
    if shape.width > 0.3 and shape.in_opening < 0.5 and shape.evenness > 0.6:
        return DefectKind.MISSING_INSULATION, 0.5
    return DefectKind.AIR_LEAK, 0.6


def _is_rim(mask: Mask, shape: Shape, missing: Field) -> bool:
    """Whether a region is the shallow rim of a sound pane: it runs around one, hollow and nowhere deep.

    A pane's spacer and the frame's shadow are a little colder than either; a leak that runs as far has a deep place.
    """
    hollow = shape.in_opening > 0.7 and shape.filled <= 0.5 and shape.width > _WIDEST_CRACK
    return hollow and float(np.quantile(missing[mask], 0.9)) <= _RIM_DEPTH


def _above_radiator(mask: Mask, above_wall: Field) -> bool:
    """Whether something hot lies below a cold field over most of its breadth: then the field is a window."""
    columns = mask.any(axis=0)
    lowest = int(np.flatnonzero(mask.any(axis=1))[-1])
    hot = (above_wall > _HOT)[lowest:]
    tall = hot.sum(axis=0) > 0.12 * mask.shape[0]
    return bool((tall & columns).sum() > 0.5 * columns.sum())


def _share_inside(mask: Mask, box: Box) -> float:
    x0, y0, x1, y1 = box
    return float(mask[y0:y1, x0:x1].sum() / mask.sum())
