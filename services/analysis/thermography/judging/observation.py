"""One observation: a thermal photo turned into cold regions, their heat loss, and how far to trust it all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.events import TaskType
from contracts.reports import DefectKind, Severity
from services.analysis.thermography.basis.conditions import CELSIUS, SWAPPED, Conditions
from services.analysis.thermography.basis.constants import (
    DOUBTFUL_HEAT_LOSS,
    FAHRENHEIT_PER_KELVIN,
    LEAST_TEMPERATURE_DIFFERENCE,
    RELIABLE_TEMPERATURE_DIFFERENCE,
    SHOWN_HEAT_LOSS,
    SURE_DEFECT,
)
from services.analysis.thermography.finding.damp import CoolPlace, find_cool_places_of
from services.analysis.thermography.finding.detection import WALL_OR_OBJECT_REASON, Detection, Region, detect
from services.analysis.thermography.judging.energy import (
    HeatLoss,
    air_heat_loss,
    excess_conduction,
    leakage_of_plumes,
)
from services.analysis.thermography.judging.severity import severity_of
from services.analysis.thermography.reading.pictures import MAX_ASPECT
from services.analysis.thermography.reading.thermogram import TRUSTED, ScaleSource, Thermogram

# How far each source of the temperatures can be trusted, 0..1: estimates.
_SCALE_TRUST = {
    ScaleSource.RADIOMETRIC: 0.95,
    ScaleSource.METADATA: 0.9,
    ScaleSource.PRINTED: 0.9,
    ScaleSource.ESTIMATED: 0.6,
    ScaleSource.ORDER: 0.35,
}
_EITHER_WAY_REASON = "Nothing in the grey thermal photo says whether bright means warm: we took the likelier way."
# How much of the view must show temperatures: pixels, and share of it. Of 225 thermal pictures, synthetic and real, the
# one with the least shows three quarters.
_LEAST_PIXELS, _LEAST_SHARE = 24 * 32, 0.1
# K, and share of the palette where the scale is not known: between the coldest and the hottest hundredth of a view.
# What shows less is blank: no camera's noise spans less than 0.1 K. The most even walls of those pictures span 0.63 K
# and 0.067 of the palette.
_BLANK_K, _BLANK_SHARE = 0.1, 0.02

_CLUTTERED = (
    "Many things are in view, so no more than a low severity is said: please take one window, door or wall "
    "from inside, so that it fills the photo."
)
_ORDER_REASON = (
    "The photo shows which places are colder, not by how many degrees: "
    "no more than a low severity is said, and no money."
)
_BLIND = "It was about as warm inside as outside, and then a leak does not show in a thermal photo."
_DAMP = (
    "It was about as warm inside as outside, so leaks do not show. The numbered place is cooler than the wall around "
    "it, as evaporating water makes it: please look for moisture there."
)
_DAMP_TRUST = 0.2  # an estimate: shade, a draught and a cold pipe look alike
_SMALL_DIFFERENCE = (
    "There was less than 10 °C (18 °F) between inside and outside: no more than a low severity is said. "
    "A colder day shows more."
)
_TAKE_AGAIN = (
    "There was only {celsius:.0f} °C ({fahrenheit:.0f} °F) between inside and outside: please take the photo again "
    "when it is at least 10 °C (18 °F) colder outside, early on a cold morning for instance."
)
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
    cool_places: tuple[CoolPlace, ...] = ()  # that may be damp, where no heat flows that could show a leak

    @property
    def loss(self) -> HeatLoss:
        """Of all regions together."""
        return sum(self.losses, HeatLoss(0.0, 0.0))


def assess(number: int, thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Assessment:
    """Judge one thermal photo taken under ``conditions``."""
    refusal = _refusal(thermogram)
    if not conditions.reveals_leaks:
        return _without_heat_flow(number, thermogram, conditions, refusal)
    if refusal is not None:
        return Assessment(number, thermogram, (), (), Severity.UNKNOWN, 0.0, (refusal,))
    detection = detect(thermogram, conditions, part)
    trust, reasons = _trust(thermogram, conditions, detection)
    if detection.refusal is not None:
        return Assessment(number, thermogram, (), (), Severity.UNKNOWN, 0.0, reasons)
    whole = heat_losses(detection.regions, part)
    losses = expected_losses(detection.regions, whole)
    used = detection.conditions or conditions
    losses = _shrunk(losses, abs(used.difference))
    small = abs(used.difference) < RELIABLE_TEMPERATURE_DIFFERENCE
    if used.cooling_season or small or detection.cluttered or thermogram.scale is ScaleSource.ORDER:
        losses = _held_down(losses, DOUBTFUL_HEAT_LOSS)
    severity = severity_of(sum(loss.total for loss in losses))
    shown = sum(loss.total for loss in whole) >= SHOWN_HEAT_LOSS
    kept = [i for i, region in enumerate(detection.regions) if shown or region.looks_like is not None]
    order = sorted(kept, key=lambda i: -losses[i].total)
    return Assessment(
        number=number,
        thermogram=thermogram,
        regions=tuple(detection.regions[i] for i in order),
        losses=tuple(losses[i] for i in order),
        severity=severity,
        trust=trust,
        reasons=reasons,
    )


def _without_heat_flow(number: int, thermogram: Thermogram, conditions: Conditions, refusal: str | None) -> Assessment:
    """Judge a photo taken when it was about as warm inside as outside: damp places may show, leaks do not.

    The severity stays Unknown, because it is a word about heat.
    """
    places = find_cool_places_of(thermogram) if refusal is None else ()
    reasons = (_DAMP if places else _BLIND, *conditions.reasons, *thermogram.reasons)
    trust = _DAMP_TRUST if places else 0.0
    return Assessment(number, thermogram, (), (), Severity.UNKNOWN, trust, reasons, places)


def heat_losses(regions: Sequence[Region], part: TaskType | None) -> tuple[HeatLoss, ...]:
    """What each region loses if it is a defect (W/K): with the air as a leak, otherwise through the surface.

    Things lose nothing: their ``deficit`` is 0.
    """
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


def _shrunk(losses: tuple[HeatLoss, ...], difference: float) -> tuple[HeatLoss, ...]:
    """Return losses that shrink with the difference (K) between inside and outside where that is small.

    What a room does by itself, a kelvin or two from floor to ceiling, fills a larger part of a smaller difference.
    """
    share = min(1.0, difference / RELIABLE_TEMPERATURE_DIFFERENCE)
    return tuple(HeatLoss(loss.conduction * share, loss.air * share) for loss in losses)


def _held_down(losses: tuple[HeatLoss, ...], most: float) -> tuple[HeatLoss, ...]:
    """The losses, scaled down alike where together they exceed ``most`` (W/K)."""
    total = sum(loss.total for loss in losses)
    if total <= most:
        return losses
    return tuple(HeatLoss(loss.conduction * most / total, loss.air * most / total) for loss in losses)


def _refusal(thermogram: Thermogram) -> str | None:
    """Why a picture's colours are not to be read as temperatures at all, or None."""
    if thermogram.unreadable is not None:
        return thermogram.unreadable
    height, width = thermogram.valid.shape
    shown = np.count_nonzero(thermogram.valid)
    narrow = max(height, width) > MAX_ASPECT * min(height, width)
    if narrow or shown < max(_LEAST_PIXELS, _LEAST_SHARE * thermogram.valid.size):
        return "Too little of the thermal picture is in view to show anything: please send all of it."
    low, high = np.percentile(thermogram.temperature[thermogram.valid], (1, 99))
    if high - low < (_BLANK_K if thermogram.scale.tells_degrees else _BLANK_SHARE):
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
    difference = abs((detection.conditions or conditions).difference)
    if difference < LEAST_TEMPERATURE_DIFFERENCE:
        doubts.append((0.3, _TAKE_AGAIN.format(celsius=difference, fahrenheit=difference * FAHRENHEIT_PER_KELVIN)))
    elif difference < RELIABLE_TEMPERATURE_DIFFERENCE:
        doubts.append((0.55, _SMALL_DIFFERENCE))
    if detection.cluttered and detection.regions:
        doubts.append((0.6, _CLUTTERED))
    if WALL_OR_OBJECT_REASON in detection.reasons:
        doubts.append((0.6, WALL_OR_OBJECT_REASON))
    if not conditions.typed:
        doubts.append((0.6, "The inside and outside temperatures are not both known."))
    if SWAPPED in conditions.reasons:
        doubts.append((0.6, SWAPPED))
    if CELSIUS in conditions.reasons:
        doubts.append((0.8, CELSIUS))
    if thermogram.damaged:
        doubts.append((0.5, "The file of the photo is damaged in part, so that all its temperatures may be wrong."))
    if thermogram.either_way:
        doubts.append((0.6, _EITHER_WAY_REASON))
    if thermogram.scale is ScaleSource.ORDER:
        doubts.append((1.0, _ORDER_REASON))
    trust = _SCALE_TRUST[thermogram.scale] * thermogram.trust
    for weight, _ in doubts:
        trust *= weight
    texts = (text for _, text in sorted(doubts, key=lambda doubt: doubt[0]))
    return trust, tuple(dict.fromkeys((*texts, *conditions.reasons, *thermogram.reasons, *detection.reasons)))
