"""What a camera app lays over and around the thermal picture: finding the thermal area, the colour bar, and print.

Apps draw the thermal picture into a rectangle of a grey photo or of a dark screen, print a colour bar beside or upon
it, and write text, a logo and a crosshair across it. None of that must be taken for temperature.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

COLOURED = 28
"""A pixel whose channels differ by more than this is coloured and not grey (0..255; JPEG noise stays below)."""

PLAIN = 12
"""A colour this near to that of the picture's corners (0..255) may belong to a frame."""

EDGE_STEP = 14
EDGE_SUPPORT = 0.55
"""A border of the thermal area shows: over this share of its length neighbours differ by more than the step."""

PRINT_STEP = 60
"""How much print stands out from the picture below it (0..255)."""

HARDNESS = 0.6
"""Over one pixel the edge of print rises by at least this share of its full height."""


_CUT_REACH = 4  # pixels to either side of a border within which a cut is over, and a blurred edge is not

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; the last two exclusive


def coloured(rgb: NDArray[np.uint8], above: int = COLOURED) -> NDArray[np.bool_]:
    """Tell which pixels of (h, w, 3) have a colour and are not grey: their channels differ by more than ``above``."""
    most, least = extremes(rgb)
    return np.asarray(cv2.subtract(most, least) > above, np.bool_)


def extremes(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The most and the least bright channel of each pixel."""
    red, green, blue = cv2.split(rgb)
    most = cv2.max(cv2.max(red, green), blue)
    least = cv2.min(cv2.min(red, green), blue)
    return np.asarray(most, np.uint8), np.asarray(least, np.uint8)


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8], step: float) -> NDArray[np.bool_]:
    """Tell where two pictures (h, w, 3) differ by more than a step in any channel."""
    return np.asarray(extremes(np.asarray(cv2.absdiff(one, other), np.uint8))[0] > step, np.bool_)


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
    step = apart(rgb[1:], rgb[:-1], EDGE_STEP / 2)
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


def without_plain_margins(rgb: NDArray[np.uint8]) -> Box:
    """Cut off a frame of one colour, as screenshots and rounded pictures have it."""
    height, width = rgb.shape[:2]
    corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
    frame = np.full_like(rgb, np.median(corners, axis=0).astype(np.uint8))
    apart, _ = extremes(np.asarray(cv2.absdiff(rgb, frame), np.uint8))
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
    filled = spans(other > 0.5)
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


def spans(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
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
    most, least = extremes(rgb)
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
