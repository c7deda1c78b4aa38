"""The report image: what a homeowner sees first, made to be read on a phone.

A title with the severity, the colour photo beside the thermal photo with the leaks outlined and numbered (worst
first), and a legend. 1080 pixels wide, a JPEG under 400 KB, drawn anew from pixels, so that nothing of the
photos' metadata (a place, a time) is in it. Text uses the font that Pillow carries: no system font is assumed.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contracts.reports import Severity
from services.analysis.thermography.reading.pictures import fit

Rgb = NDArray[np.uint8]

WIDTH_PX = 1080
MOST_BYTES = 400_000
_THUMBNAIL_PX = 360
_MARGIN = 24
_GAP = 12
_TALLEST_PANEL = 720
_QUALITIES = (88, 80, 70, 60, 45, 30)

_PAPER = (250, 250, 248)
_INK = (28, 32, 38)
_GREY = (96, 102, 110)
# What the font has no shape for, in its nearest plain form.
_PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "²": "2", "≈": "~"})
_BAND = {
    Severity.HIGH: (176, 32, 38),
    Severity.MODERATE: (196, 98, 0),
    Severity.LOW: (138, 112, 0),
    Severity.NONE: (24, 120, 72),
    Severity.UNKNOWN: (84, 92, 104),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One leak on the thermal photo and its line in the legend."""

    number: int
    outline: tuple[tuple[float, float], ...]  # polygon in fractions of the width and height of what is shown
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Panel:
    """The photos of one observation with its leaks."""

    thermal: Rgb | None  # upright, what is shown of it
    colour: Rgb | None  # upright
    marks: tuple[Mark, ...]
    caption: str  # above the photos, empty where there is only one observation


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that the report image says."""

    severity: Severity
    title: str
    subtitle: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]  # at the foot


def draw_sheet(sheet: Sheet) -> bytes:
    """Draw the report image; returns a JPEG of at most :data:`MOST_BYTES`."""
    strips = [_header(sheet)]
    for panel in sheet.panels:
        strips += _panel(panel)
    strips += _foot(sheet.notes)
    image = Image.new("RGB", (WIDTH_PX, sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        image.paste(strip, (0, top))
        top += strip.height
    return encode_jpeg(image, MOST_BYTES)


def draw_thumbnail(panel: Panel) -> bytes:
    """Draw the thermal photo with its outlines, small, or the colour photo where there is none; a JPEG of some KB.

    ``panel`` has at least one photo.
    """
    photo = panel.colour if panel.thermal is None else np.asarray(_with_marks(panel.thermal, panel.marks))
    if photo is None:
        raise ValueError("A thumbnail needs a photo")
    height, width = photo.shape[:2]
    thumbnail = Image.fromarray(_resized(photo, fit((width, height), _THUMBNAIL_PX)))
    return encode_jpeg(thumbnail, MOST_BYTES // 8)


def encode_jpeg(image: Image.Image, most_bytes: int) -> bytes:
    """Encode with the best quality that fits; smaller where even the least quality does not."""
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, optimize=quality != _QUALITIES[0])
            if buffer.tell() <= most_bytes:
                return buffer.getvalue()
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def _header(sheet: Sheet) -> Image.Image:
    lines = _wrapped(sheet.subtitle, 32, WIDTH_PX - 2 * _MARGIN)
    height = 96 + 42 * len(lines)
    image = Image.new("RGB", (WIDTH_PX, height), _BAND[sheet.severity])
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 18), sheet.title, font=_font(56), fill="white")
    for i, line in enumerate(lines):
        draw.text((_MARGIN, 88 + 42 * i), line, font=_font(32), fill="white")
    return image


def _panel(panel: Panel) -> list[Image.Image]:
    """The photos side by side, then the legend."""
    photos = [photo for photo in (panel.colour, panel.thermal) if photo is not None]
    strips = [_text_strip(panel.caption, 32, _INK)] if panel.caption else []
    room = WIDTH_PX - 2 * _MARGIN - _GAP * (len(photos) - 1)
    # One height for both, so that the same things stand beside each other.
    height = min(_TALLEST_PANEL, int(room / sum(photo.shape[1] / photo.shape[0] for photo in photos)))
    cells = [_resized(photo, (max(1, round(photo.shape[1] * height / photo.shape[0])), height)) for photo in photos]
    images = [Image.fromarray(cell) for cell in cells]
    if panel.thermal is not None:
        images[-1] = _with_marks(cells[-1], panel.marks)
    canvas = Image.new("RGB", (WIDTH_PX, height + 2 * _GAP), _PAPER)
    x = (WIDTH_PX - sum(image.width for image in images) - _GAP * (len(images) - 1)) // 2
    for image in images:
        canvas.paste(image, (x, _GAP))
        x += image.width + _GAP
    strips.append(canvas)
    strips += [_legend_row(mark) for mark in panel.marks]
    return strips


def _resized(photo: Rgb, size: tuple[int, int]) -> Rgb:
    """Scale to ``size`` (w, h).

    Pixels are averaged by fours as long as that leaves enough. Of what is then less than twice as large, interpolation
    skips no pixel: it takes an eighth of the time of an average by area.
    """
    smooth = cv2.INTER_LINEAR if size[1] < photo.shape[0] else cv2.INTER_CUBIC
    while photo.shape[1] >= 2 * size[0] and photo.shape[0] >= 2 * size[1]:
        half = photo.shape[1] // 2, photo.shape[0] // 2
        photo = np.asarray(cv2.resize(photo, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(photo, size, interpolation=smooth), np.uint8)


def _with_marks(photo: Rgb, marks: Sequence[Mark]) -> Image.Image:
    """Outline the leaks. White on black is seen on every palette; the number stands at the outline's top."""
    photo = photo.copy()
    height, width = photo.shape[:2]
    outlines = [np.round(np.array(mark.outline) * (width - 1, height - 1)).astype(np.int32) for mark in marks]
    for outline in outlines:
        small = np.ptp(outline, axis=0).min() < 40  # a bold line would hide what it encloses
        for thickness, colour in ((5 if small else 9, (0, 0, 0)), (2 if small else 4, (255, 255, 255))):
            cv2.polylines(photo, [outline], True, colour, thickness, cv2.LINE_AA)
    image = Image.fromarray(photo)
    draw = ImageDraw.Draw(image)
    taken: list[tuple[float, float]] = []
    for mark, outline in zip(marks, outlines, strict=True):
        place = _free_place(outline, taken, (width, height))
        taken.append(place)
        _disc(draw, place, mark.number)
    return image


def _free_place(
    outline: NDArray[np.int32], taken: Sequence[tuple[float, float]], size: tuple[int, int]
) -> tuple[float, float]:
    """Where a number fits: on or above the outline's top, inside the photo, clear of other numbers where possible."""
    radius = 26
    lift = radius + 4 if np.ptp(outline, axis=0).max() < 300 else 0  # a number must not cover a small leak
    from_the_top = outline[np.argsort(outline[:, 1], kind="stable")] - (0, lift)
    most = np.maximum(np.subtract(size, radius), radius)
    places: list[tuple[float, float]] = [(x, y) for x, y in np.clip(from_the_top, radius, most).tolist()]
    for x, y in places:
        if all((x - a) ** 2 + (y - b) ** 2 > (2 * radius) ** 2 for a, b in taken):
            return x, y
    return places[0]


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], number: int) -> None:
    x, y = centre
    colour = _BAND[Severity.HIGH] if number == 1 else _INK
    draw.ellipse((x - 24, y - 24, x + 24, y + 24), fill=colour, outline="white", width=3)
    draw.text((x, y), str(number), font=_font(32), fill="white", anchor="mm")


def _legend_row(mark: Mark) -> Image.Image:
    image = Image.new("RGB", (WIDTH_PX, 88), _PAPER)
    draw = ImageDraw.Draw(image)
    _disc(draw, (_MARGIN + 26, 44), mark.number)
    draw.text((_MARGIN + 70, 8), mark.title, font=_font(34), fill=_INK)
    draw.text((_MARGIN + 70, 48), mark.detail, font=_font(28), fill=_GREY)
    return image


def _foot(notes: Sequence[str]) -> list[Image.Image]:
    return [*(_text_strip(note, 26, _GREY) for note in notes), Image.new("RGB", (WIDTH_PX, _GAP), _PAPER)]


def _text_strip(text: str, size: int, colour: tuple[int, int, int]) -> Image.Image:
    lines = _wrapped(text, size, WIDTH_PX - 2 * _MARGIN)
    step = round(size * 1.3)
    image = Image.new("RGB", (WIDTH_PX, step * len(lines) + 8), _PAPER)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, 4 + step * i), line, font=_font(size), fill=colour)
    return image


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Break a text into lines of at most ``width`` pixels: between words, within one that is longer than a line."""
    font = _font(size)
    lines: list[str] = []
    for word in text.translate(_PLAIN).split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) <= width:
                lines[-1] += letter
            else:
                lines.append(letter)
    return lines


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType, so it has no scalable font")
    return font
