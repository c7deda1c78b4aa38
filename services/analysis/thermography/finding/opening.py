"""The outline of a window or door in a thermal photo.

An opening is colder than the wall all over. First the upright rectangle that gathers most of the cold is found; then
each of its four sides is moved and turned to the straight line along which most of the cold ends. What is cold beyond
such a line is no part of the opening: a lintel above it, air that blows out below a sill.
"""

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1; x1 and y1 beyond the last pixel

_COLD = 0.04  # below the wall from which on a pixel may belong to a window or door
_CLEARLY_COLD = 0.08
_CERTAINLY_COLD = 0.05
_LEAST_OPENING = 0.1  # share of the view that a window or door fills at least
_RIM = 0.06  # thickness of a frame by the shorter side of its window
_PALEST_FRAME, _COLDEST_FRAME = 0.08, 0.25  # below the wall
# Where a side is looked for, by the rectangle's extent across it: inwards and outwards of the rectangle's own side.
_INWARDS, _OUTWARDS = 0.2, 0.1
_TURN = 0.09  # by which a side may rise or fall over its length
_NEAR_EDGE = 5  # pixels within which the cold ends: the blur of a phone camera
_LEAST_SUPPORT = 0.45  # share of a side along which the cold must end on its line
_MOSTLY_SEEN = 0.5  # hidden share of a cell up to which it counts
# A strip of wall: so much of it is less cold than this share of what it parts, and than this (blur makes it colder).
_STRIP_WARM, _STRIP_SHARE, _STRIP_COLD = 0.7, 0.4, 0.055
_MOST_PARTS = 3  # times that an opening is looked for between strips
_IN_FULL_VIEW = 0.75  # share of a row of an opening that is not hidden
_LEAK_REACH = 0.12  # of an opening's extent from a side, within which a leak beside it may be taken for a part of it
_LEAK_BESIDE = 0.05  # of the same extent, within which such a leak is worst: panes lie deeper
_BLURRED = 2  # rows between the leak and the wall that look like a frame
_COLDER_THAN_FRAME = 0.05
_LEAK_ALONG = 0.3  # of a side, at least, that such a leak runs along
_INNERMOST = 0.75  # of the best line's support that makes a line further inside the side


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a window or door is, in pixels of the detection's raster."""

    box: Box
    corners: NDArray[np.float32]  # (4, 2): x, y from the top left one clockwise

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels when seen straight from the front."""
        sides = np.hypot(*(np.roll(self.corners, -1, axis=0) - self.corners).T)
        return max(2, round(float(sides[0] + sides[2]) / 2)), max(2, round(float(sides[1] + sides[3]) / 2))

    @property
    def to_front(self) -> NDArray[np.float64]:
        """The homography (3, 3) from the raster to the opening seen straight from the front, :attr:`size` pixels."""
        w, h = self.size
        front = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float32)
        return np.asarray(cv2.getPerspectiveTransform(self.corners, front), np.float64)

    def frame(self, shape: tuple[int, int]) -> Mask:
        """The outer pixels of the opening in a raster of ``shape`` (rows, columns): mostly its frame."""
        whole = self.covers(shape).astype(np.uint8)
        thick = 2 * max(2, round(_RIM * min(self.size))) + 1
        inner = cv2.erode(whole, np.ones((thick, thick), np.uint8), borderValue=1)
        return np.asarray(whole > inner, np.bool_)

    def covers(self, shape: tuple[int, int]) -> Mask:
        """The pixels of the opening in a raster of ``shape`` (rows, columns)."""
        mask = np.zeros(shape, np.uint8)
        cv2.fillConvexPoly(mask, np.rint(self.corners).astype(np.int32), 1)
        return mask > 0


def find_opening(below_wall: Field, unknown: Mask, *, sill: bool = False) -> Opening | None:
    """The window or door in view, or None where nothing cold is large enough.

    ``below_wall`` is how far the thermal index lies below the wall's; ``unknown`` pixels, hidden by a hot object or by
    print, count for nothing. ``sill``: it is a window, below whose sill air may blow out.
    """
    box = _coldest_rectangle(below_wall, unknown)
    if box is None:
        return None
    level = _frame_cold(below_wall, unknown, box)
    corners = _corners(below_wall, unknown, box, float(np.clip(level, _PALEST_FRAME, _COLDEST_FRAME)))
    if sill:
        corners = _above_leak(corners, below_wall, unknown, max(level, _PALEST_FRAME))
    h, w = below_wall.shape
    x0, y0 = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0)) + 1, (w, h)).astype(int)
    return Opening((int(x0), int(y0), int(x1), int(y1)), corners)


def is_frontal(opening: Opening, below_wall: Field, unknown: Mask) -> bool:
    """Whether this is a window or door seen from the front: cold all over, little cold beside it, and wall.

    What is cold beyond a strip of wall is something else, and does not count.
    """
    x0, y0, x1, y1 = opening.box
    h, w = below_wall.shape
    borders = (x0 <= 1) + (y0 <= 1) + (x1 >= w - 1) + (y1 >= h - 1)
    cold = below_wall > _CERTAINLY_COLD
    _, parts = cv2.connectedComponents(cold.astype(np.uint8))
    cold &= ~unknown
    inside = cold[y0:y1, x0:x1]
    filled = inside.sum() / max((~unknown[y0:y1, x0:x1]).sum(), 1)
    joined = cold & np.isin(parts, parts[y0:y1, x0:x1][inside])
    beside = 1.0 - inside.sum() / max(joined.sum(), 1)
    return bool(borders < 3 and filled > 0.6 and beside < 0.5)


def _coldest_rectangle(below_wall: Field, unknown: Mask) -> Box | None:
    """The upright rectangle that gathers most cold pixels and fewest others."""
    h, w = below_wall.shape
    scale = 64 / max(h, w)
    size = (max(8, round(w * scale)), max(8, round(h * scale)))
    small = np.asarray(cv2.resize(below_wall, size, interpolation=cv2.INTER_AREA), np.float32)
    hidden = np.asarray(cv2.resize(unknown.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
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
    if box is None:
        return None
    box = _largest_part(gain, small, hidden, box)
    if (box[2] - box[0]) * (box[3] - box[1]) < _LEAST_OPENING * gain.size:
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


def _largest_part(gain: NDArray[np.float64], cold: Field, hidden: Field, box: Box) -> Box:
    """The part of a rectangle that is the opening, where strips of wall part it: beside it the wall lacks insulation.

    The one that gathers most cold; what lies in the middle of the view counts double: that is what was photographed.
    """
    h, w = gain.shape

    def gathered(part: Box) -> float:
        left, top, right, bottom = part
        middle = left <= w / 2 < right and top <= h / 2 < bottom
        return float(gain[top:bottom, left:right].sum()) * (2.0 if middle else 1.0)

    for _ in range(_MOST_PARTS):
        x0, y0, x1, y1 = box
        inside = np.where(hidden[y0:y1, x0:x1] < _MOSTLY_SEEN, cold[y0:y1, x0:x1], np.float32(np.nan))
        parts = [(x0, y0 + first, x1, y0 + end) for first, end in _between_strips(inside)]
        parts += [(x0 + first, y0, x0 + end, y1) for first, end in _between_strips(inside.T)]
        if not parts:
            break
        box = max(parts, key=gathered)
    return box


def _between_strips(cold: Field) -> list[tuple[int, int]]:
    """The runs of rows (first, end) that strips of wall leave of a part of a view; none where no strip crosses it."""
    seen = ~np.isnan(cold)
    if not seen.any():
        return []
    warm = cold < min(_STRIP_SHARE * float(np.median(cold[seen])), _STRIP_COLD)
    wall = warm.sum(1) > _STRIP_WARM * seen.sum(1)
    if not wall.any():
        return []
    ends = np.flatnonzero(np.diff(np.concatenate([[True], wall, [True]]).astype(int)))
    return [(int(first), int(end)) for first, end in zip(ends[::2], ends[1::2], strict=True)]


def _grown(cold: Field, counted: Field, start: int, end: int) -> int:
    """The last row of an opening that begins at ``start``: further than ``end`` where a part of it follows.

    Sun or a radiator's warm air across the frame parts its outer side from the rest, and so does what stands before it:
    rows that are hidden in part do not count as far away.
    """
    away = np.cumsum(counted[end:].mean(1) > _IN_FULL_VIEW)
    stop = end + int(np.searchsorted(away, round(0.15 * (end - start)), side="right"))
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


def _frame_cold(below_wall: Field, unknown: Mask, box: Box) -> float:
    """How far below the wall the frame lies: the median along the rim of the rectangle."""
    x0, y0, x1, y1 = box
    thick = max(2, round(_RIM * min(x1 - x0, y1 - y0)))
    rim = np.ones((y1 - y0, x1 - x0), bool)
    rim[thick:-thick, thick:-thick] = False
    values = below_wall[y0:y1, x0:x1][rim & ~unknown[y0:y1, x0:x1]]
    return float(np.median(values)) if len(values) else _PALEST_FRAME


def _corners(below_wall: Field, unknown: Mask, box: Box, frame: float) -> NDArray[np.float32]:
    """The corners of the opening: where the lines of its sides meet."""
    h, w = below_wall.shape
    x0, y0, x1, y1 = box
    flipped = np.ascontiguousarray(below_wall[::-1]), np.ascontiguousarray(unknown[::-1])
    turned = np.ascontiguousarray(below_wall.T), np.ascontiguousarray(unknown.T)
    both = np.ascontiguousarray(below_wall.T[::-1]), np.ascontiguousarray(unknown.T[::-1])
    bottom = _lower_side(below_wall, unknown, box, frame)
    top = h - 1 - _lower_side(*flipped, (x0, h - y1, x1, h - y0), frame)
    right = _lower_side(*turned, (y0, x0, y1, x1), frame)
    left = w - 1 - _lower_side(*both, (y0, w - x1, y1, w - x0), frame)
    meetings = []
    for across, upright in ((top, left), (top, right), (bottom, right), (bottom, left)):
        rise, run = (across[1] - across[0]) / (x1 - x0), (upright[1] - upright[0]) / (y1 - y0)
        x = (upright[0] + run * (across[0] - rise * x0 - y0)) / (1 - rise * run)
        meetings.append((x, across[0] + rise * (x - x0)))
    return np.array(meetings, np.float32)


def _above_leak(corners: NDArray[np.float32], below_wall: Field, unknown: Mask, frame: float) -> NDArray[np.float32]:
    """The corners of a window, the lower ones moved up where a leak along the sill was taken for a part of it.

    Air that blows out below a sill cools the wall right below the frame: there the cold ends in a straight line too.
    """
    opening = Opening((0, 0, 0, 0), corners)
    w, h = opening.size
    seen = cv2.warpPerspective(below_wall, opening.to_front, (w, h), borderMode=cv2.BORDER_REPLICATE)
    hidden = cv2.warpPerspective(unknown.astype(np.uint8), opening.to_front, (w, h), flags=cv2.INTER_NEAREST)
    leak = _leak_rows(np.where(hidden > 0, np.float32(np.nan), seen).astype(np.float32), frame)
    if not leak:
        return corners
    lower = np.array([[[w - 1, h - 1 - leak], [0, h - 1 - leak]]], np.float64)
    moved = cv2.perspectiveTransform(lower, np.linalg.inv(opening.to_front))[0]
    return np.vstack([corners[:2], moved]).astype(np.float32)


def _leak_rows(front: Field, frame: float) -> int:
    """How many of the lowest rows of an opening seen from the front are a leak along it and the wall on beside it."""
    rows = len(front)
    lowest = front[rows - max(3, round(_LEAK_REACH * rows)) :][::-1]
    known = np.maximum((~np.isnan(lowest)).sum(1), 1)
    with np.errstate(invalid="ignore"):
        leak = (lowest > frame + _COLDER_THAN_FRAME).sum(1) / known
        structure = ((lowest > 0.5 * frame) & (lowest <= frame + _COLDER_THAN_FRAME)).sum(1) / known
    worst = int(np.argmax(leak[: max(2, round(_LEAK_BESIDE * rows))]))
    if leak[worst] < _LEAK_ALONG or (structure[:worst] > 0.5).sum() > _BLURRED:
        return 0
    within = np.flatnonzero(structure[worst:] > 0.5)
    return worst + int(within[0]) if len(within) else 0


def _lower_side(cold: Field, unknown: Mask, box: Box, frame: float) -> NDArray[np.float64]:
    """The rows at which the lower side of the opening meets the left and the right end of its rectangle.

    Every line in the neighbourhood of the rectangle's own side gets a vote from each column in which the cold ends
    upon it, that is, falls steeply from a frame's level. Of the lines with nearly as many votes as the best the
    innermost is the side: a lintel or a plume ends in a straight line too, behind a strip of wall.
    """
    h = cold.shape[0]
    x0, y0, x1, y1 = box
    own = np.array([y1 - 1.0, y1 - 1.0])
    first = max(y1 - round(_INWARDS * (y1 - y0)) - _NEAR_EDGE, y0 + 2)
    last = min(y1 + round(_OUTWARDS * (y1 - y0)) + _NEAR_EDGE + 1, h)
    columns = np.unique(np.linspace(x0 + 0.06 * (x1 - x0), x1 - 1 - 0.06 * (x1 - x0), 96).round().astype(int))
    hidden = unknown[first:last][:, columns].T
    usable = hidden.mean(1) < 0.2
    if last - first < 2 * _NEAR_EDGE or usable.sum() < 8:
        return own
    ends = _ends_of_cold(np.ascontiguousarray(cold[first:last][:, columns].T), frame)
    ends &= cv2.dilate(hidden.astype(np.uint8), np.ones((1, 7), np.uint8)) == 0
    votes = cv2.dilate(ends.astype(np.uint8), np.ones((1, 3), np.uint8)).astype(np.float32)[usable]
    place = (columns[usable] - x0) / (x1 - x0) - 0.5
    rows = np.arange(votes.shape[1])
    most = round(_TURN * (x1 - x0) * usable.mean())  # a short piece of a side does not tell how it is turned
    turns = np.arange(-most, most + 1)
    counted = np.zeros((len(turns), len(rows)))
    margin = most // 2 + 2  # no line leaves the rows by more
    padded = np.pad(votes, ((0, 0), (margin, margin)))
    begins = np.arange(len(place)) * padded.shape[1] + margin
    for number, turn in enumerate(turns):
        hits = padded.take(np.rint(rows[:, None] + place * turn).astype(int) + begins)
        counted[number] = hits.sum(1) / len(place) - 0.002 * abs(turn)  # of equal lines the most level one
    support = counted.max(0)
    if support.max() < _LEAST_SUPPORT:
        return own
    inner = int(np.flatnonzero(support >= max(_INNERMOST * float(support.max()), _LEAST_SUPPORT))[0])
    row = inner + int(np.argmax(support[inner : inner + _NEAR_EDGE]))
    slope = float(turns[int(np.argmax(counted[:, row]))])
    return first + row + np.array([-0.5, 0.5]) * slope


def _ends_of_cold(lines: Field, frame: float) -> Mask:
    """Where along each line (n, length) the cold of a frame ends: the steepest places of a fall to well below it."""
    fall = np.zeros_like(lines)
    fall[:, 1:-1] = lines[:, :-2] - lines[:, 2:]
    steepest = np.zeros(lines.shape, np.bool_)
    steepest[:, 1:-1] = (fall[:, 1:-1] >= fall[:, :-2]) & (fall[:, 1:-1] > fall[:, 2:])
    before, after = np.zeros_like(lines), np.full_like(lines, np.inf)
    for step in range(1, _NEAR_EDGE + 1):
        before[:, step:] = np.maximum(before[:, step:], lines[:, :-step])
        after[:, :-step] = np.minimum(after[:, :-step], lines[:, step:])
    return np.asarray(steepest & (fall > 0.14 * frame) & (before > 0.7 * frame) & (after < 0.55 * frame), np.bool_)
