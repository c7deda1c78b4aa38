"""What sound parts of a building show and measure: thermal indices of glass, and the usual size of an opening."""

from contracts.events import TaskType
from services.analysis.thermography.basis.constants import (
    DOOR_AREA,
    DOUBLE_GLAZING_U,
    GLASS_EMISSIVITY,
    INSIDE_SURFACE_RESISTANCE,
    SINGLE_GLAZING_U,
    WINDOW_AREA,
)


def surface_index(u: float) -> float:
    """The thermal index of an inside surface over a part of thermal transmittance ``u`` (W/m²K): 1 − U·Rsi."""
    return 1.0 - u * INSIDE_SURFACE_RESISTANCE


def sound_glass_index() -> float:
    """The thermal index that intact double glazing shows from inside: colder than the wall, and no defect.

    The camera sees a sixth of the room's warmth mirrored in it.
    """
    return GLASS_EMISSIVITY * surface_index(DOUBLE_GLAZING_U) + (1.0 - GLASS_EMISSIVITY)


def single_glass_deficit() -> float:
    """By how much the thermal index of single glass lies below that of intact double glazing, seen from inside."""
    return GLASS_EMISSIVITY * (surface_index(DOUBLE_GLAZING_U) - surface_index(SINGLE_GLAZING_U))


def opening_area(part: TaskType) -> float:
    """The area (m²) of a window or door with its frame."""
    return float(DOOR_AREA if part is TaskType.DOOR else WINDOW_AREA)
