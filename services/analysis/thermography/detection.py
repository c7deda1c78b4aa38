"""Cold regions of a thermal photo: where they are, what they probably are, and what they are not.

Everything is judged on the thermal index f = (T − T_outside)/(T_inside − T_outside), 1 for the room and 0 for outside, so
that a cold wall on a cold day and on a mild day look alike, and a warm leak in summer looks like a cold one in winter.

1. The level of the sound wall is found, not assumed: a smooth surface through the pixels near the expected level. Hot
   objects lie far from it and take no part, however large they are.
2. Windows and doors are colder than the wall by nature. Their outline is found as the rectangle that gathers the cold,
   and inside it a pixel is compared with its own part: what runs through (frame, sash, pane) is structure, what is short
   in every direction is not. Double glazing is expected to have the index that its U-value gives it; colder is a defect.
3. What is missing from the expected index, seen against noise, forms regions. Each is named after its shape: a leak
   fades out from a crack, missing insulation is an even field, a bridge a line, cold glass an even pane.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.conditions import Conditions
from services.analysis.thermography.constants import CLOSE_UP_AREA, WALL_VIEW_AREA
from services.analysis.thermography.energy import opening_area, sound_glass_index
from services.analysis.thermography.thermogram import Thermogram

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1; x1 and y1 beyond the last pixel

_WORKING_SIDE = 320  # pixels of the longer side; cracks are several pixels wide then
_WALL_INDEX = 0.95  # of a sound insulated wall: U = 0.4 W/m²K
_WALL_BAND = 0.05  # how far pixels of one wall lie apart
_COLD = 0.04  # below the wall from which on a pixel may belong to a window or door
_WARM = 0.06  # above the wall: a hot object, or what it warms
_WEAK, _STRONG = 0.05, 0.10  # missing index: outline of a region, and what makes it one
_COLD_PANE = 0.07  # below sound double glazing from which on a pane is a defect
_PEAK_SHARE = 0.3  # of a region's depth that its outline includes
_SMALLEST = 0.003  # share of the view


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
    temperature, valid = _reduced(thermogram)
    index = ((temperature - conditions.outside) / conditions.difference).astype(np.float32)
    wall = _wall_level(index, valid)
    opening = _opening(np.where(valid, wall - index, 0.0).astype(np.float32), part)
    expected = _expected(index, wall, opening)
    missing = np.where(valid, np.maximum(expected - index, 0.0), 0.0).astype(np.float32)
    metres = _metres_per_pixel(index.shape, opening, part)
    regions = []
    for mask in _regions(missing, int(valid.sum())):
        shape = _shape(mask, missing, opening, metres)
        kind, sure = _kind(shape)
        lost = missing
        if kind is DefectKind.COLD_GLAZING:
            lost = np.maximum(np.float32(sound_glass_index()) - index, 0.0)
            if float(np.median(lost[mask])) < _COLD_PANE:
                continue  # a pane or panel as cold as double glazing: even, and nothing wrong with it
        regions.append(_region(mask, shape, kind, sure, index, expected, lost, metres, conditions))
    return Detection(tuple(regions), False, ())


def _reduced(thermogram: Thermogram) -> tuple[Field, Mask]:
    """Temperatures and validity at the working size."""
    scale = min(1.0, _WORKING_SIDE / max(thermogram.temperature.shape))
    size = (round(thermogram.temperature.shape[1] * scale), round(thermogram.temperature.shape[0] * scale))
    temperature = cv2.resize(thermogram.temperature, size, interpolation=cv2.INTER_AREA)
    temperature = cv2.GaussianBlur(temperature, (0, 0), 0.8)
    valid = cv2.resize(thermogram.valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(temperature, np.float32), valid


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
    levels = np.linspace(0.8, 1.1, 61)
    prior = np.exp(-0.5 * ((levels - _WALL_INDEX) / 0.05) ** 2)
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


def _opening(below_wall: Field, part: TaskType | None) -> Box | None:
    """The rectangle of a window or door: the one that gathers most cold pixels and fewest others."""
    if part not in (TaskType.WINDOW, TaskType.DOOR):
        return None
    h, w = below_wall.shape
    scale = 64 / max(h, w)
    small = cv2.resize(below_wall, (max(8, round(w * scale)), max(8, round(h * scale))), interpolation=cv2.INTER_AREA)
    gain = np.clip((small - _COLD) / 0.04, -1.5, 1.0).astype(np.float64)
    sums = np.vstack([np.zeros((1, gain.shape[1])), np.cumsum(gain, 0)])
    best, box = 0.0, None
    for top in range(gain.shape[0]):
        columns = sums[top + 1 :] - sums[top]  # one row per bottom
        prefix = np.hstack([np.zeros((len(columns), 1)), np.cumsum(columns, 1)])
        least = np.minimum.accumulate(prefix, 1)
        value = prefix - least
        bottom, right = np.unravel_index(int(np.argmax(value)), value.shape)
        if value[bottom, right] > best:
            best = float(value[bottom, right])
            left = int(np.argmin(prefix[bottom, : right + 1]))
            box = (left, top, int(right), top + 1 + int(bottom))
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < 0.1 * gain.size:
        return None
    x0, y0, x1, y1 = (round(value / scale) for value in box)
    return max(x0 - 2, 0), max(y0 - 2, 0), min(x1 + 2, w), min(y1 + 2, h)


def _expected(index: Field, wall: Field, opening: Box | None) -> Field:
    """The index that each pixel would have if nothing were wrong."""
    if opening is None:
        return wall
    x0, y0, x1, y1 = opening
    warm = cv2.dilate((index > wall + _WARM).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    # What is warmer than the wall stands before the window or shines on it: it must not cut a frame into pieces.
    inside = np.ascontiguousarray(np.where(warm, 0.0, np.minimum(index, wall))[y0:y1, x0:x1]).astype(np.float32)
    across, along = (max(3, round(0.6 * (x1 - x0))) | 1), (max(3, round(0.6 * (y1 - y0))) | 1)
    level = np.minimum(
        cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((1, across), np.uint8), borderType=cv2.BORDER_REPLICATE),
        cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((along, 1), np.uint8), borderType=cv2.BORDER_REPLICATE),
    )
    expected = wall.copy()
    expected[y0:y1, x0:x1] = np.minimum(np.maximum(level, sound_glass_index()), wall[y0:y1, x0:x1])
    return expected


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


def _regions(missing: Field, pixels: int) -> list[Mask]:
    """Connected regions with a strong part, outlined at a share of their own depth."""
    found = []
    count, labels, stats, _ = cv2.connectedComponentsWithStats((missing > _WEAK).astype(np.uint8), connectivity=8)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < _SMALLEST * pixels:
            continue
        blob = labels == label
        peak = float(np.quantile(missing[blob], 0.98))
        if peak < _STRONG:
            continue
        core = (blob & (missing >= max(_WEAK, _PEAK_SHARE * peak))).astype(np.uint8)
        parts, cores, sizes, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
        for number in range(1, parts):
            mask = cores == number
            if sizes[number, cv2.CC_STAT_AREA] >= _SMALLEST * pixels and float(missing[mask].max()) >= _STRONG:
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


def _kind(shape: Shape) -> tuple[DefectKind, float]:
    """The likeliest kind, and how sure it is (0..1)."""
    if shape.width > 0.15 and shape.evenness > 0.72 and shape.filled > 0.6:
        kind = DefectKind.COLD_GLAZING if shape.in_opening > 0.7 else DefectKind.MISSING_INSULATION
        return kind, 0.7
    if shape.in_opening < 0.5 and shape.reach > 0.55 and shape.variation < 0.3 and shape.evenness > 0.55:
        return DefectKind.THERMAL_BRIDGE, 0.6
    if shape.width > 0.3 and shape.in_opening < 0.5 and shape.evenness > 0.6:
        return DefectKind.MISSING_INSULATION, 0.5
    return DefectKind.AIR_LEAK, 0.6


def _share_inside(mask: Mask, box: Box) -> float:
    x0, y0, x1, y1 = box
    return float(mask[y0:y1, x0:x1].sum() / mask.sum())
