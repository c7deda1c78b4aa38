"""The report of a submission: figures rounded for a person, ranges, findings, reasons, and the words for them."""

import math
from collections.abc import Sequence

from contracts.events import Household, TaskType
from contracts.reports import (
    Confidence,
    ConfidenceLevel,
    DefectKind,
    Finding,
    Method,
    Range,
    Ranges,
    Report,
    Severity,
)
from services.analysis.analyser import AnalysisRequest
from services.analysis.thermography.basis.climate import Climate, climate_of
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.basis.constants import (
    ESTIMATED_SCALE_UNCERTAINTY,
    FAHRENHEIT_PER_KELVIN,
    HEAT_LOSS_UNCERTAINTY,
    HIDDEN_HEAT_LOSS,
)
from services.analysis.thermography.judging.advice import Advice, Diagnosis, Place, Span, advise
from services.analysis.thermography.judging.energy import HeatLoss, Season, yearly_bill
from services.analysis.thermography.judging.observation import Assessment
from services.analysis.thermography.judging.severity import severity_of, worst
from services.analysis.thermography.reading.thermogram import ScaleSource
from services.analysis.thermography.telling.findings import cool_findings, findings

_WINTER_WORDS = {
    DefectKind.AIR_LEAK: "cold air coming in",
    DefectKind.MISSING_INSULATION: "missing insulation",
    DefectKind.THERMAL_BRIDGE: "thermal bridge (heat flows out along a structure)",
    DefectKind.COLD_GLAZING: "cold glass",
}
# When it is warmer outside than inside.
_SUMMER_WORDS = {
    DefectKind.AIR_LEAK: "warm air coming in",
    DefectKind.MISSING_INSULATION: "missing insulation",
    DefectKind.THERMAL_BRIDGE: "thermal bridge (heat flows in along a structure)",
    DefectKind.COLD_GLAZING: "glass that lets heat in",
}

_TITLES = {
    Severity.HIGH: "Serious heat leak",
    Severity.MODERATE: "Moderate heat leak",
    Severity.LOW: "Small heat leak",
    Severity.NONE: "No heat leak found",
    Severity.UNKNOWN: "These photos cannot tell",
}

METHOD = Method(name="thermography", version="1.5")

_LEVELS = ((0.7, ConfidenceLevel.HIGH), (0.4, ConfidenceLevel.MEDIUM), (0.0, ConfidenceLevel.LOW))
# What is left of the trust where nobody said what was photographed: its size and what is sound there are not known
# then. An estimate.
_UNKNOWN_PART_TRUST = 0.6
_UNKNOWN_PART_REASON = "Please say whether this is a window, a door or a wall: it was taken for part of a wall."
_COOLERS = ("central air conditioning", "window ac")


def write_report(
    request: AnalysisRequest,
    conditions: Conditions,
    assessments: Sequence[Assessment],
    faults: Sequence[str],
    image_name: str | None,
) -> Report:
    """Assemble the report of a submission with at least one thermal photo that could be read.

    Losses of the observations add up; the worst decides the severity. ``faults`` are sentences on photos that could
    not be used.
    """
    severity = worst([assessment.severity for assessment in assessments])
    if severity is Severity.UNKNOWN:
        reasons = _reasons(assessments)
        cool = [assessment for assessment in assessments if assessment.cool_places]
        reason = (cool or assessments)[0].reasons[0]
        report = unknown_report(request, reason, (*reasons, *faults), image_name)
        return _with_cool_places(report, cool) if cool else report
    part, household = request.task_type, request.household
    known = [assessment for assessment in assessments if assessment.severity is not Severity.UNKNOWN]
    priced = [assessment for assessment in known if assessment.thermogram.scale is not ScaleSource.ORDER]
    loss = sum((assessment.loss for assessment in priced or known), HeatLoss(0.0, 0.0))
    trust = min(assessment.trust for assessment in known) * (_UNKNOWN_PART_TRUST if part is None else 1.0)
    trust *= min(1.0, len(known) / max(1, len({photo.observation for photo in request.photos})))
    climate, season = _climate(household), _season(household)
    bill = yearly_bill(loss.total, climate, season)
    spread = _spread(loss.total, estimated=not all(one.thermogram.scale.tells_degrees for one in known))
    least = yearly_bill(spread.low, climate, season)
    most = yearly_bill(spread.high, climate, season)
    advice = advise(
        request.job_id,
        Diagnosis(
            part=part,
            places=tuple(Place(assessment.severity, _by_kind(assessment)) for assessment in known),
            usd_per_year=bill.usd_per_year,
        ),
        household,
    )
    saving = round_percent(100.0 * advice.saving.middle)
    cost = round_for_person(bill.usd_per_year)
    report = Report(
        taskID=request.task_id,
        leakSeverity=severity,
        energyLossValue=round_for_person(bill.kwh_per_month),
        energyLossCost=cost,
        savingsPercent=saving,
        savingsCost=min(round_for_person(bill.usd_per_year * saving / 100.0), cost),
        imagePath=image_name,
        thumbPath=image_name,
        suggestions=advice.suggestions,
        confidence=_confidence(trust, part, assessments, faults),
        ranges=_ranges(least.kwh_per_month, most.kwh_per_month, least.usd_per_year, most.usd_per_year, advice),
        assumptions=_assumptions(part, conditions, climate, season, known),
        findings=findings(known),
        method=METHOD,
    )
    return report if priced else _without_money(report)


def _without_money(report: Report) -> Report:
    """Return the report of photos that show only which places are warmer: their size in degrees or money is unknown."""
    nothing = dict.fromkeys(("energyLossValue", "energyLossCost", "savingsPercent", "savingsCost", "ranges"))
    return report.model_copy(update=nothing)


def _with_cool_places(report: Report, assessments: Sequence[Assessment]) -> Report:
    """Return a report of severity Unknown that shows where it may be damp, with little confidence."""
    score = round(min(assessment.trust for assessment in assessments), 2)
    reasons = report.confidence.reasons if report.confidence is not None else ()
    confidence = Confidence(level=ConfidenceLevel.LOW, score=score, reasons=reasons)
    return report.model_copy(update={"confidence": confidence, "findings": cool_findings(assessments)})


def unknown_report(request: AnalysisRequest, reason: str, reasons: Sequence[str], image_name: str | None) -> Report:
    """Assemble a report without figures: why there are none, and advice that helps in any case."""
    nothing = Diagnosis(request.task_type, (), 0.0)
    return Report(
        taskID=request.task_id,
        leakSeverity=Severity.UNKNOWN,
        energyLossValue=None,
        energyLossCost=None,
        savingsPercent=None,
        savingsCost=None,
        imagePath=image_name,
        thumbPath=image_name,
        suggestions=advise(request.job_id, nothing, request.household).suggestions,
        reason=reason,
        confidence=Confidence(level=ConfidenceLevel.NONE, score=0.0, reasons=tuple(dict.fromkeys((reason, *reasons)))),
        method=METHOD,
    )


def round_for_person(value: float) -> float:
    """Two significant figures at most, and nothing finer than a tenth: 0.34 → 0.3, 12.36 → 12, 148 → 150."""
    if value < 10.0:
        return round(value, 1)
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(round(value / step) * step)


def round_percent(value: float) -> float:
    """In steps of five percent."""
    return float(5 * round(value / 5))


def _climate(household: Household | None) -> Climate:
    return climate_of(household.zip_code if household is not None else None)


def _season(household: Household | None) -> Season:
    """Cooling counts where the household says that it has an air conditioner."""
    appliances = household.appliances if household is not None else ()
    cools = any(appliance.strip().lower() in _COOLERS for appliance in appliances)
    return Season.HEATING_AND_COOLING if cools else Season.HEATING


def _spread(heat_loss: float, *, estimated: bool) -> Span:
    """W/K between which the truth probably lies: a photo without a leak may hide one.

    The unknown wind, height and leakage outweigh what a photo adds, unless its degrees are ``estimated``.
    """
    if severity_of(heat_loss) is Severity.NONE:
        return Span(0.0, HIDDEN_HEAT_LOSS)
    scatter = math.log(ESTIMATED_SCALE_UNCERTAINTY) if estimated else 0.0
    factor = math.exp(math.hypot(math.log(HEAT_LOSS_UNCERTAINTY), scatter))
    return Span(heat_loss / factor, heat_loss * factor)


def _by_kind(assessment: Assessment) -> dict[DefectKind, HeatLoss]:
    """What the regions of each kind lose together."""
    losses: dict[DefectKind, HeatLoss] = {}
    for region, loss in zip(assessment.regions, assessment.losses, strict=True):
        if region.looks_like is not None:
            continue
        losses[region.kind] = losses.get(region.kind, HeatLoss(0.0, 0.0)) + loss
    return losses


def _ranges(least_kwh: float, most_kwh: float, least_usd: float, most_usd: float, advice: Advice) -> Ranges:
    low, high = 100.0 * advice.saving.low, 100.0 * advice.saving.high
    return Ranges(
        energyLossValue=Range(low=_fine(least_kwh), high=_fine(most_kwh)),
        energyLossCost=Range(low=_fine(least_usd), high=_fine(most_usd)),
        savingsPercent=Range(low=round_percent(low), high=round_percent(high)),
        savingsCost=Range(low=_fine(least_usd * low / 100.0), high=_fine(most_usd * high / 100.0)),
    )


def _fine(value: float) -> float:
    """Three significant figures, however small: the ends of a range must not round together."""
    return float(f"{value:.3g}")


def _confidence(
    trust: float, part: TaskType | None, assessments: Sequence[Assessment], faults: Sequence[str]
) -> Confidence:
    level = next(level for least, level in _LEVELS if trust >= least)
    reasons = [_UNKNOWN_PART_REASON] if part is None else []
    reasons += _reasons(assessments)
    return Confidence(level=level, score=round(trust, 2), reasons=tuple(dict.fromkeys((*reasons, *faults))))


def _reasons(assessments: Sequence[Assessment]) -> list[str]:
    """What speaks against each; what not all of them say names those that do."""
    saying: dict[str, list[int]] = {}
    for assessment in assessments:
        for reason in assessment.reasons:
            saying.setdefault(reason, []).append(assessment.number)
    return [
        reason if len(numbers) == len(assessments) else f"{observation_names(numbers)}: {reason}"
        for reason, numbers in saying.items()
    ]


def _assumptions(
    part: TaskType | None, conditions: Conditions, climate: Climate, season: Season, assessments: Sequence[Assessment]
) -> tuple[str, ...]:
    """What the figures take for granted, for a person."""
    thing = f"The {part.value} is" if part is not None else "What was photographed is taken for part of a wall, and"
    texts = [f"{thing} taken to be of the usual size."]
    texts.append(climate.origin)
    if climate.heating_degree_days > 0:
        texts.append("Heating is taken to be gas with 80 % efficiency; electric heating costs more.")
    else:
        texts.append(f"No heating is needed in {climate.state}.")
    if season is Season.HEATING_AND_COOLING:
        texts.append("Air conditioning in summer is counted in.")
    texts.append("Wind and height are those of a sheltered house of two storeys.")
    told = all(assessment.thermogram.scale.tells_degrees for assessment in assessments)
    if not conditions.typed and told and not conditions.cooling_season:
        texts.append("The temperatures inside and outside are estimated from those that the photo shows.")
    elif not conditions.typed:
        texts.append(
            f"Temperatures are taken to be {_fahrenheit(conditions.inside)} °F inside "
            f"and {_fahrenheit(conditions.outside)} °F outside, or estimated from those that a photo shows."
        )
    if not told:
        texts.append("The photo's temperature scale is estimated from the inside and outside temperatures.")
    return tuple(texts)


def _fahrenheit(celsius: float) -> str:
    return f"{celsius * FAHRENHEIT_PER_KELVIN + 32.0:.0f}"


def finding_title(finding: Finding, conditions: Conditions) -> str:
    """What a finding is called in the legend."""
    if finding.looksLike is not None:
        return finding.looksLike.capitalize()
    words = _SUMMER_WORDS if conditions.cooling_season else _WINTER_WORDS
    return f"Probably {words[finding.kind]}"


def finding_detail(finding: Finding, conditions: Conditions) -> str:
    """A finding's line in the legend: its most extreme temperature where that is known, otherwise its index."""
    extreme = "warmest" if conditions.cooling_season else "coldest"
    if finding.coldestTemperature is not None:
        place = f"{extreme} {_fahrenheit(finding.coldestTemperature)} °F ({finding.coldestTemperature:.0f} °C)"
    elif finding.thermalIndex is not None:
        place = f"{extreme} point {100 * (1 - finding.thermalIndex):.0f} % of the way to outside"
    else:
        place = ""
    return f"{place}{' · ' if place else ''}{max(100 * finding.areaShare, 1):.0f} % of the thermal picture"


def observation_names(numbers: Sequence[int]) -> str:
    """``numbers`` (N of obs<N>) as the report image calls them: Observations 1 and 3."""
    return f"Observation{'s' if len(numbers) > 1 else ''} {listed([number + 1 for number in numbers])}"


def listed(numbers: Sequence[int]) -> str:
    """1, 2 and 3."""
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def title(report: Report) -> str:
    """The title of the report image."""
    leaks = [finding for finding in report.findings if finding.looksLike is None]
    if report.leakSeverity is Severity.UNKNOWN and report.findings:
        return "Moisture suspected"
    if report.leakSeverity is Severity.NONE and leaks:
        return "No leak worth fixing"
    if report.leakSeverity is not Severity.UNKNOWN and leaks and report.energyLossCost is None:
        return "Possible heat leak"
    return _TITLES[report.leakSeverity]


def headline(report: Report, request: AnalysisRequest) -> str:
    """The line under the title of the report image."""
    if report.reason is not None:
        return report.reason
    thing = (request.task_type.value if request.task_type is not None else "this place").capitalize()
    leaks = [finding for finding in report.findings if finding.looksLike is None]
    if report.leakSeverity is Severity.NONE and not leaks:
        photos = "photos show" if len({photo.observation for photo in request.photos}) > 1 else "photo shows"
        return f"{thing}: the thermal {photos} nothing that loses much more heat than it should."
    if report.energyLossCost is None:
        return f"{thing}: what is numbered looks colder than it should. How much it loses, this photo cannot say."
    if report.leakSeverity is Severity.NONE:
        weak = "the numbered place loses" if len(leaks) == 1 else "the numbered places lose"
        return f"{thing}: {weak} too little to be worth work, {_dollars(report.energyLossCost)} a year."
    climate = _climate(request.household)
    if climate.heating_degree_days == 0 and _season(request.household) is Season.HEATING:
        return f"{thing}: it leaks, but in {climate.state} no heating is needed, so that costs nothing."
    return (
        f"{thing}: about {report.energyLossValue:g} kWh a month, {_dollars(report.energyLossCost)} a year. "
        f"Fixing it saves {_dollars(report.savingsCost)} a year."
    )


def footnotes(report: Report) -> tuple[str, ...]:
    """What stands at the foot of the report image: how far to trust it."""
    if report.confidence is None:
        return ()
    words = {
        ConfidenceLevel.HIGH: "Confidence: high.",
        ConfidenceLevel.MEDIUM: "Confidence: medium.",
        ConfidenceLevel.LOW: "Confidence: low.",
        ConfidenceLevel.NONE: "",
    }
    texts = (words[report.confidence.level], *report.confidence.reasons[:2])
    return (" ".join(text for text in texts if text and text != report.reason),)


def _dollars(value: float | None) -> str:
    if value is None:
        return "an unknown sum"
    return f"about ${math.floor(value + 0.5):,}" if value >= 1 else "less than $1"
