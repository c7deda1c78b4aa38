"""Which fixes to suggest: from the defects found, their severity and the household; ``catalogue.toml`` has the fixes.

A fix fits when it is made for the part (for whatever part, where nobody said which) and for a defect found, is worth
its trouble at this severity, is no change to the structure for a renter, and lies within the budget. Of those, at most
five, the soonest paid back first; where the budget suffices for none, the cheapest, which says so.
"""

import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from contracts.events import Household, TaskType
from contracts.reports import DefectKind, Severity, Suggestion
from services.analysis.thermography.energy import HeatLoss

_CATALOGUE = Path(__file__).with_name("catalogue.toml")
_MOST_SUGGESTIONS = 5
_MOST_SAVED = 0.9  # no set of fixes makes a part perfect
_SUGGESTIONS = UUID("5f7a3c1e-8a52-4a1b-9c58-0b1f6d2f7a10")  # our namespace: makes a suggestion's id repeatable
_DEGREE = {Severity.NONE: 0, Severity.LOW: 1, Severity.MODERATE: 2, Severity.HIGH: 3}
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

    def cut(self, loss: HeatLoss) -> Span:
        """What it cuts of ``loss``, W/K."""
        return Span(
            self.air.low * loss.air + self.surface.low * loss.conduction,
            self.air.high * loss.air + self.surface.high * loss.conduction,
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What advice depends on."""

    part: TaskType | None
    defects: frozenset[DefectKind]
    severity: Severity
    loss: HeatLoss
    usd_per_year: float  # what the whole loss costs


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
        saving=_saving(fixes, diagnosis.loss),
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
    fixes = [fix for fix in fitting if fix.cost.high <= budget] or [min(fitting, key=lambda fix: fix.cost.high)]
    fixes.sort(key=lambda fix: (_payback_years(fix, diagnosis), fix.cost.low, fix.key))
    return fixes[:_MOST_SUGGESTIONS]


def _fits(fix: Fix, diagnosis: Diagnosis) -> bool:
    """Whether the fix is for what was found. Where nothing can be told, cheap and general advice fits."""
    if diagnosis.severity is Severity.UNKNOWN:
        return fix.from_severity is Severity.UNKNOWN or (fix.from_severity is Severity.LOW and _is_cheap_sealing(fix))
    if fix.from_severity is Severity.UNKNOWN:
        return False
    if diagnosis.severity is Severity.NONE:
        return fix.from_severity is Severity.NONE
    worth = 0 < _DEGREE[fix.from_severity] <= _DEGREE[diagnosis.severity]
    return worth and bool(fix.defects & diagnosis.defects)


def _is_cheap_sealing(fix: Fix) -> bool:
    return DefectKind.AIR_LEAK in fix.defects and fix.cost.high <= 20.0


def _owns(household: Household | None) -> bool:
    """Whether changes to the structure are theirs to make; in doubt they are not."""
    return household is not None and (household.ownership or "").strip().lower().startswith("own")


def _budget(household: Household | None) -> float:
    """US$ from the app's phrase (``up to $1000``); no limit where it names no figure."""
    match = _BUDGET.search((household.retrofit_budget or "") if household is not None else "")
    return float(match[1].replace(",", "") or "inf") if match else float("inf")


def _payback_years(fix: Fix, diagnosis: Diagnosis) -> float:
    if fix.cost.high == 0:
        return 0.0
    share = _share(fix.cut(diagnosis.loss).middle, diagnosis.loss)
    saved = share * diagnosis.usd_per_year
    return fix.cost.middle / saved if saved > 0 else float("inf")


def _saving(fixes: Sequence[Fix], loss: HeatLoss) -> Span:
    """The share of ``loss`` that is saved: from what the best fix is sure to cut to what all cut together.

    Together each acts on what the others leave, and of those that do the same job one counts.
    """
    alone = max((fix.cut(loss).low for fix in fixes), default=0.0)
    best: dict[str, Fix] = {}
    for fix in fixes:
        other = best.get(fix.group)
        if other is None or fix.cut(loss).high > other.cut(loss).high:
            best[fix.group] = fix
    air = math.prod(1.0 - fix.air.high for fix in best.values())
    surface = math.prod(1.0 - fix.surface.high for fix in best.values())
    together = min(_share(loss.total - air * loss.air - surface * loss.conduction, loss), _MOST_SAVED)
    return Span(min(_share(alone, loss), together), together)


def _share(part: float, loss: HeatLoss) -> float:
    return min(max(part / loss.total, 0.0), 1.0) if loss.total > 0 else 0.0


def _suggestion(job_id: str, fix: Fix, diagnosis: Diagnosis, budget: float) -> Suggestion:
    """Word a fix for a person."""
    words = [fix.subtitle[_ANY if diagnosis.part is None else diagnosis.part.value]]
    if fix.cost.high > budget:
        words.append("more than your budget")
    return Suggestion(
        suggestionID=str(uuid5(_SUGGESTIONS, f"{job_id}/{fix.key}")),
        title=fix.title,
        subtitle="; ".join(words),
        difficulty=fix.difficulty,
        costRange=_cost_text(fix.cost),
        estimatedReduction=_reduction_text(fix, diagnosis.loss),
        lifetime=_lifetime_text(fix.lifetime),
        source=fix.source,
    )


def _cost_text(cost: Span) -> str:
    if cost.high == 0:
        return "Free"
    return f"${cost.low:,.0f}–{cost.high:,.0f}"


def _reduction_text(fix: Fix, loss: HeatLoss) -> str:
    """Percent of this part's loss in steps of five; where the loss is not known, of what the fix is made for."""
    if loss.total > 0:
        cut = fix.cut(loss)
        low, high = _share(cut.low, loss), _share(cut.high, loss)
    else:
        aim = fix.air if fix.air.high >= fix.surface.high else fix.surface
        low, high = aim.low, aim.high
    first, last = (5 * round(100 * share / 5) for share in (low, high))
    if last == 0:
        return "prevents loss" if high == 0 else "under 5%"
    if first == last:
        return f"about {last}%"
    return f"{first}–{last}%"


def _lifetime_text(lifetime: Span) -> str:
    if lifetime.high < 1:
        return "1 season"
    if lifetime.low == lifetime.high:
        return f"{lifetime.high:.0f} year" + ("" if lifetime.high == 1 else "s")
    return f"{lifetime.low:.0f}–{lifetime.high:.0f} years"
