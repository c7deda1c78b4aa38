"""What a profile says, in the app's words, in the table's and in the event's."""

from collections.abc import Mapping
from typing import Any

from contracts.events import Household
from contracts.public import Profile, ProfileUpdate

# The app's field -> the column. The old backend compared the names and dropped what did not match.
_COLUMNS = {
    "zip": "zipCode",
    "ownership": "ownership",
    "electricCompany": "energyCompany",
    "budget": "retrofitBudget",
    "appliances": "appliances",
}


def changes(update: ProfileUpdate) -> dict[str, Any]:
    """The columns that ``update`` changes; an absent or null field changes nothing."""
    said = update.model_dump(include=set(_COLUMNS), exclude_none=True)
    return {_COLUMNS[name]: list(value) if name == "appliances" else value for name, value in said.items()}


def household(row: Mapping[str, Any]) -> Household:
    """The part of a stored profile that the analysis takes into account."""
    return Household(
        zip_code=row["zipCode"],
        ownership=row["ownership"],
        energy_company=row["energyCompany"],
        retrofit_budget=row["retrofitBudget"],
        appliances=_names(row["appliances"]),
    )


def profile(row: Mapping[str, Any], name: str) -> Profile:
    """Return a stored profile for its owner, who is called ``name``."""
    return Profile(
        userID=name,
        zipCode=row["zipCode"],
        ownership=row["ownership"],
        energyCompany=row["energyCompany"],
        retrofitBudget=row["retrofitBudget"],
        appliances=None if row["appliances"] is None else _names(row["appliances"]),
        createdAt=row["createdAt"],
        updatedAt=row["updatedAt"],
    )


def _names(stored: object) -> tuple[str, ...]:
    """Old rows may hold any JSON."""
    return tuple(str(item) for item in stored) if isinstance(stored, list) else ()
