"""One-colour alarms: everything colder, or everything warmer, than a limit is painted in one solid colour.

The paint hides the temperatures but not where they lie: beyond the limit. Three things tell paint from the scene and
from print. It is even, where sensors are noisy. Its edge is where the temperature crosses the limit, so what lies along
the edge is near to one place on the scale. And nothing that is not painted lies beyond that place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading import palettes

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LEAST_SHARE, _MOST_SHARE = 0.003, 0.7  # of the thermal part, in patches that are wide enough
_PAINTS = 4  # colours that are tried, the commonest foreign ones first
_LIKE_PAINT = 26  # 0..255, in any channel, from the paint: JPEG and its halved colours leave the inside closer
_EVEN = 10.0  # 0..255, spread of a channel inside the paint, as a standard deviation
_EVEN_OWN = 1.5  # the same where the paint has one of the palette's colours
_ENOUGH = 2000  # pixels of paint by which its spread is measured
_RIMS = (2, 6, 8, 13)  # pixels from the paint: its blur, its edge, and farther out
_LEAST_SLOPE, _LEAST_SLOPE_OWN = 0.01, 0.04  # on the scale, by which the places move away from the limit farther out
_LEAST_RIM = 40  # pixels along the edge
_LEAST_SIDE = 1 / 110  # of the longer side, a patch of paint across: letters are narrower
_TOLERANCE = 0.06  # on the scale: noise at the limit
_MOST_BEYOND = 0.03  # share of what is not painted that may lie beyond the limit
_RIM_QUANTILE = 0.25  # along the edge, the place that counts as the limit: the scene rises from there on
_LEAST_JUMP = 0.12  # on the scale, between the place that the paint's own colour would have and the limit
_GREY_PAINT = 40  # 0..255, between the paint's channels: print is grey, alarms are coloured


@dataclass(frozen=True, slots=True)
class Alarm:
    """Where the picture is painted, and what that says."""

    area: Mask  # (h, w)
    limit: float  # place on the scale
    below: bool  # painted is what is colder than the limit; warmer otherwise


def find_alarm(rgb: NDArray[np.uint8], place: Field, sure: Mask, shown: Mask) -> Alarm | None:
    """Find an alarm in a thermal part (h, w, 3) whose palette gives the ``place`` of its colours.

    ``sure`` tells what the palette explains, ``shown`` what is not print.
    """
    if not sure.any():
        return None
    side = max(3, round(_LEAST_SIDE * max(place.shape)))
    for colour in _paints(rgb, sure, shown):
        low, high = (tuple(int(value) + off for value in colour) for off in (-_LIKE_PAINT, _LIKE_PAINT))
        area = ((np.asarray(cv2.inRange(rgb, low, high)) > 0) & shown).astype(np.uint8)
        wide = np.asarray(cv2.morphologyEx(area, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)), np.uint8)
        if not _LEAST_SHARE <= float(wide.mean()) <= _MOST_SHARE:
            continue
        # What has one of the palette's own colours is more likely the scene: it has to be plainer.
        own = float(sure[wide > 0].mean()) > 0.5
        if _spread(rgb, wide) > (_EVEN_OWN if own else _EVEN):
            continue
        alarm = _judged(place, sure, area > 0, own=own)
        if alarm is not None:
            return alarm
    return None


def _paints(rgb: NDArray[np.uint8], sure: Mask, shown: Mask) -> list[NDArray[np.uint8]]:
    """Colours that may be paint: the commonest that the palette does not explain, then the commonest of all."""
    candidates: list[NDArray[np.uint8]] = []
    rgb, sure, shown = rgb[::2, ::2], sure[::2, ::2], shown[::2, ::2]
    for among in (shown & ~sure, shown):
        pixels = rgb[among]
        if len(pixels) < _LEAST_SHARE * shown.size:
            continue
        cells = palettes.bins(pixels)
        counts = np.bincount(cells, minlength=32768)
        for cell in np.argsort(-counts, kind="stable")[: _PAINTS // 2]:
            if counts[cell] < max(1.0, 0.3 * _LEAST_SHARE * shown.size):
                break
            colour = np.median(pixels[cells == cell], axis=0).astype(np.uint8)
            if int(colour.max()) - int(colour.min()) > _GREY_PAINT:
                candidates.append(colour)
    return candidates


def _spread(rgb: NDArray[np.uint8], area: NDArray[np.uint8]) -> float:
    """Return how far the colours inside an area spread, as a standard deviation of the widest channel."""
    inside = cv2.erode(area, np.ones((5, 5), np.uint8)) > 0
    if np.count_nonzero(inside) < _LEAST_RIM:
        inside = area > 0
    pixels = rgb[inside]
    pixels = pixels[:: max(1, len(pixels) // _ENOUGH)].astype(np.float32)
    return float((1.48 * np.median(np.abs(pixels - np.median(pixels, axis=0)), axis=0)).max())


def _judged(place: Field, sure: Mask, area: Mask, *, own: bool) -> Alarm | None:
    """Return the alarm that an area of one colour is; None for the scene's own, print, or a part of the camera's menu.

    ``own``: the colour is one of the palette's.
    """
    grown, near, gap, far = (_dilated(area, reach) for reach in _RIMS)
    rim, farther, rest = near & ~grown & sure, far & ~gap & sure, sure & ~grown
    if min(np.count_nonzero(rim), np.count_nonzero(farther)) < _LEAST_RIM:
        return None
    paint = float(np.median(place[area]))
    away = float(place[farther].mean() - place[rim].mean())
    for below in (True, False):
        limit = float(np.quantile(place[rim], _RIM_QUANTILE if below else 1 - _RIM_QUANTILE))
        contradicted = paint > limit + _LEAST_JUMP if below else paint < limit - _LEAST_JUMP
        if (own and not contradicted) or (away if below else -away) < (_LEAST_SLOPE_OWN if own else _LEAST_SLOPE):
            continue
        beyond = place[rest] < limit - _TOLERANCE if below else place[rest] > limit + _TOLERANCE
        if float(beyond.mean()) <= _MOST_BEYOND:
            return Alarm(grown | (_dilated(grown, 1) & ~sure), limit, below)
    return None


def _dilated(area: Mask, reach: int) -> Mask:
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(area.astype(np.uint8), np.ones((side, side), np.uint8))) > 0
