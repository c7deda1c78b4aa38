"""Figures and their ranges."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from contracts.events import Household, TaskType
from contracts.reports import ConfidenceLevel, Severity
from services.analysis.analyser import AnalysisRequest
from services.analysis.thermography.basis.climate import climate_of
from services.analysis.thermography.basis.conditions import Conditions
from services.analysis.thermography.judging.energy import HeatLoss
from services.analysis.thermography.judging.observation import assess
from services.analysis.thermography.reading.thermogram import ScaleSource, Thermogram
from services.analysis.thermography.telling.report import (
    finding_detail,
    finding_title,
    headline,
    listed,
    observation_names,
    title,
    write_report,
)
from tests.unit.services.analysis.thermography.finding.test_damp import damp_wall, photo
from tests.unit.services.analysis.thermography.finding.test_detection import (
    SUMMER,
    WINTER,
    thermogram,
    wall,
    with_plume,
)

RequestFor = Callable[..., AnalysisRequest]


@pytest.mark.parametrize(("loss", "severity"), [(0.1, Severity.NONE), (0.2, Severity.LOW)])
def test_only_a_loss_too_small_to_be_called_a_leak_may_be_nothing(
    request_for: RequestFor, loss: float, severity: Severity
) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    small = dataclasses.replace(found, losses=(HeatLoss(0.0, loss),), severity=severity)
    report = write_report(request_for({}), WINTER, [small], (), None)
    assert report.ranges is not None
    assert report.energyLossValue is not None
    span = report.ranges.energyLossValue
    assert (span.low == 0.0) is (severity is Severity.NONE)
    assert span.low <= report.energyLossValue <= span.high


def test_a_weak_place_that_is_no_leak_is_said_to_be_worth_no_work(request_for: RequestFor) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    weak = dataclasses.replace(found, losses=(HeatLoss(0.0, 0.1),), severity=Severity.NONE)
    request = request_for({}, task_type=TaskType.WALL)
    report = write_report(request, WINTER, [weak], (), None)
    assert report.findings
    assert title(report) == "No leak worth fixing"
    assert "the numbered place loses too little to be worth work" in headline(report, request)
    assert [suggestion.costRange for suggestion in report.suggestions] == ["Free"]


@pytest.mark.parametrize(("part", "asked"), [(None, True), (TaskType.WALL, False)])
def test_the_report_asks_what_was_photographed_and_trusts_itself_less_where_nobody_said(
    request_for: RequestFor, part: TaskType | None, asked: bool
) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, part)
    confidence = write_report(request_for({}, task_type=part), WINTER, [found], (), None).confidence
    assert confidence is not None
    assert any("whether this is a window, a door or a wall" in reason for reason in confidence.reasons) is asked
    assert (confidence.score < round(found.trust, 2)) is asked


def test_a_reason_of_some_of_several_observations_names_them_and_one_of_all_does_not(request_for: RequestFor) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    first = dataclasses.replace(found, reasons=("It rained.",))
    second = dataclasses.replace(found, number=1, reasons=("It rained.", "It was blurred."))
    confidence = write_report(request_for({}), WINTER, [first, second], (), None).confidence
    assert confidence is not None
    assert confidence.reasons == ("It rained.", "Observation 2: It was blurred.")


def test_numbers_are_listed_for_a_person() -> None:
    assert listed([5]) == "5"
    assert listed([5, 6, 7]) == "5, 6 and 7"
    assert observation_names([0, 2]) == "Observations 1 and 3"


@pytest.mark.parametrize(("conditions", "air", "extreme"), [(WINTER, "cold", "coldest"), (SUMMER, "warm", "warmest")])
def test_the_legend_knows_the_season(request_for: RequestFor, conditions: Conditions, air: str, extreme: str) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100), conditions), conditions, TaskType.WALL)
    (finding,) = write_report(request_for({}), conditions, [found], (), None).findings
    assert finding_title(finding, conditions) == f"Probably {air} air coming in"
    for told in (finding, finding.model_copy(update={"coldestTemperature": None})):
        assert finding_detail(told, conditions).startswith(f"{extreme} ")


def test_an_area_is_a_share_of_the_thermal_picture(request_for: RequestFor) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    (finding,) = write_report(request_for({}), WINTER, [found], (), None).findings
    assert finding_detail(finding, WINTER).endswith(" % of the thermal picture")


def test_half_a_dollar_is_rounded_up(request_for: RequestFor) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    request = request_for({})
    report = write_report(request, WINTER, [found], (), None).model_copy(update={"energyLossCost": 6.5})
    assert "about $7 a year" in headline(report, request)


def test_where_no_heating_is_needed_a_leak_costs_nothing_and_nothing_is_to_be_bought(request_for: RequestFor) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    request = request_for({}, household=Household(zip_code="96801", ownership="Own"))
    report = write_report(request, WINTER, [found], (), None)
    assert report.leakSeverity is not Severity.NONE
    assert (report.energyLossCost, report.savingsPercent, report.savingsCost) == (0.0, 0.0, 0.0)
    assert headline(report, request).endswith("in HI no heating is needed, so that costs nothing.")
    assert "No heating is needed in HI." in report.assumptions
    assert not any("gas" in text for text in report.assumptions)


@pytest.mark.parametrize("zip_code", [None, "15213", "2134", "K1A 0B1"])
def test_the_report_says_whose_climate_was_assumed_and_why(request_for: RequestFor, zip_code: str | None) -> None:
    found = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    request = request_for({}, household=Household(zip_code=zip_code))
    assert climate_of(zip_code).origin in write_report(request, WINTER, [found], (), None).assumptions


@pytest.mark.parametrize(
    ("scale", "words"), [(ScaleSource.PRINTED, "that the photo shows"), (ScaleSource.ESTIMATED, "68 °F")]
)
def test_temperatures_that_nobody_typed_are_said_to_come_from_where_they_do(
    request_for: RequestFor, scale: ScaleSource, words: str
) -> None:
    unknown = Conditions.from_fahrenheit(None, None)
    found = assess(0, thermogram(wall()), WINTER, TaskType.WALL)
    seen = dataclasses.replace(found, thermogram=dataclasses.replace(found.thermogram, scale=scale))
    assumptions = write_report(request_for({}), unknown, [seen], (), None).assumptions
    assert any(words in text for text in assumptions)
    assert sum("°F" in text for text in assumptions) == (scale is ScaleSource.ESTIMATED)


def in_order_only() -> Thermogram:
    """A leaking wall of which the photo tells only what is warmer."""
    index = with_plume(with_plume(wall(), 60, 100), 150, 60)
    colours = ((index - index.min()) / np.ptp(index)).astype(np.float32)
    return thermogram(colours, Conditions(1.0, 0.0, typed=True, reasons=()), ScaleSource.ORDER)


def test_a_photo_that_tells_the_order_only_gets_places_without_money_or_degrees(request_for: RequestFor) -> None:
    request = request_for({}, task_type=TaskType.WALL)
    report = write_report(request, WINTER, [assess(0, in_order_only(), WINTER, TaskType.WALL)], (), None)
    assert report.findings
    assert (report.energyLossValue, report.energyLossCost, report.savingsCost, report.ranges) == (None,) * 4
    assert {(finding.thermalIndex, finding.coldestTemperature) for finding in report.findings} == {(None, None)}
    assert report.confidence is not None
    assert report.confidence.level is ConfidenceLevel.LOW
    assert title(report) == "Possible heat leak"
    assert "this photo cannot say" in headline(report, request)


def test_an_estimated_scale_makes_a_wider_range(request_for: RequestFor) -> None:
    known = assess(0, thermogram(with_plume(wall(), 60, 100)), WINTER, TaskType.WALL)
    estimated = dataclasses.replace(
        known, thermogram=dataclasses.replace(known.thermogram, scale=ScaleSource.ESTIMATED)
    )
    widths = []
    for assessment in (known, estimated):
        ranges = write_report(request_for({}), WINTER, [assessment], (), None).ranges
        assert ranges is not None
        assert ranges.energyLossValue is not None
        widths.append(ranges.energyLossValue.high / ranges.energyLossValue.low)
    assert widths[0] == pytest.approx(2.43**2, rel=0.02)
    assert 7 < widths[1] < 10


def test_a_damp_place_is_shown_without_money_under_a_severity_of_unknown(request_for: RequestFor) -> None:
    even = Conditions(24.0, 25.0, typed=True, reasons=())
    request = request_for({}, task_type=TaskType.WALL)
    report = write_report(request, even, [assess(0, photo(damp_wall(2.5)), even, TaskType.WALL)], (), None)
    assert report.leakSeverity is Severity.UNKNOWN
    assert report.energyLossCost is None
    (finding,) = report.findings
    assert finding.looksLike == "moisture suspected"
    assert finding.kindConfidence == 0.0
    assert finding_title(finding, even) == "Moisture suspected"
    assert report.confidence is not None
    assert report.confidence.level is ConfidenceLevel.LOW
    assert title(report) == "Moisture suspected"


def test_a_cold_object_alone_is_named_and_no_leak(request_for: RequestFor) -> None:
    index = wall()
    index[80:170, 100:230] -= 0.5
    view = thermogram(cv2.GaussianBlur(index, (0, 0), 4))
    request = request_for({}, task_type=TaskType.WALL)
    report = write_report(request, WINTER, [assess(0, view, WINTER, TaskType.WALL)], (), None)
    assert report.leakSeverity is Severity.NONE
    assert [finding.looksLike for finding in report.findings] == ["cold object or glass"]
    assert title(report) == "No heat leak found"
    assert "nothing that loses much more heat" in headline(report, request)
