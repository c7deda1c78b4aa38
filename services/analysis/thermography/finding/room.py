"""The room that a view shows, where that contradicts the temperatures that were typed.

The picture's own wall tells better how warm a room is than a thermostat in another room does.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.basis.constants import SOUND_WALL_INDEX, Constant
from services.analysis.thermography.finding.scale import room_of_wall
from services.analysis.thermography.finding.typed import Refusal, index_of
from services.analysis.thermography.finding.view import Mask, View

ROOM_OFF = Constant(3.0, "K", "estimate: more than camera, thermostat and a poor wall explain together")
BACKGROUND_BORDER = Constant(
    0.45, "1", "fit: cold regions hold up to 0.44 of the border in 39 real defect pictures, 0.46 and more in hot ones"
)
BACKGROUND_SHARE = Constant(0.2, "1", "fit: the same pictures, so that a leak along a frame is no background")
WARMEST_WALL = Constant(29.0, "°C", "estimate: a warmer surface is heated, or in the sun")
RIM_SHARE = Constant(0.4, "1", "estimate: of the rim of a view that shows the wall, whatever stands before it")
_RIM = 12  # by which the view's sides are divided: the rim
_ALIKE = 0.03  # index, to either side of a level
_SATURATED = 0.3  # share of a level's pixels

_SAME_AS_OUTSIDE = (
    "The wall in view is hardly warmer than the outside temperature given, and then a leak does not show: "
    "please check the temperatures, and take the photo in a heated room."
)


def background_level(masks: list[Mask], view: View) -> float | None:
    """Return the index of what the cold regions show where they are the wall itself, behind something warm.

    A person, a machine or a radiator fills the middle of such a view and is taken for the wall; the true wall holds
    most of the border.
    """
    if not masks:
        return None
    cold = np.logical_or.reduce(masks) & view.valid
    border = _border(view.valid)
    seen = int((border & view.valid).sum())
    if not seen or int((cold & border).sum()) < BACKGROUND_BORDER * seen:
        return None
    if int(cold.sum()) < BACKGROUND_SHARE * int(view.valid.sum()):
        return None
    return float(np.median(view.index[cold]))


def _is_saturated(view: View, level: float) -> bool:
    """Return whether a level is the hot end of the scale, which says only how warm something is at least."""
    alike = view.valid & (np.abs(view.index - level) < _ALIKE)
    return bool(alike.any()) and float(view.saturated[alike].mean()) > _SATURATED


def level_of_warm_rim(view: View) -> float | None:
    """Return the index that most of the rim of a view shows, where that is warmer than a room as it was typed.

    Colder rims may be the frame of a window; they are judged by what is found.
    """
    if not view.known or view.conditions.cooling_season:
        return None
    rim = view.index[_border(view.valid, max(1, min(view.valid.shape) // _RIM)) & view.valid & ~view.saturated]
    if not len(rim) or float(rim.max()) < SOUND_WALL_INDEX:
        return None
    levels = np.arange(SOUND_WALL_INDEX, float(rim.max()) + 2 * _ALIKE, _ALIKE / 2)
    places = np.sort(rim)
    counts = np.searchsorted(places, levels + _ALIKE) - np.searchsorted(places, levels - _ALIKE)
    level = float(levels[np.argmax(counts)])
    surface = view.conditions.outside + level * view.conditions.difference
    warmer = (level - SOUND_WALL_INDEX) * view.conditions.difference >= ROOM_OFF
    return level if warmer and surface <= WARMEST_WALL and counts.max() >= RIM_SHARE * len(rim) else None


def _border(valid: Mask, width: int = 2) -> Mask:
    """Return the outermost pixels of a view."""
    border: NDArray[np.bool_] = np.ones_like(valid)
    border[width:-width, width:-width] = False
    return border


def with_room_of_wall(view: View, wall: float) -> View | Refusal:
    """Return the view under the room temperature that its own wall of index ``wall`` shows, if that differs.

    Of a view with estimated temperatures only the level moves.
    """
    if not view.known:
        return replace(view, index=view.index + np.float32(SOUND_WALL_INDEX - wall))
    conditions = view.conditions
    if conditions.cooling_season:
        return view
    surface = conditions.outside + wall * conditions.difference
    if _is_saturated(view, wall):
        return view
    if abs(wall - SOUND_WALL_INDEX) * conditions.difference < ROOM_OFF:
        return view
    room, note = room_of_wall(conditions, surface)
    if not room.reveals_leaks or room.cooling_season:
        return Refusal(_SAME_AS_OUTSIDE, note if conditions.typed else None)
    temperature = (conditions.outside + view.index * conditions.difference).astype(np.float32)
    contradiction = view.contradiction or (note if conditions.typed else None)
    return replace(view, index=index_of(temperature, room), conditions=room, contradiction=contradiction)
