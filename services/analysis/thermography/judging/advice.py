"""Which fixes to suggest: from the defects found, their severity and the household; ``catalogue.toml`` has the fixes.

A fix fits when it is made for the part (for whatever part, where nobody said which) and for a defect found, is worth
its trouble at this severity, is no change to the structure for a renter, and lies within the budget. Of those, at most
five, the soonest paid back first; where the budget suffices for none, the cheapest, which says so.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from contracts.events import Household, TaskType
from contracts.reports import DefectKind, Severity, Suggestion
from services.analysis.thermography.basis.constants import MOST_SAVED
from services.analysis.thermography.judging.energy import HeatLoss
from services.analysis.thermography.judging.severity import worst

_CATALOGUE = Path(__file__).with_name("catalogue.toml")
_MOST_SUGGESTIONS = 5
_SUGGESTIONS = UUID("5f7a3c1e-8a52-4a1b-9c58-0b1f6d2f7a10")  # our namespace: makes a suggestion's id repeatable
_DEGREE = {Severity.UNKNOWN: 0, Severity.NONE: 0, Severity.LOW: 1, Severity.MODERATE: 2, Severity.HIGH: 3}
_ANY = "any"  # whatever was photographed
_BUDGET = re.compile(r"\$\s*([\d,]+)")


@dataclass(frozen=True, slots=True)
class Span:
    """From–to."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Halfway between."""
        return (self.low + self.high) / 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """What was found in one observation."""

    severity: Severity
    losses: Mapping[DefectKind, HeatLoss]

    @property
    def loss(self) -> HeatLoss:
        """Of all defects together."""
        return sum(self.losses.values(), HeatLoss(0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Fix:
    """One entry of the catalogue, whose head explains the fields."""

    key: str
    title: str
    subtitle: dict[str, str]  # by part, and for any
    parts: frozenset[TaskType]
    defects: frozenset[DefectKind]
    from_severity: Severity
    owner_only: bool
    group: str
    difficulty: str
    cost: Span  # US$
    air: Span  # share of the air leakage, 0..1
    surface: Span  # share of the surface loss, 0..1
    lifetime: Span  # years
    source: str

    def fits(self, place: Place) -> bool:
        """Whether it is for a defect found there, and worth its trouble."""
        worth = 0 < _DEGREE[self.from_severity] <= _DEGREE[place.severity]
        return worth and not self.defects.isdisjoint(place.losses)

    def cut(self, places: Sequence[Place]) -> Span:
        """What it cuts, W/K: air wherever it fits, and what the defects that it is for lose through the surface."""
        fitting = [place for place in places if self.fits(place)]
        air = sum(place.loss.air for place in fitting)
        surface = sum(
            loss.conduction for place in fitting for kind, loss in place.losses.items() if kind in self.defects
        )
        return Span(self.air.low * air + self.surface.low * surface, self.air.high * air + self.surface.high * surface)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What advice depends on."""

    part: TaskType | None
    places: tuple[Place, ...]  # the observations that could be judged
    usd_per_year: float  # what all that they lose costs

    @property
    def severity(self) -> Severity:
        """Of the worst place; None where even that costs nothing."""
        severity = worst([place.severity for place in self.places])
        return Severity.NONE if self.places and self.usd_per_year == 0 else severity

    @property
    def loss(self) -> float:
        """Of all places, W/K."""
        return sum(place.loss.total for place in self.places)

    def cost(self, fix: Fix) -> Span:
        """US$ that ``fix`` costs in all places that it fits."""
        count = self.count(fix)
        return Span(count * fix.cost.low, count * fix.cost.high)

    def count(self, fix: Fix) -> int:
        """The number of places that ``fix`` fits, or one where it is general advice."""
        return max(1, sum(fix.fits(place) for place in self.places))

    def saved(self, fix: Fix) -> Span:
        """The share of the loss that ``fix`` cuts, 0..1."""
        cut = fix.cut(self.places)
        return Span(_share(cut.low, self.loss), _share(cut.high, self.loss))

    def payback_years(self, fix: Fix) -> float:
        """Until ``fix`` has saved what it costs."""
        cost, saved = self.cost(fix).middle, self.saved(fix).middle * self.usd_per_year
        return cost / saved if saved > 0 else math.inf if cost > 0 else 0.0

    def pays(self, fix: Fix) -> bool:
        """Whether ``fix`` saves what it costs while it lasts. One that lasts a season saves what a year loses."""
        return self.payback_years(fix) <= max(fix.lifetime.high, 1.0)


@dataclass(frozen=True, slots=True)
class Advice:
    """Suggestions in the order to print them, and the share of the loss that they cut together (0..1)."""

    suggestions: tuple[Suggestion, ...]
    saving: Span


def advise(job_id: str, diagnosis: Diagnosis, household: Household | None) -> Advice:
    """Choose one to five different fixes. The same job and findings give the same suggestions with the same ids."""
    fixes = _chosen(diagnosis, household)
    return Advice(
        suggestions=tuple(_suggestion(job_id, fix, diagnosis, _budget(household)) for fix in fixes),
        saving=_saving(fixes, diagnosis),
    )


@cache
def catalogue() -> tuple[Fix, ...]:
    """All fixes, in the file's order."""
    with _CATALOGUE.open("rb") as file:
        return tuple(_fix(entry) for entry in tomllib.load(file)["fix"])


def _fix(entry: dict[str, Any]) -> Fix:
    return Fix(
        key=entry["key"],
        title=entry["title"],
        subtitle=entry["subtitle"],
        parts=frozenset(map(TaskType, entry["parts"])),
        defects=frozenset(map(DefectKind, entry["defects"])),
        from_severity=Severity(entry["from_severity"]),
        owner_only=entry["owner_only"],
        group=entry["group"],
        difficulty=entry["difficulty"],
        cost=Span(*entry["cost"]),
        air=Span(*entry["air"]),
        surface=Span(*entry["surface"]),
        lifetime=Span(*entry["lifetime"]),
        source=entry["source"],
    )


def _chosen(diagnosis: Diagnosis, household: Household | None) -> list[Fix]:
    """The fixes to suggest, the soonest paid back first."""
    owns = _owns(household)
    budget = _budget(household)
    fitting = [
        fix
        for fix in catalogue()
        if (diagnosis.part in fix.parts if diagnosis.part is not None else _ANY in fix.subtitle)
        and _fits(fix, diagnosis)
        and (owns or not fix.owner_only)
    ]
    affordable = [fix for fix in fitting if diagnosis.cost(fix).high <= budget]
    fixes = affordable or [min(fitting, key=lambda fix: diagnosis.cost(fix).high)]
    fixes.sort(key=lambda fix: (not diagnosis.pays(fix), diagnosis.payback_years(fix), fix.cost.low, fix.key))
    return fixes[:_MOST_SUGGESTIONS]


def _fits(fix: Fix, diagnosis: Diagnosis) -> bool:
    """Whether the fix is for what was found. Where nothing can be told, cheap and general advice fits."""
    if diagnosis.severity is Severity.UNKNOWN:
        return fix.from_severity is Severity.UNKNOWN or (fix.from_severity is Severity.LOW and _is_cheap_sealing(fix))
    if diagnosis.severity is Severity.NONE:
        return fix.from_severity is Severity.NONE
    return any(fix.fits(place) for place in diagnosis.places)


def _is_cheap_sealing(fix: Fix) -> bool:
    return DefectKind.AIR_LEAK in fix.defects and fix.cost.high <= 20.0


def _owns(household: Household | None) -> bool:
    """Whether changes to the structure are theirs to make; in doubt they are not."""
    return household is not None and (household.ownership or "").strip().lower().startswith("own")


def _budget(household: Household | None) -> float:
    """US$ from the app's phrase (``up to $1000``); no limit where it names no figure."""
    match = _BUDGET.search((household.retrofit_budget or "") if household is not None else "")
    return float(match[1].replace(",", "") or "inf") if match else float("inf")


def _saving(fixes: Sequence[Fix], diagnosis: Diagnosis) -> Span:
    """The share of the loss that is saved: from what the best fix is sure to cut to what all cut together."""
    alone = max((diagnosis.saved(fix).low for fix in fixes), default=0.0)
    left = sum(_left(fixes, place) for place in diagnosis.places)
    together = min(_share(diagnosis.loss - left, diagnosis.loss), MOST_SAVED)
    return Span(min(alone, together), together)


def _left(fixes: Sequence[Fix], place: Place) -> float:
    """What a place loses after all that fits it, W/K.

    Each acts on what the others leave, and of those that do the same job one counts.
    """
    best: dict[str, Fix] = {}
    for fix in fixes:
        other = best.get(fix.group)
        if fix.fits(place) and (other is None or fix.cut([place]).high > other.cut([place]).high):
            best[fix.group] = fix
    air = math.prod(1.0 - fix.air.high for fix in best.values())
    return sum(
        air * loss.air
        + loss.conduction * math.prod(1.0 - fix.surface.high for fix in best.values() if kind in fix.defects)
        for kind, loss in place.losses.items()
    )


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0


def _suggestion(job_id: str, fix: Fix, diagnosis: Diagnosis, budget: float) -> Suggestion:
    """Word a fix for a person."""
    words = [fix.subtitle[_ANY if diagnosis.part is None else diagnosis.part.value]]
    if diagnosis.severity not in (Severity.UNKNOWN, Severity.NONE) and not diagnosis.pays(fix):
        words.append("for comfort, as it saves less than it costs")
    if diagnosis.cost(fix).high > budget:
        words.append("more than your budget")
    return Suggestion(
        suggestionID=str(uuid5(_SUGGESTIONS, f"{job_id}/{fix.key}")),
        title=fix.title,
        subtitle="; ".join(words),
        difficulty=fix.difficulty,
        costRange=_cost_text(diagnosis.cost(fix), diagnosis.count(fix)),
        estimatedReduction=_reduction_text(fix, diagnosis),
        lifetime=_lifetime_text(fix.lifetime),
        source=fix.source,
    )


def _cost_text(cost: Span, count: int) -> str:
    if cost.high == 0:
        return "Free"
    return f"${cost.low:,.0f}–{cost.high:,.0f}" + (f" for {count} places" if count > 1 else "")


def _reduction_text(fix: Fix, diagnosis: Diagnosis) -> str:
    """Percent of the loss in steps of five; where the loss is not known, of what the fix is made for."""
    aim = fix.air if fix.air.high >= fix.surface.high else fix.surface
    share = diagnosis.saved(fix) if diagnosis.loss > 0 else aim
    first, last = (5 * round(100 * end / 5) for end in (share.low, share.high))
    if last == 0:
        return "prevents loss" if share.high == 0 else "under 5%"
    if first == last:
        return f"about {last}%"
    return f"{first}–{last}%"


def _lifetime_text(lifetime: Span) -> str:
    if lifetime.high < 1:
        return "1 season"
    if lifetime.low == lifetime.high:
        return f"{lifetime.high:.0f} year" + ("" if lifetime.high == 1 else "s")
    return f"{lifetime.low:.0f}–{lifetime.high:.0f} years"
