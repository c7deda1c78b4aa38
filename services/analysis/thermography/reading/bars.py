"""The colour bar that cameras and apps print beside or upon the thermal picture: where it is, which end is hot.

Along a bar the palette runs evenly from end to end, and across it nothing changes. Where the palette is known, the bar
is found by its places on the scale; where it is not, by its colours, and the bar then is the palette.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading.overlays import Box, extremes, spans

BAR_DEVIATION = 0.018
"""Standard deviation, in places on the scale, from an even run; 247 synthetic and 20 real bars stay below 0.010."""

_SAME_PLACE = 0.06  # on the scale, between columns of one colour bar
_BAR_GROWTH = 6  # pixels at least that a bar's sides are looked for
_ACROSS = 26  # 0..255, between neighbours across a bar: JPEG mixes its outer pixels with its frame
_JUMP = 60  # 0..255, between neighbours along a bar: more is the end of it
_LEAST_LENGTH, _MOST_WIDTH, _LEAST_RATIO = 0.15, 0.12, 3.5  # of the picture's height and width; length by width
_SAME_END = 0.04  # of the picture's height, between the ends of neighbouring columns of one bar
_LEAST_PATH = 250.0  # 0..255, the way through the colours from one end to the other
_PARTS, _LEAST_PART = 8, 0.12  # a bar is cut in parts, each of which goes this share of the mean way at least
_NO_RETURN = 22.0  # 0..255, between parts that are no neighbours: a palette does not come back to a colour
_CUT_SHARE = 0.6  # of a bar's length over which its sides show


@dataclass(frozen=True, slots=True)
class ColourBar:
    """A scale printed on the picture."""

    box: Box
    hot_first: bool  # the palette's hot end is at the top, or at the right: where every camera prints it


@dataclass(frozen=True, slots=True)
class ColourStrip:
    """A bar of any palette."""

    box: Box
    colours: NDArray[np.float32]  # (n, 3) from its cold end, at the bottom or left, to its hot one


def colour_strip(rgb: NDArray[np.uint8]) -> ColourStrip | None:
    """Find a colour bar of an unknown palette in a picture (h, w, 3)."""
    upright = _strip_by_colour(rgb)
    lying = _strip_by_colour(np.ascontiguousarray(rgb.transpose(1, 0, 2)[::-1]))
    if upright is not None and (lying is None or upright[1] >= lying[1]):
        return ColourStrip(upright[0], upright[2][::-1])
    if lying is None:
        return None
    x0, y0, x1, y1 = lying[0]
    width = rgb.shape[1]
    return ColourStrip((width - y1, x0, width - y0, x1), lying[2][::-1])


def _strip_by_colour(rgb: NDArray[np.uint8]) -> tuple[Box, float, NDArray[np.float32]] | None:
    """Find an upright bar: its box, the way through its colours, and these from the top down (n, 3)."""
    height, width = rgb.shape[:2]
    across = extremes(np.asarray(cv2.absdiff(rgb[:, 1:], rgb[:, :-1]), np.uint8))[0] < _ACROSS
    along = extremes(np.asarray(cv2.absdiff(rgb[1:], rgb[:-1]), np.uint8))[0] < _JUMP
    runs = across.copy()
    runs[1:] &= along[:, 1:] & along[:, :-1]
    start, stop = _longest_runs(runs)
    best: tuple[Box, float, NDArray[np.float32]] | None = None
    for left, right in _alike(start, stop, height):
        x0, x1 = left, right + 1
        middle = (left + right) // 2
        y0, y1 = int(start[middle]), int(stop[middle])
        if x1 - x0 > _MOST_WIDTH * width or y1 - y0 < _LEAST_RATIO * (x1 - x0):
            continue
        if not all(_is_cut(across[y0:y1, slice(max(at, 0), at + 3)]) for at in (x0 - 3, x1 - 1)):
            continue
        colours = np.median(rgb[y0:y1, max(x0, middle - 1) : middle + 2].astype(np.float32), axis=1)
        path = _path(colours)
        if path is not None and (best is None or path > best[1]):
            best = ((x0, y0, x1, y1), path, colours)
    return best


def _is_cut(across: NDArray[np.bool_]) -> bool:
    """Whether a side of a strip parts it from the scene; ``across`` tells where neighbours around it are alike."""
    return across.shape[1] < 2 or float((~across).any(1).mean()) > _CUT_SHARE


def _alike(start: NDArray[np.intp], stop: NDArray[np.intp], height: int) -> list[tuple[int, int]]:
    """Return spans of columns whose long even runs start and stop at the same height."""
    apart = np.zeros(len(start), np.bool_)
    apart[1:] = np.maximum(np.abs(np.diff(start)), np.abs(np.diff(stop))) > _SAME_END * height
    group = np.cumsum(apart)
    long = stop - start >= _LEAST_LENGTH * height
    return [
        (int(own[0]), int(own[-1]) + 1)
        for g in range(int(group[-1]) + 1)
        if len(own := np.flatnonzero(long & (group == g)))
    ]


def _path(colours: NDArray[np.float32]) -> float | None:
    """Return how far the colours (n, 3) along a strip go; None where a strip is no bar: too short, or not even."""
    step = max(1, len(colours) // 48)
    few = cv2.blur(colours[None], (3, 1))[0][::step]
    ways = np.abs(np.diff(few, axis=0)).max(1)
    path = float(ways.sum())
    if path < _LEAST_PATH:
        return None
    parts = np.array([part.sum() for part in np.array_split(ways, _PARTS)])
    if float(np.sort(parts)[1]) < _LEAST_PART * path / _PARTS:
        return None
    means = np.stack([part.mean(0) for part in np.array_split(few, _PARTS)])
    apart = np.abs(means[:, None] - means[None]).max(2)
    return path if float(apart[np.triu_indices(_PARTS, 2)].min()) > _NO_RETURN else None


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
        for left, right in spans(good):
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
