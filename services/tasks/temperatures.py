"""Temperatures as people type them.

A single comma or point is the decimal separator, whatever follows it: no room and no weather reaches a thousand
degrees, so that a separator of thousands cannot be meant.
"""

import math
import re
import unicodedata
from typing import NoReturn

from services.chassis.problems import Problem

WARMEST_F = 1000.0  # beyond it a number is a slip of the finger, not a temperature

_DEGREES = dict.fromkeys(map(ord, "º˚∘◦ᵒ⁰"), "°")  # signs that keyboards offer in place of the degree sign
_MINUSES = dict.fromkeys(map(ord, "‐‑‒–—―−˗﹣－⁻"), "-")
_SEPARATORS = dict.fromkeys(map(ord, ",，٫、"), ".")
_SIGNS = _DEGREES | _MINUSES | _SEPARATORS

_NUMBER = re.compile(r"([+-]?) ?(\d+\.?\d*|\.\d+)(?![\d.])")
_DEGREE_WORDS = re.compile(r"^(?:°|deg(?:rees?|\.)?(?![a-z])) ?")
_FAHRENHEIT = ("", "f", "fahrenheit")  # the app asks for °F, so that a bare number is one
_CELSIUS = ("c", "celsius", "centigrade")


def read_temperature(value: object, where: str) -> float | None:
    """Return a temperature in °F; None when nothing was typed.

    A bare number is °F; a number with °C is converted. Raise :class:`Problem` 422 for anything else, which tells the
    person what to correct; ``where`` (inside, outside) says which temperature it is.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = _plain(value)
        return _in_bounds(_typed(text, where), where) if text else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse_number(where)
    try:
        return _in_bounds(float(value), where)
    except OverflowError:
        _refuse_number(where)


def _plain(text: str) -> str:
    """Return ``text`` in lower case with plain digits, signs and spaces, and without invisible characters."""
    signed = "".join(
        "?" if unicodedata.category(one) == "No" else one for one in text.translate(_SIGNS)
    )  # 7² is not 72
    composed = unicodedata.normalize("NFKC", signed).translate(_SIGNS)
    visible = "".join(one for one in composed if unicodedata.category(one) != "Cf")
    return " ".join(visible.lower().split())


def _typed(text: str, where: str) -> float:
    number = _NUMBER.match(text)
    if number is None:
        _refuse_number(where)
    value = float(number[1] + number[2])
    unit = _DEGREE_WORDS.sub("", text[number.end() :].lstrip())
    if unit in _FAHRENHEIT:
        return value
    if unit in _CELSIUS:
        return round(value * 1.8 + 32.0, 2)
    raise Problem(
        422,
        f"The unit of the {where} temperature is not clear. "
        "Please give one number in °F, such as 71.5, or in °C, such as 22 °C.",
    )


def _in_bounds(number: float, where: str) -> float:
    if not math.isfinite(number) or abs(number) > WARMEST_F:
        _refuse_number(where)
    return number


def _refuse_number(where: str) -> NoReturn:
    raise Problem(422, f"The {where} temperature must be a number in °F, such as 71.5. Please correct it.")
