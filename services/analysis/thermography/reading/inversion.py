"""From the colours of the thermal part to places on its scale, and which of them show the scene at all.

Print, a logo and a photo inset in a corner hide the scene. What a camera draws black below its scale, white above it or
in one colour beyond a limit does not hide the scene: it says that the truth lies beyond.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading import alarms, overlays, palettes
from services.analysis.thermography.reading.overlays import Box
from services.analysis.thermography.reading.palettes import Palette

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

FOREIGN = 40.0
"""A colour farther from the palette than this (0..255) does not show temperature at all: print or another photo."""

FOREIGN_GREY = 20.0
"""The same for grey palettes, which an inset photo of pale things comes close to."""

CLIPPED = 0.012
"""This near to an end of the scale (0..1) the truth may lie beyond it."""

_MIXTURE_PX = 7  # within which the two sides of a step lie: enlarged sensor pixels
_MIXTURE_STEP = 0.15  # of the scale; print stands on a more even ground
_NEIGHBOURHOODS = (1 / 24, 1 / 8, 1 / 3)  # of the longer side: where a place that may be either is looked up, in turn
_BEYOND_DARK, _BEYOND_BRIGHT = 48, 215  # 0..255: black below the scale, white above it; JPEG leaves it this plain
_BEYOND_SIDE = 1 / 160  # of the longer side: print is narrower
_LEAST_BEYOND = 0.001  # of the thermal part
_BEYOND_PLACE = 0.22  # on the scale: how near to its end an area beyond it begins


@dataclass(frozen=True, slots=True)
class Inversion:
    """The thermal part as places on its scale."""

    place: Field  # (h, w), 0 cold to 1 hot; what is hidden is filled from around it
    valid: Mask  # (h, w), False where something hides the scene
    below: Mask  # (h, w), the truth may be colder than the place says
    above: Mask  # (h, w), it may be warmer
    explained: float  # 0..1, share of what is not print that the palette explains
    limit: bool  # one colour covers all that is colder or warmer than a limit

    def reversed(self) -> "Inversion":
        """Return the same with hot and cold exchanged."""
        return replace(self, place=np.asarray(1 - self.place, np.float32), below=self.above, above=self.below)


def inverted(rgb: NDArray[np.uint8], palette: Palette, bar: Box | None) -> Inversion:
    """Turn the colours of the thermal part (h, w, 3) into places; ``bar`` is the colour bar's box in its pixels."""
    found = palettes.places(rgb, palette)
    place, gap = found.place, found.gap
    shown = ~overlays.print_mask(rgb)
    if bar is not None:
        _strike_out(shown, bar)
    shown &= ~overlays.plain_corners(rgb)
    foreign = gap > (FOREIGN_GREY if palette.is_grey else FOREIGN)
    if found.other is not None:
        place = _decided(place, found.other, shown & ~foreign)
    alarm = alarms.find_alarm(rgb, place, shown & ~foreign, shown)
    below, above = _beyond(rgb, place, foreign & shown, shown & ~foreign) if not palette.is_grey else (None, None)
    bounded = np.zeros(foreign.shape, np.bool_)
    for area, end in ((below, 0.0), (above, 1.0)):
        if area is not None:
            place = np.where(area, np.float32(end), place)
            bounded |= area
    if alarm is not None:
        place = np.where(alarm.area, np.float32(alarm.limit), place)
        bounded |= alarm.area
        shown |= alarm.area
    foreign &= ~bounded
    seen = shown & ~bounded
    explained = float((gap[seen] < palette.explained_within).mean()) if seen.any() else 0.0
    if not palette.is_grey:
        place, foreign = _without_mixtures(place, foreign)
    valid = shown & (~_hidden_by(foreign) | bounded)
    place = _smoothed_over(place.astype(np.float32), valid)
    low, high = (place < CLIPPED) & valid, (place > 1 - CLIPPED) & valid
    if alarm is not None:
        low, high = (low | alarm.area, high) if alarm.below else (low, high | alarm.area)
    return Inversion(place, valid, low & valid, high & valid, explained, alarm is not None)


def _decided(place: Field, other: Field, sure: Mask) -> Field:
    """Choose between two places that fit a colour alike: the one that is nearer to what lies around it."""
    unsure = other != place
    sure = sure & ~unsure
    if not unsure.any() or not sure.any():
        return place
    place = place.copy()
    for share in _NEIGHBOURHOODS:
        if not unsure.any():
            break
        side = max(3, round(share * max(place.shape))) | 1
        weight = cv2.blur(sure.astype(np.float32), (side, side))
        around = cv2.blur(np.where(sure, place, np.float32(0)), (side, side)) / np.maximum(weight, 1e-6)
        known = unsure & (weight > 0.05)
        nearer = np.abs(other - around) < np.abs(place - around)
        place = np.where(known & nearer, other, place).astype(np.float32)
        sure, unsure = sure | known, unsure & ~known
    return place


def _beyond(rgb: NDArray[np.uint8], place: Field, foreign: Mask, sure: Mask) -> tuple[Mask, Mask]:
    """Find what a camera drew black because it is colder than the scale, and white because it is warmer.

    Such an area is wider than print, and what lies along its border is near to that end of the scale.
    """
    if np.count_nonzero(foreign) < _LEAST_BEYOND * foreign.size:
        return np.zeros(foreign.shape, np.bool_), np.zeros(foreign.shape, np.bool_)
    most, least = overlays.extremes(rgb)
    side = max(3, round(_BEYOND_SIDE * max(place.shape)))
    found = []
    for plain, end in ((most < _BEYOND_DARK, 0.0), (least > _BEYOND_BRIGHT, 1.0)):
        if np.count_nonzero(plain & foreign) < _LEAST_BEYOND * foreign.size:
            found.append(np.zeros(foreign.shape, np.bool_))
            continue
        area = cv2.morphologyEx((plain & foreign).astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(area, np.uint8))
        kept = np.zeros(count, np.bool_)
        for label in range(1, min(count, 40)):
            x, y, w, h, _ = (int(value) for value in stats[label])
            near = np.s_[max(y - 6, 0) : y + h + 6, max(x - 6, 0) : x + w + 6]
            own = (labels[near] == label).astype(np.uint8)
            ring = (cv2.dilate(own, np.ones((11, 11), np.uint8)) > 0) & (own == 0) & sure[near]
            kept[label] = ring.any() and float(np.median(np.abs(place[near][ring] - end))) < _BEYOND_PLACE
        grown = cv2.dilate(kept[labels].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        found.append(grown & foreign)
    return found[0], found[1]


def _without_mixtures(place: Field, foreign: Mask) -> tuple[Field, Mask]:
    """The places and what is foreign, without the mixtures of colours along a steep step of the temperature.

    The picture's enlargement and JPEG mix the colours of both sides of a narrow leak, and of a palette of many hues
    the mixture is none of its colours. There the place lies between those around it, which are far apart; around print
    they are alike.
    """
    if not foreign.any():
        return place, foreign
    around = np.ones((_MIXTURE_PX, _MIXTURE_PX), np.uint8)
    most = np.asarray(cv2.dilate(np.where(foreign, np.float32(-1), place), around))
    least = np.asarray(cv2.erode(np.where(foreign, np.float32(2), place), around))
    mixed = foreign & (most - least > _MIXTURE_STEP) & (most >= 0)
    known = (~foreign).astype(np.float32)
    near = cv2.blur(known, around.shape)
    mean = np.asarray(cv2.blur(place * known, around.shape)) / np.maximum(near, 1e-6)
    return np.where(mixed, mean, place).astype(np.float32), foreign & ~mixed


def _hidden_by(shows_nothing: Mask) -> Mask:
    """Find what shows no temperature, and the whole of a photo inset in a corner: some of its colours fit by chance."""
    height, width = shows_nothing.shape
    foreign = shows_nothing.astype(np.uint8)
    size = max(9, max(height, width) // 24)
    among = np.asarray(cv2.blur(foreign * np.uint8(255), (size, size))) > 90
    hidden = (np.asarray(cv2.dilate(foreign, np.ones((3, 3), np.uint8))) > 0) | among
    count, _, stats, _ = cv2.connectedComponentsWithStats(among.astype(np.uint8))
    for x, y, w, h, area in stats[1:count]:
        near_side = x <= size or x + w >= width - size
        near_end = y <= size or y + h >= height - size
        if near_side and near_end and 0.02 < w * h / foreign.size < 0.3 and area > 0.5 * w * h:
            hidden[max(y - size // 2, 0) : y + h + size // 2, max(x - size // 2, 0) : x + w + size // 2] = True
    return hidden


def _strike_out(shown: Mask, box: Box) -> None:
    """Mark a box as hidden, with a margin for its frame and the blur of JPEG."""
    margin = 4
    x0, x1 = box[0] - margin, box[2] + margin
    y0, y1 = box[1] - margin, box[3] + margin
    if x1 > 0 and y1 > 0:
        shown[max(y0, 0) : y1, max(x0, 0) : x1] = False


def _smoothed_over(place: Field, valid: Mask) -> Field:
    """Fill what is not valid with the mean of what is valid around it, so that filters see no false edges."""
    if valid.all() or not valid.any():
        return place
    weight = valid.astype(np.float32)
    filled = place * weight
    size = (31, 31)
    near = cv2.blur(weight, size)
    mean = cv2.blur(filled, size) / np.maximum(near, 1e-6)
    mean[near < 1e-3] = float(filled.sum() / weight.sum())
    return np.where(valid, place, mean).astype(np.float32)
