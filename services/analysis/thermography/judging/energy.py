"""From cold surfaces and leaking cracks to heat loss, a year's energy, and a bill.

Heat loss is a coefficient in W/K: watts lost per kelvin between inside and outside. It belongs to the building and not
to the day of the photo, so the degree days of a climate turn it into a year. Formulas and sources:
``docs/thermography.md``.
"""

import math
from dataclasses import dataclass
from enum import Enum

from contracts.events import TaskType
from services.analysis.thermography.basis.climate import Climate
from services.analysis.thermography.basis.constants import (
    AIR_DENSITY,
    AIR_HEAT_CAPACITY,
    COOLING_PERFORMANCE,
    DOOR_PLUME_LEAKAGE,
    GAS_HEATING_EFFICIENCY,
    GLASS_EMISSIVITY,
    HOURS_PER_DAY,
    INSIDE_SURFACE_RESISTANCE,
    PLUME_POWER,
    PLUME_SIZE,
    SEASON_TEMPERATURE_DIFFERENCE,
    SEASON_WIND_SPEED,
    STACK_COEFFICIENT,
    WALL_PLUME_LEAKAGE,
    WIND_COEFFICIENT,
    WINDOW_PLUME_LEAKAGE,
)

_PLUME_LEAKAGE = {
    TaskType.WINDOW: WINDOW_PLUME_LEAKAGE,
    TaskType.DOOR: DOOR_PLUME_LEAKAGE,
    TaskType.WALL: WALL_PLUME_LEAKAGE,
}


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


def excess_conduction(deficit: float, *, glass: bool) -> float:
    """W/K lost through a surface that lacks ``deficit``: the thermal index below that of a sound one, times m².

    On glass the camera sees less than is missing: part of what it sees is the room's mirror image.
    """
    seen = float(GLASS_EMISSIVITY) if glass else 1.0
    return max(deficit, 0.0) / seen / INSIDE_SURFACE_RESISTANCE


def leakage_of_plumes(part: TaskType | None, taken: float) -> float:
    """Effective leakage area at 4 Pa (cm²) of the cracks behind the cold plumes in view.

    ``taken`` is the share of the thermal index that the cold air takes from the surface, integrated over all plumes
    (m²). A wider crack blows farther: the plume grows about with the square of the leakage. All plumes of a photo go
    into one figure, so that a crack counts the same whether it is found whole or in pieces. The relation is fitted to
    synthetic jets whose leakage is known; its scatter, a factor of 1.7, is the larger part of the stated range.
    """
    return _PLUME_LEAKAGE[part or TaskType.WALL] * math.pow(max(taken, 0.0) / PLUME_SIZE, PLUME_POWER)


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
