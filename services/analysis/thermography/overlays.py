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

PLAIN = 16
"""A row or column whose brightest and darkest value differ by less than this is a plain margin."""

EDGE_STEP = 14
EDGE_SUPPORT = 0.55
"""A border of the thermal area shows: over this share of its length neighbours differ by more than the step."""

PRINT_STEP = 60
"""How much print stands out from the picture below it (0..255)."""

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; the last two exclusive


@dataclass(frozen=True, slots=True)
class ColourBar:
    """A scale printed on the picture."""

    box: Box
    hot_first: bool  # the palette's hot end is at the top, or at the right: where every camera prints it


def coloured(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which pixels of (h, w, 3) have a colour and are not grey."""
    red, green, blue = cv2.split(rgb)
    most = cv2.max(cv2.max(red, green), blue)
    least = cv2.min(cv2.min(red, green), blue)
    return cv2.subtract(most, least) > COLOURED


def thermal_area(rgb: NDArray[np.uint8]) -> Box:
    """Find the rectangle that the thermal picture fills in (h, w, 3).

    A coloured rectangle with straight borders in surroundings of another kind counts; else it is the whole picture
    without its plain margins.
    """
    whole = _without_plain_margins(rgb)
    mask = coloured(rgb).astype(np.uint8)
    side = max(3, min(mask.shape) // 24)  # wider than a colour bar's or a letter's strokes, narrower than a picture
    body = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    if np.count_nonzero(body) < 0.03 * body.size:
        return whole
    x0, x1 = _extent(body.any(0))
    y0, y1 = _extent(body.any(1))
    # The picture's hot and cold ends may be white and black: its border is then the next straight edge outwards.
    columns, rows = _edge_support(rgb, (x0, y0, x1, y1))
    x0, x1 = _to_edge(columns, x0, -1, whole[0]), _to_edge(columns, x1, 1, whole[2])
    y0, y1 = _to_edge(rows, y0, -1, whole[1]), _to_edge(rows, y1, 1, whole[3])
    if -1 in (x0, x1, y0, y1) or (x1 - x0) * (y1 - y0) > 0.94 * (whole[2] - whole[0]) * (whole[3] - whole[1]):
        return whole
    return x0, y0, x1, y1


def _without_plain_margins(rgb: NDArray[np.uint8]) -> Box:
    height, width = rgb.shape[:2]
    rows = np.flatnonzero((rgb.max(1).astype(np.int16) - rgb.min(1) >= PLAIN).any(1))
    columns = np.flatnonzero((rgb.max(0).astype(np.int16) - rgb.min(0) >= PLAIN).any(1))
    if len(rows) < height // 4 or len(columns) < width // 4:  # nothing to see at all: an even surface fills the view
        return 0, 0, width, height
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _extent(flags: NDArray[np.bool_]) -> tuple[int, int]:
    at = np.flatnonzero(flags)
    return int(at[0]), int(at[-1]) + 1


def _edge_support(rgb: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the box's height (width) over which column x-1 differs from x (row y-1 from y), for every x (y)."""
    x0, y0, x1, y1 = box
    across = rgb[y0:y1].astype(np.int16)
    columns = np.zeros(rgb.shape[1] + 1)
    columns[1:-1] = (np.abs(np.diff(across, axis=1)).max(2) > EDGE_STEP).mean(0)
    down = rgb[:, x0:x1].astype(np.int16)
    rows = np.zeros(rgb.shape[0] + 1)
    rows[1:-1] = (np.abs(np.diff(down, axis=0)).max(2) > EDGE_STEP).mean(1)
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
    steady = np.abs(place[:, 1:] - place[:, :-1]) < 0.03  # the same to the right
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
            if x1 - x0 > 0.12 * width or (y1 - y0) < 3.5 * (x1 - x0):
                continue
            reach = float(np.median(span[left:right]))
            if best is None or reach > best[1]:
                best = ((x0, y0, x1, y1), reach, hot_first)
    return best


def _longest_runs(flags: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Start and stop (exclusive) of the longest run of True in each column."""
    height, width = flags.shape
    length = np.zeros(width, np.intp)
    best = np.zeros(width, np.intp)
    stop = np.zeros(width, np.intp)
    for y in range(height):
        length = np.where(flags[y], length + 1, 0)
        longer = length > best
        best = np.where(longer, length, best)
        stop = np.where(longer, y + 1, stop)
    return stop - best, stop


def _spans(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of True as (start, stop)."""
    padded = np.concatenate([[False], flags, [False]]).astype(np.int8)
    change = np.flatnonzero(np.diff(padded))
    return list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))


def print_mask(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find text, logo and crosshair in the thermal area (h, w, 3): thin white, grey or black strokes with hard edges.

    Thermal detail is as blurred as the sensor's optics, and mostly coloured. A stroke is judged by its least (white
    print) or its most (black print) bright channel: against those even yellow is dark and even dark blue is bright.
    """
    longer = max(rgb.shape[:2])
    stroke = max(5, longer // 40) | 1
    kernel = np.ones((stroke, stroke), np.uint8)
    red, green, blue = cv2.split(rgb)
    most = cv2.max(cv2.max(red, green), blue)
    least = cv2.min(cv2.min(red, green), blue)
    neutral = cv2.subtract(most, least) < 2 * COLOURED
    white = (cv2.morphologyEx(least, cv2.MORPH_TOPHAT, kernel) > PRINT_STEP) & (least > 120)
    black = (cv2.morphologyEx(most, cv2.MORPH_BLACKHAT, kernel) > PRINT_STEP) & (most < 110)
    small = np.ones((3, 3), np.uint8)
    hard = cv2.max(
        cv2.morphologyEx(least, cv2.MORPH_GRADIENT, small), cv2.morphologyEx(most, cv2.MORPH_GRADIENT, small)
    )
    strokes = (neutral & (white | black) & (cv2.dilate(hard, small) > PRINT_STEP)).astype(np.uint8)
    margin = max(1, longer // 160)
    return cv2.dilate(strokes, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0
