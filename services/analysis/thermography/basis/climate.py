"""From a ZIP code to the degree days and energy prices of its state; ``states.csv`` carries the figures."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from services.analysis.thermography.basis.constants import FAHRENHEIT_PER_KELVIN, KWH_PER_THERM

_TABLE = Path(__file__).with_name("states.csv")
_ZIP = re.compile(r"\s*(\d{5})(-?\d{4})?\s*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Climate:
    """A state's year and its prices; ``state`` is None for the national average."""

    state: str | None
    heating_degree_days: float  # K·day per year, base 18.3 °C (65 °F)
    cooling_degree_days: float  # K·day per year, base 18.3 °C (65 °F)
    electricity_usd_per_kwh: float
    gas_usd_per_kwh: float


def climate_of(zip_code: str | None) -> Climate:
    """The climate of a ZIP code (``15213`` or ``15213-1234``); the national average where it names no state."""
    match = _ZIP.match(zip_code or "")
    by_prefix, national = _states()
    return by_prefix.get(match[1][:3], national) if match else national


@cache
def _states() -> tuple[dict[str, Climate], Climate]:
    """Climate by the first three digits of a ZIP code, and the national average."""
    by_prefix: dict[str, Climate] = {}
    national: Climate | None = None
    with _TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            climate = Climate(
                state=None if row["state"] == "US" else row["state"],
                heating_degree_days=float(row["hdd"]) / FAHRENHEIT_PER_KELVIN,
                cooling_degree_days=float(row["cdd"]) / FAHRENHEIT_PER_KELVIN,
                electricity_usd_per_kwh=float(row["electricity_cents_kwh"]) / 100.0,
                gas_usd_per_kwh=float(row["gas_usd_therm"]) / KWH_PER_THERM,
            )
            if climate.state is None:
                national = climate
            for run in row["zip"].split():
                first, _, last = run.partition("-")
                by_prefix |= {f"{n:03}": climate for n in range(int(first), int(last or first) + 1)}
    if national is None:
        raise ValueError(f"{_TABLE.name} has no national row")
    return by_prefix, national
