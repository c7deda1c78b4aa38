"""The temperature scale of a false-colour photo that does not tell it, estimated from what is in view.

Colours give the order of temperatures, not their size. Two things are needed: which colour is the wall, and how many
degrees the palette spans. The wall is what the rim of the photo shows most; its temperature follows from those typed.
The span is the weighted mean (of logarithms) of up to five rough estimates, each with its own scatter:

* a wall's own surface varies by three quarters of a degree or so, whatever the camera does;
* the camera's noise is some hundredths of a degree, seen at a size at which every sensor shows it;
* the coldest place in view lies below the wall by a share of the inside–outside difference that depends on the part;
* where much is warmer than the wall there is a hot object, a dozen degrees above it;
* a window's frame lies below the wall by a share of the difference that depends on its make alone, however cold the
  glass is. It needs the outline of the window, so it takes part once a first estimate has shown that. (Not so a door's:
  the leaks of doors blow along their frames.)

The five figures and their scatter are medians of the synthetic scenes of development seeds; on the 14 phone pictures
whose scale is printed the result is within a factor of 1.5 in eleven (nine without the noise) and of 2.4 in all.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.basis.constants import FAHRENHEIT_PER_KELVIN, SOUND_WALL_INDEX

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_BINS = 200
_SMOOTHING = 4.0  # bins, standard deviation
_RIM = 0.15  # of the shorter side
_WALL_SPREAD = (0.75, 0.5)  # K, and its scatter as a standard deviation of the logarithm; so are the next
_COLD_SHARE = {TaskType.WINDOW: (0.36, 0.35), TaskType.DOOR: (0.30, 0.45), TaskType.WALL: (0.13, 0.75)}
_COLD_SHARE_ANYWHERE = (0.3, 0.6)
_FRAME_SHARE = (0.157, 0.3)
_GRAIN, _GRAIN_SIDE, _LEAST_GRAIN = (0.0145, 0.65), 100, 0.0004  # K; pixels; of the palette's used part
_PALEST_FRAME = 0.02  # of the palette's used part, below the wall
_HOT_ABOVE_WALL = (11.0, 0.7)  # K
_ASSUMED_SCATTER = 0.35  # of the difference that is assumed where none was typed
_LEAST_COLD = 1.0  # K below the wall that the coldest place counts for at least
_MUCH_WARMER = 0.25  # of the palette's used part
_WALL_BELIEVED = (
    "The wall in view is at {wall} °F, which does not fit the inside temperature given ({room} °F): "
    "the wall was believed; please check the temperature."
)


class WallColour(NamedTuple):
    """Where on the palette the wall lies (0 coldest, 1 hottest place in view), and how wide it spreads there."""

    place: float
    spread: float


def estimate_temperature(
    colours: Field,
    valid: Mask,
    saturated: Mask,
    conditions: Conditions,
    part: TaskType | None,
    frame: Mask | None = None,
) -> Field:
    """Temperatures (°C) of a photo whose ``colours`` are temperatures on an unknown linear scale, any unit.

    ``saturated`` pixels lie at the hot end of the scale: they are hot objects and cannot be the wall, unless all are.
    ``frame`` tells which pixels show the frame of a window, where that is known already.
    """
    coldest, hottest = (float(value) for value in np.quantile(colours[valid], (0.003, 0.997)))
    place = ((colours - coldest) / max(hottest - coldest, 1e-6)).astype(np.float32)
    if conditions.cooling_season:
        place = np.asarray(1.0 - place, np.float32)  # the warm end is the one that leaks
    wall = wall_colour(place, valid & ~saturated if (valid & ~saturated).any() else valid, part)
    seen = None if frame is None else place[frame & valid]
    below = None if seen is None or not len(seen) else wall.place - float(np.median(seen))
    span = _span(wall, conditions, part, below, _grain(place, valid))
    below_wall = (wall.place - place) * span * (-1.0 if conditions.cooling_season else 1.0)
    surface = conditions.outside + SOUND_WALL_INDEX * conditions.difference
    return np.asarray(surface - below_wall, np.float32)


def conditions_in_view(temperature: Field, valid: Mask, conditions: Conditions, part: TaskType | None) -> Conditions:
    """The conditions that a photo with known temperatures shows, where those indoors and outdoors were not both typed.

    The wall tells how warm the room is. How cold it is outside follows from the coldest place in view, by the share
    that :func:`estimate_temperature` goes by, and from what is assumed without a photo.
    """
    coldest = float(np.quantile(temperature[valid], 0.003))
    wall = wall_in_view(temperature, valid, part)
    cold, scatter = _cold_share(part)
    difference = _mean([(conditions.difference, _ASSUMED_SCATTER), (max(wall - coldest, _LEAST_COLD) / cold, scatter)])
    inside = wall + (1.0 - SOUND_WALL_INDEX) * difference
    return replace(conditions, inside=inside, outside=inside - difference)


def room_of_wall(conditions: Conditions, surface: float) -> tuple[Conditions, str]:
    """Return the conditions under which a sound wall is at ``surface`` °C, and what contradicts what was typed."""
    wall, room = (f"{celsius * FAHRENHEIT_PER_KELVIN + 32.0:.0f}" for celsius in (surface, conditions.inside))
    return conditions.with_room(surface, SOUND_WALL_INDEX), _WALL_BELIEVED.format(wall=wall, room=room)


def wall_in_view(temperature: Field, valid: Mask, part: TaskType | None) -> float:
    """Return the temperature (°C) of the wall, as its place in view tells it."""
    coldest, hottest = (float(value) for value in np.quantile(temperature[valid], (0.003, 0.997)))
    place = ((temperature - coldest) / max(hottest - coldest, 1e-6)).astype(np.float32)
    return coldest + wall_colour(place, valid, part).place * (hottest - coldest)


def _mean(estimates: list[tuple[float, float]]) -> float:
    """The mean of logarithms, of estimates with the standard deviation of theirs."""
    weights = [scatter**-2 for _, scatter in estimates]
    logs = [math.log(value) for value, _ in estimates]
    return math.exp(sum(log * weight for log, weight in zip(logs, weights, strict=True)) / sum(weights))


def _cold_share(part: TaskType | None) -> tuple[float, float]:
    """How far below the wall the coldest place of a part lies, by the difference, and the scatter of that."""
    return _COLD_SHARE_ANYWHERE if part is None else _COLD_SHARE.get(part, _COLD_SHARE_ANYWHERE)


def wall_colour(place: Field, valid: Mask, part: TaskType | None) -> WallColour:
    """The commonest colour along the rim, where a photo of a window or door shows the wall around it."""
    h, w = place.shape
    margin = max(2, int(_RIM * min(h, w)))
    weight = valid.astype(np.float64)
    weight[margin:-margin, margin:-margin] *= 0.2 if part in (TaskType.WINDOW, TaskType.DOOR) else 0.5
    bins = np.clip((place * _BINS).astype(int), 0, _BINS - 1)
    histogram = np.bincount(bins.ravel(), weight.ravel(), _BINS)
    around = np.convolve(np.pad(histogram, 8), np.ones(17), "valid")
    best = int(np.argmax(around * np.linspace(0.6, 1.0, _BINS)))  # of two levels the warmer one, in doubt
    # Palettes of many hues are read with gaps between the colours: the smoothing closes them, and is taken out again.
    smooth = np.convolve(np.pad(histogram, 12), cv2.getGaussianKernel(25, _SMOOTHING).ravel(), "valid")
    start = max(best - 6, 0)
    peak = start + int(np.argmax(smooth[start : best + 7]))
    half = smooth < 0.5 * smooth[peak]
    below, above = np.flatnonzero(half[:peak]), np.flatnonzero(half[peak:])
    width = (peak + int(above[0]) if len(above) else _BINS - 1) - (int(below[-1]) if len(below) else 0)
    spread = math.sqrt(max(width**2 - (2.35 * _SMOOTHING) ** 2, 0.0)) / _BINS
    return WallColour((best + 0.5) / _BINS, max(spread, 0.02))


def _grain(place: Field, valid: Mask) -> float:
    """The noise of a picture, seen at a size at which every camera shows it: a share of the palette's used part.

    As :func:`~services.analysis.thermography.reading.thermogram.estimate_noise` does it.
    """
    shrunk = min(1.0, _GRAIN_SIDE / max(place.shape))
    small = cv2.resize(place, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(valid.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(small, cv2.CV_32F, kernel))[seen]) / (6 * 0.6745)) if seen.any() else 0.0


def _span(wall: WallColour, conditions: Conditions, part: TaskType | None, frame: float | None, grain: float) -> float:
    """Kelvin between the coldest and the hottest place in view.

    ``frame`` is how far below the wall the frame lies, as a share of what is asked for; None where it is not known.
    """
    cold, scatter = _cold_share(part)
    estimates = [
        (_WALL_SPREAD[0] / wall.spread, _WALL_SPREAD[1]),
        (cold * abs(conditions.difference) / max(wall.place, 0.04), scatter),
        (_GRAIN[0] / max(grain, _LEAST_GRAIN), _GRAIN[1]),
    ]
    if 1.0 - wall.place > _MUCH_WARMER:
        estimates.append((_HOT_ABOVE_WALL[0] / (1.0 - wall.place), _HOT_ABOVE_WALL[1]))
    if frame is not None:
        share, scatter = _FRAME_SHARE
        estimates.append((share * abs(conditions.difference) / max(frame, _PALEST_FRAME), scatter))
    return _mean(estimates)
