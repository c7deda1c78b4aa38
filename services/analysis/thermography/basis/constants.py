"""Every figure that heat losses, severities, ranges and savings rest on, each with its unit, source and year.

A :class:`Constant` is a float, so that a formula reads like the formula; what it is and where it comes from stays
beside it. A figure that nobody has measured says ``estimate`` as its source: those are ours to calibrate.
Thresholds of the picture processing are not here but beside the code that they steer.
"""

from typing import Self


class Constant(float):
    """A number that knows its unit, its source, and the year of that source (None for an estimate of ours)."""

    unit: str
    source: str
    year: int | None

    def __new__(cls, value: float, unit: str, source: str, year: int | None = None) -> Self:
        """Make the number; ``unit`` is SI unless the source's own unit is part of its meaning."""
        constant = super().__new__(cls, value)
        constant.unit = unit
        constant.source = source
        constant.year = year
        return constant


# Heat through the surface -------------------------------------------------------------------------------------------
INSIDE_SURFACE_RESISTANCE = Constant(0.13, "m²K/W", "ISO 6946, horizontal heat flow", 2017)
SINGLE_GLAZING_U = Constant(0.879 * 5.678, "W/m²K", "ASHRAE Fundamentals, 0.879 Btu/h·ft²·°F", 2017)
DOUBLE_GLAZING_U = Constant(0.58 * 5.678, "W/m²K", "ASHRAE Fundamentals, 0.58 Btu/h·ft²·°F", 2017)

# Heat with the air --------------------------------------------------------------------------------------------------
AIR_DENSITY = Constant(1.2, "kg/m³", "dry air at 20 °C, 101 kPa")
AIR_HEAT_CAPACITY = Constant(1.006, "kJ/kg·K", "dry air at 20 °C")
STACK_COEFFICIENT = Constant(0.000290, "(L/s)²/(cm⁴·K)", "Sherman–Grimsrud, two storeys (EnergyPlus reference)", 2023)
WIND_COEFFICIENT = Constant(
    0.000137, "(L/s)²/(cm⁴·(m/s)²)", "Sherman–Grimsrud, two storeys, shelter class 4 (EnergyPlus reference)", 2023
)
SEASON_TEMPERATURE_DIFFERENCE = Constant(15.0, "K", "estimate: mean inside minus outside over a heating season")
SEASON_WIND_SPEED = Constant(4.0, "m/s", "estimate: mean over a heating season")

WINDOW_PLUME_LEAKAGE = Constant(11.0, "cm² at 4 Pa", "estimate: fit to synthetic jets, scatter a factor of 1.7")
DOOR_PLUME_LEAKAGE = Constant(21.0, "cm² at 4 Pa", "estimate: 1.3 times that fit, at which doors lost too little")
WALL_PLUME_LEAKAGE = Constant(8.5, "cm² at 4 Pa", "estimate: the same fit")
PLUME_SIZE = Constant(0.02, "m²", "definition: taken by the plume of those leakages, half a metre of a medium crack")
PLUME_POWER = Constant(0.45, "1", "estimate: the same fit; how leakage grows with the plume")

# How bad it is, and how sure --------------------------------------------------------------------------------------
LOW_HEAT_LOSS = Constant(0.15, "W/K", "estimate: from which on a leak is called Low; 13 kWh a year in Illinois")
MODERATE_HEAT_LOSS = Constant(0.8, "W/K", "estimate: from which on it is Moderate; 67 kWh a year in Illinois")
HIGH_HEAT_LOSS = Constant(4.0, "W/K", "estimate: from which on it is High; 336 kWh a year in Illinois")
SHOWN_HEAT_LOSS = Constant(0.03, "W/K", "estimate: regions that lose less together are no findings")
HIDDEN_HEAT_LOSS = Constant(0.5, "W/K", "estimate: what a photo without a leak may still hide; 0.3 held less often")
DOUBTFUL_HEAT_LOSS = Constant(
    0.79, "W/K", "estimate: the most that is said under conditions that do not allow an inspection, under Moderate"
)
HEAT_LOSS_UNCERTAINTY = Constant(2.43, "factor each way", "estimate: checked by the evaluation")
ESTIMATED_SCALE_UNCERTAINTY = Constant(
    1.8, "factor each way", "estimate: estimated scales are within 1.5 on 11 of 14 phone pictures, within 2.4 on all"
)
SURE_DEFECT = Constant(0.85, "1", "estimate: chance of being a defect from which on a region counts in full")
MOST_SAVED = Constant(0.9, "1", "estimate: no set of fixes makes a part perfect")

# What a photo shows -------------------------------------------------------------------------------------------------
GLASS_EMISSIVITY = Constant(0.84, "1", "ASHRAE Fundamentals, uncoated glass; the rest is the room's mirror image", 2017)
SOUND_WALL_INDEX = Constant(0.95, "1", "estimate: thermal index 1 − U·Rsi of an insulated wall, U = 0.4 W/m²K")
WINDOW_AREA = Constant(1.4, "m²", "estimate: a common window with its frame")
DOOR_AREA = Constant(1.8, "m²", "estimate: 0.9 × 2.0 m with its frame")
CLOSE_UP_AREA = Constant(1.0, "m²", "estimate: what a photo shows of a window or door that it cuts off")
WALL_VIEW_AREA = Constant(5.0, "m²", "estimate: 4–6 m² of wall from 2.5 m")

# Scales of temperature ----------------------------------------------------------------------------------------------
ZERO_CELSIUS = Constant(273.15, "K", "definition")

# The year and the bill ----------------------------------------------------------------------------------------------
HOURS_PER_DAY = Constant(24.0, "h/day", "definition")
FAHRENHEIT_PER_KELVIN = Constant(1.8, "°F/K", "definition")
KWH_PER_THERM = Constant(29.307, "kWh/therm", "definition of the US therm")
GAS_HEATING_EFFICIENCY = Constant(
    0.80, "kWh heat per kWh gas", "estimate: furnaces in use; 0.78 was the US minimum to 2015"
)
COOLING_PERFORMANCE = Constant(3.0, "kWh heat removed per kWh electricity", "estimate: air conditioners in use")

# What a survey needs ------------------------------------------------------------------------------------------------
RELIABLE_TEMPERATURE_DIFFERENCE = Constant(10.0, "K", "RESNET thermographic inspection standard, 18 °F", 2012)
LEAST_TEMPERATURE_DIFFERENCE = Constant(5.0, "K", "estimate: half of that; below it the photo has to be taken again")
ASSUMED_INSIDE = Constant(20.0, "°C", "estimate: 68 °F, a heated room")
ASSUMED_OUTSIDE = Constant(3.0, "°C", "estimate: a day of the heating season")


def constants() -> dict[str, Constant]:
    """Every constant of this module by name, for the documentation and its test."""
    return {name: value for name, value in globals().items() if isinstance(value, Constant)}
