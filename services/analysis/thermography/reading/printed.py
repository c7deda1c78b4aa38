"""The scale and the spots that a camera prints on its picture.

Print is read in any typeface, light or dark (``strokes``, ``sign_reader``, ``numerals``). The scale follows from what
the numbers agree on: two ends of the colour bar, ticks along it, ``centre ± half``, or "max" and "min". Reading nothing
is fine, reading something wrong is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.basis.constants import ASSUMED_INSIDE, ASSUMED_OUTSIDE
from services.analysis.thermography.reading.numerals import (
    SURE,
    PlusMinus,
    PrintedNumber,
    Unit,
    in_celsius,
    numbers_of,
    unit_alone,
)
from services.analysis.thermography.reading.scales import Evidence, FoundScale, find_scale
from services.analysis.thermography.reading.sign_reader import MOST_PIXELS, read_signs
from services.analysis.thermography.reading.strokes import Box, TextLine, find_lines, ink, line_picture, without

_READING_SIDE_PX, _WORTH_ENLARGING = 480, 1.3  # much smaller pictures are enlarged to it; a little only blurs
_WIDEST, _NARROWEST = 2500.0, 0.3  # °C between the ends of a scale
_COLDEST_C, _HOTTEST_C = -60.0, 2000.0  # that cameras measure
_ROOM_SLACK = (4.0, 1.5)  # °C, below and above the typed temperatures, that a view of a room may lie
_NEAR_ROOM = (1.5, 6.0)  # °C that a range with a wall in it may lie above or below the room's air
_GOES_ON, _DIGIT_APART = 1.2, 0.5  # of a number's height: the gap to what it may be a part of; to its own digit
_SAME_FOOT = 0.2  # of the height, that print in one row differs
_AS_LONG = 0.75  # of a number's width, that another reading of it has at least
_NEAR, _WIDE = 0.5, 0.16  # of the height, beside a number: where a hidden digit stands, its least width
_STRONG, _FULL = 0.5, 0.85  # of a number's ink, and of its height, that a hidden digit has
_SECOND_LOOK = (0.93, 1.08)  # times as high is the line the second time that it is read


@dataclass(frozen=True, slots=True)
class PrintedSpot:
    """A temperature printed beside what it was measured at; the place is that of its label, in pixels."""

    celsius: float
    label: Box
    caption: str | None


@dataclass(frozen=True, slots=True)
class PrintedScale:
    """The scale printed on a picture, in °C."""

    low: float
    high: float
    unit: Unit
    unit_printed: bool  # False where only the context tells °C from °F
    evidence: Evidence
    spots: tuple[PrintedSpot, ...]


@dataclass(frozen=True, slots=True)
class _Page:
    """A picture's print."""

    inks: dict[bool, NDArray[np.uint8]]  # by whether it is dark
    numbers: list[PrintedNumber]
    units: frozenset[Unit]


def read_printed_range(
    rgb: NDArray[np.uint8], bar: Box | None, *, inside_c: float | None, outside_c: float | None
) -> tuple[float, float] | None:
    """Read the scale printed on a picture (h, w, 3): (cold end, hot end) in °C, or None."""
    scale = read_printed_scale(rgb, bar, inside_c=inside_c, outside_c=outside_c)
    return None if scale is None else (scale.low, scale.high)


def read_printed_scale(
    rgb: NDArray[np.uint8], bar: Box | None, *, inside_c: float | None, outside_c: float | None
) -> PrintedScale | None:
    """Read the scale printed on a picture (h, w, 3), or return None.

    ``bar`` is the colour bar's box in pixels of ``rgb``, None where none is known; the two temperatures are those that
    the homeowner typed, None where absent: where no unit is printed, they tell °C from °F.
    """
    enlarged = _READING_SIDE_PX / max(rgb.shape[:2])
    if enlarged < _WORTH_ENLARGING:
        enlarged = 1.0
    else:
        rgb = np.asarray(cv2.resize(rgb, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC), np.uint8)
    if bar is not None:
        x0, y0, x1, y1 = (round(value * enlarged) for value in bar)
        bar = (x0, y0, x1, y1)
    page = _Page({}, [], frozenset())
    # Few cameras print in dark ink. A bar that was found too long hides a number.
    for dark, blank in ((False, bar), (True, bar), *([(False, None)] if bar is not None else [])):
        page = _read_page(page, rgb, bar, blank, dark=dark)
        scale = _scale_on(page, bar, (rgb.shape[1], rgb.shape[0]), (inside_c, outside_c), enlarged)
        if scale is not None:
            return scale
    return None


def _scale_on(
    page: _Page, bar: Box | None, size: tuple[int, int], typed: tuple[float | None, float | None], enlarged: float
) -> PrintedScale | None:
    found = find_scale(page.numbers, bar, size)
    if found is None or not (found.evidence is Evidence.TICKS or _is_sure(page, found.numbers)):
        return None
    unit = _unit_of(found, page, *typed)
    if unit is None:
        return None
    low, high = in_celsius(found.low, unit[0]), in_celsius(found.high, unit[0])
    if not (_NARROWEST <= high - low <= _WIDEST and low >= _COLDEST_C and high <= _HOTTEST_C):
        return None
    return PrintedScale(low, high, unit[0], unit[1], found.evidence, _spots(page, found, unit[0], enlarged))


def _read_page(page: _Page, rgb: NDArray[np.uint8], bar: Box | None, blank: Box | None, *, dark: bool) -> _Page:
    """Read the print of one ink, and add it to what is read already."""
    above = ink(rgb, dark=dark)
    if blank is not None:
        above = without(above, blank)
    lines = _likeliest(find_lines(above, dark=dark), bar, rgb.shape[1], rgb.shape[0])
    read = read_signs([line_picture(above, line.box) for line in lines])
    numbers = [number for line, signs in zip(lines, read, strict=True) for number in numbers_of(line, signs)]
    numbers = [replace(number, sure=0.0) if _is_fragment(number, lines) else number for number in numbers]
    units = {number.unit for number in numbers if number.unit is not None and number.sure >= SURE}
    units |= {unit for signs in read if (unit := unit_alone(signs)) is not None}
    return _Page({**page.inks, dark: above}, _without_repeats([*page.numbers, *numbers]), page.units | units)


def _likeliest(lines: list[TextLine], bar: Box | None, width: int, height: int) -> list[TextLine]:
    """The lines that may be numbers of a scale or of a spot, likeliest first, as many as may be read."""

    def rank(line: TextLine) -> float:
        x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
        if bar is not None:
            beside = max(bar[0] - line.box[2], 0, line.box[0] - bar[2]) / width
            beyond = max(bar[1] - line.box[3], 0, line.box[1] - bar[3]) / height
            far = float(np.hypot(beside, beyond))
        else:
            far = min(x / width, 1 - x / width, y / height, 1 - y / height)
        long = (line.box[2] - line.box[0]) / line.height
        return far + (0.0 if 1.2 < long < 6 and line.signs > 1 else 0.15 if long > 0.9 else 0.3)

    chosen, pixels = [], 0.0
    for line in sorted(lines, key=rank):
        pixels += 14 * (line.box[2] - line.box[0]) / line.height + 56
        if pixels > MOST_PIXELS:
            break
        chosen.append(line)
    return chosen


def _is_fragment(number: PrintedNumber, lines: Sequence[TextLine]) -> bool:
    """Whether a number may be a part of another: print as high goes on beside it in its row.

    After decimals or a unit nothing goes on, and before decimals a caption stands farther away than a digit.
    """
    x0, _, x1, y1 = number.box
    for line in lines:
        level = abs(line.box[3] - y1) < _SAME_FOOT * number.height
        if not level or not 0.8 < line.height / number.height < 1.25:
            continue
        before, after = x0 - line.box[2], line.box[0] - x1
        begins = number.beside is PlusMinus.BEFORE
        if not begins and 0 < before < (_DIGIT_APART if number.decimals else _GOES_ON) * number.height:
            return True
        ends = number.decimals or number.unit is not None
        if not ends and 0 < after < _GOES_ON * number.height:
            return True
    return False


def _without_repeats(numbers: list[PrintedNumber]) -> list[PrintedNumber]:
    """Of numbers read in one place keep the longest; where another of its length says otherwise, it is doubtful."""
    kept: list[PrintedNumber] = []
    for number in sorted(numbers, key=_says, reverse=True):
        x, y = number.middle
        at = next((at for at, k in enumerate(kept) if k.box[0] <= x <= k.box[2] and k.box[1] <= y <= k.box[3]), None)
        if at is None:
            kept.append(number)
        elif _contradicts(number, kept[at]):
            kept[at] = replace(kept[at], sure=0.0)
    return kept


def _says(number: PrintedNumber) -> tuple[int, bool, bool, float]:
    """How much a number says: its length, a plus-minus sign beside it, its unit, and how sure it is."""
    return len(f"{number.value:g}"), number.beside is not None, number.unit is not None, number.sure


def _contradicts(one: PrintedNumber, other: PrintedNumber) -> bool:
    as_long = one.box[2] - one.box[0] > _AS_LONG * (other.box[2] - other.box[0])
    return as_long and one.sure >= SURE and (one.value, one.decimals) != (other.value, other.decimals)


def _is_sure(page: _Page, numbers: Sequence[PrintedNumber]) -> bool:
    """Whether each number is sure, and never reads otherwise when its line is taken a little larger or smaller.

    Nothing may be read then, but once at least the number is.
    """
    if min(number.sure for number in numbers) < SURE or any(_touches(page.inks[n.line.dark], n) for n in numbers):
        return False
    again = [(number, _resized(number.line.box, times)) for number in numbers for times in _SECOND_LOOK]
    read = read_signs([line_picture(page.inks[number.line.dark], box) for number, box in again])
    agreed = dict.fromkeys(numbers, 0)
    for (number, box), signs in zip(again, read, strict=True):
        others = numbers_of(TextLine(box, number.line.dark, number.line.signs), signs)
        near = [other for other in others if abs(other.middle[0] - number.middle[0]) < number.height]
        if any((other.value, other.decimals) != (number.value, number.decimals) for other in near):
            return False
        agreed[number] += bool(near)
    return min(agreed.values()) > 0


def _touches(above: NDArray[np.uint8], number: PrintedNumber) -> bool:
    """Whether something as tall as a digit stands right beside a number: a digit may be hidden there."""
    x0, y0, x1, y1 = number.box
    near = max(2, round(_NEAR * number.height))
    strong = _STRONG * float(np.quantile(above[max(y0, 0) : y1, max(x0, 0) : x1], 0.95))
    for left, right in ((x0 - near, x0), (x1, x1 + near)):
        beside = above[max(y0, 0) : y1, max(left, 0) : max(right, 0)] > strong
        if beside.size and (beside.mean(0) > _FULL).sum() > _WIDE * number.height:
            return True
    return False


def _resized(box: Box, times: float) -> Box:
    x0, y0, x1, y1 = box
    grow = max(1, round(abs(times - 1) * (y1 - y0) / 2)) * (1 if times > 1 else -1)
    return x0, y0 - grow, x1, y1 + grow


def _unit_of(
    found: FoundScale, page: _Page, inside_c: float | None, outside_c: float | None
) -> tuple[Unit, bool] | None:
    """The unit of a scale, and whether it is printed; None where that is open."""
    own = {number.unit for number in found.numbers if number.unit is not None}
    if len(own) > 1:
        return None
    if own:
        return own.pop(), True
    told = _unit_by_context(found, inside_c, outside_c)
    if not page.units:
        return None if told is None else (told, False)
    if len(page.units) > 1:
        return (told, True) if told in page.units else None
    unit = next(iter(page.units))
    # A unit elsewhere on the picture may be another number's: it must not contradict the context.
    return None if told is Unit.FAHRENHEIT and unit is not told else (unit, True)


def _unit_by_context(found: FoundScale, inside_c: float | None, outside_c: float | None) -> Unit | None:
    """The unit in which a scale suits the typed temperatures clearly better; None where there is none."""
    inside = float(ASSUMED_INSIDE) if inside_c is None else inside_c
    outside = float(ASSUMED_OUTSIDE) if outside_c is None else outside_c
    celsius, fahrenheit = (
        _likeness_to_room(in_celsius(found.low, unit), in_celsius(found.high, unit), inside, outside)
        for unit in (Unit.CELSIUS, Unit.FAHRENHEIT)
    )
    if celsius > fahrenheit:
        return Unit.CELSIUS
    if fahrenheit > max(celsius, 1):
        return Unit.FAHRENHEIT
    beyond = in_celsius(found.low, Unit.FAHRENHEIT) > max(inside, outside) + _ROOM_SLACK[1]
    return Unit.CELSIUS if beyond and celsius == fahrenheit else None  # warmer than any room in either unit


def _likeness_to_room(low: float, high: float, inside: float, outside: float) -> int:
    """Say how a range, in °C, suits a view of a room: 3 the room's air is within it, 2 near it, 1 around, 0 beyond."""
    if low - 1 < inside < high + 1:
        return 3
    if low - _NEAR_ROOM[0] < inside < high + _NEAR_ROOM[1]:
        return 2
    return int(low < max(inside, outside) + _ROOM_SLACK[1] and high > min(inside, outside) - _ROOM_SLACK[0])


def _spots(page: _Page, found: FoundScale, unit: Unit, enlarged: float) -> tuple[PrintedSpot, ...]:
    spots = []
    for number in page.numbers:
        if number in found.numbers or (number.unit is None and number.caption is None):
            continue
        x0, y0, x1, y1 = (round(value / enlarged) for value in number.box)
        spots.append(PrintedSpot(in_celsius(number.value, number.unit or unit), (x0, y0, x1, y1), number.caption))
    return tuple(spots)
