"""Every physical and economic figure of the analysis, each with its unit, source and year.

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

# What a photo shows -------------------------------------------------------------------------------------------------
GLASS_EMISSIVITY = Constant(0.84, "1", "ASHRAE Fundamentals, uncoated glass; the rest is the room's mirror image", 2017)
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
ASSUMED_INSIDE = Constant(20.0, "°C", "estimate: 68 °F, a heated room")
ASSUMED_OUTSIDE = Constant(3.0, "°C", "estimate: a day of the heating season")


def constants() -> dict[str, Constant]:
    """Every constant of this module by name, for the documentation and its test."""
    return {name: value for name, value in globals().items() if isinstance(value, Constant)}
