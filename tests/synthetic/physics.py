"""The generator's own physics: surface index, air jets, heat of a year, and the severity that follows from it.

Written independently of the analysis. Sources: surface resistance EN ISO 6946; leakage flow by Sherman and Grimsrud as
in ASHRAE Fundamentals; glazing U-values as in the design figures (single 0.879, double 0.58 Btu/h·ft²·°F); decay of
plane and round jets after the usual textbook forms (velocity ~ x^-1/2 and ~ x^-1 behind a core of some widths). The
reach of a jet along a wall before it lifts off, and the speed of the air, are estimates.
"""

import numpy as np
from numpy.typing import NDArray

from contracts.reports import Severity

Field = NDArray[np.float32]

SURFACE_RESISTANCE = 0.13
"""Inner surface resistance, m²K/W."""

RADIATION = 5.1
"""Radiative heat transfer between a surface and its room at 20 °C, W/m²K."""

DOUBLE_GLAZING_U = 3.29
"""What a window may lose without being called defective, W/m²K."""

AIR_HEAT = 1.2 * 1.006
"""Heat carried by a flow of air, W/K per L/s."""

STACK = {1: 0.000145, 2: 0.000290}
"""(L/s)²/(cm⁴·K) per storeys."""

WIND = {(1, 2): 0.000246, (1, 3): 0.000174, (1, 4): 0.000104, (2, 2): 0.000325, (2, 3): 0.000231, (2, 4): 0.000137}
"""(L/s)²/(cm⁴·(m/s)²) per storeys and shelter class."""

SEASON_DIFFERENCE = 15.0
"""Mean difference between inside and outside over a heating season, K."""

SEVERITY_LIMITS = ((4.0, Severity.HIGH), (0.8, Severity.MODERATE), (0.15, Severity.LOW))
"""Least excess UA of all defects in view together, W/K, for each severity; below the last one there is none."""


def leak_ua(area_cm2: float, *, storeys: int, shelter: int, wind: float) -> float:
    """Heat loss of an opening over a season, W/K; ``area_cm2`` at 4 Pa, ``wind`` in m/s."""
    flow = area_cm2 * np.sqrt(STACK[storeys] * SEASON_DIFFERENCE + WIND[storeys, shelter] * wind**2)
    return float(AIR_HEAT * flow)


def severity_of(excess_ua: float) -> Severity:
    """The severity of a total excess loss in W/K."""
    for least, severity in SEVERITY_LIMITS:
        if excess_ua >= least:
            return severity
    return Severity.NONE


def heat_per_month(ua: float, degree_days_f: float) -> float:
    """Heat lost through ``ua`` W/K, kWh per month in the mean of a year with that many °F·days."""
    return ua * degree_days_f / 1.8 * 24 / 1000 / 12


def index_of(conductance: Field, resistance: Field) -> Field:
    """Thermal index of a surface behind which ``conductance`` W/m²K leads outside."""
    return np.asarray(np.clip(1 - conductance * resistance, 0.02, 1.0), np.float32)


def jet_cooling(distance: Field, width: Field, speed: float) -> Field:
    """Share of the index that a plane wall jet of outside air takes from a surface.

    ``distance`` from the crack and ``width`` of the crack in metres (its leakage area by its length); ``speed`` of the
    air at the crack in m/s. The jet loses its cold by mixing and lifts off after some decimetres.
    """
    cores = distance / np.maximum(8 * width, 1e-6)
    effectiveness = 1 / np.sqrt(1 + cores)
    reach = 0.1 + 0.1 * np.sqrt(np.maximum(width, 0) / 0.001)
    effectiveness = effectiveness * np.exp(-distance / reach)
    cooled = _taken(effectiveness, speed / np.sqrt(1 + cores)) * np.clip(width / 0.00005, 0, 1)
    return np.asarray(cooled, np.float32)


def plume_cooling(distance: Field, across: Field, diameter: float, speed: float) -> Field:
    """Share of the index that a round jet of outside air takes, ``across`` being the distance from its axis, m."""
    cores = np.maximum(distance, 0) / (6 * diameter)
    spread = 0.6 * diameter + 0.13 * np.maximum(distance, 0)
    upstream = np.exp(-((np.minimum(distance, 0) / (0.6 * diameter)) ** 2))
    effectiveness = 1 / (1 + cores) * np.exp(-np.maximum(distance, 0) / 0.6) * upstream
    return _taken(effectiveness * np.exp(-0.5 * (across / spread) ** 2), speed / (1 + cores))


def _taken(effectiveness: NDArray[np.floating], speed: NDArray[np.floating]) -> Field:
    convection = 4 + 6 * speed**0.8
    return np.asarray(effectiveness * convection / (convection + RADIATION), np.float32)
