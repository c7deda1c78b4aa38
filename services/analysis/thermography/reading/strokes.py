"""Find lines of print on a picture: signs of one height side by side, in light or in dark ink, on any ground.

Ink is what stands out from the ground around it. Light ink is looked for in the least bright channel, against which
every colour is dark; dark ink in the brightest channel, against which every colour is light.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; the last two exclusive

Part = tuple[int, int, int, int]  # x, y, width, height

LINE_HEIGHT = 20
"""Pixels in height that a line has for the sign reader."""

SIGN_HEIGHT = 14
"""Pixels in height that a line's digits have within it."""

LONGEST_LINE = 14.0
"""Times as wide as high a line is at most: longer ones are cut where the gap is widest."""

_BEFORE, _AFTER = 1.1, 1.7  # of the height, that a line reaches beyond its tall signs: a minus; a point, a unit
_STEPS = (40, 110)  # 0..255, by which ink stands out; the second parts strokes that a bright ground joins
_SHORTEST_PX, _TALLEST = 5, 0.1  # signs; the second of the picture's longer side
_MOST_PARTS = 300  # bounds the time for a picture full of specks
_FRAME_PX = 2  # of a colour bar
_SAME_LINE = 0.22  # of the height, between the feet of neighbours
_SAME_HEIGHT = 0.72  # least ratio of neighbours' heights
_SAME_LINES = 0.8  # of the larger one's area, that two boxes of one line share
_GAP = 1.25  # of the height, between neighbours in a line


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of signs: the box of its tall signs, and whether its ink is darker than the ground."""

    box: Box
    dark: bool
    signs: int  # parts as tall as a digit; touching signs are one

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]


def ink(rgb: NDArray[np.uint8], *, dark: bool) -> NDArray[np.uint8]:
    """Return how much each pixel of a picture (h, w, 3) stands out from the ground as ink, 0..255."""
    red, green, blue = cv2.split(rgb)
    most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    level = cv2.bitwise_not(most) if dark else least
    return stand_out(np.asarray(level, np.uint8), max(rgb.shape[:2]))


def without(above: NDArray[np.uint8], blank: Box) -> NDArray[np.uint8]:
    """Return ink without that of a box without print: the colour bar, whose ends and frame look like ink."""
    x0, y0 = (max(value - _FRAME_PX, 0) for value in blank[:2])
    left = above.copy()
    left[y0 : blank[3] + _FRAME_PX, x0 : blank[2] + _FRAME_PX] = 0
    return left


def stand_out(level: NDArray[np.uint8], longer: int) -> NDArray[np.uint8]:
    """Return how much the level (h, w) exceeds the ground, on a picture whose longer side is ``longer`` pixels."""
    side = max(9, longer // 14) | 1
    return np.asarray(cv2.morphologyEx(level, cv2.MORPH_TOPHAT, np.ones((side, side), np.uint8)), np.uint8)


def find_lines(above: NDArray[np.uint8], *, dark: bool) -> list[TextLine]:
    """Find lines of print in the ink of a picture (h, w)."""
    found: list[tuple[Box, int]] = []
    for step in _STEPS:
        strokes = (above > step).astype(np.uint8)
        lines = [(_box(parts), len(parts)) for parts in _lines(_tall_parts(strokes, max(above.shape)))]
        known = _are_known([box for box, _ in lines], [box for box, _ in found])
        found += [line for line, is_known in zip(lines, known, strict=True) if not is_known]
    return [TextLine(box, dark, signs) for box, signs in found]


def line_picture(above: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """Return a line, its tall signs in ``box``, as the sign reader wants it: LINE_HEIGHT high, ink near 1."""
    x0, y0, x1, y1 = box
    tall = y1 - y0
    scale = SIGN_HEIGHT / tall
    rim = (LINE_HEIGHT - SIGN_HEIGHT) / 2 / scale
    left, top = x0 - _BEFORE * tall, y0 - rim
    width = max(8, round((x1 - x0 + (_BEFORE + _AFTER) * tall) * scale))
    if scale < 0.7:  # shrunk by area first, so that thin strokes stay
        crop, left, top = _part(above, left, top, width / scale, LINE_HEIGHT / scale)
        shrunk = np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        move = np.array([[1, 0, left * scale], [0, 1, top * scale]], np.float32)
        line = cv2.warpAffine(shrunk, move, (width, LINE_HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    else:
        move = np.array([[1 / scale, 0, left], [0, 1 / scale, top]], np.float32)
        line = cv2.warpAffine(above, move, (width, LINE_HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    level = max(float(np.quantile(line[3:-3, :], 0.97)), 12.0)
    return np.asarray(np.clip(line / level, 0.0, 1.25), np.float32)


def line_origin(box: Box) -> tuple[float, float]:
    """Return the x of a line picture's left side and how many pixels of the picture one of its pixels is."""
    tall = box[3] - box[1]
    return box[0] - _BEFORE * tall, tall / SIGN_HEIGHT


def _part(
    above: NDArray[np.uint8], left: float, top: float, width: float, height: float
) -> tuple[NDArray[np.uint8], float, float]:
    """Cut a part out; also return where the wanted corner lies within the cut."""
    x0, y0 = max(0, int(left) - 2), max(0, int(top) - 2)
    x1, y1 = min(above.shape[1], int(left + width) + 3), min(above.shape[0], int(top + height) + 3)
    return np.ascontiguousarray(above[y0:y1, x0:x1]), left - x0, top - y0


def _tall_parts(strokes: NDArray[np.uint8], longer: int) -> NDArray[np.int64]:
    """Connected strokes as high as a sign: rows of x, y, width, height."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    x, y, w, h, area = stats[1:count].T
    # Signs that touch are wide, a one is narrow. A border of the picture is neither.
    fitting = (h >= _SHORTEST_PX) & (h <= _TALLEST * longer) & (w <= 8 * h) & (w >= 0.08 * h)
    filled = area / (w * h)
    fitting &= (filled > 0.12) & ((filled < 0.85) | (w < 0.5 * h))
    parts = np.stack([x, y, w, h], 1)[fitting].astype(np.int64)
    return np.asarray(parts[np.argsort(-parts[:, 3], kind="stable")[:_MOST_PARTS]], np.int64)


def _lines(parts: NDArray[np.int64]) -> list[list[Part]]:
    """Parts of one height side by side."""
    lines: list[list[Part]] = []
    open_lines: list[list[Part]] = []
    for x, y, w, h in sorted(map(tuple, parts.tolist())):
        open_lines = [line for line in open_lines if x - line[-1][0] - line[-1][2] < _GAP * max(h, line[-1][3])]
        for line in open_lines:
            lx, ly, lw, lh = line[-1]
            alike = min(h, lh) > _SAME_HEIGHT * max(h, lh)
            if alike and abs(y + h - ly - lh) < max(1.5, _SAME_LINE * lh) and x - lx - lw > -0.5 * lh:
                line.append((x, y, w, h))
                break
        else:
            lines.append([(x, y, w, h)])
            open_lines.append(lines[-1])
    return [piece for line in lines for piece in _pieces(line)]


def _pieces(line: list[Part]) -> list[list[Part]]:
    """Cut a line that is too long at its widest gaps."""
    x0, y0, x1, y1 = _box(line)
    if x1 - x0 <= LONGEST_LINE * (y1 - y0) or len(line) < 2:
        return [line]
    gaps = [right[0] - left[0] - left[2] for left, right in itertools.pairwise(line)]
    at = gaps.index(max(gaps)) + 1
    return _pieces(line[:at]) + _pieces(line[at:])


def _box(line: list[Part]) -> Box:
    """The box of a line's signs; above and below by their median, for a bracket or a comma may reach farther."""
    top = sorted(y for _, y, _, _ in line)[len(line) // 2]
    foot = sorted(y + h for _, y, _, h in line)[len(line) // 2]
    return line[0][0], top, max(x + w for x, _, w, _ in line), max(foot, top + 1)


def _are_known(boxes: list[Box], known: list[Box]) -> list[bool]:
    """Whether each box is of one line with one that is known."""
    if not boxes or not known:
        return [False] * len(boxes)
    ax0, ay0, ax1, ay1 = np.array(boxes).T[:, :, None]
    bx0, by0, bx1, by1 = np.array(known).T[:, None, :]
    shared = (np.minimum(ax1, bx1) - np.maximum(ax0, bx0)).clip(0) * (np.minimum(ay1, by1) - np.maximum(ay0, by0)).clip(
        0
    )
    larger = np.maximum((ax1 - ax0) * (ay1 - ay0), (bx1 - bx0) * (by1 - by0))
    return [bool(flag) for flag in (shared > _SAME_LINES * larger).any(1)]
