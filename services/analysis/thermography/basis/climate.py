"""From a ZIP code to the degree days and energy prices of its state; ``states.csv`` carries the figures.

A ZIP code that was typed in another way is mended where it can only mean one thing: spaces, other dashes and digits,
the letter O in place of a zero, a state before it, and a leading zero that was dropped. Where no state can be told, the
national average says why.
"""

import csv
import re
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from services.analysis.thermography.basis.constants import FAHRENHEIT_PER_KELVIN, KWH_PER_THERM

_TABLE = Path(__file__).with_name("states.csv")
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_ZIP = re.compile(r"(USA?|ZIP|[A-Z]{2})?[-,:]?([0-9O]{5}|[1-9][0-9O]{3})(-?[0-9O]{4})?")
_FOREIGN = (
    ("Canadian", re.compile(r"[A-Z][0-9][A-Z]-?[0-9][A-Z][0-9]")),
    ("British", re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?-?[0-9][A-Z]{2}")),
)
_COUNTRY = (None, "US", "USA", "ZIP")


@dataclass(frozen=True, slots=True)
class Climate:
    """A state's year and its prices; ``state`` is None for the national average."""

    state: str | None
    heating_degree_days: float  # K·day per year, base 18.3 °C (65 °F)
    cooling_degree_days: float  # K·day per year, base 18.3 °C (65 °F)
    electricity_usd_per_kwh: float
    gas_usd_per_kwh: float
    origin: str = ""  # a sentence for the person: whose climate and prices these are, and why


def climate_of(zip_code: str | None) -> Climate:
    """Return the climate of a ZIP code (``15213``, ``15213-1234``); the national average where it names no state."""
    written = _plain(zip_code or "")
    by_prefix, national = _states()
    match = _ZIP.fullmatch(written)
    if match is None:
        return replace(national, origin=_average(_why_unread(written)))
    digits = match[2].replace("O", "0").zfill(5)
    climate = by_prefix.get(digits[:3])
    if climate is None or match[1] not in (*_COUNTRY, climate.state):
        return replace(national, origin=_average("The ZIP code belongs to no state"))
    mended = "" if digits in written else f", as the ZIP code was taken for {digits}"
    return replace(climate, origin=f"Climate and energy prices are those of {climate.state}{mended}.")


def _plain(text: str) -> str:
    """Return ``text`` in capitals without spaces, with plain digits and dashes."""
    return "".join(unicodedata.normalize("NFKC", text).translate(_DASHES).upper().split())


def _why_unread(written: str) -> str:
    if not written:
        return "The profile has no ZIP code"
    for country, form in _FOREIGN:
        if form.fullmatch(written):
            return f"The postcode is {country}"
    return "The ZIP code cannot be read"


def _average(why: str) -> str:
    return f"{why}: the climate and prices are the US average."


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
