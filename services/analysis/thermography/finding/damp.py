"""Cool places in a room that is about as warm as outside: without a heat flow, evaporating water is what cools a wall.

A damp place is cool, ends softly because water spreads in plaster, and lies on an otherwise even surface. Nothing of
this is certain, and nothing of it is a heat loss.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from services.analysis.thermography.basis.constants import Constant
from services.analysis.thermography.finding.shapes import find_cool_places, rim_of, slope_of
from services.analysis.thermography.finding.view import Field, Mask, reduced
from services.analysis.thermography.reading.thermogram import Thermogram

COOL_K = Constant(0.5, "K", "estimate: evaporation cools by 1 to 4 K; cameras see 0.1 K")
COOL_SHARE = Constant(0.12, "1", "fit: of the palette in view, where degrees are not known; 15 pictures of damp walls")
SOFT_EDGE = Constant(9.0, "pixels", "fit: depth by slope at the rim; the same pictures, and 13 of people and things")
EVEN_SHARE = Constant(0.35, "1", "fit: of the view that is at the level of the surface at least; the same pictures")
_LEAST_SHARE = 0.045  # of the whole palette, however little of it is in view: less is a lens's shading
_WARM_K, _WARM_SHARE = 5.0, 0.4  # above the surface, K or share of the palette: a person, a pet, a machine
_MOST_WARM = 0.04  # of the view
_CORE = 0.45  # of its own depth that a place is outlined at
_MOST = 0.6  # share of a view that its cool places may cover
_SPAN = (0.01, 0.99)
_SMOOTH = 2.5  # pixels: the sensor's columns are no places


@dataclass(frozen=True, slots=True)
class CoolPlace:
    """A place that is cooler than the surface around it, without a heat flow that explains it."""

    mask: Mask  # (h, w) of the detection's raster
    depth: float  # K, or share of the palette in view


def find_cool_places_of(thermogram: Thermogram) -> tuple[CoolPlace, ...]:
    """Return the cool places of a view that shows an even surface; none where it shows things."""
    temperature, valid, _ = reduced(thermogram)
    if not valid.any():
        return ()
    smooth = np.asarray(cv2.GaussianBlur(temperature, (0, 0), _SMOOTH), np.float32)
    known = thermogram.scale.tells_degrees
    low, high = (float(value) for value in np.quantile(smooth[valid], _SPAN))
    least = float(COOL_K) if known else COOL_SHARE * max(high - low, 1e-6)
    level = surface_level(smooth, valid)
    even = float((np.abs(smooth - level)[valid] < least).mean()) >= EVEN_SHARE
    warm = float((smooth[valid] > level + (_WARM_K if known else _WARM_SHARE)).mean()) > _MOST_WARM
    if warm or not even:
        return ()
    below = np.where(valid, np.maximum(level - smooth, 0.0), 0.0).astype(np.float32)
    slope, pixels = slope_of(smooth), int(valid.sum())
    places = []
    for mask in find_cool_places(below, least, pixels):
        depth = float(np.quantile(below[mask], 0.9))
        if depth >= (least if known else _LEAST_SHARE) and _is_soft(mask, below, slope):
            core = np.where(mask, below, 0.0).astype(np.float32)
            places += [CoolPlace(place, depth) for place in find_cool_places(core, _CORE * depth, pixels)]
    if sum(float(place.mask.sum()) for place in places) > _MOST * pixels:
        return ()
    return tuple(places)


def surface_level(temperature: Field, valid: Mask) -> float:
    """Return the commonest temperature of a view."""
    low, high = (float(value) for value in np.quantile(temperature[valid], _SPAN))
    counts, edges = np.histogram(temperature[valid], 60, (low, max(high, low + 1e-6)))
    around = np.convolve(counts, np.ones(9), "same")
    at = int(np.argmax(around))
    return float((edges[at] + edges[at + 1]) / 2)


def _is_soft(mask: Mask, below: Field, slope: Field) -> bool:
    """Return whether a place ends softly: a thing has an edge."""
    rim = rim_of(mask)
    rim[[0, 1, -1, -2], :] = False
    rim[:, [0, 1, -1, -2]] = False
    if not rim.any():
        return False
    return float(np.quantile(below[mask], 0.9)) >= SOFT_EDGE * float(np.median(slope[rim]))
