"""Cold regions of a thermal photo: where they are, what they probably are, and what they are not.

Four steps, each in a module of its own:

1. ``view``: may this view be judged? Everything after it works on the thermal index.
2. ``expectation``: what would be sound? The level of the wall is found, not assumed; windows and doors are colder than
   the wall by nature, so their pixels are compared with their own frame, sash and panes.
3. ``shapes`` and ``kinds``: what is missing from the expected index forms regions, each named after its shape.
4. ``evidence``: which of the regions are defects, and which are structure, or the edge of something else?

The thresholds are calibrated on synthetic scenes of the development seeds and on phone pictures; they are estimates.
"""

import math
from dataclasses import dataclass

import numpy as np

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.basis.building import single_glass_deficit
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.basis.constants import RELIABLE_TEMPERATURE_DIFFERENCE, SOUND_WALL_INDEX
from services.analysis.thermography.finding.evidence import (
    evidence_of,
    has_studs,
    is_cluttered,
    is_edge_of_heat,
    is_structure,
    is_window_over_radiator,
)
from services.analysis.thermography.finding.expectation import Expectation, expect
from services.analysis.thermography.finding.kinds import DEEPEST_WALL, SURELY_NO_WALL, Likely, likeliest_kind
from services.analysis.thermography.finding.room import background_level, level_of_warm_rim, with_room_of_wall
from services.analysis.thermography.finding.shapes import Shape, behind_print, find_regions, measure_shape, slope_of
from services.analysis.thermography.finding.sound import COLD_PANE
from services.analysis.thermography.finding.typed import Refusal
from services.analysis.thermography.finding.view import NOTHING_SEEN, Field, Mask, View, view_of
from services.analysis.thermography.reading.thermogram import Thermogram

_DOUBTFUL_FIELD = 0.02  # m² of missing index that an even cold field counts for where the part is not known
_DOUBTFUL_REASON = "An even cold field is normal for a window or door and a defect in a wall: it counts as a small one."
_OVER_HEAT_REASON = "The cold field over something hot was taken for a window, which is as cold when nothing is wrong."
COLD_OBJECT = "cold object or glass"
"""What a broad place looks like that is colder than any wall."""

_COLD_OBJECT_REASON = (
    "A place in view is colder than any wall: it was taken for a cold object or glass, not for a leak."
)
WALL_OR_OBJECT_REASON = (
    "A cold field may be a wall without any insulation, or a cold object or glass. The photo does not tell which: the "
    "field counts as a small leak."
)
_CONVINCING = -1.5  # log odds from which on a region is shown: a defect in one of five cases, and counted as such


@dataclass(frozen=True, slots=True)
class Region:
    """One connected cold region of a thermal photo."""

    kind: DefectKind
    kind_confidence: float  # 0..1
    chance: float  # 0..1, that it is a defect at all
    mask: Mask  # (h, w) of the detection's raster, with what print hides of it
    shape: Shape
    deficit: float  # integral of the missing thermal index over the region, m²
    taken: float  # the same of the missing share of the index, m²
    coldest_index: float
    coldest_temperature: float  # °C
    looks_like: str | None = None  # what it is where ``kind`` has no word for it; it is no heat loss then


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one thermal photo."""

    regions: tuple[Region, ...]
    refusal: str | None = None  # why the view says nothing about leaks, for a person
    contradiction: str | None = None  # in what the view contradicts the temperatures that were typed, for a person
    reasons: tuple[str, ...] = ()  # what else lowers the confidence, for a person
    cluttered: bool = False  # a street, a machine or a whole room rather than a part of a house
    conditions: Conditions | None = None  # under which the view was judged; None where it was not


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A region that may be a defect."""

    mask: Mask
    shape: Shape
    evidence: float  # log odds


@dataclass(frozen=True, slots=True)
class _Named:
    """What a region is taken for, and what it loses then."""

    likely: Likely
    lost: Field  # missing index of each pixel
    reason: str | None = None  # why it counts for less, for a person
    looks_like: str | None = None


def detect(thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Detection:
    """Find the regions that lose heat."""
    view = view_of(thermogram, conditions, part)
    if isinstance(view, Refusal):
        return Detection((), view.reason, view.contradiction, () if view.reason is not None else (NOTHING_SEEN,))
    sight = _settled(view)
    if isinstance(sight, Refusal):
        return Detection((), sight.reason, sight.contradiction)
    view, expectation = sight.view, sight.expectation
    found = []
    for candidate in sight.candidates:
        named = _name(candidate, view, expectation, sight.missing)
        if named is None:
            continue
        line = named.likely.kind is DefectKind.THERMAL_BRIDGE
        if not is_edge_of_heat(candidate.mask, sight.missing, expectation, view, line=line):
            found.append((candidate, named))
    if not view.known and has_studs([named.likely.kind for _, named in found]):
        found = [(region, named) for region, named in found if named.likely.kind is not DefectKind.THERMAL_BRIDGE]
    regions = tuple(_measured(candidate, named, view, expectation) for candidate, named in found)
    reasons = tuple(dict.fromkeys(named.reason for _, named in found if named.reason is not None))
    return Detection(regions, None, view.contradiction, reasons, is_cluttered(view), view.conditions)


@dataclass(frozen=True, slots=True)
class _Sight:
    """A view, what would be sound in it, and what is missing from that."""

    view: View
    expectation: Expectation
    missing: Field
    candidates: list[_Candidate]


def _settled(view: View) -> _Sight | Refusal:
    """Look at a view under the room temperature that its own wall shows."""
    warm = level_of_warm_rim(view)
    expectation = expect(view, warm)
    roomy = with_room_of_wall(view, float(np.median(expectation.wall))) if view.known else view
    if isinstance(roomy, Refusal):
        return roomy
    if roomy is not view:
        view, expectation = roomy, expect(roomy)
    sight = _look(view, expectation)
    level = background_level([candidate.mask for candidate in sight.candidates], view)
    if level is None:
        return sight
    behind = with_room_of_wall(view, level)
    if isinstance(behind, Refusal):
        return behind
    return _look(behind, expect(behind, SOUND_WALL_INDEX if behind is not view else level))


def _look(view: View, expectation: Expectation) -> _Sight:
    """Find what is missing from the expectation."""
    missing = np.where(view.valid, np.maximum(expectation.sound - view.index, 0.0), 0.0).astype(np.float32)
    return _Sight(view, expectation, missing, _candidates(view, expectation, missing))


def _candidates(view: View, expectation: Expectation, missing: Field) -> list[_Candidate]:
    """Return the regions that are likely enough a defect, and no structure."""
    slope = slope_of(missing)
    candidates = []
    for mask in find_regions(missing, int(view.valid.sum())):
        shape = measure_shape(mask, missing, expectation.opening, expectation.metres, known=view.known)
        evidence = evidence_of(mask, shape, missing, slope, view.part)
        if evidence >= _CONVINCING and not is_structure(mask, shape, missing, expectation, view):
            candidates.append(_Candidate(mask, shape, evidence))
    return candidates


def _name(candidate: _Candidate, view: View, expectation: Expectation, missing: Field) -> _Named | None:
    """Return what a region is taken for; None where it turns out to be sound glass."""
    mask, shape = candidate.mask, candidate.shape
    likely = likeliest_kind(shape, view.part, askew=expectation.askew)
    window = is_window_over_radiator(mask, shape, expectation, view)
    if window:
        likely = Likely(DefectKind.COLD_GLAZING, 0.4)
    doubtful = np.full_like(view.index, _DOUBTFUL_FIELD / (float(mask.sum()) * expectation.metres**2))
    clear = view.conditions.difference >= RELIABLE_TEMPERATURE_DIFFERENCE
    depth = float(np.median(missing[mask]))
    if clear and likely.kind is DefectKind.MISSING_INSULATION and depth > DEEPEST_WALL:
        if view.known and depth > SURELY_NO_WALL:
            return _Named(likely, np.zeros_like(missing), _COLD_OBJECT_REASON, COLD_OBJECT)
        return _Named(likely, doubtful, WALL_OR_OBJECT_REASON)
    if likely.kind is not DefectKind.COLD_GLAZING:
        return _Named(likely, missing)
    opening = expectation.opening
    if opening is not None and mask[opening.frame(mask.shape)].mean() > 0.5:
        return None  # the frame too: a temperature was mistyped, for glass alone is colder than its frame
    lost = np.maximum(expectation.glass - view.index, 0.0)
    if float(np.median(lost[mask])) >= COLD_PANE:
        return _Named(likely, lost * np.float32(math.sqrt(single_glass_deficit() / float(lost[mask].mean()))))
    if view.part is not None and not window:
        return None  # a pane or panel as cold as double glazing: even, and nothing wrong with it
    return _Named(likely, doubtful, _OVER_HEAT_REASON if window else _DOUBTFUL_REASON)


def _measured(candidate: _Candidate, named: _Named, view: View, expectation: Expectation) -> Region:
    """Measure what a region lacks: what print hides of it counts like what is seen."""
    mask, index, lost = candidate.mask, view.index, named.lost
    whole = behind_print(mask, ~view.valid)
    coldest = float(index[mask].min())
    square_metres = expectation.metres**2 * float(whole.sum() / mask.sum())
    return Region(
        kind=named.likely.kind,
        kind_confidence=named.likely.confidence,
        chance=1.0 / (1.0 + math.exp(-candidate.evidence)),
        mask=whole,
        shape=candidate.shape,
        deficit=float(lost[mask].sum()) * square_metres,
        taken=float((lost[mask] / np.maximum(expectation.sound[mask], 0.2)).sum()) * square_metres,
        coldest_index=coldest,
        coldest_temperature=view.conditions.outside + coldest * view.conditions.difference,
        looks_like=named.looks_like,
    )
