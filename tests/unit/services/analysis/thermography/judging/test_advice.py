import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Household, TaskType
from contracts.reports import DefectKind, Severity
from services.analysis.thermography.judging.advice import Diagnosis, Place, advise, catalogue
from services.analysis.thermography.judging.energy import HeatLoss

KNOWN = (Severity.LOW, Severity.MODERATE, Severity.HIGH)
OWNER = Household(ownership="Own", retrofit_budget="show me all retrofits")
losses = st.builds(HeatLoss, st.floats(0, 50), st.floats(0, 50))
places = st.builds(
    Place,
    severity=st.sampled_from([severity for severity in Severity if severity is not Severity.UNKNOWN]),
    losses=st.dictionaries(st.sampled_from(DefectKind), losses, min_size=1),
)
diagnoses = st.builds(
    Diagnosis,
    part=st.sampled_from((None, *TaskType)),
    places=st.lists(places, max_size=3).map(tuple),
    usd_per_year=st.floats(0, 1000),
)
households = st.none() | st.builds(
    Household,
    ownership=st.sampled_from((None, "Own", "Rent", "something else")),
    retrofit_budget=st.sampled_from(
        (None, "up to $200", "up to $1000", "up to $5000", "show me all retrofits", "$", "up to $0")
    ),
)


def diagnosis(part: TaskType | None, kind: DefectKind, severity: Severity, usd: float = 20.0) -> Diagnosis:
    loss = HeatLoss(0.0, 2.0) if kind is DefectKind.AIR_LEAK else HeatLoss(2.0, 0.0)
    return Diagnosis(part, (Place(severity, {kind: loss}),), usd)


@given(diagnoses, households)
def test_one_to_five_different_fixes_are_suggested(found: Diagnosis, household: Household | None) -> None:
    suggestions = advise("job", found, household).suggestions
    assert 1 <= len(suggestions) <= 5
    assert len({suggestion.title for suggestion in suggestions}) == len(suggestions)
    assert len({suggestion.suggestionID for suggestion in suggestions}) == len(suggestions)


@given(diagnoses, households)
def test_fixes_never_save_more_than_is_lost(found: Diagnosis, household: Household | None) -> None:
    saving = advise("job", found, household).saving
    assert 0 <= saving.low <= saving.high <= 1


@pytest.mark.parametrize("part", TaskType)
@pytest.mark.parametrize("kind", DefectKind)
def test_a_renter_is_told_nothing_structural(part: TaskType, kind: DefectKind) -> None:
    structural = {fix.title for fix in catalogue() if fix.owner_only}
    for household in (None, Household(ownership="Rent")):
        for severity in KNOWN:
            titles = {s.title for s in advise("job", diagnosis(part, kind, severity), household).suggestions}
            assert not titles & structural


def test_an_owner_of_a_bad_window_may_replace_it() -> None:
    found = diagnosis(TaskType.WINDOW, DefectKind.COLD_GLAZING, Severity.HIGH)
    assert "Replace the window" in {s.title for s in advise("job", found, OWNER).suggestions}


def test_a_small_leak_is_no_reason_to_replace_a_window() -> None:
    found = diagnosis(TaskType.WINDOW, DefectKind.AIR_LEAK, Severity.LOW)
    assert "Replace the window" not in {s.title for s in advise("job", found, OWNER).suggestions}


def test_nothing_dearer_than_the_budget_is_suggested() -> None:
    found = diagnosis(TaskType.DOOR, DefectKind.COLD_GLAZING, Severity.HIGH)
    household = Household(ownership="Own", retrofit_budget="up to $200")
    keys = {fix.title: fix for fix in catalogue()}
    assert all(keys[s.title].cost.high <= 200 for s in advise("job", found, household).suggestions)


def test_suggestions_fit_the_part_and_the_defect() -> None:
    keys = {fix.title: fix for fix in catalogue()}
    for part in TaskType:
        for kind in DefectKind:
            for suggestion in advise("job", diagnosis(part, kind, Severity.HIGH), OWNER).suggestions:
                fix = keys[suggestion.title]
                assert part in fix.parts
                assert kind in fix.defects


def leaking(*severities: Severity) -> Diagnosis:
    """Windows with an air leak each, all as large."""
    places = tuple(Place(severity, {DefectKind.AIR_LEAK: HeatLoss(0.0, 2.0)}) for severity in severities)
    return Diagnosis(TaskType.WINDOW, places, 10.0 * len(places))


def test_the_cost_of_a_fix_counts_for_each_place_that_it_fits_and_says_so() -> None:
    costs = {s.title: s.costRange for s in advise("job", leaking(*[Severity.MODERATE] * 5), OWNER).suggestions}
    assert costs["Weatherstripping"] == "$50–100 for 5 places"
    costs = {
        s.title: s.costRange
        for s in advise("job", leaking(Severity.NONE, Severity.LOW, Severity.NONE), None).suggestions
    }
    assert costs["Weatherstripping"] == "$10–20"  # two of the places are not worth the trouble


def test_a_fix_that_is_dear_in_many_places_is_beyond_a_budget_that_suffices_for_one() -> None:
    household = Household(retrofit_budget="up to $200")
    one, many = (
        {s.title for s in advise("job", leaking(*[Severity.MODERATE] * count), household).suggestions}
        for count in (1, 5)
    )
    assert "Interior storm panel" in one - many


def test_as_many_places_take_as_long_to_pay_back_as_one() -> None:
    one, many = (leaking(*[Severity.MODERATE] * count) for count in (1, 5))
    for fix in catalogue():
        assert many.payback_years(fix) == pytest.approx(one.payback_years(fix))


def test_what_a_fix_is_not_for_it_does_not_cut() -> None:
    losses = {DefectKind.COLD_GLAZING: HeatLoss(1.0, 0.0), DefectKind.MISSING_INSULATION: HeatLoss(3.0, 0.0)}
    found = Diagnosis(TaskType.WINDOW, (Place(Severity.MODERATE, losses),), 20.0)
    film = next(s for s in advise("job", found, None).suggestions if s.title == "Interior shrink film")
    assert film.estimatedReduction == "5–10%"  # 15 to 30 % of the glass, a quarter of the loss


def test_what_saves_less_than_it_costs_is_called_comfort_and_comes_last() -> None:
    found = diagnosis(TaskType.WINDOW, DefectKind.AIR_LEAK, Severity.LOW, usd=5.0)
    subtitles = [suggestion.subtitle for suggestion in advise("job", found, OWNER).suggestions]
    comfort = ["comfort" in subtitle for subtitle in subtitles]
    assert comfort == sorted(comfort)
    assert any(comfort)
    assert not all(comfort)


def test_where_a_leak_costs_nothing_nothing_is_to_be_bought() -> None:
    found = diagnosis(TaskType.DOOR, DefectKind.AIR_LEAK, Severity.MODERATE, usd=0.0)
    advice = advise("job", found, OWNER)
    assert [s.costRange for s in advice.suggestions] == ["Free"]
    assert advice.saving.high == 0


@pytest.mark.parametrize("ownership", ["Own", "Rent", None])
@pytest.mark.parametrize("budget", ["up to $200", "up to $1000", "up to $5000", "show me all retrofits", None])
def test_every_defect_of_every_part_has_a_fix_that_helps_each_household(
    ownership: str | None, budget: str | None
) -> None:
    fixes = {fix.title: fix for fix in catalogue()}
    household = Household(ownership=ownership, retrofit_budget=budget)
    for part, kind, severity in itertools.product((None, *TaskType), DefectKind, KNOWN):
        found = diagnosis(part, kind, severity)
        advice = advise("job", found, household)
        assert advice.saving.high > 0
        for suggestion in advice.suggestions:
            assert kind in fixes[suggestion.title].defects
            assert "budget" not in suggestion.subtitle


def test_where_the_budget_suffices_for_nothing_the_cheapest_fix_is_suggested_and_says_so() -> None:
    found = diagnosis(TaskType.WALL, DefectKind.AIR_LEAK, Severity.LOW)
    (suggestion,) = advise("job", found, Household(retrofit_budget="up to $1")).suggestions
    assert suggestion.title == "Foam gaskets behind outlets"
    assert suggestion.subtitle.endswith("; more than your budget")


@pytest.mark.parametrize("kind", DefectKind)
def test_where_nobody_said_what_was_photographed_only_what_fits_anything_is_suggested(kind: DefectKind) -> None:
    in_any_words = {fix.subtitle["any"]: fix for fix in catalogue() if "any" in fix.subtitle}
    known = [diagnosis(None, kind, severity) for severity in (Severity.NONE, *KNOWN)]
    for found in (*known, Diagnosis(None, (), 0.0)):
        for suggestion in advise("job", found, OWNER).suggestions:
            assert not in_any_words[suggestion.subtitle.partition("; ")[0]].owner_only


def test_what_is_paid_back_soonest_comes_first() -> None:
    found = diagnosis(TaskType.WINDOW, DefectKind.AIR_LEAK, Severity.MODERATE)
    titles = [s.title for s in advise("job", found, OWNER).suggestions]
    assert titles[0] == "Interior shrink film"
    assert titles.index("Interior shrink film") < titles.index("Interior storm panel")


def test_the_same_job_gets_the_same_ids_and_another_job_others() -> None:
    found = diagnosis(TaskType.WALL, DefectKind.AIR_LEAK, Severity.LOW)
    first, again, other = (advise(job, found, None).suggestions for job in ("a", "a", "b"))
    assert first == again
    assert not {s.suggestionID for s in first} & {s.suggestionID for s in other}


def test_a_part_that_cannot_be_judged_gets_general_advice() -> None:
    found = Diagnosis(TaskType.WINDOW, (), 0.0)
    titles = [s.title for s in advise("job", found, None).suggestions]
    assert "Take a thermal photo on a cold day" in titles
    assert "Weatherstripping" in titles


def test_texts_are_written_for_a_person() -> None:
    found = diagnosis(TaskType.WINDOW, DefectKind.AIR_LEAK, Severity.LOW)
    strip = next(s for s in advise("job", found, None).suggestions if s.title == "Weatherstripping")
    assert (strip.costRange, strip.estimatedReduction, strip.lifetime) == ("$10–20", "35–55%", "3–5 years")


@pytest.mark.parametrize("fix", catalogue(), ids=lambda fix: fix.key)
def test_every_fix_is_complete(fix: object) -> None:
    assert fix.source
    assert {part.value for part in fix.parts} == set(fix.subtitle) - {"any"}
    for span in (fix.cost, fix.air, fix.surface, fix.lifetime):
        assert 0 <= span.low <= span.high
    assert fix.air.high <= 1
    assert fix.surface.high <= 1
