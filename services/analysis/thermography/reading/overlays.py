"""What a camera app lays over and around the thermal picture: finding the thermal area, the colour bar, and print.

Apps draw the thermal picture into a rectangle of a grey photo or of a dark screen, print a colour bar beside or upon
it, and write text, a logo and a crosshair across it. None of that must be taken for temperature.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

COLOURED = 28
"""A pixel whose channels differ by more than this is coloured and not grey (0..255; JPEG noise stays below)."""

PLAIN = 12
"""A colour this near to that of the picture's corners (0..255) may belong to a frame."""

SMALLEST_AREA = 0.15
"""A coloured rectangle of less than this share of the picture is an inset photo, not the thermal picture."""

EDGE_STEP = 14
EDGE_SUPPORT = 0.55
"""A border of the thermal area shows: over this share of its length neighbours differ by more than the step."""

PRINT_STEP = 60
"""How much print stands out from the picture below it (0..255)."""

HARDNESS = 0.6
"""Over one pixel the edge of print rises by at least this share of its full height."""

_SAME_PLACE = 0.06  # on the scale, between columns of one colour bar
_BAR_GROWTH = 6  # pixels at least that a bar's sides are looked for

_CUT_REACH = 4  # pixels to either side of a border within which a cut is over, and a blurred edge is not

BAR_DEVIATION = 0.018
"""Standard deviation, in places on the scale, from an even run; 247 synthetic and 20 real bars stay below 0.010."""

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; the last two exclusive


@dataclass(frozen=True, slots=True)
class ColourBar:
    """A scale printed on the picture."""

    box: Box
    hot_first: bool  # the palette's hot end is at the top, or at the right: where every camera prints it


def coloured(rgb: NDArray[np.uint8], above: int = COLOURED) -> NDArray[np.bool_]:
    """Tell which pixels of (h, w, 3) have a colour and are not grey: their channels differ by more than ``above``."""
    most, least = _extremes(rgb)
    return np.asarray(cv2.subtract(most, least) > above, np.bool_)


def _extremes(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The most and the least bright channel of each pixel."""
    red, green, blue = cv2.split(rgb)
    most = cv2.max(cv2.max(red, green), blue)
    least = cv2.min(cv2.min(red, green), blue)
    return np.asarray(most, np.uint8), np.asarray(least, np.uint8)


def _apart(one: NDArray[np.uint8], other: NDArray[np.uint8], step: float) -> NDArray[np.bool_]:
    """Tell where two pictures (h, w, 3) differ by more than a step in any channel."""
    return np.asarray(_extremes(np.asarray(cv2.absdiff(one, other), np.uint8))[0] > step, np.bool_)


def thermal_area(rgb: NDArray[np.uint8]) -> Box:
    """Find the rectangle that the thermal picture fills in (h, w, 3).

    A coloured rectangle with straight borders in surroundings of another kind counts; else it is the whole picture
    without its plain margins.
    """
    whole = _without_plain_margins(rgb)
    mask = np.zeros(rgb.shape[:2], np.uint8)
    inside = np.s_[whole[1] : whole[3], whole[0] : whole[2]]
    mask[inside] = coloured(np.ascontiguousarray(rgb[inside]))
    side = max(3, min(mask.shape) // 24)  # wider than a colour bar's or a letter's strokes, narrower than a picture
    body = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    if np.count_nonzero(body) < 0.03 * body.size:
        return whole
    x0, x1 = _extent(body.max(0))
    y0, y1 = _extent(body.max(1))
    # The picture's hot and cold ends may be white and black: its border is then the next straight edge outwards.
    columns, rows = _edge_support(rgb, (x0, y0, x1, y1))
    x0, x1 = _to_edge(columns, x0, -1, whole[0]), _to_edge(columns, x1, 1, whole[2])
    y0, y1 = _to_edge(rows, y0, -1, whole[1]), _to_edge(rows, y1, 1, whole[3])
    share = (x1 - x0) * (y1 - y0) / ((whole[2] - whole[0]) * (whole[3] - whole[1]))
    if -1 in (x0, x1, y0, y1) or not SMALLEST_AREA < share < 0.94:
        return whole
    return x0, y0, x1, y1


def is_beside(bar: Box, area: Box, *, grey: bool) -> bool:
    """Whether an upright colour bar may be as high as the thermal area is.

    Outside an area found by colour it is, where that area might miss the picture's black or white part. In a grey
    picture no area was found, so any upright bar will do.
    """
    x0, y0, x1, y1 = bar
    if y1 - y0 <= x1 - x0:
        return False
    return grey or ((x1 <= area[0] + 2 or x0 >= area[2] - 2) and y1 - y0 > 1.05 * (area[3] - area[1]))


def area_beside(rgb: NDArray[np.uint8], bar: Box) -> Box | None:
    """Find a thermal area as high as the upright colour bar that is printed beside it, by its straight borders.

    This finds a grey thermal picture in a grey photo, where colour cannot tell. None where there is no such rectangle.
    """
    step = _apart(rgb[1:], rgb[:-1], EDGE_STEP / 2)
    # An end of the bar may look like what is around it and be cut off: the border is then looked for farther away.
    near, far = 5, 5 + (bar[3] - bar[1]) // 32
    area = _area_between(step, bar, near) or _area_between(step, bar, far)
    return area if area is not None and _is_cut_out(rgb, area) else None


def _area_between(step: NDArray[np.bool_], bar: Box, reach: int) -> Box | None:
    """The area whose upper and lower border lie within ``reach`` pixels of the ends of a bar.

    ``step`` tells from which pixels (h - 1, w) the colour changes to the next row.
    """
    bar_left, top, bar_right, bottom = bar
    borders = []
    ends = []
    for row in (top, bottom):
        first = max(row - reach, 0)
        near = step[first : row + reach]
        strongest = int(near.sum(1).argmax())
        borders.append(near[strongest].astype(np.float64))
        ends.append(first + strongest + 1)
    # The stretch over which both borders show more often than not: the greatest sum of what exceeds a half.
    excess = np.concatenate([[0.0], np.cumsum((borders[0] + borders[1]) / 2 - 0.5)])
    gain = excess - np.minimum.accumulate(excess)
    right = int(gain.argmax())
    left = int(excess[: right + 1].argmin())
    if left < bar_left < bar_right < right:  # the photo around it goes on in the same lines: the bar parts the two
        left, right = (bar_right, right) if right - bar_right > bar_left - left else (left, bar_left)
    shown = min(float(border[left:right].mean()) if right > left else 0.0 for border in borders)
    if right - left < 0.3 * step.shape[1] or shown < EDGE_SUPPORT:
        return None
    return left, ends[0], right, ends[1]


def _is_cut_out(rgb: NDArray[np.uint8], area: Box) -> bool:
    """Whether the upper and the lower border of an area are cuts between two pictures.

    A cut changes the picture from one pixel to the next, where the frame of a window, which may lie as high as a bar
    that is printed on the thermal picture itself, is blurred by the sensor's optics.
    """
    left, top, right, bottom = area
    grey = cv2.cvtColor(np.ascontiguousarray(rgb[:, left:right]), cv2.COLOR_RGB2GRAY).astype(np.float32)
    height = len(grey)
    for border, inwards in ((top, 1), (bottom - 1, -1)):
        rows = np.clip(border + inwards * np.arange(-_CUT_REACH, _CUT_REACH + 1), 0, height - 1)
        near = grey[rows]  # from outside inwards
        whole = np.maximum(np.abs(near[-1] - near[0]), EDGE_STEP)
        steps = np.abs(near[2:] - near[:-2])[1:-1]
        if float((steps > HARDNESS * whole).mean(1).max()) < EDGE_SUPPORT:
            return False
    return True


def plain_corners(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find what is cut off at the corners of an area with rounded corners: a plain colour from the corner inwards."""
    height, width = rgb.shape[:2]
    found = np.zeros((height + 2, width + 2), np.uint8)
    canvas = rgb.copy()  # OpenCV wants to be able to write, and does not
    flags = 8 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        mask = np.zeros_like(found)
        cv2.floodFill(canvas, mask, (x, y), (0, 0, 0), (6, 6, 6), (6, 6, 6), flags)
        # A rounded corner is small; what goes on is an even part of the scene.
        if 4 < np.count_nonzero(mask) < 0.02 * height * width:
            found |= mask
    return cv2.dilate(found[1:-1, 1:-1], np.ones((5, 5), np.uint8)) > 0 if found.any() else found[1:-1, 1:-1] > 0


def _without_plain_margins(rgb: NDArray[np.uint8]) -> Box:
    """Cut off a frame of one colour, as screenshots and rounded pictures have it."""
    height, width = rgb.shape[:2]
    corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
    frame = np.full_like(rgb, np.median(corners, axis=0).astype(np.uint8))
    apart, _ = _extremes(np.asarray(cv2.absdiff(rgb, frame), np.uint8))
    lying = np.ascontiguousarray(apart.T)
    x0, x1 = _inside_frame(apart, PLAIN // 2)
    y0, y1 = _inside_frame(lying, PLAIN // 2)
    # Where two sides of a frame are sure, the other two may be blurred by JPEG.
    if y1 - y0 < height:
        x0, x1 = _inside_frame(apart[y0 + 4 : y1 - 4], 3 * PLAIN)
    elif x1 - x0 < width:
        y0, y1 = _inside_frame(lying[x0 + 4 : x1 - 4], 3 * PLAIN)
    if x1 - x0 < width // 4 or y1 - y0 < height // 4:
        return 0, 0, width, height
    return x0, y0, x1, y1


def _inside_frame(apart: NDArray[np.uint8], tolerance: int) -> tuple[int, int]:
    """Find where a frame left and right of (h, w) ends, ``apart`` being the difference from the frame's colour.

    The outermost column is within ``tolerance`` of that colour, and a few pixels make the difference to where most of
    a column is not. A frame has two sides: one alone is an even part of the scene. Text and buttons may stand in it.
    """
    width = apart.shape[1]
    if max(int(apart[:, 0].max()), int(apart[:, -1].max())) > tolerance:
        return 0, width
    other = (apart > PLAIN).mean(0)
    filled = _spans(other > 0.5)
    if not filled:
        return 0, width
    # Parts of the scene may have the frame's colour, and buttons in the frame may not.
    left, right = filled[0][0], filled[-1][1]
    if sum(stop - start for start, stop in filled) < 0.85 * (right - left):
        left, right = max(filled, key=lambda span: span[1] - span[0])
    if left == 0 or right == width or right - left < width // 4:
        return 0, width
    if max(other[max(left - 3, 0)], other[min(right + 2, width - 1)]) > 0.2:
        return 0, width
    return left, right


def _extent(flags: NDArray[np.uint8]) -> tuple[int, int]:
    at = np.flatnonzero(flags)
    return int(at[0]), int(at[-1]) + 1


def _edge_support(rgb: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the box's height (width) over which column x-1 differs from x (row y-1 from y), for every x (y)."""
    x0, y0, x1, y1 = box
    columns = np.zeros(rgb.shape[1] + 1)
    columns[1:-1] = _apart(rgb[y0:y1, 1:], rgb[y0:y1, :-1], EDGE_STEP).mean(0)
    rows = np.zeros(rgb.shape[0] + 1)
    rows[1:-1] = _apart(rgb[1:, x0:x1], rgb[:-1, x0:x1], EDGE_STEP).mean(1)
    return columns, rows


def _to_edge(support: NDArray[np.float64], start: int, direction: int, limit: int) -> int:
    """Move a border to the nearest well supported edge, from a little inside outwards; -1 when there is none."""
    slack = 3
    if abs(limit - start) <= slack:
        return limit
    reach = int(0.4 * len(support))
    for distance in range(-slack, reach):
        at = start + direction * distance
        if at == limit:
            return limit
        if not 0 < at < len(support) - 1:
            break
        if support[at] >= EDGE_SUPPORT:
            # JPEG blurs the step over two pixels: take the stronger of the two.
            following = at + direction
            return following if support[following] > support[at] else at
    return -1


def colour_bar(place: NDArray[np.float32], gap: NDArray[np.float32], limit: float) -> ColourBar | None:
    """Find a printed scale in a picture inverted by its palette.

    ``place`` is (h, w) from 0 cold to 1 hot, ``gap`` the distance to the palette, of which more than ``limit`` is not
    explained. A scale is a long narrow strip along which the place runs evenly through most of the palette and across
    which it does not change.
    """
    upright = _strip(place, gap < limit)
    lying = _strip(np.ascontiguousarray(place.T[::-1]), np.ascontiguousarray((gap < limit).T[::-1]))
    if upright is not None and (lying is None or upright[1] >= lying[1]):
        return ColourBar(upright[0], upright[2])
    if lying is None:
        return None
    x0, y0, x1, y1 = lying[0]
    width = place.shape[1]
    return ColourBar((width - y1, x0, width - y0, x1), lying[2])


def _strip(place: NDArray[np.float32], explained: NDArray[np.bool_]) -> tuple[Box, float, bool] | None:
    """Find an upright strip: its box, how much of the palette it runs through, and whether its top is hot."""
    height, width = place.shape
    step = max(2, height // 40)
    best: tuple[Box, float, bool] | None = None
    fall = place[:-step] - place[step:]
    steady = np.abs(place[:, 1:] - place[:, :-1]) < 0.05  # the same to the right
    steady = steady[:-step] & explained[:-step, 1:] & explained[:-step, :-1] & explained[step:, 1:]
    for hot_first in (True, False):
        slope = fall[:, 1:] if hot_first else -fall[:, 1:]
        # An even scale of 0.15 to 1 of the height falls by step/height/length; its ends may be drawn flat.
        runs = steady & (slope > 0.45 * step / height) & (slope < 7.0 * step / height)
        start, stop = _longest_runs(runs)
        length = stop - start
        column = np.arange(width - 1)
        span = np.abs(
            place[np.minimum(start, height - 1), column + 1]
            - place[np.minimum(np.maximum(stop - 1 + step, 0), height - 1), column + 1]
        )
        good = (length >= 0.15 * height) & (span > 0.6)
        for left, right in _spans(good):
            x0, x1 = left, right + 1  # the pair (x, x+1) is steady
            y0, y1 = int(np.median(start[left:right])), int(np.median(stop[left:right])) + step
            if x1 - x0 > 0.12 * width or (y1 - y0) < 3.5 * (x1 - x0) or not _is_linear(place[y0:y1, x0:x1]):
                continue
            reach = float(np.median(span[left:right]))
            if best is None or reach > best[1]:
                best = ((x0, y0, x1, y1), reach, hot_first)
    if best is not None:
        (x0, y0, x1, y1), reach, hot_first = best
        y0, y1 = _to_ends(place[:, x0:x1], y0, y1, hot_first)
        x0, x1 = _to_sides(place[y0:y1], x0, x1)
        best = ((x0, y0, x1, y1), reach, hot_first)
    return best


def _is_linear(strip: NDArray[np.float32]) -> bool:
    """Whether the place runs evenly along a strip (length, width) between its ends, as nothing in a scene does."""
    mean = strip.mean(1)
    within = np.flatnonzero((mean > 0.05) & (mean < 0.95))
    if len(within) < 8:
        return False
    along = np.arange(within[0], within[-1] + 1)
    inner = mean[along]
    deviation = inner - np.polyval(np.polyfit(along, inner, 1), along)
    return float(deviation.std()) < BAR_DEVIATION


def _to_ends(strip: NDArray[np.float32], start: int, stop: int, hot_first: bool) -> tuple[int, int]:
    """Follow a scale that was found from ``start`` to ``stop`` to its ends, where noise broke it off."""
    mean = strip.mean(1)
    even = strip.std(1) < 0.05
    fall = np.diff(mean) * (-1 if hot_first else 1)  # towards the cold end this is positive
    steady = even[1:] & even[:-1] & (fall > -0.02) & (fall < 0.08)
    # Where the scale is clipped it ends in an even piece; a long one is no scale any more.
    reach = max(2, (stop - start) // 4)
    first, last = max(start - reach, 0), min(stop + reach, len(mean))
    while start > first and steady[start - 1]:
        start -= 1
    while stop < last and steady[stop - 1]:
        stop += 1
    return start, stop


def _to_sides(strip: NDArray[np.float32], left: int, right: int) -> tuple[int, int]:
    """Follow a scale that was found from column ``left`` to ``right`` to its sides, where JPEG changed its colours."""
    mean = strip[:, left:right].mean(1)
    reach = right - left + _BAR_GROWTH
    first, last = max(left - reach, 0), min(right + reach, strip.shape[1])
    alike = np.median(np.abs(strip[:, first:last] - mean[:, None]), axis=0) < _SAME_PLACE
    while left > first and alike[left - 1 - first]:
        left -= 1
    while right < last and alike[right - first]:
        right += 1
    return left, right


def _longest_runs(flags: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Start and stop (exclusive) of the longest run of True in each column."""
    row = np.arange(1, len(flags) + 1, dtype=np.int32)[:, None]
    length = row - np.maximum.accumulate(np.where(flags, 0, row), axis=0)
    last = length.argmax(0)
    stop = last + 1
    return stop - length[last, np.arange(flags.shape[1])], stop


def _spans(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of True as (start, stop)."""
    padded = np.concatenate([[False], flags, [False]]).astype(np.int8)
    change = np.flatnonzero(np.diff(padded))
    return list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))


def print_mask(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find text, logo and crosshair in the thermal area (h, w, 3), and plain boxes below text.

    Print is thin, white or grey, and has hard edges, where thermal detail is as blurred as the sensor's optics. It is
    judged by the least bright channel: against that even yellow is dark. Black strokes count only where they outline
    white ones: alone they are what a cold draught looks like.
    """
    longer = max(rgb.shape[:2])
    stroke = max(5, longer // 50) | 1
    most, least = _extremes(rgb)
    above = cv2.morphologyEx(least, cv2.MORPH_TOPHAT, np.ones((stroke, stroke), np.uint8))
    small = np.ones((3, 3), np.uint8)
    edge = cv2.dilate(cv2.morphologyEx(least, cv2.MORPH_GRADIENT, small), small)
    white = (above > PRINT_STEP) & (least > 110) & (cv2.subtract(most, least) < 2 * COLOURED)
    white &= edge > np.maximum(PRINT_STEP, above * np.float32(HARDNESS))
    margin = max(1, longer // 160)
    strokes = np.asarray(cv2.dilate(white.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)))
    return np.asarray((strokes > 0) | _text_boxes(most, strokes.astype(np.uint8)), np.bool_)


def _text_boxes(most: NDArray[np.uint8], strokes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find black boxes that text is printed on: rectangles filled by black and by strokes, by some of each."""
    boxes = np.zeros_like(strokes)
    dark = (most < 40).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(dark | strokes, connectivity=4)
    for x, y, width, height, area in stats[1:count]:
        if area < 60 or area < 0.75 * width * height or area > 0.1 * most.size:
            continue
        inside = np.s_[y : y + height, x : x + width]
        if 0.08 < strokes[inside].mean() < 0.9 and dark[inside].mean() > 0.1:
            boxes[inside] = 1
    return np.asarray(cv2.dilate(boxes, np.ones((3, 3), np.uint8))) > 0
