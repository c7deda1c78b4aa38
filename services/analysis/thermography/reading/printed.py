"""The scale that a camera prints on its picture: two numbers at the ends of the colour bar, or ``centre ± half``.

Not a general reader of text: print is light on dark, its signs are digits, a point and a minus, and what they must mean
is known. Signs are compared with the digits of two plain typefaces; a number counts only when each of its signs is
clearly one digit, and a pair only when it can be the scale of a picture taken between the inside and outside
temperatures. Reading nothing is fine, reading something wrong is not.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.basis.constants import ASSUMED_INSIDE, ASSUMED_OUTSIDE

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; the last two exclusive
Sign = NDArray[np.float32]
Part = tuple[int, int, int, int, int]  # x, y, width, height, label

_SIZE = (14, 20)  # width and height to which signs are brought
_DIGITS = "0123456789"
_OTHERS = "CFVScrImMvu%kLeEHxlTRAn()"  # signs that stand beside numbers and must not be taken for digits
_PRINTED_HEIGHTS_PX = (8.0, 13.0, 26.0)  # that the comparison prepares for
_ALIKE = 0.72  # least likeness to a digit
_CLEAR = 0.04  # by which the best digit leads the second
_PLUS_MINUS_ALIKE = 0.6
# How much print stands out, 0..255; the second parts signs of small print that touch, the third shows print on pale
# ground.
_PRINT_STEPS = (55, 110, 30)
_BAR_FRAME_PX = 1  # of a colour bar
_READING_SIDE_PX, _WORTH_ENLARGING = 640, 1.3  # much smaller pictures are enlarged to it; a little only blurs
_TALLEST, _SHORTEST_PX = 0.12, 10  # signs: of the picture's longer side; after the enlargement
_MOST_SIGNS = 400  # bounds the time for a picture full of bright specks
_SCALE_SPAN = (1.0, 120.0)  # °C between the ends of a scale of a building's picture


@dataclass(frozen=True, slots=True)
class PrintedNumber:
    """A number on the picture and where it stands."""

    value: float
    decimals: int
    box: Box
    line: int


@dataclass(frozen=True, slots=True)
class _Page:
    """Light strokes of a picture. Parts are rows of x, y, width, height, label."""

    above: NDArray[np.uint8]  # how much a pixel stands out
    labels: NDArray[np.int32]
    parts: NDArray[np.int64]

    def within(self, box: Box) -> NDArray[np.int64]:
        """The parts wholly inside a box."""
        x, y, w, h, _ = self.parts.T
        inside = (x >= box[0]) & (y >= box[1]) & (x + w <= box[2]) & (y + h <= box[3])
        return np.asarray(self.parts[inside], np.int64)


def read_printed_range(
    rgb: NDArray[np.uint8], bar: Box | None, *, inside_c: float | None, outside_c: float | None
) -> tuple[float, float] | None:
    """Read the scale printed on a picture (h, w, 3): (cold end, hot end) in °C, or None.

    ``bar`` is the colour bar's box in pixels of ``rgb``, None where none is known; the two temperatures are those that
    the homeowner typed, None where absent: they tell °C from °F, and a scale from numbers that mean something else.
    """
    enlarged = _READING_SIDE_PX / max(rgb.shape[:2])
    if enlarged < _WORTH_ENLARGING:
        enlarged = 1.0
    else:
        rgb = np.asarray(cv2.resize(rgb, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC), np.uint8)
    if bar is not None:
        x0, y0, x1, y1 = (round(value * enlarged) for value in bar)
        bar = (x0, y0, x1, y1)
    fullest: _Page | None = None
    numbers: list[PrintedNumber] = []
    for step in _PRINT_STEPS:
        page = _page(rgb, step, bar)
        fullest = fullest or page
        own = _numbers(page, fullest)
        numbers += own
        found = _around_plus_minus(page, own)
        if found is None and bar is not None and page is not fullest:  # each page may show a part of a number alone
            found = _at_ends(_without_parts(numbers), bar)
        if found is None:
            continue
        celsius = found
        fahrenheit = ((found[0] - 32) / 1.8, (found[1] - 32) / 1.8)
        for low, high in (celsius, fahrenheit):
            if _possible(low, high, inside_c, outside_c):
                return low, high
    return None


def _possible(low: float, high: float, inside_c: float | None, outside_c: float | None) -> bool:
    """Whether a picture taken in a room can have this scale: some of the room lies within it."""
    if not _SCALE_SPAN[0] <= high - low <= _SCALE_SPAN[1] or low < -40:
        return False
    inside = float(ASSUMED_INSIDE) if inside_c is None else inside_c
    outside = float(ASSUMED_OUTSIDE) if outside_c is None else outside_c
    coldest, warmest = min(inside, outside), max(inside, outside)
    return low < warmest + 1 and high > coldest + 0.4 * (inside - coldest) and low > coldest - 15


def _around_plus_minus(page: _Page, numbers: list[PrintedNumber]) -> tuple[float, float] | None:
    """The scale from two numbers of a line with nothing but a plus-minus sign between them."""
    for first, second in itertools.pairwise(numbers):
        tall = second.box[3] - second.box[1]
        gap = (first.box[2], second.box[1] - tall // 4, second.box[0], second.box[3] + tall // 4)
        if first.line != second.line or second.value <= 0 or not 0.5 * tall < gap[2] - gap[0] < 2.5 * tall:
            continue
        inside = page.within(gap)
        if not 1 <= len(inside) <= 2:
            continue
        x0, y0 = inside[:, :2].min(0)
        x1, y1 = (inside[:, :2] + inside[:, 2:4]).max(0)
        sign = np.where(np.isin(page.labels[y0:y1, x0:x1], inside[:, 4]), page.above[y0:y1, x0:x1], 0)
        if not 0.4 * tall < x1 - x0 < 1.1 * tall or not 0.5 * tall < y1 - y0 < 1.2 * tall:
            continue
        if (
            max(float((_normal(sign.astype(np.float32)) * template).sum()) for template in _plus_minus())
            > _PLUS_MINUS_ALIKE
        ):
            return first.value - second.value, first.value + second.value
    return None


def _at_ends(numbers: list[PrintedNumber], bar: Box) -> tuple[float, float] | None:
    """The numbers nearest to the two ends of the bar: above and below an upright one, left and right of a lying one."""
    x0, y0, x1, y1 = bar
    upright = y1 - y0 > x1 - x0
    length = y1 - y0 if upright else x1 - x0
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    ends = ((middle[0], y1), (middle[0], y0)) if upright else ((x0, middle[1]), (x1, middle[1]))
    chosen: list[PrintedNumber] = []
    for x, y in ends:
        near = [(_distance(number.box, x, y), number) for number in numbers]
        near = [(far, number) for far, number in near if far < max(2.5 * _tall(number), 0.25 * length)]
        if not near:
            return None
        chosen.append(min(near, key=lambda pair: pair[0])[1])
    low, high = chosen
    sizes = [_tall(number) for number in chosen]
    alike = low.decimals == high.decimals and max(sizes) < 1.25 * min(sizes)  # the two are printed in one style
    return (low.value, high.value) if alike and low is not high else None


def _tall(number: PrintedNumber) -> int:
    return number.box[3] - number.box[1]


def _distance(box: Box, x: float, y: float) -> float:
    dx = max(box[0] - x, 0.0, x - box[2])
    dy = max(box[1] - y, 0.0, y - box[3])
    return float(np.hypot(dx, dy))


def _page(rgb: NDArray[np.uint8], step: int, bar: Box | None) -> _Page:
    """The strokes that stand out by ``step``; the bar itself, which is as light and as high as a digit, is none."""
    red, green, blue = cv2.split(rgb)
    least = np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)
    side = max(9, max(least.shape) // 14) | 1
    above = np.asarray(cv2.morphologyEx(least, cv2.MORPH_TOPHAT, np.ones((side, side), np.uint8)), np.uint8)
    strokes = (above > step).astype(np.uint8)
    if bar is not None:
        x0, y0 = (max(value - _BAR_FRAME_PX, 0) for value in bar[:2])
        strokes[y0 : bar[3] + _BAR_FRAME_PX, x0 : bar[2] + _BAR_FRAME_PX] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    parts = np.hstack([stats[1:count], np.arange(1, count)[:, None]]).astype(np.int64)
    return _Page(above, np.asarray(labels, np.int32), parts[parts[:, 4] >= 4][:, [0, 1, 2, 3, 5]])


def _without_parts(numbers: list[PrintedNumber]) -> list[PrintedNumber]:
    """The numbers without those that are a part of another: of ``16.5`` a page may show ``6.5`` alone."""

    def part_of(small: PrintedNumber, large: PrintedNumber) -> bool:
        x0, y0, x1, y1 = large.box
        middle = ((small.box[0] + small.box[2]) / 2, (small.box[1] + small.box[3]) / 2)
        return x0 <= middle[0] <= x1 and y0 <= middle[1] <= y1 and len(str(small.value)) < len(str(large.value))

    return [number for number in numbers if not any(part_of(number, other) for other in numbers)]


def _numbers(page: _Page, fullest: _Page) -> list[PrintedNumber]:
    """All numbers in the picture, line by line from the left. One doubtful sign spoils its number.

    ``fullest`` is a page with faint strokes: a thin minus shows there.
    """
    longer = max(page.above.shape)
    _, _, w, h, _ = page.parts.T
    # Grown-together signs are wide, a one is narrow: both take part, so that no number loses a sign unnoticed.
    tall = page.parts[(h >= _SHORTEST_PX) & (h <= _TALLEST * longer) & (w >= 0.08 * h) & (w <= 5 * h)]
    tall = tall[np.argsort(-tall[:, 3], kind="stable")[:_MOST_SIGNS]]
    return [number for line, signs in enumerate(_lines(tall)) for number in _read_line(page, fullest, signs, line)]


def _lines(tall: NDArray[np.int64]) -> list[list[Part]]:
    """Signs of one height on one line and not far apart."""
    lines: list[list[Part]] = []
    for x, y, w, h, label in sorted(map(tuple, tall.tolist())):
        for line in lines:
            lx, ly, lw, lh, _ = line[-1]
            same_height = 0.8 < h / lh < 1.25
            if same_height and abs(y + h - ly - lh) < 0.2 * lh and -0.2 * lh < x - lx - lw < 2.5 * lh:
                line.append((x, y, w, h, label))
                break
        else:
            lines.append([(x, y, w, h, label)])
    return lines


def _read_line(page: _Page, fullest: _Page, signs: list[Part], line: int) -> list[PrintedNumber]:
    """The numbers of one line, left to right."""
    read = [_digit(page, sign) for sign in signs]
    numbers: list[PrintedNumber] = []
    at = 0
    while at < len(signs):
        if read[at] is None:
            at += 1
            continue
        first, text, gaps = at, str(read[at]), [0]
        while at + 1 < len(signs) and (joint := _joint(page, signs[at], signs[at + 1])) is not None:
            at += 1
            text += joint + (read[at] or "?")
            gaps += [] if joint else [signs[at][0] - signs[at - 1][0] - signs[at - 1][2]]
        x, y, _, tall, _ = signs[first]
        negative = _has_minus(page, signs[first])
        sure = negative == _has_minus(fullest, signs[first]) and not _follows(page, signs[first], gaps)
        if "?" not in text and text.count(".") <= 1 and sure:
            box = (x, y, signs[at][0] + signs[at][2], y + tall)
            numbers.append(
                PrintedNumber(-float(text) if negative else float(text), len(text.partition(".")[2]), box, line)
            )
        at += 1
    return numbers


def _joint(page: _Page, left: Part, right: Part) -> str | None:
    """How two signs belong to one number: directly, by a point, or (None) not at all."""
    start, stop, tall = left[0] + left[2], right[0], right[3]
    gap = stop - start
    between = page.within((start - 1, right[1] - tall // 5, stop + 1, right[1] + tall + tall // 4))
    for _, y, w, h, _ in between.tolist():
        low = abs(y + h - right[1] - tall) <= max(2.0, 0.15 * tall)
        if h <= 0.34 * tall and w <= 0.4 * tall and low and gap < 0.9 * tall:
            return "."
    return "" if not len(between) and gap < 0.45 * tall else None


def _follows(page: _Page, sign: Part, gaps: list[int]) -> bool:
    """Something as tall as a digit is close to the left of a sign: maybe a digit that was not recognised.

    How far the number's own digits stand apart, ``gaps`` in pixels, tells what is close.
    """
    x, y, _, tall, _ = sign
    near = max(0.18 * tall, 2 * max(gaps) + 1) if len(gaps) > 1 else 0.4 * tall
    px, py, pw, ph, _ = page.parts.T
    close = (px + pw > x - near) & (px < x) & (py < y + tall) & (py + ph > y)
    return bool((close & (ph >= 0.9 * tall) & (ph <= 2 * tall) & (pw <= 2 * tall)).any())


def _has_minus(page: _Page, sign: Part) -> bool:
    """A dash at half height before a number, and nothing else there."""
    x, y, _, tall, _ = sign
    found = page.within((x - round(0.95 * tall), y - tall // 5, x, y + tall + tall // 4)).tolist()
    if len(found) != 1:
        return False
    _, top, w, h, _ = found[0]
    middle = (top + h / 2 - y) / tall
    return bool(h <= 0.3 * tall and 0.2 * tall <= w <= 0.8 * tall and w >= 1.4 * h and 0.3 < middle < 0.8)


def _digit(page: _Page, sign: Part) -> str | None:
    """The digit that a sign is, or None."""
    x, y, w, h, label = sign
    if w > 1.15 * h:
        return None
    own = page.labels[y : y + h, x : x + w] == label
    picture = _normal(np.where(own, page.above[y : y + h, x : x + w], 0).astype(np.float32))
    names, templates, widths = _templates()
    scores = templates @ picture.ravel() - 0.8 * np.abs(widths - w / h)
    best = int(scores.argmax())
    others = scores[[name != names[best] for name in names]]
    if names[best] not in _DIGITS or scores[best] < _ALIKE or scores[best] - others.max() < _CLEAR:
        return None
    return names[best]


def _normal(sign: Sign) -> Sign:
    resized = cv2.resize(sign, _SIZE, interpolation=cv2.INTER_AREA)
    resized = cv2.GaussianBlur(resized, (0, 0), 0.8)
    resized = resized - resized.mean()
    return np.asarray(resized / max(float(np.linalg.norm(resized)), 1e-6), np.float32)


@cache
def _templates() -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]:
    """Signs in three typefaces and three sharpnesses: names, normalised pictures as rows, widths by height."""
    names: list[str] = []
    cuts: list[Sign] = []
    for name in _DIGITS + _OTHERS:
        drawn = [_typeset(name)]
        for face, thickness in ((cv2.FONT_HERSHEY_SIMPLEX, 7), (cv2.FONT_HERSHEY_DUPLEX, 5)):
            canvas = np.zeros((130, 130), np.uint8)
            cv2.putText(canvas, name, (20, 95), face, 2.6, 255, thickness, cv2.LINE_AA)
            drawn.append(canvas)
        names += [name] * len(drawn) * len(_PRINTED_HEIGHTS_PX)
        cuts += [_printed_at(canvas, height) for canvas in drawn for height in _PRINTED_HEIGHTS_PX]
    widths = np.array([cut.shape[1] / cut.shape[0] for cut in cuts], np.float32)
    return tuple(names), np.stack([_normal(cut).ravel() for cut in cuts]), widths


def _printed_at(canvas: NDArray[np.uint8], height: float) -> Sign:
    """A sign as it looks when printed ``height`` pixels high and enlarged again: blurred, and a little fatter."""
    tall = _cut(canvas).shape[0]
    small = cv2.resize(canvas, None, fx=height / tall, fy=height / tall, interpolation=cv2.INTER_AREA)
    return _cut(np.asarray(cv2.resize(small, canvas.shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8))


@cache
def _plus_minus() -> tuple[Sign, ...]:
    """The plus-minus sign as typeset, and drawn with thin and thick strokes."""
    pictures = [_cut(_typeset("±"))]
    for thick in (5, 9):
        canvas = np.zeros((70, 60), np.uint8)
        cv2.line(canvas, (5, 25), (55, 25), 255, thick)
        cv2.line(canvas, (30, 2), (30, 48), 255, thick)
        cv2.line(canvas, (5, 62), (55, 62), 255, thick)
        pictures.append(_cut(canvas))
    return tuple(_normal(picture) for picture in pictures)


def _typeset(sign: str) -> NDArray[np.uint8]:
    canvas = Image.new("L", (96, 110), 0)
    ImageDraw.Draw(canvas).text((12, 8), sign, font=ImageFont.load_default(64), fill=255)
    return np.asarray(canvas, np.uint8)


def _cut(drawn: NDArray[np.uint8]) -> Sign:
    """A drawn sign without its surroundings."""
    rows, columns = np.flatnonzero(drawn.max(1) > 64), np.flatnonzero(drawn.max(0) > 64)
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
