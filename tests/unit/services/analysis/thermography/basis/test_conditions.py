import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analysis.thermography.basis.conditions import Conditions


def test_plausible_temperatures_are_taken_as_typed() -> None:
    conditions = Conditions.from_fahrenheit(70, 32)
    assert conditions.typed
    assert conditions.inside == pytest.approx(21.11, abs=0.01)
    assert conditions.outside == pytest.approx(0.0)
    assert conditions.reasons == ()


def test_missing_temperatures_are_assumed_and_said_so() -> None:
    conditions = Conditions.from_fahrenheit(None, None)
    assert not conditions.typed
    assert conditions.difference > 10
    assert len(conditions.reasons) == 2


def test_swapped_temperatures_are_used_the_other_way_round() -> None:
    conditions = Conditions.from_fahrenheit(28, 70)
    assert conditions.inside > conditions.outside
    assert "swapped" in conditions.reasons[0]


def test_a_hot_day_is_not_taken_for_swapped_temperatures() -> None:
    conditions = Conditions.from_fahrenheit(72, 95)
    assert conditions.cooling_season
    assert conditions.reasons == ()


@pytest.mark.parametrize(("inside", "outside"), [(500.0, 30.0), (70.0, 500.0), (math.nan, 30.0), (math.inf, -math.inf)])
def test_absurd_temperatures_are_replaced_and_named(inside: float, outside: float) -> None:
    conditions = Conditions.from_fahrenheit(inside, outside)
    assert not conditions.typed
    assert any("cannot be right" in reason for reason in conditions.reasons)


def test_equal_temperatures_reveal_no_leak() -> None:
    assert not Conditions.from_fahrenheit(68, 68).reveals_leaks


@given(st.none() | st.floats(), st.none() | st.floats())
def test_anything_typed_ends_in_temperatures_to_calculate_with(inside: float | None, outside: float | None) -> None:
    conditions = Conditions.from_fahrenheit(inside, outside)
    assert 0 <= conditions.inside <= 40
    assert -55 <= conditions.outside <= 55
