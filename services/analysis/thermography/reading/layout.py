"""Where in a picture the thermal part is (all of it, a rectangle in a photo or on a screen, one of two views), and how
it is drawn.

A thermal part that does not fill the picture has been cut into it: its straight sides part two pictures from one pixel
to the next. Of the rectangles that such sides bound, the one is taken that gathers most false colour and least grey.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading import bars, overlays, palettes
from services.analysis.thermography.reading.bars import ColourBar, ColourStrip
from services.analysis.thermography.reading.colours import Drawing, Sample, drawing_of
from services.analysis.thermography.reading.overlays import Box
from services.analysis.thermography.reading.palettes import Palette

GARISH = 110
"""Channels as far apart as this (0..255) are rare in photos of rooms and common in false colour."""

BAR_PALETTE = "bar"
"""The name of a palette that was read off the picture's colour bar."""

BAR_EXPLAINED = 1.5
"""Times as far from the palette as elsewhere that the colours of a colour bar may lie: that it runs evenly tells more,
and JPEG mixes the colours of a bar, which is a few pixels wide, with its frame's."""

_DOUBTED = 8.5  # mean distance, 0..255, from which on a colour bar is asked for the palette
_BAR_BETTER = 0.7  # times the distance from the palette that was found, and less, for that of the bar to be believed
_RISES = 0.9  # correlation of the places along a bar with the way along it
_MOSTLY = 0.5  # share of the thermal part that is not print, or print was mistaken
_ALONG_SIDE, _BESIDE = 0.85, 0.035  # shares of the thermal part's sides: how long a bar is beside it, and how near
_CUT_STEP = 16.0  # 0..255, between pixels two apart, of which a side of the thermal part shows over most of its length
_CUT_SUPPORT, _CUT_SUPPORT_MEAN = 0.5, 0.62  # shares of a side's length over which it shows: the least, and of all
_HALF_SUPPORT = 0.85  # the same where a single cut parts two views
_CUT_WIDTH = 2  # pixels to either side within which there is one cut only
_SIDES = 10  # candidates for the left and right sides together, and as many for the upper and lower
_SHORTEST_SIDE = 0.18  # of the picture's: a side that is shorter bounds an icon
_LEAST_AREA, _MOST_AREA = 0.04, 0.94  # shares of the picture between which a rectangle is a part of it
_MOST_OF_HALVES = 0.75  # the same for one of two views
_PAPER = 0.35  # share of a margin that has the colour of its paper; the rest is the scale
_GREY_COST, _DULL_COST = -0.12, -0.06  # against 1 for a garish pixel: grey lies inside, where the scale ends
_LEAST_GARISH = 45  # 0..255: false colour at half strength; wood and skin come near it
_LEAST_PURE, _PURITY = 40, 0.8  # 0..255, and share of the brightest channel, between the channels of a pixel
_CORNER_REACH = 0.1  # of the picture's side: stretches of a cut to either side of a corner
_OVERRUN, _UNDERRUN = 0.6, 0.2  # shares of such a stretch: more beyond, or less before, and the corner is elsewhere
_NARROW = 12  # times that a colour bar's width goes into the picture's shorter side
_NOT_GREY = 12  # 0..255, between the channels of a pixel: JPEG leaves a grey photo less
_COMMON, _MOST_ALIKE = 5e-4, 0.25  # share of the inside that a colour has; of the outside that may have such colours
_LEAST_FALSE_COLOUR = 0.02  # of the picture: less is an icon or a bar
_LEAST_GAIN = 0.005  # of the picture: what a rectangle has to gather more than the whole


@dataclass(frozen=True, slots=True)
class Layout:
    """What was found on a reduced picture; boxes in its pixels."""

    area: Box
    drawing: Drawing
    bar: ColourBar | None


def find_layout(rgb: NDArray[np.uint8]) -> Layout:
    """Find the thermal part of a picture (h, w, 3), how it is drawn, and a colour bar."""
    whole = overlays.without_plain_margins(rgb)
    area = _part_of(rgb, whole)
    sample = Sample.of(_telling(rgb, area))
    drawing = drawing_of(sample)
    strip = bars.colour_strip(rgb)
    if strip is not None and (drawing.misfit > _DOUBTED or not drawing.linear):
        by_bar = Drawing(palette := Palette.of(BAR_PALETTE, strip.colours), sample.misfit(palette))
        if by_bar.misfit < _BAR_BETTER * drawing.misfit or (not drawing.linear and by_bar.fits_as_well(drawing)):
            return Layout(_without_bar(area, strip.box), by_bar, ColourBar(strip.box, hot_first=True))
    bar = None if strip is None else _bar_of(strip, drawing.palette)
    if bar is None and drawing.palette.share == 1 and drawing.linear:
        found = palettes.places(rgb, drawing.palette)
        bar = bars.colour_bar(found.place, found.gap, BAR_EXPLAINED * drawing.palette.explained_within)
    if bar is None:
        return Layout(area, drawing, None)
    if drawing.palette.is_grey and overlays.is_beside(bar.box, area, grey=True):
        area = overlays.area_beside(rgb, bar.box) or area
    return Layout(_without_bar(area, bar.box), drawing, bar)


def _bar_of(strip: ColourStrip, palette: Palette) -> ColourBar | None:
    """Return a strip of colours as the bar of a palette; None where its colours are not those."""
    found = palettes.places(np.rint(strip.colours[None]).astype(np.uint8), palette)
    if float(found.gap.mean()) > palette.explained_within or float(found.place.std()) == 0:
        return None
    rises = float(np.corrcoef(found.place[0], np.linspace(0, 1, len(strip.colours)))[0, 1])
    if (abs(rises) if palette.is_grey else rises) < _RISES:
        return None
    return ColourBar(strip.box, hot_first=rises > 0)


def _telling(rgb: NDArray[np.uint8], area: Box) -> NDArray[np.uint8]:
    """Return the pixels (n, 3) that tell the palette: of the thermal part, without white print."""
    x0, y0, x1, y1 = area
    part = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    shown = ~overlays.print_mask(part)
    return part[shown] if float(shown.mean()) > _MOSTLY else part.reshape(-1, 3)


def _without_bar(area: Box, bar: Box) -> Box:
    """Cut a bar off that stands along a side of the thermal part and is as long as that side."""
    x0, y0, x1, y1 = area
    along_y = min(bar[3], y1) - max(bar[1], y0) > _ALONG_SIDE * (y1 - y0)
    along_x = min(bar[2], x1) - max(bar[0], x0) > _ALONG_SIDE * (x1 - x0)
    near_x, near_y = _BESIDE * (x1 - x0), _BESIDE * (y1 - y0)
    if along_y and bar[3] - bar[1] > bar[2] - bar[0]:
        if 0 <= x1 - bar[2] < near_x:
            x1 = bar[0]
        elif 0 <= bar[0] - x0 < near_x:
            x0 = bar[2]
    elif along_x and bar[2] - bar[0] > bar[3] - bar[1]:
        if 0 <= y1 - bar[3] < near_y:
            y1 = bar[1]
        elif 0 <= bar[1] - y0 < near_y:
            y0 = bar[3]
    return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class _Sides:
    """Straight cuts in one direction: where they are, and over which stretches they show."""

    at: NDArray[np.intp]  # (n,) pixel before which the cut lies, the picture's own borders among them
    shown: NDArray[np.float32]  # (n, length + 1), cumulative: pixels over which the cut shows
    free: NDArray[np.bool_]  # (n,) borders of the picture, which need not show


def _part_of(rgb: NDArray[np.uint8], whole: Box) -> Box:
    """Find the thermal part of a picture (h, w, 3) within a box."""
    x0, y0, x1, y1 = whole
    inner = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    upright, lying = _sides(inner, upright=True), _sides(inner, upright=False)
    found = _cut_out(inner, upright, lying) or _beside_paper(inner, upright, lying)
    return whole if found is None else (x0 + found[0], y0 + found[1], x0 + found[2], y0 + found[3])


def _cut_out(inner: NDArray[np.uint8], upright: _Sides, lying: _Sides) -> Box | None:
    """Find the coloured rectangle that was cut into a picture (h, w, 3); None where there is none."""
    height, width = inner.shape[:2]
    weight = _false_colour_weight(inner)
    if float((weight > 0).mean()) < _LEAST_FALSE_COLOUR:
        return None
    gathered = np.asarray(cv2.integral(weight), np.float64)
    left, right = np.triu_indices(len(upright.at), 1)
    top, bottom = np.triu_indices(len(lying.at), 1)
    wide = upright.at[right] - upright.at[left] >= _SHORTEST_SIDE * width
    high = lying.at[bottom] - lying.at[top] >= _SHORTEST_SIDE * height
    left, right, top, bottom = left[wide], right[wide], top[high], bottom[high]
    if not len(left) or not len(top):
        return None
    support = _support(upright, lying, left, right, top, bottom)
    gain = _gathered_in(gathered, upright.at, lying.at, left, right, top, bottom)
    columns, rows = upright.at[right] - upright.at[left], lying.at[bottom] - lying.at[top]
    share = columns[:, None] * rows[None, :] / (width * height)
    borders = (upright.free[left].astype(int) + upright.free[right])[:, None] + lying.free[top] + lying.free[bottom]
    halves = borders == 3
    least = np.where(halves, _HALF_SUPPORT, _CUT_SUPPORT)
    possible = (support.min(0) >= least) & (support.mean(0) >= _CUT_SUPPORT_MEAN)
    possible &= (share >= _LEAST_AREA) & (share <= _MOST_AREA)
    possible &= ~_ends_elsewhere(upright, lying, left, right, top, bottom)
    possible &= ~_ends_elsewhere(lying, upright, top, bottom, left, right).T
    if not possible.any():
        return None
    best = np.unravel_index(int(np.where(possible, gain, -np.inf).argmax()), gain.shape)
    if gain[best] < float(gathered[-1, -1]) + _LEAST_GAIN * width * height:
        return None
    across, down = int(best[0]), int(best[1])
    found = (
        int(upright.at[left[across]]), int(lying.at[top[down]]),
        int(upright.at[right[across]]), int(lying.at[bottom[down]]),
    )  # fmt: skip
    if _same_colours(inner, found) > _MOST_ALIKE:
        return None
    if halves[best] and share[best] > _MOST_OF_HALVES and not _is_margin(inner, found):
        return None
    return found


def _false_colour_weight(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Tell false colour from photo: 1 where a patch is garish, a little less than 0 where it is not.

    How garish a picture is depends on how much of a photo is mixed in: its own most garish pixels are the measure.
    """
    most, least = overlays.extremes(rgb)
    colour = cv2.subtract(most, least)
    limit = float(np.clip(0.55 * float(np.quantile(colour[::3, ::3], 0.98)), _LEAST_GARISH, GARISH))
    pure = (colour > _LEAST_PURE) & (colour > _PURITY * most)  # as the dark end of a palette is, and no photo
    garish = ((colour > limit) | pure).astype(np.uint8)
    side = max(3, min(garish.shape) // _NARROW) | 1  # wider than a colour bar's or a letter's strokes
    garish = np.asarray(cv2.morphologyEx(garish, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)), np.uint8)
    dull = np.where(colour > overlays.COLOURED, np.float32(_DULL_COST), np.float32(_GREY_COST))
    return np.where(garish > 0, np.float32(1), dull).astype(np.float32)


def _sides(rgb: NDArray[np.uint8], *, upright: bool) -> _Sides:
    """Find the straight cuts in a picture that are as long as a side of the thermal part may be."""
    picture = rgb if not upright else np.ascontiguousarray(rgb.transpose(1, 0, 2))
    length = len(picture)
    step = np.zeros((length + 1, picture.shape[1]), np.float32)
    # JPEG and scaling blur a cut over two pixels.
    step[2:-1] = overlays.apart(picture[2:], picture[:-2], _CUT_STEP)[: length - 2]
    shown = np.zeros((length + 1, picture.shape[1] + 1), np.float32)
    np.cumsum(step, axis=1, out=shown[:, 1:])
    excess = shown - 0.5 * np.arange(shown.shape[1], dtype=np.float32)
    gain = (excess - np.minimum.accumulate(excess, axis=1)).max(1)
    # Two neighbours see the same cut: it lies where the picture changes most from one pixel to the next.
    sharp = np.zeros(length + 1)
    sharp[1:-1] = np.minimum(cv2.absdiff(picture[1:], picture[:-1]), 60).mean((1, 2))
    gain = gain + sharp / 60
    near = np.asarray(cv2.dilate(gain[None].astype(np.float32), np.ones((1, 2 * _CUT_WIDTH + 1), np.uint8)))[0]
    peaks = np.flatnonzero((gain.astype(np.float32) >= near) & (gain > 0.5 * _SHORTEST_SIDE * picture.shape[1]))
    peaks = peaks[(peaks > 3) & (peaks < length - 3)]
    peaks = np.sort(peaks[np.argsort(-gain[peaks], kind="stable")[:_SIDES]])
    at = np.concatenate([[0], peaks, [length]])
    free = np.zeros(len(at), np.bool_)
    free[[0, -1]] = True
    return _Sides(at, shown[np.minimum(at, length)], free)


def _support(
    upright: _Sides,
    lying: _Sides,
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Tell over which share of its length each side of each rectangle shows: (4, across, down)."""
    rows, columns = lying.at, upright.at
    high = (rows[bottom] - rows[top]).astype(np.float32)[None, :]
    wide = (columns[right] - columns[left]).astype(np.float32)[:, None]
    shares = []
    for side in (left, right):
        along = upright.shown[side]
        shares.append(np.where(upright.free[side][:, None], 1.0, (along[:, rows[bottom]] - along[:, rows[top]]) / high))
    for side in (top, bottom):
        along = lying.shown[side]
        part = (along[:, columns[right]] - along[:, columns[left]]).T / wide
        shares.append(np.where(lying.free[side][None, :], 1.0, part))
    return np.stack(shares).astype(np.float32)


def _ends_elsewhere(
    near: _Sides,
    crossing: _Sides,
    first: NDArray[np.intp],
    last: NDArray[np.intp],
    low: NDArray[np.intp],
    high: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Tell of which rectangles two opposite sides do not end at the corners: beyond them, or before.

    ``first`` and ``last`` are the sides ``near`` which to look, ``low`` and ``high`` the ``crossing`` ones.
    """
    length = crossing.shown.shape[1] - 1
    reach = max(4, round(_CORNER_REACH * length))
    found = np.zeros((len(first), len(low)), np.bool_)
    bounded = ~(crossing.free[low] & crossing.free[high])[None, :]
    for side, outwards in ((first, -1), (last, 1)):
        corner = near.at[side]
        beyond, inside = (np.clip(corner + way * reach, 0, length) for way in (outwards, -outwards))
        goes_on = np.ones((len(side), len(low)), np.bool_)
        for line in (low, high):
            shown, free = crossing.shown[line], crossing.free[line][None, :]
            at_corner = shown[:, corner]
            after, before = (np.abs(shown[:, stop] - at_corner).T / reach for stop in (beyond, inside))
            goes_on &= free | (after > _OVERRUN)
            found |= ~free & (before < _UNDERRUN)
        found |= goes_on & bounded & ~near.free[side][:, None]
    return found


def _beside_paper(rgb: NDArray[np.uint8], upright: _Sides, lying: _Sides) -> Box | None:
    """Find a thermal part that a single cut parts from the paper on which its scale is printed."""
    height, width = rgb.shape[:2]
    for sides, length in ((upright, width), (lying, height)):
        full = sides.shown[:, -1] > _HALF_SUPPORT * (sides.shown.shape[1] - 1)
        for cut in sides.at[full & ~sides.free].tolist():
            low, high = (0, cut) if cut > length / 2 else (cut, length)
            box = (low, 0, high, height) if sides is upright else (0, low, width, high)
            if high - low > _MOST_OF_HALVES * length and _is_margin(rgb, box):
                return box
    return None


def _is_margin(rgb: NDArray[np.uint8], box: Box) -> bool:
    """Whether what lies around a box is mostly plain grey, white or black: paper that a scale is printed on."""
    x0, y0, x1, y1 = box
    outside = np.ones(rgb.shape[:2], np.bool_)
    outside[y0:y1, x0:x1] = False
    around = rgb[outside][::7].astype(np.int16)  # enough to tell
    paper = np.median(around, axis=0)
    plain = float((np.abs(around - paper).max(1) < overlays.PLAIN).mean())
    return bool(plain > _PAPER and paper.max() - paper.min() < _NOT_GREY)


def _same_colours(rgb: NDArray[np.uint8], box: Box) -> float:
    """Share 0..1 of what lies around a box that has the colours inside it: not grey, and as common there."""
    x0, y0, x1, y1 = box
    coarse = rgb >> 4
    bins = (coarse[..., 0].astype(np.uint16) << 8) | (coarse[..., 1].astype(np.uint16) << 4) | coarse[..., 2]
    # A colour bar has the same colours, and is narrow.
    side = max(3, min(rgb.shape[:2]) // _NARROW) | 1
    coloured = overlays.coloured(rgb, _NOT_GREY).astype(np.uint8)
    around = cv2.morphologyEx(coloured, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)) > 0
    outside = np.ones(bins.shape, np.bool_)
    outside[y0:y1, x0:x1] = False
    inside = np.bincount(bins[y0:y1, x0:x1].ravel(), minlength=4096)
    common = inside > _COMMON * (x1 - x0) * (y1 - y0)
    return float(common[bins[outside & around]].sum() / max(np.count_nonzero(outside), 1))


def _gathered_in(
    integral: NDArray[np.float64],
    columns: NDArray[np.intp],
    rows: NDArray[np.intp],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Sum up what each rectangle gathers: (across, down)."""
    lower, upper = integral[rows[bottom]], integral[rows[top]]
    band = lower - upper  # (down, width + 1)
    return np.asarray((band[:, columns[right]] - band[:, columns[left]]).T)
