import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analysis.thermography.basis.conditions import CELSIUS, Conditions


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


@pytest.mark.parametrize(
    ("inside", "outside", "room", "weather"), [(22, 3, 22, 3), (22, 33, 22, 33), (20.5, -12, 20.5, -12), (3, 22, 22, 3)]
)
def test_temperatures_that_make_sense_in_celsius_only_are_taken_as_celsius(
    inside: float, outside: float, room: float, weather: float
) -> None:
    conditions = Conditions.from_fahrenheit(inside, outside)
    assert conditions.typed
    assert conditions.inside == pytest.approx(room)
    assert conditions.outside == pytest.approx(weather)
    assert conditions.reasons[0] == CELSIUS


def test_a_room_alone_is_recognised_as_celsius() -> None:
    conditions = Conditions.from_fahrenheit(21, None)
    assert conditions.inside == pytest.approx(21)
    assert conditions.reasons[0] == CELSIUS


@pytest.mark.parametrize(("inside", "outside"), [(28, 70), (68, 3), (70, 22), (45, 20), (10, -5), (22, 60)])
def test_temperatures_that_make_sense_in_fahrenheit_are_not_taken_as_celsius(inside: float, outside: float) -> None:
    assert CELSIUS not in Conditions.from_fahrenheit(inside, outside).reasons


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
