"""Lines of print as thermal cameras draw them, with the place of each sign: what the sign reader learns from.

A line is drawn onto a ground, blurred, compressed and brought to the reader's size by the project's own code, so that
the reader learns from what it will see.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.analysis.thermography.reading.signs import SIGNS
from services.analysis.thermography.reading.strokes import LINE_HEIGHT, line_origin, line_picture, stand_out
from training.print.matrix import draw_matrix
from training.print.typefaces import font, signs_of

WIDTH = 128
"""Pixels in width of a training line: about a dozen signs."""

_MATRIX_SHARE = 0.05  # of the lines: signs of 5 by 7 dots, which no font file holds
_BARE_SHARE = 0.06  # of the lines: no print at all
_AS_READ = {"−": "-", "–": "-", "º": "°", "≈": "~", "°": "°"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the reader sees it; the centres are pixels of the picture from its left."""

    picture: NDArray[np.uint8]  # (LINE_HEIGHT, WIDTH), 200 for full ink
    classes: tuple[int, ...]
    centres: tuple[float, ...]


def draw_line(rng: np.random.Generator, faces: list[list[Path]]) -> Line:
    """Draw one line; what it says, its typeface and its flaws are drawn from ``rng``."""
    family = faces[rng.integers(len(faces))]
    path = family[rng.integers(len(family))]
    as_matrix = rng.random() < _MATRIX_SHARE
    text = "" if rng.random() < _BARE_SHARE else words(rng)
    known = frozenset("0123456789.,-°CFKEMAXINmaxin:") if as_matrix else signs_of(path)
    text = "".join(sign for sign in text if sign == " " or sign in known)
    tall = float(np.exp(rng.uniform(np.log(6), np.log(34))))
    mask, centres, (top, foot, left, right) = draw_matrix(text, tall) if as_matrix else _typeset(text, path, tall, rng)
    level = _ground(rng, mask.shape, top, foot)
    level = _clutter(rng, level, (left, top, right, foot))
    level = _inked(rng, level, mask)
    if rng.random() < 0.5:
        blurred = cv2.GaussianBlur(level, (0, 0), float(rng.uniform(0.3, 0.045 * tall + 0.35)))
        level = np.asarray(blurred, np.float64)
    level = level + rng.normal(0, rng.uniform(0, 5), level.shape)
    seen = _compressed(rng, np.clip(level, 0, 255).astype(np.uint8))
    longer = int(np.clip(tall * rng.uniform(16, 60), 9 * 14, 1024))
    above = stand_out(seen, longer)
    grow = 0.07 * tall + 0.6
    box = (
        round(left + rng.normal(0, 0.06 * tall)), round(top + rng.normal(0, grow / 2)),
        round(right + rng.normal(0, 0.06 * tall)), round(foot + rng.normal(0, grow / 2)),
    )  # fmt: skip
    box = (box[0], box[1], max(box[2], box[0] + 2), max(box[3], box[1] + 4))
    picture = line_picture(above, box)
    start, scale = line_origin(box)
    at = tuple((x - start) / scale for x in centres)
    shift = int(rng.integers(0, max(1, min(12, WIDTH - picture.shape[1] + 1)))) if picture.shape[1] < WIDTH else 0
    canvas = np.zeros((LINE_HEIGHT, WIDTH), np.float32)
    part = picture[:, : WIDTH - shift]
    canvas[:, shift : shift + part.shape[1]] = part
    kept = [(class_of(sign), x + shift) for sign, x in zip(text, at, strict=True) if x + shift < WIDTH - 3]
    return Line((canvas * 200).astype(np.uint8), tuple(one for one, _ in kept), tuple(x for _, x in kept))


def class_of(sign: str) -> int:
    """Return the class that a sign is read as."""
    plain = _AS_READ.get(sign, sign).lower()
    return SIGNS.index(plain if plain in SIGNS else "#") + 1


def words(rng: np.random.Generator) -> str:
    """Return what a line says: mostly a temperature with or without its unit and caption."""
    kind = rng.random()
    if kind < 0.72:
        return _temperature(rng)
    if kind < 0.77:
        return f"{_number(rng)} ± {abs(float(_number(rng, plain=True))):g}{_unit(rng)}"
    if kind < 0.88:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        return "".join(letters[at] for at in rng.integers(0, 52, rng.integers(2, 9)))
    if kind < 0.95:
        year, month, day, hour, minute = (
            int(rng.integers(a, b)) for a, b in ((2005, 2030), (1, 13), (1, 29), (0, 24), (0, 60))
        )
        forms = (
            f"{year}/{month:02}/{day:02}", f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}",
            f"{hour:02}:{minute:02}", f"{hour:02}:{minute:02}:{day:02}", f"{hour}:{minute:02} {'AP'[day % 2]}M",
            f"{day}.{month}.{year % 100:02}",
        )  # fmt: skip
        return forms[rng.integers(len(forms))]
    others = (
        f"ε=0.{rng.integers(80, 100)}", f"E:0.{rng.integers(80, 100)}", f"e=0.{rng.integers(80, 100)}",
        f"{rng.integers(1, 100)}%", f"{rng.integers(1, 40)}m", f"ε = 0.{rng.integers(80, 100)}",
        f"x{rng.integers(1, 9)}.{rng.integers(0, 9)}",
        f"{_number(rng, plain=True)},{_number(rng, plain=True)}", f"P{rng.integers(1, 9)}: {_number(rng)}",
        f"{rng.integers(1, 30)}fps",
    )  # fmt: skip
    return others[rng.integers(len(others))]


def _temperature(rng: np.random.Generator) -> str:
    captions = (
        "Max ", "Min ", "max ", "min ", "MAX:", "MIN:", "max:", "min:", "Max: ", "Min: ", "Spot ", "Sp1 ", "Avg ",
        "Hi ", "Lo ", "~", "~ ", ">", "<", "+", "T: ", "Center ", "H:", "L:", "C:", "Cen ", "Dew ",
    )  # fmt: skip
    caption = captions[rng.integers(len(captions))] if rng.random() < 0.22 else ""
    return caption + _number(rng) + _unit(rng)


def _number(rng: np.random.Generator, *, plain: bool = False) -> str:
    digits = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.56, 0.22, 0.02]))
    whole = "".join(str(rng.integers(0, 10)) for _ in range(digits))
    if len(whole) > 1:
        whole = str(rng.integers(1, 10)) + whole[1:]
    decimals = int(rng.choice([0, 1, 2], p=[0.32, 0.6, 0.08]))
    number = whole + ("." if plain else "." if rng.random() < 0.7 else ",") * bool(decimals)
    number += "".join(str(rng.integers(0, 10)) for _ in range(decimals))
    if plain or rng.random() > 0.25:
        return number
    return ("-", "-", "−", "–", "- ")[rng.integers(5)] + number


def _unit(rng: np.random.Generator) -> str:
    units = ("", "", "", "°C", " °C", "℃", "C", " C", "º C", "°F", " °F", "℉", "F", "ºF", "ºC", "°", "K", " K", "° C")
    return units[rng.integers(len(units))]


def _typeset(
    text: str, path: Path, tall: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[float], tuple[float, float, float, float]]:
    """Draw a text with digits ``tall`` high: its ink 0..1, the centres of its signs, and its top, foot, left, right."""
    over = 3 if rng.random() < 0.6 and tall < 24 else 1  # drawn larger and shrunk: strokes between two pixels
    reference = font(path, 64)
    box = reference.getbbox("0123456789")
    face = font(path, max(5, round(64 * tall * over / max(box[3] - box[1], 1))))
    _, up, _, down = face.getbbox("0123456789")
    pad = round(2.2 * (down - up))
    apart = round(rng.uniform(-0.04, 0.12) * (down - up)) if rng.random() < 0.25 else 0
    starts = [float(face.getlength(text[:at])) + at * apart for at in range(len(text) + 1)]
    width = round(starts[-1]) + 2 * pad
    image = Image.new("L", (max(width, 3 * over), round(down) + 2 * pad))
    pen = ImageDraw.Draw(image)
    bold = int(over > 1 and rng.random() < 0.15)
    if apart:
        for sign, x in zip(text, starts, strict=False):
            pen.text((pad + x, pad), sign, font=face, fill=255, stroke_width=bold)
    else:
        pen.text((pad, pad), text, font=face, fill=255, stroke_width=bold)
    shape = (round(image.width / over), round(image.height / over))
    mask = np.asarray(image, np.float32) / 255
    if over > 1:
        mask = np.asarray(cv2.resize(mask, shape, interpolation=cv2.INTER_AREA))
    stretched = float(rng.uniform(0.8, 1.25)) if rng.random() < 0.3 else 1.0
    if stretched != 1.0:
        mask = np.asarray(cv2.resize(mask, None, fx=stretched, fy=1, interpolation=cv2.INTER_LINEAR))
    along = stretched / over
    ends = [start + float(face.getlength(sign)) for sign, start in zip(text, starts, strict=False)]
    centres = [(pad + (a + b) / 2) * along for a, b in zip(starts, ends, strict=False)]
    tall_signs = [at for at, sign in enumerate(text) if sign.isalnum()]
    left = starts[tall_signs[0]] if tall_signs else 0.0
    right = ends[tall_signs[-1]] if tall_signs else starts[-1]
    inked = np.asarray(mask, np.float32)
    return inked, centres, ((pad + up) / over, (pad + down) / over, (pad + left) * along, (pad + right) * along)


def _ground(rng: np.random.Generator, shape: tuple[int, ...], top: float, foot: float) -> NDArray[np.float64]:
    """Draw what lies below print, seen in one channel: even, a slope, or a blurred scene, perhaps boxed."""
    height, width = shape
    base = float(rng.uniform(0, 150))
    kind = rng.random()
    level = np.full((height, width), base)
    if kind > 0.35:
        coarse = rng.normal(0, rng.uniform(5, 60), (rng.integers(2, 6), rng.integers(2, 9)))
        level = level + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.25:  # an edge of the scene
        x = int(rng.integers(0, width))
        edge = np.zeros((height, width))
        edge[:, x:] = rng.uniform(-60, 60)
        level = level + cv2.GaussianBlur(edge, (0, 0), float(rng.uniform(0.5, 4)))
    if rng.random() < 0.4:
        tall = foot - top
        y0, y1 = round(top - rng.uniform(0.1, 0.6) * tall), round(foot + rng.uniform(0.1, 0.6) * tall)
        x0, x1 = round(rng.uniform(0.5, 1.9) * tall), round(width - rng.uniform(0.5, 1.9) * tall)
        part = np.s_[max(y0, 0) : y1, max(x0, 0) : max(x1, 1)]
        level[part] = level[part] * (1 - (keep := rng.uniform(0.4, 1))) + keep * rng.uniform(0, 90)
        if rng.random() < 0.3:
            cv2.rectangle(level, (x0, y0), (x1, y1), float(rng.uniform(80, 255)), 1)
    return np.asarray(np.clip(level, 0, 230), np.float64)


def _clutter(
    rng: np.random.Generator, level: NDArray[np.float64], box: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """Draw what stands beside print: an axis with its tick, the side of a bar, parts of a crosshair, another line."""
    left, top, right, foot = box
    tall = foot - top
    middle = round((top + foot) / 2 + rng.normal(0, 0.06 * tall))
    shade = float(rng.uniform(120, 255))
    thick = max(1, round(rng.uniform(0.04, 0.12) * tall))
    chance = rng.random()
    if chance < 0.14:
        before = rng.random() < 0.6
        near = left - rng.uniform(0.1, 0.4) * tall if before else right + rng.uniform(0.1, 0.4) * tall
        far = near + (-1 if before else 1) * rng.uniform(0.5, 1.4) * tall
        cv2.line(level, (round(near), middle), (round(far), middle), shade, thick)
        if before or rng.random() < 0.5:  # without its axis, a tick before a number is a minus
            cv2.line(level, (round(far), 0), (round(far), level.shape[0]), shade, thick)
    elif chance < 0.24:
        x = round(left - rng.uniform(0.5, 2) * tall if rng.random() < 0.5 else right + rng.uniform(0.3, 2) * tall)
        cv2.rectangle(level, (x, 0), (x + round(rng.uniform(0.1, 1) * tall), level.shape[0]), shade, -1)
    elif chance < 0.32:
        x, y = round(rng.uniform(0, level.shape[1])), round(rng.choice([top - 0.6 * tall, foot + 0.6 * tall]))
        cv2.line(level, (x, y), (x + round(rng.uniform(1, 5) * tall), y), shade, thick)
    elif chance < 0.4:
        for _ in range(3):
            beyond = rng.uniform(right + 1.6 * tall, max(level.shape[1], right + 2 * tall))
            x = round(rng.choice([rng.uniform(0, max(left - 0.9 * tall, 1)), beyond]))
            cv2.circle(level, (x, round(rng.uniform(top, foot))), round(rng.uniform(0.1, 0.6) * tall) + 1, shade, thick)
    return level


def _inked(rng: np.random.Generator, level: NDArray[np.float64], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """Print: ink lighter than its ground, at times with a dark outline or half transparent."""
    shade = float(rng.uniform(0.62, 1) * 255)
    covers = float(rng.uniform(0.75, 1.0))
    if rng.random() < 0.3:
        around = cv2.dilate(mask, np.ones((3, 3), np.uint8))
        level = level * (1 - around * rng.uniform(0.5, 1))
    opaque = np.clip(mask * rng.uniform(1, 1.3), 0, 1) * covers
    ground = np.minimum(level, shade - rng.uniform(50, 90))
    return np.asarray(ground * (1 - opaque) + shade * opaque)


def _compressed(rng: np.random.Generator, level: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if rng.random() < 0.25:
        return level
    _, data = cv2.imencode(".jpg", level, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 97))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
