"""Thermal pictures with a printed scale in any typeface: several cameras' layouts, with what the scale says.

The typefaces are given by the caller, so that a reader can be shown others than it was trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from services.analysis.thermography.reading import palettes

Box = tuple[int, int, int, int]
Face = Callable[[int], ImageFont.FreeTypeFont | ImageFont.ImageFont]
"""Returns the typeface at a size in pixels."""


@dataclass(frozen=True, slots=True)
class ScalePicture:
    """A picture, its colour bar, and the ends of its scale in °C; what was typed makes the scale possible."""

    rgb: NDArray[np.uint8]
    bar: Box
    low_c: float
    high_c: float
    inside_c: float
    outside_c: float
    layout: str


@dataclass(slots=True)
class _Style:
    """How one picture prints its numbers."""

    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    height: float
    decimals: int
    comma: bool
    unit: str  # printed with each number, may be empty
    ink: tuple[int, int, int]
    boxed: bool
    outlined: bool

    def text(self, value: float) -> str:
        text = f"{value:.{self.decimals}f}"
        return (text.replace(".", ",") if self.comma else text) + self.unit


def draw_scale_picture(rng: np.random.Generator, face: Face) -> ScalePicture:
    """Draw one picture; all its choices come from ``rng``."""
    width, height = ((320, 240), (240, 320), (640, 480), (480, 640))[rng.integers(4)]
    inside, outside = float(rng.uniform(18, 24)), float(rng.uniform(-8, 12))
    fahrenheit = bool(rng.random() < 0.3)
    decimals = int(rng.random() < 0.75)
    low, high = _range(rng, inside, outside)
    shown = [value * 1.8 + 32 if fahrenheit else value for value in (low, high)]
    shown = [round(value, decimals) for value in shown]
    ends = [(value - 32) / 1.8 if fahrenheit else value for value in shown]
    named = bool(rng.random() < 0.45)
    letter = "F" if fahrenheit else "C"
    layout = ("ends", "ends", "ends", "beside", "lying", "ticks", "margin")[rng.integers(7)]
    tall = float(rng.uniform(7.5, 11) if layout == "margin" else rng.uniform(0.026, 0.05) * max(width, height) + 1)
    dark = layout == "margin"
    style = _Style(
        font=_sized(face, tall), height=tall, decimals=decimals, comma=bool(rng.random() < 0.3),
        unit=(f"°{letter}", f" °{letter}")[rng.integers(2)] if named and layout != "ticks" else "",
        ink=(10, 10, 10) if dark else (255, 255, 255), boxed=bool(rng.random() < 0.5),
        outlined=bool(rng.random() < 0.3),
    )  # fmt: skip
    listed = palettes.known()
    coloured = [
        one for one in listed if one.name in ("iron", "inferno", "rainbow", "jet", "plasma", "white-hot", "hot")
    ]
    palette = (coloured or list(listed))[rng.integers(len(coloured or listed))]
    colours = palette.colours.clip(0, 255).astype(np.uint8)
    rgb = colours[_scene(rng, width, height)]
    image = Image.fromarray(rgb)
    bar = _DRAWERS[layout](image, colours, style, shown, rng)
    spot = float(rng.uniform(*shown))
    if not style.unit:  # the unit is printed with a spot then, as cameras do
        corner = ImageDraw.Draw(image)
        text = style.text(spot) + f"°{letter}"
        if layout != "margin" or dark is False:
            _print(corner, text, (round(0.03 * width), round(0.03 * height)), style)
        elif rng.random() < 1:
            light = _Style(style.font, style.height, style.decimals, style.comma, "", (255, 255, 255), True, False)
            _print(corner, text, (round(0.03 * width), round(0.03 * height)), light)
    seen = np.asarray(image)
    if rng.random() < 0.8:
        _, data = cv2.imencode(".jpg", seen[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])
        seen = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return ScalePicture(np.ascontiguousarray(seen), bar, ends[0], ends[1], inside, outside, layout)


def _range(rng: np.random.Generator, inside: float, outside: float) -> tuple[float, float]:
    low = float(rng.uniform(outside - 4, inside - 2))
    high = float(max(low + 3, inside + rng.uniform(-3, 12)))
    if rng.random() < 0.1:  # warmer than any room
        low, high = float(rng.uniform(35, 80)), float(rng.uniform(90, 180))
    return low, high


def _sized(face: Face, tall: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    box = face(64).getbbox("0123456789")
    return face(max(6, round(64 * tall / (box[3] - box[1]))))


def _scene(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    coarse = rng.normal(0.5, 0.22, (rng.integers(3, 9), rng.integers(3, 9)))
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 5)):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        part = np.s_[y : y + int(rng.integers(8, height // 2)), x : x + int(rng.integers(8, width // 2))]
        field[part] += rng.normal(0, 0.25)
    field = cv2.GaussianBlur(field, (0, 0), float(rng.uniform(1, 3))) + rng.normal(0, 0.012, field.shape)
    return (field.clip(0, 1) * 255).astype(np.uint8)


def _print(pen: ImageDraw.ImageDraw, text: str, at: tuple[float, float], style: _Style) -> Box:
    """Print a text with its upper left corner at a place; return its box."""
    x0, y0, x1, y1 = (round(value) for value in pen.textbbox(at, text, font=style.font))
    if style.boxed:
        pen.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), fill=(0, 0, 0) if style.ink[0] > 127 else (255, 255, 255))
    stroke = int(style.outlined)
    pen.text(at, text, font=style.font, fill=style.ink, stroke_width=stroke,
             stroke_fill=(0, 0, 0) if style.ink[0] > 127 else (255, 255, 255))  # fmt: skip
    return x0, y0, x1, y1


def _size(pen: ImageDraw.ImageDraw, text: str, style: _Style) -> tuple[int, int, int, int]:
    return tuple(round(value) for value in pen.textbbox((0, 0), text, font=style.font))  # type: ignore[return-value]


def _paint_bar(image: Image.Image, colours: NDArray[np.uint8], bar: Box) -> None:
    x0, y0, x1, y1 = bar
    upright = y1 - y0 > x1 - x0
    steps = np.linspace(255, 0, y1 - y0) if upright else np.linspace(0, 255, x1 - x0)
    line = colours[steps.round().astype(int)]
    strip = np.repeat(line[:, None], x1 - x0, 1) if upright else np.repeat(line[None], y1 - y0, 0)
    ImageDraw.Draw(image).rectangle((x0 - 1, y0 - 1, x1, y1), outline=(0, 0, 0))
    image.paste(Image.fromarray(np.ascontiguousarray(strip)), (x0, y0))


def _ends(
    image: Image.Image, colours: NDArray[np.uint8], style: _Style, shown: list[float], rng: np.random.Generator
) -> Box:
    """An upright bar at the right, its numbers above and below."""
    pen = ImageDraw.Draw(image)
    wide = round(rng.uniform(0.02, 0.04) * image.width)
    top, bottom = round(rng.uniform(0.12, 0.3) * image.height), round(rng.uniform(0.75, 0.88) * image.height)
    right = image.width - round(rng.uniform(0.01, 0.05) * image.width) - 3
    bar = (right - wide, top, right, bottom)
    _paint_bar(image, colours, bar)
    for value, y in ((shown[1], None), (shown[0], bottom + 5)):
        _, y0, x1, y1 = _size(pen, style.text(value), style)
        at = (right - x1, (top - 6 - y1) if y is None else y - y0)
        _print(pen, style.text(value), at, style)
    return bar


def _beside(
    image: Image.Image, colours: NDArray[np.uint8], style: _Style, shown: list[float], rng: np.random.Generator
) -> Box:
    """An upright bar at the left, its numbers beside its ends."""
    pen = ImageDraw.Draw(image)
    wide = round(rng.uniform(0.02, 0.04) * image.width)
    top, bottom = round(rng.uniform(0.15, 0.3) * image.height), round(rng.uniform(0.55, 0.85) * image.height)
    left = round(rng.uniform(0.01, 0.03) * image.width) + 2
    bar = (left, top, left + wide, bottom)
    _paint_bar(image, colours, bar)
    for value, first in ((shown[1], True), (shown[0], False)):
        _, y0, _, y1 = _size(pen, style.text(value), style)
        _print(pen, style.text(value), (left + wide + 6, top - y0 if first else bottom - y1), style)
    return bar


def _lying(
    image: Image.Image, colours: NDArray[np.uint8], style: _Style, shown: list[float], rng: np.random.Generator
) -> Box:
    """A lying bar at the bottom, its numbers left and right of it."""
    pen = ImageDraw.Draw(image)
    tall = max(7, round(0.8 * style.height))
    y = image.height - round(rng.uniform(0.02, 0.06) * image.height) - tall - 4
    left, right = round(0.26 * image.width), round(0.74 * image.width)
    bar = (left, y, right, y + tall)
    _paint_bar(image, colours, bar)
    for value, first in ((shown[0], True), (shown[1], False)):
        _, y0, x1, y1 = _size(pen, style.text(value), style)
        middle = y + tall / 2 - (y0 + y1) / 2
        _print(pen, style.text(value), (left - 6 - x1 if first else right + 7, middle), style)
    return bar


def _ticks(
    image: Image.Image, colours: NDArray[np.uint8], style: _Style, shown: list[float], rng: np.random.Generator
) -> Box:
    """An upright bar at the right, light numbers along it on the picture."""
    return _ticked(image, colours, style, shown, rng, margin=False)


def _margin(
    image: Image.Image, colours: NDArray[np.uint8], style: _Style, shown: list[float], rng: np.random.Generator
) -> Box:
    """A white margin at the right with a bar, an axis, and dark numbers along it."""
    return _ticked(image, colours, style, shown, rng, margin=True)


def _ticked(
    image: Image.Image,
    colours: NDArray[np.uint8],
    style: _Style,
    shown: list[float],
    rng: np.random.Generator,
    *,
    margin: bool,
) -> Box:
    pen = ImageDraw.Draw(image)
    count = int(rng.integers(4, 9))
    top, bottom = round(0.06 * image.height), round(0.94 * image.height)
    widest = max(_size(pen, style.text(value), style)[2] for value in shown)
    wide = round(rng.uniform(0.02, 0.035) * image.width)
    left = image.width - widest - wide - 22
    if margin:
        pen.rectangle((left - 8, 0, image.width, image.height), fill=(255, 255, 255))
    else:
        style.boxed = False
    bar = (left, top, left + wide, bottom)
    _paint_bar(image, colours, bar)
    axis = left + wide + 4
    if margin:
        pen.line((axis, top, axis, bottom), fill=style.ink)
    for part in np.linspace(0, 1, count):
        y = top + (bottom - top) * part
        value = shown[1] + (shown[0] - shown[1]) * part
        if margin:
            pen.line((axis, y, axis + 5, y), fill=style.ink)
        _, y0, _, y1 = _size(pen, style.text(value), style)
        _print(pen, style.text(value), (axis + 8, y - (y0 + y1) / 2), style)
    return bar


_DRAWERS = {"ends": _ends, "beside": _beside, "lying": _lying, "ticks": _ticks, "margin": _margin}
