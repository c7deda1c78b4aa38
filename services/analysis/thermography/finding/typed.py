"""What a view with known temperatures says about those that were typed: which to believe, or why not to judge it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.basis.constants import Constant
from services.analysis.thermography.finding.scale import conditions_in_view, room_of_wall, wall_in_view

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

HOT = 0.12
"""Index above the wall of a radiator, not just of warm air."""

COLD_ROOM = Constant(10.0, "°C", "estimate: what is colder is no room; the coldest one in 60 real pictures has 12.6")
COLD_ROOM_INDEX = Constant(0.45, "1", "fit: the warmer part of 9 rooms below what was typed has 0.49, of facades 0.28")
COLDEST_WALL = Constant(0.78, "1", "UKTA TN1: from inside critical below it; all of a view is not critical")
COLDEST_FRAME = Constant(0.7, "1", "estimate: the same for a window or door that fills the view")
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
_NO_ROOM = "What is in view is warmer than any room, so it says nothing of leaks: please take a window, door or wall."
_OUTSIDE_COLDER = "Places in view are colder than the outside temperature given; that was not used: please check it."


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a view says nothing about leaks, for a person."""

    reason: str | None  # None where there is nothing to see
    contradiction: str | None = None


def conditions_seen(
    temperature: Field, valid: Mask, conditions: Conditions, part: TaskType | None
) -> tuple[Conditions, str | None] | Refusal:
    """Return the conditions to judge a view (°C) under, and in what it contradicts what was typed."""
    index = index_of(temperature, conditions)[valid]
    contradiction = None
    if conditions.typed and not conditions.cooling_season:
        if _is_colder_than_outside(index):
            conditions, contradiction = Conditions.from_fahrenheit(None, None), _OUTSIDE_COLDER
        elif float((index > _ROOM[1]).mean()) > _ALL_WARMER:
            return _by_wall(temperature, valid, conditions, part)
    if _is_cold(temperature[valid], conditions):
        return Refusal(_COLD_ROOM, contradiction)
    if contradiction is None and _is_seen_from_outside(index, conditions):
        return Refusal(_FROM_OUTSIDE if conditions.typed else _COLD_ROOM)
    if conditions.cooling_season:
        return conditions, contradiction
    if conditions.typed:
        if _is_colder_room(index, part):
            return _by_wall(temperature, valid, conditions, part)
        return conditions, contradiction
    conditions = conditions_in_view(temperature, valid, conditions, part)
    return Refusal(_NO_ROOM, contradiction) if conditions.inside > _WARMEST_ROOM else (conditions, contradiction)


def _by_wall(
    temperature: Field, valid: Mask, conditions: Conditions, part: TaskType | None
) -> tuple[Conditions, str] | Refusal:
    """Return the conditions of the room that the wall in view shows."""
    room, note = room_of_wall(conditions, wall_in_view(temperature, valid, part))
    if room.inside > _WARMEST_ROOM:
        return Refusal(_NO_ROOM, note)
    if not room.reveals_leaks or room.cooling_season:
        return Refusal(_FROM_OUTSIDE, note)
    return room, note


def index_of(temperature: Field, conditions: Conditions) -> Field:
    """Return the thermal index of temperatures in °C."""
    return ((temperature - conditions.outside) / conditions.difference).astype(np.float32)


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


def _is_colder_room(index: Field, part: TaskType | None) -> bool:
    """Return whether hardly anything in view is as warm as a wall would be in the room that was typed."""
    cool = index[index < 1.0 + HOT]
    least = COLDEST_FRAME if part in (TaskType.WINDOW, TaskType.DOOR) else COLDEST_WALL
    return len(cool) > 0 and float(np.quantile(cool, _WARMEST_PART)) < least


def _is_colder_than_outside(index: Field) -> bool:
    """Return whether places in view are colder than outside, as nothing of a house is."""
    share, colder = _COLDER_THAN_OUTSIDE
    return float(np.quantile(index, share)) < colder
