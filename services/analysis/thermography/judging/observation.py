"""One observation: a thermal photo turned into cold regions, their heat loss, and how far to trust it all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.events import TaskType
from contracts.reports import DefectKind, Severity
from services.analysis.thermography.basis.conditions import SWAPPED, Conditions
from services.analysis.thermography.basis.constants import (
    RELIABLE_TEMPERATURE_DIFFERENCE,
    SHOWN_HEAT_LOSS,
    SUMMER_HEAT_LOSS,
    SURE_DEFECT,
)
from services.analysis.thermography.finding.detection import Detection, Region, detect
from services.analysis.thermography.judging.energy import (
    HeatLoss,
    air_heat_loss,
    excess_conduction,
    leakage_of_plumes,
)
from services.analysis.thermography.judging.severity import severity_of
from services.analysis.thermography.reading.pictures import MAX_ASPECT
from services.analysis.thermography.reading.thermogram import TRUSTED, UNREADABLE, ScaleSource, Thermogram

# How far each source of the temperatures can be trusted, 0..1: estimates.
_SCALE_TRUST = {
    ScaleSource.RADIOMETRIC: 0.95,
    ScaleSource.METADATA: 0.9,
    ScaleSource.PRINTED: 0.9,
    ScaleSource.ESTIMATED: 0.6,
}
_EITHER_WAY_REASON = "Nothing in the grey thermal photo says whether bright means warm: we took the likelier way."
# How much of the view must show temperatures: pixels, and share of it. Of 225 thermal pictures, synthetic and real, the
# one with the least shows three quarters.
_LEAST_PIXELS, _LEAST_SHARE = 24 * 32, 0.1
# K, and share of the palette where the scale is not known: between the coldest and the hottest hundredth of a view.
# What shows less is blank: no camera's noise spans less than 0.1 K. The most even walls of those pictures span 0.63 K
# and 0.067 of the palette.
_BLANK_K, _BLANK_SHARE = 0.1, 0.02

# What the sun and the air conditioner do to a sound part looks like a leak: of 30 sound synthetic scenes of summer 17
# would be Moderate or High.
_SUMMER_REASON = (
    "It was warmer outside than inside, when sound parts look leaky too: no more than a low severity is said. "
    "Please take the photo again on a cold day."
)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one thermal photo says. ``severity`` is Unknown when it says nothing; ``reasons`` then tell why."""

    number: int  # N of obs<N>
    thermogram: Thermogram
    regions: tuple[Region, ...]  # by heat, the largest first
    losses: tuple[HeatLoss, ...]  # of each region, in the same order
    severity: Severity
    trust: float  # 0..1
    reasons: tuple[str, ...]  # why not more: sentences for a person, the weightiest first

    @property
    def loss(self) -> HeatLoss:
        """Of all regions together."""
        return sum(self.losses, HeatLoss(0.0, 0.0))


def assess(number: int, thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Assessment:
    """Judge one thermal photo taken under ``conditions``."""
    if not conditions.reveals_leaks:
        blind = "It was about as warm inside as outside, and then a leak does not show in a thermal photo."
        return Assessment(number, thermogram, (), (), Severity.UNKNOWN, 0.0, (blind, *conditions.reasons))
    refusal = _refusal(thermogram)
    if refusal is not None:
        return Assessment(number, thermogram, (), (), Severity.UNKNOWN, 0.0, (refusal,))
    detection = detect(thermogram, conditions, part)
    trust, reasons = _trust(thermogram, conditions, detection)
    if detection.refusal is not None:
        return Assessment(number, thermogram, (), (), Severity.UNKNOWN, 0.0, reasons)
    whole = heat_losses(detection.regions, part)
    losses = expected_losses(detection.regions, whole)
    if conditions.cooling_season:
        losses = _held_down(losses, SUMMER_HEAT_LOSS)
    severity = severity_of(sum(loss.total for loss in losses))
    if sum(loss.total for loss in whole) < SHOWN_HEAT_LOSS:
        return Assessment(number, thermogram, (), (), severity, trust, reasons)
    order = sorted(range(len(losses)), key=lambda i: -losses[i].total)
    return Assessment(
        number=number,
        thermogram=thermogram,
        regions=tuple(detection.regions[i] for i in order),
        losses=tuple(losses[i] for i in order),
        severity=severity,
        trust=trust,
        reasons=reasons,
    )


def heat_losses(regions: Sequence[Region], part: TaskType | None) -> tuple[HeatLoss, ...]:
    """What each region loses if it is a defect (W/K): with the air as a leak, otherwise through the surface."""
    taken = sum(region.taken for region in regions if region.kind is DefectKind.AIR_LEAK)
    leaks = air_heat_loss(leakage_of_plumes(part, taken))
    return tuple(
        HeatLoss(0.0, leaks * region.taken / taken)
        if region.kind is DefectKind.AIR_LEAK
        else HeatLoss(excess_conduction(region.deficit, glass=region.kind is DefectKind.COLD_GLAZING), 0.0)
        for region in regions
    )


def expected_losses(regions: Sequence[Region], losses: Sequence[HeatLoss]) -> tuple[HeatLoss, ...]:
    """What is to be expected of each region: a doubtful one counts for as much as it is likely to be a defect."""
    counted = [min(1.0, region.chance / SURE_DEFECT) for region in regions]
    return tuple(
        HeatLoss(loss.conduction * share, loss.air * share) for loss, share in zip(losses, counted, strict=True)
    )


def _held_down(losses: tuple[HeatLoss, ...], most: float) -> tuple[HeatLoss, ...]:
    """The losses, scaled down alike where together they exceed ``most`` (W/K)."""
    total = sum(loss.total for loss in losses)
    if total <= most:
        return losses
    return tuple(HeatLoss(loss.conduction * most / total, loss.air * most / total) for loss in losses)


def _refusal(thermogram: Thermogram) -> str | None:
    """Why a picture's colours are not to be read as temperatures at all, or None."""
    if thermogram.blended:
        return (
            "The false colours are mixed with an ordinary photo: "
            "please switch off blending (MSX, fusion) and retake it."
        )
    if thermogram.palette_confidence <= UNREADABLE:
        return (
            "The photo's colours are none of the palettes that we know, or mixed with something: "
            "please choose iron, rainbow or grey, without blending."
        )
    height, width = thermogram.valid.shape
    shown = np.count_nonzero(thermogram.valid)
    narrow = max(height, width) > MAX_ASPECT * min(height, width)
    if narrow or shown < max(_LEAST_PIXELS, _LEAST_SHARE * thermogram.valid.size):
        return "Too little of the thermal picture is in view to show anything: please send all of it."
    low, high = np.percentile(thermogram.temperature[thermogram.valid], (1, 99))
    if high - low < (_BLANK_SHARE if thermogram.scale is ScaleSource.ESTIMATED else _BLANK_K):
        return "The thermal picture shows no differences in temperature at all: please take it again."
    return None


def _trust(thermogram: Thermogram, conditions: Conditions, detection: Detection) -> tuple[float, tuple[str, ...]]:
    """How far the assessment can be trusted, and the reasons against it, the weightiest first."""
    doubts: list[tuple[float, str]] = []
    if detection.refusal is not None:
        doubts.append((0.1, detection.refusal))
    if detection.contradiction is not None:
        doubts.append((0.4, detection.contradiction))
    if thermogram.palette_confidence < TRUSTED:
        doubts.append((0.5, "The photo's colour palette was not recognised."))
    if conditions.cooling_season:
        doubts.append((0.5, _SUMMER_REASON))
    if abs(conditions.difference) < RELIABLE_TEMPERATURE_DIFFERENCE:
        doubts.append((0.55, "There was less than 10 °C (18 °F) between inside and outside."))
    if not conditions.typed:
        doubts.append((0.6, "The inside and outside temperatures are not both known."))
    if SWAPPED in conditions.reasons:
        doubts.append((0.6, SWAPPED))
    if thermogram.damaged:
        doubts.append((0.5, "The file of the photo is damaged in part, so that all its temperatures may be wrong."))
    if thermogram.either_way:
        doubts.append((0.6, _EITHER_WAY_REASON))
    trust = _SCALE_TRUST[thermogram.scale] * thermogram.trust
    for weight, _ in doubts:
        trust *= weight
    texts = (text for _, text in sorted(doubts, key=lambda doubt: doubt[0]))
    return trust, tuple(dict.fromkeys((*texts, *conditions.reasons, *thermogram.reasons, *detection.reasons)))
