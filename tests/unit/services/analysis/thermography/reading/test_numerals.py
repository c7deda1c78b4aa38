"""Temperatures among the signs of a line."""

import pytest

from services.analysis.thermography.reading.numerals import PlusMinus, Unit, in_celsius, numbers_of, unit_alone
from services.analysis.thermography.reading.sign_reader import ReadSign
from services.analysis.thermography.reading.strokes import TextLine

LINE = TextLine((100, 50, 160, 64), dark=False, signs=4)


def signs(text: str, sure: float = 0.99) -> list[ReadSign]:
    return [ReadSign(sign, 20.0 + 8 * at, sure) for at, sign in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "value", "decimals", "unit"),
    [
        ("18.7", 18.7, 1, None),
        ("20,8", 20.8, 1, None),
        ("-5.2", -5.2, 1, None),
        ("- 3", -3.0, 0, None),
        ("19.11°c", 19.11, 2, Unit.CELSIUS),
        ("69 °f", 69.0, 0, Unit.FAHRENHEIT),
        ("296.4 k", 296.4, 1, Unit.KELVIN),
        ("~15.3", 15.3, 1, None),
        ("0,5°", 0.5, 1, None),
    ],
)
def test_a_temperature_is_read_with_its_unit(text: str, value: float, decimals: int, unit: Unit | None) -> None:
    (number,) = numbers_of(LINE, signs(text))
    assert (number.value, number.decimals, number.unit) == (value, decimals, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flir",
        "2020/12/13",
        "11:45",
        "17:11:41",
        "e=0.94",
        "98%",
        "e:0.97",
        "2m",
        "03.01.2023",
        "18.49,22.37",
        "3d7",
        "12345",
    ],
)
def test_what_is_no_temperature_is_no_number(text: str) -> None:
    assert numbers_of(LINE, signs(text)) == []


@pytest.mark.parametrize(("text", "caption"), [("max:46.3°c", "max"), ("min 4.5", "min"), ("spot 20.9", None)])
def test_a_caption_says_which_end_a_number_is(text: str, caption: str | None) -> None:
    (number,) = numbers_of(LINE, signs(text))
    assert number.caption == caption


def test_a_line_with_two_captions_holds_two_numbers() -> None:
    found = numbers_of(LINE, signs("max:46.3°c min:32.8°c"))
    assert [(number.value, number.caption) for number in found] == [(46.3, "max"), (32.8, "min")]


def test_a_plus_minus_is_told_on_both_sides() -> None:
    centre, half = numbers_of(LINE, signs("vu 19.5 ± 7.5°c"))
    assert (centre.value, centre.beside) == (19.5, PlusMinus.AFTER)
    assert (half.value, half.beside, half.unit) == (7.5, PlusMinus.BEFORE, Unit.CELSIUS)


@pytest.mark.parametrize("text", ["0c", "°f", "o c"])
def test_a_raised_o_before_a_unit_is_no_nought(text: str) -> None:
    assert numbers_of(LINE, signs(text)) == []


@pytest.mark.parametrize("text", ["7k", "4f", "5c", "21 k"])
def test_a_letter_that_is_hardly_a_unit_is_none(text: str) -> None:
    assert [number.unit for number in numbers_of(LINE, signs(text))] == [None]


def test_a_unit_alone_is_a_unit() -> None:
    assert unit_alone(signs("°f")) is Unit.FAHRENHEIT
    assert unit_alone(signs("c")) is None
    assert unit_alone(signs("°f", sure=0.4)) is None


def test_units_are_turned_into_celsius() -> None:
    assert in_celsius(32, Unit.FAHRENHEIT) == 0
    assert in_celsius(273.15, Unit.KELVIN) == 0
    assert in_celsius(21.5, Unit.CELSIUS) == 21.5


def test_a_number_stands_where_its_signs_are() -> None:
    (number,) = numbers_of(LINE, signs("18.7"))
    assert 100 < number.middle[0] < 140
    assert number.box[1:4:2] == (50, 64)
