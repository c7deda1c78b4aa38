"""How a measured scene becomes the files that a phone sends: palette and printing, R-JPEG, colour photo, EXIF.

Layouts follow what cameras and phone apps save: the thermal picture bare, with a bar, numbers, a spot and a logo over
it, inset in a grey photo with a bar beside it, with rounded corners and margins, or with a photo inset in it.
"""

import io
import struct
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tests.synthetic import palettes
from tests.synthetic.physics import Field
from tests.synthetic.plane import Rng

Picture = NDArray[np.uint8]
Window = tuple[int, int, int, int]  # x0, y0, x1, y1 of the thermal area in the upright picture


class Layout(StrEnum):
    """What the app prints around and over the thermal picture."""

    PLAIN = "plain"
    HANDHELD = "handheld"
    INSET = "inset in a grey photo"
    ROUNDED = "rounded margins"
    PICTURE_IN_PICTURE = "picture in picture"
    BLENDED = "blended with the grey photo"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn thermal picture, upright."""

    picture: Picture
    window: Window
    covered: NDArray[np.bool_]  # (h, w): printing or something else hides the scene here
    spot: tuple[tuple[int, int], float] | None  # (x, y) and the temperature printed for it


def temperature_scale(rng: Rng, measured: Field, room: float) -> tuple[float, float]:
    """The ends of the palette: automatic over the picture, or set by hand so that something clips."""
    low, high = float(measured.min()), float(measured.max())
    if rng.random() < 0.7:
        margin = 0.02 * (high - low)
        return round(low - margin, 1), round(high + margin, 1)
    span = min(max(high, room + 1) - low, rng.uniform(9, 18))
    bottom = np.floor(low + rng.uniform(-1.0, 0.15 * span))
    return float(bottom), float(np.ceil(max(bottom + span, room + rng.uniform(1, 4))))


def colourise(temperature: Field, scale: tuple[float, float], colours: Picture) -> Picture:
    """Temperatures through a palette of 256 colours, RGB."""
    level = (temperature - scale[0]) / max(scale[1] - scale[0], 0.1) * 255
    return np.asarray(colours[np.clip(np.rint(level), 0, 255).astype(np.uint8)], np.uint8)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(8, round(size)))


def _bar(canvas: Picture, window: Window, colours: Picture, *, across: bool) -> None:
    x0, y0, x1, y1 = window
    length = (x1 - x0) if across else (y1 - y0)
    ramp = colours[np.linspace(0, 255, length).astype(int)]
    canvas[y0:y1, x0:x1] = ramp[None, :] if across else ramp[::-1][:, None]


def draw(
    rng: Rng,
    measured: Field,
    *,
    layout: Layout,
    palette: str,
    scale: tuple[float, float],
    size: tuple[int, int],
    grey: Picture,
) -> Drawn:
    """The picture that the app saves, ``size`` (width, height); ``grey`` is the visible scene for insets, (h, w)."""
    width, height = size
    window = _window(layout, size)
    x0, y0, x1, y1 = window
    enlarging = cv2.INTER_CUBIC if rng.random() < 0.8 else cv2.INTER_NEAREST
    shown = np.asarray(cv2.resize(measured, (x1 - x0, y1 - y0), interpolation=enlarging), np.float32)
    colours = palettes.table(palette, rng)
    thermal = colourise(shown, scale, colours)
    covered = np.ones((height, width), bool)
    covered[y0:y1, x0:x1] = False
    background = np.repeat(cv2.resize(grey, size, interpolation=cv2.INTER_AREA)[..., None], 3, 2)
    if layout is Layout.ROUNDED:
        background[:] = rng.choice([0, 255, 30])
    canvas: Picture = np.ascontiguousarray(background, np.uint8)
    if layout is Layout.HANDHELD and rng.random() < 0.3:  # edges of the photo are drawn into the thermal picture
        lens = cv2.GaussianBlur(grey, (0, 0), 0.004 * max(size)).astype(np.float32)
        edges = (grey.astype(np.float32) - lens) * rng.uniform(0.4, 0.9)
        thermal = np.clip(thermal + np.clip(edges, -35, 35)[..., None], 0, 255).astype(np.uint8)
    if layout is Layout.BLENDED:
        share = rng.uniform(0.45, 0.65)
        thermal = np.asarray(thermal * share + canvas[y0:y1, x0:x1] * (1 - share), np.uint8)
    canvas[y0:y1, x0:x1] = thermal

    if layout is Layout.ROUNDED:
        radius = round(0.08 * min(x1 - x0, y1 - y0))
        stencil = Image.new("L", (x1 - x0, y1 - y0), 0)
        ImageDraw.Draw(stencil).rounded_rectangle((0, 0, x1 - x0 - 1, y1 - y0 - 1), radius, fill=255)
        outside = np.asarray(stencil) == 0
        canvas[y0:y1, x0:x1][outside] = background[y0:y1, x0:x1][outside]
        covered[y0:y1, x0:x1] |= outside
    if layout is Layout.PICTURE_IN_PICTURE:
        w, h = round((x1 - x0) * 0.33), round((y1 - y0) * 0.33)
        px, py = (x0, y1 - h) if rng.random() < 0.5 else (x1 - w, y0)
        small = cv2.resize(grey, (w, h), interpolation=cv2.INTER_AREA)[..., None]
        canvas[py : py + h, px : px + w] = np.clip(small * rng.uniform(0.85, 1.1, 3), 0, 255)
        covered[py : py + h, px : px + w] = True
    untouched = canvas.copy()
    spot = _print(rng, canvas, window, layout, colours, scale, shown)
    covered[y0:y1, x0:x1] |= (canvas != untouched).any(-1)[y0:y1, x0:x1]
    return Drawn(canvas, window, covered, spot)


def _window(layout: Layout, size: tuple[int, int]) -> Window:
    width, height = size
    if layout is Layout.INSET or layout is Layout.BLENDED:
        x0, y0 = round(0.145 * width), round(0.118 * height)
        return x0, y0, x0 + round(0.713 * width), y0 + round(0.765 * height)
    if layout is Layout.ROUNDED:
        margin_x, margin_y = round(0.03 * width), round(0.07 * height)
        return margin_x, margin_y, width - margin_x, height - margin_y
    return 0, 0, width, height


def _print(
    rng: Rng,
    canvas: Picture,
    window: Window,
    layout: Layout,
    colours: Picture,
    scale: tuple[float, float],
    shown: Field,
) -> tuple[tuple[int, int], float] | None:
    """Draw bar, numbers, spot and logo into ``canvas``; return the spot."""
    if layout is Layout.PLAIN:
        return None
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    unit = min(width, height)
    inset = layout in (Layout.INSET, Layout.BLENDED)
    if inset:
        _bar(canvas, (x0 - round(0.045 * width), y0 + 4, x0 - round(0.018 * width), y1 - 4), colours, across=False)
    elif rng.random() < 0.75:
        bar = (x1 - round(0.06 * unit), y0 + round(0.2 * height), x1 - round(0.025 * unit), y1 - round(0.2 * height))
        canvas[bar[1] - 1 : bar[3] + 1, bar[0] - 1 : bar[2] + 1] = 255
        _bar(canvas, bar, colours, across=False)
    else:
        bar = (x0 + round(0.25 * width), y1 - round(0.06 * unit), x1 - round(0.25 * width), y1 - round(0.025 * unit))
        canvas[bar[1] - 1 : bar[3] + 1, bar[0] - 1 : bar[2] + 1] = 255
        _bar(canvas, bar, colours, across=True)

    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    cx, cy = (x0 + x1) // 2, (y0 + y1) // 2
    reading = float(cv2.GaussianBlur(shown, (0, 0), max(0.5, 0.004 * unit))[min(height // 2, height - 1), width // 2])
    ink = (40, 140, 140) if inset else (255, 255, 255)
    font = _font(0.07 * unit)
    line = max(1, round(0.004 * unit))
    arm = round(0.1 * unit)
    printed = None
    if inset or rng.random() < 0.7:
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            pen.line((cx + dx * arm * 0.35, cy + dy * arm * 0.35, cx + dx * arm, cy + dy * arm), fill=ink, width=line)
        if inset:
            pen.text((cx + 6, cy - 0.13 * unit), f"{reading:.2f}°C", font=font, fill=ink)
        else:
            pen.rectangle((x0 + 4, y0 + 4, x0 + 0.36 * unit, y0 + 0.115 * unit), fill=(20, 20, 20))
            pen.text((x0 + 8, y0 + 0.01 * unit + 4), f"{reading:.1f} °C", font=font, fill=(255, 255, 255))
        printed = ((cx, cy), round(reading, 2))
    if inset:
        middle, half = sum(scale) / 2, (scale[1] - scale[0]) / 2
        pen.rectangle((0, 0, image.width, y0 - 0.02 * unit), fill=(70, 70, 70))
        pen.text(
            (4, 2),
            f"Sc {middle:.1f} ± {half:.1f}°C   Fr {rng.integers(200)}",
            font=_font(0.065 * unit),
            fill=(255, 255, 255),
        )
        pen.text((4, y1 + 4), "Front room", font=_font(0.045 * unit), fill=ink)
    else:
        numbers = _font(0.055 * unit)
        if bar[2] - bar[0] < bar[3] - bar[1]:
            for value, y in ((scale[1], bar[1] - 0.075 * unit), (scale[0], bar[3] + 0.015 * unit)):
                text = f"{value:.1f}"
                left = x1 - 0.012 * unit - pen.textlength(text, font=numbers)
                pen.rectangle((left - 4, y, x1 - 2, y + 0.062 * unit), fill=(25, 25, 25))
                pen.text((left, y), text, font=numbers, fill=(255, 255, 255))
        else:
            pen.text(
                (bar[0] - 0.14 * unit, bar[1] - 0.02 * unit), f"{scale[0]:.1f}", font=numbers, fill=(255, 255, 255)
            )
            pen.text(
                (bar[2] + 0.02 * unit, bar[1] - 0.02 * unit), f"{scale[1]:.1f}", font=numbers, fill=(255, 255, 255)
            )
        if rng.random() < 0.6:
            logo = _font(0.06 * unit)
            pen.text((x1 - 0.27 * unit, y0 + 6), "THERMO", font=logo, fill=(255, 255, 255))
    canvas[:] = np.asarray(image)
    return printed


def colour_photo(
    rng: Rng, paint: NDArray[np.float32], size: tuple[int, int], homography: NDArray[np.float64]
) -> Picture:
    """The plane's paint in room light, from a lens beside the thermal one; RGB, ``size`` (width, height)."""
    shift = rng.normal(0, 0.02, 2) * size
    zoom = rng.uniform(0.98, 1.06)
    centre = np.array(size) / 2
    widen = np.array(
        [
            [1 / zoom, 0, centre[0] * (1 - 1 / zoom) + shift[0]],
            [0, 1 / zoom, centre[1] * (1 - 1 / zoom) + shift[1]],
            [0, 0, 1],
        ]
    )
    image = cv2.warpPerspective(paint, widen @ homography, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j].astype(np.float32)
    light = 1.0 + rng.uniform(-0.2, 0.2) * x + rng.uniform(-0.15, 0.15) * y - 0.12 * (x**2 + y**2)
    warm = np.array([1.0, rng.uniform(0.93, 1.0), rng.uniform(0.8, 1.0)], np.float32)
    # Grain is drawn small and enlarged: the same look, without millions of random numbers for a 12-megapixel photo.
    grain = rng.normal(0, 3, (min(size[1], 480), min(size[0], 640))).astype(np.float32)
    image = image * light[..., None] * warm * rng.uniform(0.8, 1.05) + cv2.resize(grain, size)[..., None]
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def jpeg(picture: Picture, *, quality: int, orientation: int = 1, exif: bytes | None = None) -> bytes:
    """JPEG bytes of an upright picture, stored turned if ``orientation`` says so (EXIF 1, 3, 6 or 8)."""
    turned = np.rot90(picture, {1: 0, 3: 2, 6: 1, 8: 3}[orientation])
    image = Image.fromarray(np.ascontiguousarray(turned))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=2, exif=exif or _exif(orientation, None))
    return out.getvalue()


def range_exif(scale: tuple[float, float], orientation: int = 1) -> bytes:
    """EXIF with a FLIR maker note that gives the least and the greatest temperature of the picture, K."""
    return _exif(orientation, scale)


def _exif(orientation: int, scale: tuple[float, float] | None) -> bytes:
    """A little-endian TIFF block: make, orientation, a GPS-free Exif directory with an optional maker note."""
    make = b"FLIR Systems AB\0"
    entries = 3 if scale else 2
    after = 8 + 2 + 12 * entries + 4
    body = struct.pack("<H", entries)
    body += struct.pack("<HHII", 0x010F, 2, len(make), after)
    body += struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    if scale:
        body += struct.pack("<HHII", 0x8769, 4, 1, after + len(make))
    body += struct.pack("<I", 0) + make
    if scale:
        exif_at = after + len(make)
        note_at = exif_at + 2 + 12 + 4
        values_at = note_at + 2 + 12 * 2 + 4
        note = struct.pack("<H", 2)
        note += struct.pack("<HHII", 1, 5, 1, values_at) + struct.pack("<HHII", 2, 5, 1, values_at + 8)
        note += struct.pack("<I", 0)
        for value in (scale[1], scale[0]):
            note += struct.pack("<II", round((value + 273.15) * 1000), 1000)
        body += struct.pack("<H", 1) + struct.pack("<HHII", 0x927C, 7, len(note), note_at) + struct.pack("<I", 0) + note
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body


PLANCK = {"r1": 14906.216, "r2": 0.010956882, "b": 1396.5, "f": 1.0, "o": -7261}
"""Calibration of a typical uncooled camera; the file carries them, readers must use what they find."""


def raw_levels(temperature: Field) -> NDArray[np.uint16]:
    """16-bit levels of temperatures in °C for emissivity 1 and clear air (then reflection and air add nothing)."""
    kelvin = temperature.astype(np.float64) + 273.15
    raw = PLANCK["r1"] / (PLANCK["r2"] * (np.exp(PLANCK["b"] / kelvin) - PLANCK["f"])) - PLANCK["o"]
    return np.clip(np.rint(raw), 0, 65535).astype(np.uint16)


def radiometric_jpeg(picture: Picture, measured: Field, *, quality: int, as_png: bool) -> bytes:
    """An R-JPEG: the drawn picture with the measured temperatures as FLIR records in APP1 segments."""
    levels = raw_levels(measured)
    rows, columns = levels.shape
    if as_png:  # cameras store their PNG with the bytes of each value swapped
        out = io.BytesIO()
        Image.fromarray(levels.byteswap()).save(out, "PNG")
        raw = out.getvalue()
    else:
        raw = levels.astype("<u2").tobytes()
    thermal = struct.pack("<HHH", 2, columns, rows) + bytes(26) + raw
    info = bytearray(840)
    struct.pack_into("<H", info, 0, 2)
    # emissivity, distance m, reflected K, air K, window K, window transmission, humidity
    struct.pack_into("<6f", info, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", info, 60, 0.5)
    struct.pack_into("<3f", info, 88, PLANCK["r1"], PLANCK["b"], PLANCK["f"])
    struct.pack_into("<5f", info, 112, 0.006569, 0.012620, -0.002276, -0.006670, 1.9)
    struct.pack_into("<2f", info, 132, 423.15, 233.15)
    info[212:228] = b"Synthetic camera"
    struct.pack_into("<i", info, 776, int(PLANCK["o"]))
    struct.pack_into("<f", info, 780, PLANCK["r2"])
    struct.pack_into("<HH", info, 784, int(levels.min()), int(levels.max()))
    struct.pack_into("<ii", info, 824, int(np.median(levels)), int(np.ptp(levels)))
    directory_at = 64
    entries = 14  # cameras leave most of them empty
    thermal_at = directory_at + entries * 32
    info_at = thermal_at + len(thermal)
    head = (
        b"FFF\0"
        + b"CAMCTRL\0".ljust(16, b"\0")
        + struct.pack(">III", 100, directory_at, entries)
        + struct.pack(">I", 3)
    )
    head = head.ljust(64, b"\0")
    directory = struct.pack(">HHIIIIIII", 1, 3 if as_png else 2, 100, 1, thermal_at, len(thermal), 0, 0, 0)
    directory += struct.pack(">HHIIIIIII", 32, 1, 100, 2, info_at, len(info), 0, 0, 0)
    records = head + directory.ljust(entries * 32, b"\0") + thermal + bytes(info)

    chunks = [records[at : at + 65524] for at in range(0, len(records), 65524)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(chunk) + 10) + b"FLIR\0\x01" + bytes([number, len(chunks) - 1]) + chunk
        for number, chunk in enumerate(chunks)
    )
    plain = jpeg(picture, quality=quality)
    first = 4 + struct.unpack(">H", plain[4:6])[0]  # behind the first segment, as cameras do
    return plain[:first] + segments + plain[first:]
