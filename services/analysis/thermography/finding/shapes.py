"""Connected cold regions of a view, and the measures of their shape."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.finding.opening import Opening
from services.analysis.thermography.finding.view import WEAK, Field, Mask

_STRONG = 0.075  # missing index: what may make a region
_GAP_PX = 5  # gaps narrower than this do not part a region
_PEAK_SHARE = 0.3  # of a region's depth that its outline includes
_LARGEST = 0.55  # share of the view that one region may be; of a larger one its deepest part is outlined
_DEEPEST_PARTS = (1.0, 0.9, 0.75, 0.6, 0.45, 0.3, 0.15)  # of a region, tried in turn
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
    deepest: float  # 95th percentile of the missing index, 0 where the scale is estimated


def find_regions(missing: Field, pixels: int) -> list[Mask]:
    """Return the connected regions that may be a defect, outlined at a share of their own depth."""
    found = []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_joined(missing > WEAK), connectivity=8)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < _SMALLEST * pixels:
            continue
        blob = labels == label
        peak = float(np.quantile(missing[blob], 0.98))
        if peak < _STRONG:
            continue
        core = _joined(_without_excess(blob & (missing >= max(WEAK, _PEAK_SHARE * peak)), missing, pixels))
        parts, cores, sizes, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
        for number in range(1, parts):
            mask = cores == number
            if sizes[number, cv2.CC_STAT_AREA] >= _SMALLEST_PIECE * pixels and float(missing[mask].max()) >= _STRONG:
                found.append(mask)
    return found


def find_cool_places(below: Field, least: float, pixels: int) -> list[Mask]:
    """Return the connected places that lie at least ``least`` below their surface, the largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_joined(below >= least), connectivity=8)
    order = sorted(range(1, count), key=lambda label: -int(stats[label, cv2.CC_STAT_AREA]))
    return [labels == label for label in order if stats[label, cv2.CC_STAT_AREA] >= _SMALLEST * pixels]


def _without_excess(mask: Mask, missing: Field, pixels: int) -> Mask:
    """Return a region, or the deepest part of it where its outline covers most of the view."""
    part = mask
    for share in _DEEPEST_PARTS:
        part = np.asarray(mask & (missing >= float(np.quantile(missing[mask], 1.0 - share))), np.bool_)
        if _outlined(part) <= _LARGEST * pixels:
            break
    return part


def _outlined(mask: Mask) -> int:
    """Return the pixels within the largest outline of a mask, what it encloses included."""
    contours, _ = cv2.findContours(_joined(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0
    largest = max(contours, key=cv2.contourArea)
    return int(cv2.drawContours(np.zeros(mask.shape, np.uint8), [largest], -1, 1, cv2.FILLED).sum())


def _joined(mask: Mask) -> NDArray[np.uint8]:
    """Return a mask (h, w) of 0 and 1 without narrow gaps: the streaks of an uneven crack are one leak."""
    kernel = np.ones((_GAP_PX, _GAP_PX), np.uint8)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel), np.uint8)


def measure_shape(mask: Mask, missing: Field, opening: Opening | None, metres: float, *, known: bool) -> Shape:
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
    deepest = float(np.quantile(depth, 0.95))
    return Shape(
        length=long * metres,
        width=short * metres,
        filled=float(len(points) / (long * short)),
        evenness=float(np.median(depth) / deepest),
        variation=float(inner.std() / max(inner.mean(), 1e-6)),
        reach=float(long / max(h, w)),
        in_opening=float(opening.covers(mask.shape)[mask].mean()) if opening is not None else 0.0,
        edge=rim / (2 * (long + short)),
        deepest=deepest if known else 0.0,
    )


def slope_of(missing: Field) -> Field:
    """Return how much the missing index changes from pixel to pixel."""
    across, down = (cv2.Sobel(missing, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(np.hypot(across, down), np.float32)


def rim_of(mask: Mask) -> Mask:
    """Return the outermost pixels of a region."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    return np.asarray(mask & ~inner, np.bool_)


def behind_print(mask: Mask, hidden: Mask) -> Mask:
    """Return a region with the hidden pixels that part it, or part it from the border: it goes on behind print."""
    return np.asarray(mask | _between(mask, hidden) | _between(mask.T, hidden.T).T, np.bool_)


def _between(mask: Mask, hidden: Mask) -> Mask:
    """Return the hidden pixels with the region on one side in their column, and region or nothing on the other."""
    above, below = _next_seen(mask, hidden), _next_seen(mask[::-1], hidden[::-1])[::-1]
    return np.asarray(hidden & (((above == 1) & (below != 0)) | ((below == 1) & (above != 0))), np.bool_)


def _next_seen(mask: Mask, hidden: Mask) -> NDArray[np.int8]:
    """Return what the next visible pixel above belongs to: 1 the region, 0 something else, −1 there is none."""
    rows = np.maximum.accumulate(np.where(hidden, -1, np.arange(len(mask))[:, None]), axis=0)
    seen = np.take_along_axis(mask.astype(np.int8), np.maximum(rows, 0), axis=0)
    return np.where(rows < 0, np.int8(-1), seen)
