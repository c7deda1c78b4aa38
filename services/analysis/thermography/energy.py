"""From cold surfaces and leaking cracks to heat loss, a year's energy, and a bill.

Heat loss is a coefficient in W/K: watts lost per kelvin between inside and outside. It belongs to the building and not
to the day of the photo, so the degree days of a climate turn it into a year. Formulas and sources:
``docs/thermography.md``.
"""

import math
from dataclasses import dataclass
from enum import Enum

from contracts.events import TaskType
from services.analysis.thermography.climate import Climate
from services.analysis.thermography.constants import (
    AIR_DENSITY,
    AIR_HEAT_CAPACITY,
    COOLING_PERFORMANCE,
    DOOR_CRACK_LEAKAGE,
    DOOR_VIEW_AREA,
    DOUBLE_GLAZING_U,
    GAS_HEATING_EFFICIENCY,
    HOURS_PER_DAY,
    INSIDE_SURFACE_RESISTANCE,
    SEASON_TEMPERATURE_DIFFERENCE,
    SEASON_WIND_SPEED,
    STACK_COEFFICIENT,
    WALL_LEAKAGE,
    WALL_VIEW_AREA,
    WIND_COEFFICIENT,
    WINDOW_CRACK_LEAKAGE,
    WINDOW_VIEW_AREA,
)

_VIEW_AREA = {TaskType.WINDOW: WINDOW_VIEW_AREA, TaskType.DOOR: DOOR_VIEW_AREA, TaskType.WALL: WALL_VIEW_AREA}
_CRACK_LEAKAGE = {TaskType.WINDOW: WINDOW_CRACK_LEAKAGE, TaskType.DOOR: DOOR_CRACK_LEAKAGE}


class Season(Enum):
    """What of the year a household pays for."""

    HEATING = "heating"
    HEATING_AND_COOLING = "heating and cooling"


@dataclass(frozen=True, slots=True)
class HeatLoss:
    """What a defect loses beyond a sound part of its kind, W/K: through the surface and with the air."""

    conduction: float
    air: float

    @property
    def total(self) -> float:
        """Both together, W/K."""
        return self.conduction + self.air

    def __add__(self, other: "HeatLoss") -> "HeatLoss":
        return HeatLoss(self.conduction + other.conduction, self.air + other.air)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a heat loss comes to: heat in kWh per month (mean over the year), and US$ per year for making up for it."""

    kwh_per_month: float
    usd_per_year: float


def surface_index(u: float) -> float:
    """The thermal index of an inside surface over a part of thermal transmittance ``u`` (W/m²K): 1 − U·Rsi."""
    return 1.0 - u * INSIDE_SURFACE_RESISTANCE


def sound_glass_index() -> float:
    """The thermal index that intact double glazing shows from inside: colder than the wall, and no defect."""
    return surface_index(DOUBLE_GLAZING_U)


def excess_conduction(index_deficit: float, area: float) -> float:
    """W/K that ``area`` (m²) loses because its thermal index lies ``index_deficit`` below that of a sound surface."""
    return max(index_deficit, 0.0) / INSIDE_SURFACE_RESISTANCE * max(area, 0.0)


def view_area(part: TaskType | None) -> float:
    """The area (m²) that a photo of ``part`` is assumed to show; of a wall when the part is not known."""
    return float(_VIEW_AREA.get(part or TaskType.WALL, WALL_VIEW_AREA))


def crack_leakage(part: TaskType | None, length: float, openness: float) -> float:
    """Effective leakage area at 4 Pa (cm²) of a crack.

    ``length`` in m; ``openness`` 0…1 goes from a medium to a very poor crack of its kind, evenly on a logarithmic
    scale. A wall's figures are per m² of wall; a crack in one stands for the square metre around each metre.
    """
    least, most = map(float, _CRACK_LEAKAGE.get(part or TaskType.WALL, WALL_LEAKAGE))
    return max(length, 0.0) * least * math.pow(most / least, min(max(openness, 0.0), 1.0))


def air_flow(leakage: float, temperature_difference: float, wind_speed: float) -> float:
    """L/s through ``leakage`` (cm² at 4 Pa) at a temperature difference (K) and wind speed (m/s); Sherman–Grimsrud."""
    drive = STACK_COEFFICIENT * abs(temperature_difference) + WIND_COEFFICIENT * wind_speed**2
    return leakage * math.sqrt(drive)


def air_heat_loss(leakage: float) -> float:
    """W/K that ``leakage`` (cm² at 4 Pa) loses over a mean heating season."""
    flow = air_flow(leakage, SEASON_TEMPERATURE_DIFFERENCE, SEASON_WIND_SPEED)
    return AIR_DENSITY * AIR_HEAT_CAPACITY * flow


def yearly_bill(heat_loss: float, climate: Climate, season: Season) -> Bill:
    """What ``heat_loss`` (W/K) comes to in a year of ``climate``.

    Heating burns gas; where there is a cooler, the heat that comes in through the same defect in summer counts too.
    """
    kwh_per_kelvin_day = heat_loss * HOURS_PER_DAY / 1000.0
    lost = kwh_per_kelvin_day * climate.heating_degree_days
    gained = kwh_per_kelvin_day * climate.cooling_degree_days if season is Season.HEATING_AND_COOLING else 0.0
    gas = lost / GAS_HEATING_EFFICIENCY
    power = gained / COOLING_PERFORMANCE
    return Bill(
        kwh_per_month=(lost + gained) / 12.0,
        usd_per_year=gas * climate.gas_usd_per_kwh + power * climate.electricity_usd_per_kwh,
    )
