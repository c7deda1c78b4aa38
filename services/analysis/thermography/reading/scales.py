"""Tell which of the numbers on a picture are its scale, by where they stand and by how they fit one another.

Every camera prints hot above cold, or hot to the right of cold, so of two ends the upper or right one is the greater.
"""

import itertools
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.analysis.thermography.reading.numerals import SURE, PlusMinus, PrintedNumber
from services.analysis.thermography.reading.strokes import Box

_NEAR_END = 0.4
"""Of the bar's length: how far beyond its end a number may stand. Noise may hide a part of a bar."""

_BEYOND = 3.0  # heights of a number, likewise, where the bar is short
_ASIDE = 7.0  # heights of a number: how far beside a bar its numbers stand
_ALIKE = 0.75  # least ratio of the heights of two ends
_LEAST_TICKS, _MOST_TICKS_FIT = 3, 0.7  # numbers, and their share of all along the bar
_CUT_SHORT = 0.3  # of the last printed decimal, by which labels that were cut short miss a line
_TICK_SPREAD = 0.75  # of the last printed decimal, that a rounded label may be off its place
_PLACE_PX = 1.6  # by which the middle of a label misses its tick
_IN_LINE = 0.9  # of the height, that sides of a column's numbers differ
_TICKS_IN_LINE = 0.5  # of the height, likewise of the numbers along a bar
_PLUS_MINUS_WIDTH = 2.8  # of the height, between a centre and its half
_END_OFF = 0.03  # of the span, that the place of an end is off
_COLUMN_LENGTH = 0.3  # of the picture's height, at least, between two numbers of a column
_END_PART = 0.2  # of a bar's length, at each end, within which a number may be its end
_RIM = 0.3  # of the picture's width: where a column of two numbers stands


class Evidence(StrEnum):
    """What a scale was read from."""

    ENDS = "ends"
    TICKS = "ticks"
    PLUS_MINUS = "plus-minus"
    CAPTIONS = "captions"
    COLUMN = "column"  # two numbers above each other at the picture's rim, where no bar was found


@dataclass(frozen=True, slots=True)
class FoundScale:
    """A scale in the unit that it is printed in."""

    low: float
    high: float
    evidence: Evidence
    numbers: tuple[PrintedNumber, ...]


def find_scale(numbers: list[PrintedNumber], bar: Box | None, size: tuple[int, int]) -> FoundScale | None:
    """Return the scale that the numbers of a picture of ``size`` (width, height) make, or None."""
    joined = _around_plus_minus(numbers)
    if joined is not None:
        return joined
    if bar is not None:
        ends, ticks = _ends(numbers, bar), _ticks(numbers, bar)
        if ticks is not None and ends is not None:
            return _agreed(ends, ticks)
        if ends is not None:
            return None if _stands_between(numbers, ends, bar) else ends
        if ticks is not None and not _are_cut_short(ticks, bar):
            return ticks
    return _captions(numbers) or _column(numbers, bar, size)


def _stands_between(numbers: list[PrintedNumber], ends: FoundScale, bar: Box) -> bool:
    """Whether there are numbers along the bar, in a column with an end, which its two ends do not explain."""
    one, other = ends.numbers
    between = [
        number
        for number in numbers
        if number not in ends.numbers
        and number.sure >= SURE
        and _stands_along(number, bar)
        and (_in_column(number, one) or _in_column(number, other))
    ]
    return len(between) >= _LEAST_TICKS - 1


def _agreed(ends: FoundScale, ticks: FoundScale) -> FoundScale | None:
    """The ends, which are printed more exactly, where the ticks between them agree; their labels may be cut short."""
    coarsest = max(0.1**number.decimals for number in ticks.numbers)
    slack = coarsest + _END_OFF * (ends.high - ends.low)
    if max(abs(ends.low - ticks.low), abs(ends.high - ticks.high)) > slack:
        return None
    return FoundScale(ends.low, ends.high, Evidence.TICKS, (*ends.numbers, *ticks.numbers))


def _are_cut_short(ticks: FoundScale, bar: Box) -> bool:
    """Whether the labels of ticks were rounded, up or down, so that all of them may miss the truth alike."""
    upright = _is_upright(bar)
    start, stop = (bar[3], bar[1]) if upright else (bar[0], bar[2])
    slope = (ticks.high - ticks.low) / (stop - start)
    off = [
        abs(number.value - ticks.low - slope * ((number.middle[1] if upright else number.middle[0]) - start))
        - abs(slope) * _PLACE_PX
        for number in ticks.numbers
    ]
    return max(off) > _CUT_SHORT * max(0.1**number.decimals for number in ticks.numbers)


def _around_plus_minus(numbers: list[PrintedNumber]) -> FoundScale | None:
    """The scale from a centre and the half that follows it in its row."""
    pairs = {
        (centre.value, half.value): (centre, half)
        for centre, half in itertools.permutations(numbers, 2)
        if centre.beside is PlusMinus.AFTER
        and half.beside is PlusMinus.BEFORE
        and abs(centre.middle[1] - half.middle[1]) < _IN_LINE * centre.height
        and 0 < half.box[0] - centre.box[2] < _PLUS_MINUS_WIDTH * centre.height
    }
    if len(pairs) != 1:
        return None
    centre, half = next(iter(pairs.values()))
    if half.value <= 0:
        return None
    return FoundScale(centre.value - half.value, centre.value + half.value, Evidence.PLUS_MINUS, (centre, half))


def _captions(numbers: list[PrintedNumber]) -> FoundScale | None:
    """The scale from one number captioned "max" and one captioned "min"."""
    ends = {caption: [number for number in numbers if number.caption == caption] for caption in ("min", "max")}
    if any(len({number.value for number in ends[caption]}) != 1 for caption in ends):
        return None
    low, high = ends["min"][0], ends["max"][0]
    if low.value >= high.value or low.decimals != high.decimals or not _alike(low, high):
        return None
    return FoundScale(low.value, high.value, Evidence.CAPTIONS, (low, high))


def _ends(numbers: list[PrintedNumber], bar: Box) -> FoundScale | None:
    """The numbers at the two ends of the bar."""
    upright = _is_upright(bar)
    start, stop = (bar[1], bar[3]) if upright else (bar[0], bar[2])
    middle, length = (start + stop) / 2, stop - start
    near: tuple[list[tuple[float, PrintedNumber]], list[tuple[float, PrintedNumber]]] = ([], [])
    for number in numbers:
        along = number.middle[1] if upright else number.middle[0]
        first = along < middle
        off = _gap(number, _end_box(bar, first=first))
        reach = max(_BEYOND * number.height, _NEAR_END * length)
        inwards = (along - start if first else stop - along) - 0.5 * (1 if upright else 3) * number.height
        aside = _gap_across(number, bar)
        if off > reach or inwards > 0.2 * length or aside > _ASIDE * number.height or _is_speck(number):
            continue
        near[0 if first else 1].append((off + 0.5 * max(inwards, 0.0), number))
    if not near[0] or not near[1]:
        return None
    for first_end, last_end in itertools.product(*(_nearest(side) for side in near)):
        low, high = (last_end, first_end) if upright else (first_end, last_end)
        if _of_one_style(low, high):
            return FoundScale(low.value, high.value, Evidence.ENDS, (low, high)) if low.value < high.value else None
    return None


def _nearest(numbers: list[tuple[float, PrintedNumber]]) -> list[PrintedNumber]:
    """The numbers at an end up to the nearest that is print for sure: doubtful ones without decimals may be none."""
    ordered = [number for _, number in sorted(numbers, key=lambda pair: pair[0])]
    print_ = next((at for at, number in enumerate(ordered) if number.sure >= SURE or number.decimals), len(ordered))
    return ordered[: print_ + 1]


def _of_one_style(one: PrintedNumber, other: PrintedNumber) -> bool:
    return _alike(one, other) and one.decimals == other.decimals and one.line.dark == other.line.dark


def _is_speck(number: PrintedNumber) -> bool:
    """Whether a number is a single doubtful digit, as what is no print at all is read."""
    return number.sure < SURE and abs(number.value) < 10 and number.decimals == 0


def _ticks(numbers: list[PrintedNumber], bar: Box) -> FoundScale | None:
    """The scale from three or more numbers along the bar, by the line that fits most of them."""
    upright = _is_upright(bar)
    start, stop = (bar[1], bar[3]) if upright else (bar[0], bar[2])
    beside = _aligned([number for number in numbers if _stands_along(number, bar) and number.sure >= SURE])
    if len(beside) < _LEAST_TICKS:
        return None
    places = np.array([number.middle[1] if upright else number.middle[0] for number in beside])
    values = np.array([number.value for number in beside])
    rounding = np.array([_TICK_SPREAD * 0.1**number.decimals for number in beside])
    best = np.zeros(len(beside), np.bool_)
    for one, other in itertools.combinations(range(len(beside)), 2):
        if abs(places[one] - places[other]) < 0.2 * (stop - start):
            continue
        slope = (values[other] - values[one]) / (places[other] - places[one])
        if (slope < 0) != upright or slope == 0:
            continue
        off = np.abs(values - values[one] - slope * (places - places[one]))
        fits = off < rounding + _PLACE_PX * abs(slope)
        if fits.sum() > best.sum():
            best = fits
    if best.sum() < _LEAST_TICKS or best.sum() < _MOST_TICKS_FIT * len(beside):
        return None
    slope, level = np.polyfit(places[best], values[best], 1)
    ends = [float(level + slope * place) for place in (start, stop)]
    fitting = [number for number, fits in zip(beside, best, strict=True) if fits]
    found = _snapped(ends, (start, stop), fitting, upright=upright, slope=abs(float(slope)))
    return None if _goes_on(numbers, bar, float(slope), float(level)) else found


def _goes_on(numbers: list[PrintedNumber], bar: Box, slope: float, level: float) -> bool:
    """Whether a number beyond the bar fits its ticks too: the bar goes on where it was not found."""
    upright = _is_upright(bar)
    start, stop = (bar[1], bar[3]) if upright else (bar[0], bar[2])
    for number in numbers:
        along = number.middle[1] if upright else number.middle[0]
        beyond = max(start - along, along - stop)
        if beyond < 1.5 * number.height or _gap_across(number, bar) > _ASIDE * number.height or number.sure < SURE:
            continue
        if abs(number.value - level - slope * along) < abs(slope) * number.height + 0.1**number.decimals:
            return True
    return False


def _aligned(numbers: list[PrintedNumber]) -> list[PrintedNumber]:
    """The most numbers of one height and ink that begin or end in one column, or that stand in one row."""

    def group(first: PrintedNumber, side: int) -> list[PrintedNumber]:
        near = _TICKS_IN_LINE * first.height
        return [
            other
            for other in numbers
            if abs(other.box[side] - first.box[side]) < near
            and _alike(first, other)
            and other.line.dark == first.line.dark
        ]

    return max((group(first, side) for first in numbers for side in (0, 2, 1)), key=len, default=[])


def _snapped(
    ends: list[float], places: tuple[int, int], fitting: list[PrintedNumber], *, upright: bool, slope: float
) -> FoundScale:
    """The scale of a fit; an end that is printed counts as printed."""
    for at, place in enumerate(places):
        nearest = min(fitting, key=lambda number: abs((number.middle[1] if upright else number.middle[0]) - place))
        along = nearest.middle[1] if upright else nearest.middle[0]
        if abs(along - place) < max(0.8 * nearest.height, 3.0) and abs(nearest.value - ends[at]) < 1.5 * (
            0.1**nearest.decimals + slope * nearest.height
        ):
            ends[at] = nearest.value
    low, high = (ends[1], ends[0]) if upright else (ends[0], ends[1])
    return FoundScale(low, high, Evidence.TICKS, tuple(fitting))


def _column(numbers: list[PrintedNumber], bar: Box | None, size: tuple[int, int]) -> FoundScale | None:
    """Two numbers of one style above each other at the left or right rim, the only such pair and alone there."""
    width, height = size
    pairs = []
    for high, low in itertools.permutations(numbers, 2):
        apart = low.middle[1] - high.middle[1]
        outer = [min(number.middle[0], width - number.middle[0]) < _RIM * width for number in (low, high)]
        if bar is not None and not all(_may_be_end(number, bar) for number in (low, high)):
            continue
        same = _of_one_style(low, high) and low.unit == high.unit
        if apart > _COLUMN_LENGTH * height and all(outer) and same and _in_column(low, high) and low.value < high.value:
            pairs.append((low, high))
    if len({(low.value, high.value) for low, high in pairs}) != 1:
        return None
    low, high = pairs[0]
    others = [number for number in numbers if number not in pairs[0] and (number.decimals or number.sure >= SURE)]
    if any(_is_in_column_of(other, low) and (other.decimals or _alike(other, low)) for other in others):
        return None  # ticks that were not all read
    return FoundScale(low.value, high.value, Evidence.COLUMN, pairs[0])


def _may_be_end(number: PrintedNumber, bar: Box) -> bool:
    """Whether a number stands beside the bar's line, but not along its inner part."""
    upright = _is_upright(bar)
    start, stop = (bar[1], bar[3]) if upright else (bar[0], bar[2])
    along = number.middle[1] if upright else number.middle[0]
    inner = start + _END_PART * (stop - start) < along < stop - _END_PART * (stop - start)
    return not inner and _gap_across(number, bar) < _ASIDE * number.height


def _in_column(one: PrintedNumber, other: PrintedNumber) -> bool:
    return _is_in_column_of(one, other) and _alike(one, other)


def _is_in_column_of(one: PrintedNumber, other: PrintedNumber) -> bool:
    """Whether two numbers begin or end in one column, one above the other."""
    begins, ends = abs(one.box[0] - other.box[0]), abs(one.box[2] - other.box[2])
    return min(begins, ends) < _IN_LINE * other.height


def _is_upright(bar: Box) -> bool:
    return bar[3] - bar[1] > bar[2] - bar[0]


def _stands_along(number: PrintedNumber, bar: Box) -> bool:
    """Whether a number stands beside the bar, between its ends or at them."""
    upright = _is_upright(bar)
    along = number.middle[1] if upright else number.middle[0]
    start, stop = (bar[1], bar[3]) if upright else (bar[0], bar[2])
    aside = _gap_across(number, bar)
    return start - 1.2 * number.height < along < stop + 1.2 * number.height and aside < _ASIDE * number.height


def _gap_across(number: PrintedNumber, bar: Box) -> float:
    """How far a number is beside the bar."""
    low, high = (0, 2) if _is_upright(bar) else (1, 3)
    return float(max(bar[low] - number.box[high], number.box[low] - bar[high], 0))


def _end_box(bar: Box, *, first: bool) -> Box:
    if _is_upright(bar):
        return (bar[0], bar[1], bar[2], bar[1]) if first else (bar[0], bar[3], bar[2], bar[3])
    return (bar[0], bar[1], bar[0], bar[3]) if first else (bar[2], bar[1], bar[2], bar[3])


def _gap(number: PrintedNumber, box: Box) -> float:
    dx = max(box[0] - number.box[2], 0, number.box[0] - box[2])
    dy = max(box[1] - number.box[3], 0, number.box[1] - box[3])
    return float(np.hypot(dx, dy))


def _alike(one: PrintedNumber, other: PrintedNumber) -> bool:
    return min(one.height, other.height) >= _ALIKE * max(one.height, other.height)
