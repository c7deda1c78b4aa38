"""Temperatures as people type them: which are understood, and what is said of the others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.problems import Problem
from services.tasks.temperatures import WARMEST_F, read_temperature


def refusal(sent: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        read_temperature(sent, "inside")
    return caught.value


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("71", 71.0),
        ("71.5", 71.5),
        (" -4 ", -4.0),
        ("+71", 71.0),
        (".5", 0.5),
        ("71.", 71.0),
        ("71F", 71.0),
        ("71 °F", 71.0),
        ("71°", 71.0),
        ("71 degrees", 71.0),
        ("71 deg F", 71.0),
        ("71 Fahrenheit", 71.0),
        ("", None),
        ("  ", None),
        ("\u200e\u00a0", None),
        (None, None),
        (68, 68.0),
        (68.25, 68.25),
        ("0", 0.0),
        ("1000", 1000.0),
    ],
)
def test_a_bare_number_is_fahrenheit(sent: Any, read: float | None) -> None:
    assert read_temperature(sent, "inside") == read


@pytest.mark.parametrize(
    ("sent", "read"),
    [("21,5", 21.5), ("71,50", 71.5), ("-5,0 °F", -5.0), ("７１，５", 71.5), ("٧١٫٥", 71.5), (",5", 0.5)],
)
def test_a_comma_is_a_decimal_separator(sent: str, read: float) -> None:
    assert read_temperature(sent, "inside") == read


@pytest.mark.parametrize(("sent", "read"), [("21,500", 21.5), ("1,000", 1.0), ("1.000", 1.0), ("71,125", 71.125)])
def test_a_single_separator_is_never_one_of_thousands(sent: str, read: float) -> None:
    assert read_temperature(sent, "inside") == read


@pytest.mark.parametrize("minus", list("-−‐‑‒–—―﹣－⁻˗"))
def test_every_dash_is_a_minus(minus: str) -> None:
    assert read_temperature(f"{minus}5", "outside") == -5.0
    assert read_temperature(f"{minus} 5,5 °F", "outside") == -5.5


@pytest.mark.parametrize(
    "sent", ["70ºF", "70 º F", "70˚F", "70∘f", "70℉", "70 ℉", "７０", "70\u00a0°F", "70\u202f°F", "\u200e70°", "70Ｆ"]
)
def test_look_alikes_of_signs_digits_and_spaces_are_understood(sent: str) -> None:
    assert read_temperature(sent, "inside") == 70.0


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("21 °C", 69.8),
        ("21,5°C", 70.7),
        ("22℃", 71.6),
        ("22ºC", 71.6),
        ("22 c", 71.6),
        ("-40 °C", -40.0),
        ("−5 ℃", 23.0),
        ("22 degrees Celsius", 71.6),
        ("２２℃", 71.6),
    ],
)
def test_celsius_is_converted_to_fahrenheit(sent: str, read: float) -> None:
    assert read_temperature(sent, "inside") == read


@pytest.mark.parametrize(
    "sent",
    [
        "21 °C / 70 °F",
        "70 °F 21 °C",
        "22 CF",
        "295 K",
        "22 °R",
        "71 l",
        "7l",
        "0x47",
        "71 60",
        "1e3",
        "70-72",
        "7²",
        "71½",
    ],
)
def test_two_or_unknown_units_are_told(sent: str) -> None:
    problem = refusal(sent)
    assert problem.status == 422
    assert problem.detail == (
        "The unit of the inside temperature is not clear. "
        "Please give one number in °F, such as 71.5, or in °C, such as 22 °C."
    )


@pytest.mark.parametrize(
    "sent",
    [
        *("warm", "F", "°", "°C", "nan", "inf", "-Infinity", "1000.1", "-5000", "9" * 400, "600 °C", "1.234,5"),
        *("1,234.5", "71..5", "--5", "-", ",", "1.2.3", "°F 71"),
        *(True, False, [], [71], {}, 10**400, float("nan"), float("inf")),
    ],
)
def test_what_is_no_number_is_told(sent: Any) -> None:
    problem = refusal(sent)
    assert problem.status == 422
    assert problem.detail == "The inside temperature must be a number in °F, such as 71.5. Please correct it."


@given(st.text(st.sampled_from("0179.,-−–+°ºCFcf℃℉eE \u00a0\u200e_xx½²①٣k"), max_size=10))
def test_any_text_is_a_temperature_or_a_refusal(text: str) -> None:
    try:
        read = read_temperature(text, "inside")
    except Problem as problem:
        assert problem.status == 422  # noqa: PT017 - no error is right too
    else:
        assert read is None or abs(read) <= WARMEST_F


@given(st.floats(-400, 400).map(lambda value: round(value, 1)))
def test_a_temperature_is_the_same_with_a_comma_and_with_a_point(value: float) -> None:
    assert read_temperature(str(value).replace(".", ","), "inside") == read_temperature(str(value), "inside") == value
