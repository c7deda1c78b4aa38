"""What a view would show if nothing were wrong with it: the wall, and a sound window or door in it."""

from dataclasses import dataclass

import numpy as np

from contracts.events import TaskType
from services.analysis.thermography.basis.building import opening_area
from services.analysis.thermography.basis.constants import CLOSE_UP_AREA, WALL_VIEW_AREA
from services.analysis.thermography.finding.opening import Opening, find_opening, is_frontal
from services.analysis.thermography.finding.sound import sound_askew, sound_from_front, sound_glass, wall_level
from services.analysis.thermography.finding.view import Field, Mask, View, hidden_by

_OPENINGS = (TaskType.WINDOW, TaskType.DOOR)
_BORDER = 0.02  # of the longer side: an opening that ends nearer to the border is cut off


@dataclass(frozen=True, slots=True)
class Expectation:
    """The sound state of a view, and what was measured on the way to it."""

    wall: Field  # index of the wall, as if it went on behind everything else
    glass: Field  # index of intact double glazing
    sound: Field  # index of each pixel if nothing were wrong
    opening: Opening | None  # the window or door, if it is seen from the front
    askew: bool  # a window or door seen aslant or too near: compared with its own surroundings
    metres: float  # size of a pixel


def expect(view: View, level: float | None = None) -> Expectation:
    """Return what the view would show if nothing were wrong; ``level`` is the wall's index where that is known."""
    index, part = view.index, view.part
    wall = wall_level(index, view.valid, level)
    hidden = hidden_by(index, wall, view.valid)
    opening = _opening(wall - index, hidden, part)
    metres = _metres_per_pixel(index.shape, opening, part)
    if opening is not None and not is_frontal(opening, wall - index, hidden):
        opening = None
    glass = sound_glass(wall, _frame_index(index, hidden, opening) if part is TaskType.WINDOW else None)
    askew = opening is None and part in _OPENINGS
    if opening is not None:
        sound = sound_from_front(index, wall, glass, hidden, opening, metres)
    elif askew:
        sound = sound_askew(index, wall, glass, hidden, metres)
    else:
        sound = wall
    return Expectation(wall, glass, sound, opening, askew, metres)


def _opening(below_wall: Field, hidden: Mask, part: TaskType | None) -> Opening | None:
    """Return the window or door in view, if that is what was photographed."""
    return find_opening(below_wall, hidden, sill=part is TaskType.WINDOW) if part in _OPENINGS else None


def _frame_index(index: Field, hidden: Mask, opening: Opening | None) -> float | None:
    """Return the index of an opening's frame where it is in view."""
    if opening is None:
        return None
    frame = index[opening.frame(index.shape) & ~hidden]
    return float(np.median(frame)) if len(frame) else None


def _metres_per_pixel(shape: tuple[int, int], opening: Opening | None, part: TaskType | None) -> float:
    """Return the size of a pixel, from the usual size of what is in view."""
    if part is None or part is TaskType.WALL:
        return float(np.sqrt(WALL_VIEW_AREA / (shape[0] * shape[1])))
    if opening is None:
        return float(np.sqrt(CLOSE_UP_AREA / (shape[0] * shape[1])))
    x0, y0, x1, y1 = opening.box
    margin = _BORDER * max(shape)
    cut = (x0 < margin) + (y0 < margin) + (x1 > shape[1] - margin) + (y1 > shape[0] - margin * 2)
    if cut >= 2:
        return float(np.sqrt(CLOSE_UP_AREA / (shape[0] * shape[1])))
    width, height = opening.size
    return float(np.sqrt(opening_area(part) / (width * height)))
