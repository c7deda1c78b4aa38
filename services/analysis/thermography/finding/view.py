"""The view of a thermal photo as thermal indices, and whether it may be judged at all.

The thermal index is f = (T − T_outside)/(T_inside − T_outside): 1 for the room, 0 for outside. A cold wall on a cold
and on a mild day look alike in it, and a warm leak in summer looks like a cold one in winter.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.basis.constants import Constant
from services.analysis.thermography.finding.opening import find_opening, is_frontal
from services.analysis.thermography.finding.outdoors import shows_sky
from services.analysis.thermography.finding.scale import (
    conditions_in_view,
    estimate_temperature,
    room_of_wall,
    wall_in_view,
)
from services.analysis.thermography.finding.sound import wall_level
from services.analysis.thermography.reading.thermogram import Thermogram

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

WORKING_SIDE = 320
"""Pixels of the longer side of a view; cracks are several pixels wide then."""

WARM = 0.06
"""Index above the wall of a hot object, or of what a hot object warms."""

HOT = 0.12
"""Index above the wall of a radiator, not just of warm air."""

WEAK = 0.05
"""Missing index from which on a pixel may belong to a region."""

NOTHING_SEEN = "Nothing of the thermal picture could be used."

COLD_ROOM = Constant(10.0, "°C", "estimate: what is colder is no room; the coldest one in 60 real pictures has 12.6")
COLD_ROOM_INDEX = Constant(0.45, "1", "fit: the warmer part of 9 rooms below what was typed has 0.49, of facades 0.28")
COLDEST_WALL = Constant(0.78, "1", "UKTA TN1: from inside critical below it; all of a view is not critical")
COLDEST_FRAME = Constant(0.7, "1", "estimate: the same for a window or door that fills the view")
BEYOND_SCALE = Constant(1.5, "K", "estimate: by how much a place lies below the end of the scale, where many do")
MUCH_BEYOND = Constant(
    0.03, "1", "estimate: share of a view beyond the scale; cameras that set it themselves leave 0.01"
)
FEW_HOT = Constant(0.1, "1", "estimate: beside more that is hot, what lies beyond the scale is the room behind it")
_WARMEST_PART = 0.8  # quantile of what is not hot
_WARMER_PART = 0.7  # quantile: indoors wall shows in three tenths of a view at least, however cold the window in it
_OUTSIDE_INDEX = 0.4  # indoors that part is warmer
_MOSTLY_OUTSIDE_INDEX = 0.2  # indoors half of a view is warmer, whatever fills it
_ROOM = 0.7, 1.15  # index of what belongs to a room, its cold window aside
_LEAST_ROOM, _MOST_COLD = 0.1, 0.75  # share of a view that is of a room at least, and colder than that at most
_COLDEST_ROOM, _WARMEST_ROOM = 14.0, 32.0  # °C, of the warmer part and of the wall where nobody says how warm it is
_ALL_WARMER = 0.9  # share of a view that is warmer than the room only where the room is warmer than was typed
_COLDER_THAN_OUTSIDE = (0.005, -0.1)  # so much of a view is never colder than outside by a tenth of the difference
_COLD_ROOM = "The photo looks taken from outside or of a cold room; please take it in a heated room."
_FROM_OUTSIDE = (
    "The photo looks taken from outside, or the room is colder than the inside temperature given: "
    "please check that, and take the photo in a heated room."
)
_SKY = "The photo looks taken from outside, with the sky in view: please take it from inside, in a heated room."
_NO_ROOM = "What is in view is warmer than any room, so it says nothing of leaks: please take a window, door or wall."
_ROOM_WARMER = "room warmer"
_OUTSIDE_COLDER = "Places in view are colder than the outside temperature given; that was not used: please check it."
_BEYOND_OUTSIDE = -0.15  # in summer: hotter than outside by a seventh of the difference
_CLEARLY_COLDER = 0.25  # of the view: what speaks against taking bright for warm


@dataclass(frozen=True, slots=True)
class View:
    """What a thermal photo shows, at the working size, under the conditions that hold for it."""

    index: Field  # (h, w), the thermal index
    valid: Mask  # (h, w), False where print or something foreign hides the scene
    conditions: Conditions  # as typed, or as the view shows them where it contradicts what was typed
    known: bool  # whether the photo tells its temperatures
    part: TaskType | None
    saturated: Mask  # (h, w), at the hot end of the scale: as warm or warmer
    contradiction: str | None = None  # in what the view contradicts what was typed, for a person


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a view says nothing about leaks, for a person."""

    reason: str | None  # None where there is nothing to see
    contradiction: str | None = None


def view_of(thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> View | Refusal:
    """Return the view of a thermal photo, or why it cannot be judged."""
    temperature, valid, saturated = reduced(thermogram)
    if not valid.any():
        return Refusal(None)
    beyond = _at_working_size(thermogram.clipped_low, temperature.shape)
    known = thermogram.scale.tells_degrees
    whole_wall = part in (None, TaskType.WALL)  # the upper pane of a window or door looks like a sky
    if whole_wall and not conditions.cooling_season and not thermogram.either_way and shows_sky(temperature, valid):
        return Refusal(_SKY)
    if not known:
        temperature = _estimated(temperature, valid, saturated, conditions, part)
        if thermogram.either_way and not conditions.cooling_season:
            temperature = _likelier_way(temperature, thermogram, conditions, part)
    index = index_of(temperature, conditions)
    contradiction = None
    if known and conditions.typed and not conditions.cooling_season:
        contradiction = _contradiction(index[valid])
        if contradiction is _ROOM_WARMER:
            conditions, contradiction = room_of_wall(conditions, wall_in_view(temperature, valid, part))
            if conditions.inside > _WARMEST_ROOM:
                return Refusal(_NO_ROOM, contradiction)
            index = index_of(temperature, conditions)
        elif contradiction is not None:
            conditions = Conditions.from_fahrenheit(None, None)
    if known and _is_cold(temperature[valid], conditions):
        return Refusal(_COLD_ROOM, contradiction)
    if known and contradiction is None and _is_seen_from_outside(index[valid], conditions):
        return Refusal(_FROM_OUTSIDE if conditions.typed else _COLD_ROOM)
    if known and contradiction is None and conditions.typed and _is_colder_room(index[valid], conditions, part):
        conditions, contradiction = room_of_wall(conditions, wall_in_view(temperature, valid, part))
        if not conditions.reveals_leaks or conditions.cooling_season:
            return Refusal(_FROM_OUTSIDE, contradiction)
        index = index_of(temperature, conditions)
    if known and not conditions.typed and not conditions.cooling_season:
        conditions = conditions_in_view(temperature, valid, conditions, part)
        if conditions.inside > _WARMEST_ROOM:
            return Refusal(_NO_ROOM, contradiction)
        index = index_of(temperature, conditions)
    if conditions.cooling_season:
        valid = valid & (index > _BEYOND_OUTSIDE)  # hotter than the air on either side: an object
        if not valid.any():
            return Refusal(None)
    elif float(beyond[valid].mean()) >= MUCH_BEYOND and float((index[valid] > 1.0 + HOT).mean()) <= FEW_HOT:
        index = np.where(beyond, index - np.float32(BEYOND_SCALE / conditions.difference), index).astype(np.float32)
    return View(index, valid, conditions, known, part, saturated, contradiction)


def index_of(temperature: Field, conditions: Conditions) -> Field:
    """Return the thermal index of temperatures in °C."""
    return ((temperature - conditions.outside) / conditions.difference).astype(np.float32)


def reduced(thermogram: Thermogram) -> tuple[Field, Mask, Mask]:
    """Return temperatures, which of them are valid, and which lie at the hot end of the scale, at the working size."""
    scale = min(1.0, WORKING_SIDE / max(thermogram.temperature.shape))
    size = tuple(max(1, round(side * scale)) for side in thermogram.temperature.shape[::-1])
    temperature = cv2.resize(thermogram.temperature, size, interpolation=cv2.INTER_AREA)
    temperature = cv2.GaussianBlur(temperature, (0, 0), 0.8)
    valid, hot = (_at_working_size(mask, temperature.shape) for mask in (thermogram.valid, thermogram.clipped_high))
    # Thin print is filled from both sides when the colours are read; the rim of what hides more is a mixture.
    whole = cv2.morphologyEx(valid.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    valid = cv2.erode(whole, np.ones((5, 5), np.uint8), borderValue=1) > 0
    return np.asarray(temperature, np.float32), valid, hot


def _at_working_size(mask: Mask, shape: tuple[int, ...]) -> Mask:
    return np.asarray(cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0, np.bool_)


def hidden_by(index: Field, wall: Field, valid: Mask) -> Mask:
    """Return what hides the part: print, hot objects and their blur."""
    return ~valid | (cv2.dilate((index > wall + WARM).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _estimated(colours: Field, valid: Mask, saturated: Mask, conditions: Conditions, part: TaskType | None) -> Field:
    """Return temperatures (°C) of a photo that does not tell its scale; a window's again once the frame is known."""
    temperature = estimate_temperature(colours, valid, saturated, conditions, part)
    if part is not TaskType.WINDOW or conditions.cooling_season:
        return temperature
    index = index_of(temperature, conditions)
    wall = wall_level(index, valid)
    hidden = hidden_by(index, wall, valid)
    opening = find_opening(wall - index, hidden, sill=True)
    if opening is None or not is_frontal(opening, wall - index, hidden):
        return temperature
    return estimate_temperature(colours, valid, saturated, conditions, part, frame=opening.frame(index.shape))


def _likelier_way(temperature: Field, thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Field:
    """Return the temperatures (°C) of a grey picture, or of its negative where that is more like a heated room.

    In winter more of a view is colder than its walls than is warmer: windows, doors, and most of what is wrong.
    """
    negative = replace(thermogram, temperature=1.0 - thermogram.temperature, clipped_high=thermogram.clipped_low)
    colours, valid, saturated = reduced(negative)
    turned = _estimated(colours, valid, saturated, conditions, part)

    def colder(celsius: Field) -> float:
        index = index_of(celsius, conditions)
        below = (wall_level(index, valid) - index)[valid]
        return float((below > WEAK).mean() - (below < -WARM).mean())

    return turned if colder(turned) > colder(temperature) + _CLEARLY_COLDER else temperature


def _is_cold(temperature: Field, conditions: Conditions) -> bool:
    """Return whether a view (°C) is colder than any heated room, where nobody says how warm the room is."""
    return not conditions.typed and float(np.quantile(temperature, _WARMER_PART)) < _COLDEST_ROOM


def _is_seen_from_outside(index: Field, conditions: Conditions) -> bool:
    """Return whether most of a view lies nearer to the outside than to the inside temperature, or hardly any at it.

    Hot objects say nothing about that, and lit windows or a warm wall may fill a part of a façade. A cold room is
    clearly warmer than outside, and as warm as rooms are.
    """
    cool = index[index < 1.0 + HOT]
    warmer = float(np.quantile(cool, _WARMER_PART)) if len(cool) else 1.0
    coldest, warmest = _ROOM
    room = float(((index > coldest) & (index < warmest)).mean())
    cold = warmer < COLD_ROOM_INDEX or conditions.outside + warmer * conditions.difference < COLD_ROOM
    return bool(
        float(np.median(index)) < _MOSTLY_OUTSIDE_INDEX
        or (cold and room < _LEAST_ROOM and float((index < coldest).mean()) > _MOST_COLD)
        or warmer < _OUTSIDE_INDEX
    )


def _is_colder_room(index: Field, conditions: Conditions, part: TaskType | None) -> bool:
    """Return whether hardly anything in view is as warm as a wall would be in the room that was typed."""
    if conditions.cooling_season:
        return False
    cool = index[index < 1.0 + HOT]
    least = COLDEST_FRAME if part in (TaskType.WINDOW, TaskType.DOOR) else COLDEST_WALL
    return len(cool) > 0 and float(np.quantile(cool, _WARMEST_PART)) < least


def _contradiction(index: Field) -> str | None:
    """Return in what a view contradicts the temperatures that were typed, if it does: then it tells them better."""
    share, colder = _COLDER_THAN_OUTSIDE
    if float(np.quantile(index, share)) < colder:
        return _OUTSIDE_COLDER
    return _ROOM_WARMER if float((index > _ROOM[1]).mean()) > _ALL_WARMER else None
