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
from services.analysis.thermography.finding.scale import estimate_temperature
from services.analysis.thermography.finding.sound import wall_level
from services.analysis.thermography.finding.typed import HOT, Refusal, conditions_seen, index_of
from services.analysis.thermography.reading.thermogram import Thermogram

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

WORKING_SIDE = 320
"""Pixels of the longer side of a view; cracks are several pixels wide then."""

WARM = 0.06
"""Index above the wall of a hot object, or of what a hot object warms."""

WEAK = 0.05
"""Missing index from which on a pixel may belong to a region."""

NOTHING_SEEN = "Nothing of the thermal picture could be used."

BEYOND_SCALE = Constant(1.5, "K", "estimate: by how much a place lies below the end of the scale, where many do")
MUCH_BEYOND = Constant(
    0.03, "1", "estimate: share of a view beyond the scale; cameras that set it themselves leave 0.01"
)
FEW_HOT = Constant(0.1, "1", "estimate: beside more that is hot, what lies beyond the scale is the room behind it")
_SKY = "The photo looks taken from outside, with the sky in view: please take it from inside, in a heated room."
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
        # In winter a wall is within the scale: what lies beyond its cold end is colder than a wall.
        no_wall = saturated if conditions.cooling_season or thermogram.either_way else saturated | beyond
        temperature = _estimated(temperature, valid, no_wall, conditions, part)
        if thermogram.either_way and not conditions.cooling_season:
            temperature = _likelier_way(temperature, thermogram, conditions, part)
    contradiction = None
    if known:
        seen = conditions_seen(temperature, valid, conditions, part)
        if isinstance(seen, Refusal):
            return seen
        conditions, contradiction = seen
    index = index_of(temperature, conditions)
    if conditions.cooling_season:
        valid = valid & (index > _BEYOND_OUTSIDE)  # hotter than the air on either side: an object
        if not valid.any():
            return Refusal(None)
    elif float(beyond[valid].mean()) >= MUCH_BEYOND and float((index[valid] > 1.0 + HOT).mean()) <= FEW_HOT:
        index = np.where(beyond, index - np.float32(BEYOND_SCALE / conditions.difference), index).astype(np.float32)
    return View(index, valid, conditions, known, part, saturated, contradiction)


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
