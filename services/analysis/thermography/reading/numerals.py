"""Temperatures among the signs of a print line: value, decimals, unit and caption. What is doubtful is no number."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.analysis.thermography.reading.sign_reader import ReadSign
from services.analysis.thermography.reading.strokes import Box, TextLine, line_origin

SURE = 0.65
"""The least certainty of each sign of a number (0..1); a number with a sign below it is not read."""

SURE_ALONE = 0.9
"""The same for the signs of a unit that stands alone, which less speaks for."""

SURE_UNIT = 0.5
"""The same for the letter of a unit behind a number: all units on a picture have to be the same."""

_NUMBER = re.compile(
    r"(?P<minus>- ?)?(?P<whole>\d{1,4})(?:[.,](?P<part>\d{1,2}))?(?P<unit> ?° ?[cfk]?(?![a-z])| ?[cfk](?![a-z]))?"
)
_UNIT = re.compile(r"[°0o] ?([cf])")  # a small raised o is read as one of these
_DIGITS_BEFORE_LETTER = 2
_LEAST_KELVIN = 200.0
_WITHIN = "0123456789.,-/%=#"  # a sign right beside a number that makes it something else
_CAPTIONS = {"max": "max", "min": "min"}
_NAMES = {"max", "min", "avg", "spot", "sp", "p", "t", "cen", "center", "hi", "lo", "h", "l", "c"}  # before a colon


class Unit(StrEnum):
    """A unit of temperature."""

    CELSIUS = "c"
    FAHRENHEIT = "f"
    KELVIN = "k"


class PlusMinus(StrEnum):
    """On which side of a number a plus-minus sign stands."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class PrintedNumber:
    """A number on the picture and where it stands."""

    value: float
    decimals: int
    unit: Unit | None
    caption: str | None  # "max" or "min"
    box: Box
    line: TextLine
    sure: float  # of the least certain sign
    beside: PlusMinus | None = None  # where a plus-minus sign stands

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]


def in_celsius(value: float, unit: Unit) -> float:
    """Return a temperature in °C."""
    if unit is Unit.FAHRENHEIT:
        return (value - 32) / 1.8
    return value - 273.15 if unit is Unit.KELVIN else value


def unit_alone(signs: Sequence[ReadSign]) -> Unit | None:
    """Return the unit that a line consists of, as ``°C`` in a corner."""
    text = "".join(sign.sign for sign in signs).strip()
    found = _UNIT.fullmatch(text)
    if found is None or "°" not in text or min(sign.sure for sign in signs) < SURE_ALONE:
        return None
    return Unit(found.group(1))


def numbers_of(line: TextLine, signs: Sequence[ReadSign]) -> list[PrintedNumber]:
    """Return the numbers of a line, left to right."""
    text = "".join(sign.sign for sign in signs)
    if _UNIT.fullmatch(text.strip()):
        return []
    return [
        _number(line, signs, match)
        for match in _NUMBER.finditer(text)
        if not _is_part_of_more(text, match.start(), match.end())
    ]


def _number(line: TextLine, signs: Sequence[ReadSign], match: re.Match[str]) -> PrintedNumber:
    text = match.string
    whole = [
        sign for sign in signs[match.start() : match.end("part" if match["part"] else "whole")] if sign.sign != " "
    ]
    origin, scale = line_origin(line.box)
    wide = 0.35 * line.height
    left, right = origin + whole[0].at * scale - wide, origin + whole[-1].at * scale + wide
    value = float(match["whole"] + "." + (match["part"] or "0"))
    before, after = text[: match.start()].rstrip(), text[match.end() :].lstrip()
    return PrintedNumber(
        -value if match["minus"] else value,
        len(match["part"] or ""),
        _unit(signs, match),
        _caption(before),
        (round(left), line.box[1], round(right), line.box[3]),
        line,
        min(sign.sure for sign in whole),
        PlusMinus.AFTER if after.startswith("±") else PlusMinus.BEFORE if before.endswith("±") else None,
    )


def _unit(signs: Sequence[ReadSign], match: re.Match[str]) -> Unit | None:
    """The unit behind a number, where it is sure; a letter without a degree sign counts after several digits only."""
    letter = (match["unit"] or "").strip(" °")
    if not letter or signs[match.start("unit") + match["unit"].index(letter)].sure < SURE_UNIT:
        return None
    if "°" not in match["unit"] and len(match["whole"] + (match["part"] or "")) < _DIGITS_BEFORE_LETTER:
        return None
    return Unit(letter) if letter != Unit.KELVIN or float(match["whole"]) >= _LEAST_KELVIN else None


def _is_part_of_more(text: str, start: int, end: int) -> bool:
    """Whether a number is a part of a date, a time, a percentage, a word."""
    before, after = text[:start].rstrip(" ")[-1:], text[end:][:1]
    if before == ":":
        words = re.findall(r"[a-z]+\d?(?= ?: ?$)", text[:start])
        return not words or words[-1].rstrip("0123456789") not in _NAMES
    if text[:start][-1:] in set(_WITHIN) or after in set(_WITHIN) or after == ":" or before == "=":
        return True
    return text[:start][-1:].isalpha() or after.isalpha()


def _caption(before: str) -> str | None:
    words = re.findall(r"[a-z]+", before)
    return _CAPTIONS.get(words[-1]) if words else None
