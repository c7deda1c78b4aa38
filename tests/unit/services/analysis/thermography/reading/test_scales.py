"""Which numbers are the scale."""

import pytest

from services.analysis.thermography.reading.numerals import PlusMinus, PrintedNumber, Unit
from services.analysis.thermography.reading.scales import Evidence, find_scale
from services.analysis.thermography.reading.strokes import TextLine

BAR = (600, 100, 614, 400)
SIZE = (640, 480)


def number(
    value: float, x: int, y: int, *, decimals: int = 1, height: int = 14, caption: str | None = None,
    beside: PlusMinus | None = None, dark: bool = False, unit: Unit | None = None,
) -> PrintedNumber:  # fmt: skip
    box = (x - 18, y - height // 2, x + 18, y + height - height // 2)
    return PrintedNumber(value, decimals, unit, caption, box, TextLine(box, dark, 3), 0.99, beside)


def scale(*numbers: PrintedNumber, bar: tuple[int, int, int, int] | None = BAR) -> tuple[float, float] | None:
    found = find_scale(list(numbers), bar, SIZE)
    return None if found is None else (found.low, found.high)


def test_the_nearest_numbers_above_and_below_are_the_ends() -> None:
    ends = number(24.8, 605, 85), number(12.5, 605, 415)
    assert scale(*ends, number(17.1, 60, 20), number(33.3, 300, 240)) == (12.5, 24.8)


def test_ends_of_two_styles_are_not_a_scale() -> None:
    assert scale(number(24.8, 605, 85), number(12, 605, 415, decimals=0)) is None
    assert scale(number(24.8, 605, 85), number(12.5, 605, 415, height=24)) is None
    assert scale(number(24.8, 605, 85), number(12.5, 605, 415, dark=True)) is None


def test_a_cold_end_above_is_not_a_scale() -> None:
    assert scale(number(12.5, 605, 85), number(24.8, 605, 415)) is None


def test_ticks_fit_their_places() -> None:
    ticks = [number(20 - at, 640, 100 + 30 * at, decimals=0) for at in (2, 4, 5, 7)]
    found = find_scale(ticks, BAR, SIZE)
    assert found is not None
    assert found.evidence is Evidence.TICKS
    assert (found.low, found.high) == pytest.approx((10, 20), abs=0.1)


def test_rounded_ticks_without_ends_are_refused() -> None:
    ticks = [number(int(20.4 - at * 0.75), 640, 100 + 25 * at, decimals=0) for at in range(4, 9)]
    assert find_scale(ticks, BAR, SIZE) is None


def test_a_misread_tick_is_outvoted() -> None:
    ticks = [number(20 - 2 * at, 640, 100 + 60 * at) for at in range(6)]
    wrong = number(76.0, 640, ticks[2].middle[1])
    assert scale(*ticks[:2], wrong, *ticks[3:]) == pytest.approx((10, 20), abs=0.2)


def test_ticks_of_which_many_do_not_fit_are_refused() -> None:
    ticks = [number(value, 640, 100 + 60 * at) for at, value in enumerate((20.0, 11.0, 16.0, 3.0, 12.0, 31.0))]
    assert find_scale(ticks, BAR, SIZE) is None


def test_captions_are_a_scale_only_where_there_is_one_of_each() -> None:
    low, high = number(16.9, 60, 40, caption="min"), number(30.0, 60, 60, caption="max")
    assert scale(low, high, bar=None) == (16.9, 30.0)
    assert scale(low, bar=None) is None
    assert scale(low, high, number(31.0, 300, 60, caption="max"), bar=None) is None


def test_a_column_at_the_rim_is_a_scale_where_no_bar_was_found() -> None:
    assert scale(number(18.7, 610, 30), number(10.8, 610, 450), bar=None) == (10.8, 18.7)
    assert scale(number(18.7, 320, 30), number(10.8, 320, 450), bar=None) is None
    assert scale(number(18.7, 610, 30), number(10.8, 40, 450), bar=None) is None


def test_two_columns_leave_the_scale_open() -> None:
    columns = [number(18.7, 610, 30), number(10.8, 610, 450), number(33.0, 30, 30), number(21.0, 30, 450)]
    assert scale(*columns, bar=None) is None


def test_a_centre_and_its_half_are_a_scale() -> None:
    centre, half = number(19.5, 60, 20, beside=PlusMinus.AFTER), number(7.5, 120, 20, beside=PlusMinus.BEFORE)
    assert scale(centre, half, bar=None) == (12.0, 27.0)
    assert scale(centre, number(7.5, 120, 60, beside=PlusMinus.BEFORE), bar=None) is None
    assert scale(centre, number(7.5, 400, 20, beside=PlusMinus.BEFORE), bar=None) is None


def test_ends_that_the_ticks_contradict_are_refused() -> None:
    ends = number(24.8, 605, 85), number(12.5, 605, 415)
    ticks = [number(94 - 2 * at, 640, 130 + 60 * at) for at in range(5)]
    assert scale(*ends, *ticks) is None


def test_ends_are_taken_as_printed_where_ticks_are_cut_short() -> None:
    ends = number(64.7, 640, 100), number(57.4, 640, 400)
    ticks = [number(int(64.7 - 7.3 * at / 10), 636, 100 + 30 * at, decimals=0) for at in range(1, 10)]
    assert scale(*ends, *ticks) == (57.4, 64.7)
