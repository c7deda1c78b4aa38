"""The inside and outside temperatures that the homeowner typed, judged before anything relies on them.

They arrive in °F and may be missing, absurd, equal, swapped, or in °C by mistake. Each case ends in temperatures to
calculate with and a sentence that says what was made of them; nothing here fails.
"""

from dataclasses import dataclass, replace
from typing import Self

from services.analysis.thermography.basis.constants import (
    ASSUMED_INSIDE,
    ASSUMED_OUTSIDE,
    FAHRENHEIT_PER_KELVIN,
    RELIABLE_TEMPERATURE_DIFFERENCE,
)

# What a room or the weather can be (°C); a figure beyond it was mistyped. 0…40 °C is 32…104 °F, ±55 °C is −67…131 °F.
_INSIDE_PLAUSIBLE = (0.0, 40.0)
_OUTSIDE_PLAUSIBLE = (-55.0, 55.0)
# A heated or cooled room (°C): 57…86 °F. Used only to see that two figures stand in each other's field.
_ROOM = (14.0, 30.0)
# Below this difference (K) the surfaces of a leak and of a sound wall differ by less than a phone camera's noise.
_VISIBLE_DIFFERENCE = 3.0
# Weather (°C) that people in heated houses type; -40 °C is -40 °F.
_WEATHER = (-40.0, 45.0)
_FREEZING_F = 32.0  # a room that was typed below it was typed in °C


SWAPPED = "The inside and outside temperatures look swapped; they were used the other way round."
"""The reason against a report whose two temperatures were typed the other way round."""

CELSIUS = "The temperatures make sense in °C only, so they were taken as °C."
"""The reason against a report whose temperatures were typed in °C."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Temperatures to calculate with, in °C, and how far they can be trusted."""

    inside: float
    outside: float
    typed: bool  # both are the homeowner's; otherwise at least one is assumed
    reasons: tuple[str, ...]  # sentences for a person

    @property
    def difference(self) -> float:
        """Inside minus outside, K; negative when it is warmer outside."""
        return self.inside - self.outside

    @property
    def cooling_season(self) -> bool:
        """Warmer outside than inside: a leak shows as a warm place instead of a cold one."""
        return self.difference < 0

    @property
    def reveals_leaks(self) -> bool:
        """Whether a leak can show at all with this difference."""
        return abs(self.difference) >= _VISIBLE_DIFFERENCE

    def with_room(self, surface: float, index: float) -> Self:
        """Return these conditions with the room in which a surface of thermal index ``index`` is ``surface`` °C."""
        return replace(self, inside=self.outside + (surface - self.outside) / index)

    @classmethod
    def from_fahrenheit(cls, inside: float | None, outside: float | None) -> Self:
        """Judge what was typed (°F, None where nothing was)."""
        reasons: list[str] = []
        if _is_celsius(inside, outside):
            inside, outside = _in_fahrenheit(inside), _in_fahrenheit(outside)
            reasons.append(CELSIUS)
        outside_c = _celsius(outside, "outside", _OUTSIDE_PLAUSIBLE, reasons)
        if _swapped(inside, outside_c):
            inside, outside_c = outside, _celsius(inside, "outside", _OUTSIDE_PLAUSIBLE, reasons)
            reasons.append(SWAPPED)
        inside_c = _celsius(inside, "inside", _INSIDE_PLAUSIBLE, reasons)
        typed = inside_c is not None and outside_c is not None
        if inside_c is None:
            inside_c = float(ASSUMED_INSIDE)
            reasons.append(_missing("inside", inside_c))
        if outside_c is None:
            outside_c = float(ASSUMED_OUTSIDE)
            reasons.append(_missing("outside", outside_c))
        return cls(inside_c, outside_c, typed, tuple(reasons))


def _is_celsius(inside: float | None, outside: float | None) -> bool:
    """Return whether what was typed makes sense in °C only: a room below the freezing point of water in °F.

    Either figure may be the room's, for the two may also stand in each other's field.
    """
    if inside is None or not inside < _FREEZING_F:
        return False
    if outside is None:
        return _ROOM[0] <= inside <= _ROOM[1]
    weather, room = (outside, inside) if _ROOM[0] <= inside <= _ROOM[1] else (inside, outside)
    return _ROOM[0] <= room <= _ROOM[1] and _WEATHER[0] <= weather <= _WEATHER[1]


def _in_fahrenheit(celsius: float | None) -> float | None:
    return None if celsius is None else celsius * FAHRENHEIT_PER_KELVIN + 32.0


def _missing(which: str, assumed: float) -> str:
    return (
        f"No usable {which} temperature: it is estimated from the photo where that tells temperatures, "
        f"otherwise {_fahrenheit(assumed)} °F is assumed."
    )


def _celsius(fahrenheit: float | None, which: str, plausible: tuple[float, float], reasons: list[str]) -> float | None:
    """°C, or None where the figure is missing or cannot be right (NaN too)."""
    if fahrenheit is None:
        return None
    celsius = (fahrenheit - 32.0) / FAHRENHEIT_PER_KELVIN
    if not plausible[0] <= celsius <= plausible[1]:
        reasons.append(f"The {which} temperature ({fahrenheit:g} °F) cannot be right and was not used.")
        return None
    return celsius


def _swapped(inside_f: float | None, outside_c: float | None) -> bool:
    """Whether the two stand in each other's field: a cold "inside" with a room's temperature "outside".

    A cool room on a mild day is possible, a 2 °C room on a 22 °C day is a mix-up: the difference decides.
    """
    if inside_f is None or outside_c is None:
        return False
    inside_c = (inside_f - 32.0) / FAHRENHEIT_PER_KELVIN
    colder = outside_c - inside_c >= RELIABLE_TEMPERATURE_DIFFERENCE
    return colder and _ROOM[0] <= outside_c <= _ROOM[1] and _OUTSIDE_PLAUSIBLE[0] <= inside_c < _ROOM[0]


def _fahrenheit(celsius: float) -> str:
    return f"{celsius * FAHRENHEIT_PER_KELVIN + 32.0:.0f}"
