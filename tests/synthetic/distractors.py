"""Things that look like something and lose nothing: hot objects, sun, reflections, furniture.

Each covers or warms points of the plane. ``covered`` points show the thing's own temperature; others only gain warmth.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.synthetic.physics import Field
from tests.synthetic.plane import Mask, Plane, Rect, Rng, colour_near, soft_noise


@dataclass(frozen=True, slots=True)
class Distractor:
    """One thing in the view."""

    name: str
    hot: bool
    covered: Mask
    temperature: Field  # °C where covered
    warmth: Field  # K added to what stays visible
    paint: NDArray[np.float32] | None  # RGB where covered
    light: Field | None = None  # factor on the paint of what stays visible


def _blank(plane: Plane) -> Field:
    return np.zeros(plane.shape, np.float32)


def _painted(
    plane: Plane, colour: tuple[float, float, float], shade: NDArray[np.floating] | float = 1.0
) -> NDArray[np.float32]:
    factor = np.broadcast_to(np.asarray(shade, np.float32), plane.shape)
    return np.asarray(factor[..., None] * np.array(colour, np.float32), np.float32)


def radiator(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A panel radiator with its plume of warm air, below the window where there is one."""
    x, y = plane.grid()
    width, height = rng.uniform(0.5, 1.2), rng.uniform(0.35, 0.6)
    if plane.opening is not None and plane.opening.bottom < plane.height - 0.15:
        left = (plane.opening.left + plane.opening.right - width) / 2 + rng.normal(0, 0.1)
        top = plane.opening.bottom + rng.uniform(0.1, 0.2)
    else:
        left = rng.uniform(-0.2 * width, plane.width - 0.8 * width)
        top = plane.height * rng.uniform(0.5, 0.75)
        if plane.opening is not None and rng.random() < 0.8:
            left = (
                plane.opening.right + 0.1
                if plane.opening.left < plane.width - plane.opening.right
                else plane.opening.left - 0.1 - width
            )
    body = Rect(left, top, left + width, top + height)
    covered = plane.inside(body)
    hottest = rng.uniform(38, 62)
    fins = 0.5 + 0.5 * np.cos(2 * np.pi * (x - left) / 0.05)
    down = np.clip((y - top) / height, 0, 1)
    temperature = hottest - (hottest - room) * (0.25 * down + 0.12 * fins)
    rise = np.clip(top - y, 0, None)
    beside = np.clip(np.maximum(left - x, x - left - width), 0, None)
    warmth = rng.uniform(2, 6) * np.exp(-rise / 0.35) * np.exp(-((beside / (0.03 + 0.08 * rise)) ** 2)) * (y < top)
    shade = 0.9 + 0.1 * fins
    return Distractor(
        "radiator", True, covered, temperature, warmth.astype(np.float32), _painted(plane, (238, 238, 236), shade)
    )


def lamp(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A lamp on or before the wall, with its halo."""
    x, y = plane.grid()
    x0, y0 = rng.uniform(0.1, 0.9) * plane.width, rng.uniform(0.05, 0.5) * plane.height
    radius = rng.uniform(0.03, 0.09)
    far = np.hypot(x - x0, y - y0)
    hottest = rng.uniform(45, 110)
    temperature = room + (hottest - room) * np.exp(-((far / radius) ** 2))
    warmth = rng.uniform(1, 4) * np.exp(-far / 0.15)
    return Distractor(
        "lamp", True, far < radius, temperature, warmth.astype(np.float32), _painted(plane, (255, 244, 214))
    )


def _body(plane: Plane, parts: list[tuple[float, float, float, float, float]]) -> tuple[Mask, Field]:
    """Ellipses (x, y, half width, half height, °C) one over the other."""
    x, y = plane.grid()
    covered, temperature = np.zeros(plane.shape, bool), _blank(plane)
    for x0, y0, a, b, degrees in parts:
        inside = ((x - x0) / a) ** 2 + ((y - y0) / b) ** 2
        temperature[inside < 1] = (degrees - 1.2 * inside)[inside < 1]
        covered |= inside < 1
    return covered, temperature


def person(rng: Rng, plane: Plane, room: float) -> Distractor:
    """Head, torso, arms and legs as far as they are in view."""
    x0 = rng.choice([rng.uniform(0.02, 0.25), rng.uniform(0.75, 0.98)]) * plane.width
    top = rng.uniform(0.05, 0.5) * plane.height
    skin, cloth = rng.uniform(32.5, 34.5), room + rng.uniform(4, 8)
    legs = [(x0 + side * 0.09, top + 1.35, 0.085, 0.5, cloth - 1) for side in (-1, 1)]
    arms = [(x0 + side * 0.22, top + 0.6, 0.05, 0.3, cloth + 1) for side in (-1, 1)]
    hands = [(x0 + side * 0.24, top + 0.9, 0.04, 0.06, skin - 1) for side in (-1, 1)]
    trunk = [(x0, top + 0.42, 0.22, 0.14, cloth), (x0, top + 0.7, 0.17, 0.36, cloth)]
    parts = [*legs, *arms, *hands, *trunk, (x0, top + 0.27, 0.05, 0.08, skin), (x0, top + 0.12, 0.085, 0.12, skin)]
    covered, temperature = _body(plane, parts)
    temperature += covered * 0.8 * soft_noise(rng, plane.shape, 25)
    return Distractor(
        "person", True, covered, temperature, _blank(plane), _painted(plane, colour_near(rng, (70, 80, 110), 30))
    )


def pet(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A cat or a dog near the floor."""
    x0, y0 = rng.uniform(0.15, 0.85) * plane.width, plane.height * rng.uniform(0.82, 0.95)
    fur = room + rng.uniform(4, 9)
    size = rng.uniform(0.8, 1.5)
    covered, temperature = _body(
        plane,
        [
            (x0, y0, 0.2 * size, 0.11 * size, fur),
            (x0 + 0.2 * size, y0 - 0.1 * size, 0.075 * size, 0.07 * size, fur + 3),
        ],
    )
    return Distractor(
        "pet", True, covered, temperature, _blank(plane), _painted(plane, colour_near(rng, (110, 85, 60), 25))
    )


def hot_tank(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A water tank with its pipes."""
    x, y = plane.grid()
    width, height = rng.uniform(0.4, 0.6), rng.uniform(0.7, 1.2)
    left = rng.uniform(0, max(plane.width - width, 0.05))
    if plane.opening is not None:
        left = (
            plane.opening.right + 0.05
            if plane.opening.left < plane.width - plane.opening.right
            else plane.opening.left - width - 0.05
        )
    top = plane.height - height * rng.uniform(0.7, 1.0)
    covered = plane.inside(Rect(left, top, left + width, top + height))
    hottest = rng.uniform(30, 55)
    round_off = np.sqrt(np.clip(1 - ((x - left - width / 2) / (width / 2)) ** 2, 0.05, 1))
    temperature = room + (hottest - room) * round_off * np.clip(1 - 0.5 * (y - top) / height, 0.3, 1)
    pipe = plane.inside(Rect(left + width * 0.3, -1, left + width * 0.3 + 0.022, top))
    temperature = np.where(pipe, room + 0.8 * (hottest - room), temperature).astype(np.float32)
    return Distractor(
        "hot tank",
        True,
        covered | pipe,
        temperature,
        _blank(plane),
        _painted(plane, (225, 225, 222), 0.6 + 0.4 * round_off),
    )


def pipes(rng: Rng, plane: Plane, room: float) -> Distractor:
    """Heating pipes on the wall."""
    across = rng.random() < 0.5
    at = rng.uniform(0.75, 0.95) * plane.height if across else rng.choice([0.06, 0.94]) * plane.width
    covered = np.zeros(plane.shape, bool)
    for offset in (0.0, 0.06):
        line = at + offset
        covered |= plane.inside(Rect(-1, line, 99, line + 0.018) if across else Rect(line, -1, line + 0.018, 99))
    temperature = np.full(plane.shape, rng.uniform(34, 50), np.float32)
    glow = np.asarray(cv2.GaussianBlur(covered.astype(np.float32), (0, 0), 0.03 * plane.scale), np.float32) * 3
    return Distractor("pipes", True, covered, temperature, glow, _painted(plane, (200, 130, 90)))


def sun_patch(rng: Rng, plane: Plane, room: float) -> Distractor:
    """Sun through another window: warm slanting bars with sharp edges."""
    x, y = plane.grid()
    x0, y0 = rng.uniform(0.1, 0.7) * plane.width, rng.uniform(0.2, 0.7) * plane.height
    slant = rng.uniform(-0.6, 0.6)
    u = x - x0 + slant * (y - y0)
    lit = (u > 0) & (u < rng.uniform(0.3, 0.7)) & (y > y0) & (y < y0 + rng.uniform(0.4, 0.9))
    lit &= np.abs(u % 0.35 - 0.17) > 0.02
    lit &= ~plane.glass
    warmth = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), 0.015 * plane.scale) * rng.uniform(2.5, 8)
    light = 1 + 0.35 * lit.astype(np.float32)
    return Distractor(
        "sun patch", True, np.zeros(plane.shape, bool), _blank(plane), np.asarray(warmth, np.float32), None, light
    )


def screen(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A television set."""
    width = rng.uniform(0.5, 1.1)
    left, top = rng.uniform(0, max(plane.width - width, 0.05)), rng.uniform(0.3, 0.6) * plane.height
    covered = plane.inside(Rect(left, top, left + width, top + width * 0.6))
    if plane.opening is not None:
        covered &= ~plane.inside(plane.opening.inset(-0.1))
    temperature = room + rng.uniform(4, 12) + 1.2 * soft_noise(rng, plane.shape, 120)
    return Distractor("screen", True, covered, temperature, _blank(plane), _painted(plane, (18, 18, 22)))


def reflection(rng: Rng, plane: Plane, room: float) -> Distractor:
    """The photographer or a lamp mirrored in the glass; in walls without glass, in a varnished picture."""
    x, y = plane.grid()
    glass = plane.glass
    if not glass.any():
        left, top = rng.uniform(0.1, 0.6) * plane.width, rng.uniform(0.15, 0.4) * plane.height
        glass = plane.inside(Rect(left, top, left + 0.5, top + 0.4))
    rows, columns = np.nonzero(glass)
    chosen = int(rng.integers(len(rows))) if len(rows) else 0
    x0, y0 = (columns[chosen] / plane.scale, rows[chosen] / plane.scale) if len(rows) else (0.0, 0.0)
    blob = np.exp(-(((x - x0) / rng.uniform(0.08, 0.2)) ** 2) - ((y - y0) / rng.uniform(0.15, 0.4)) ** 2)
    warmth = (blob * rng.uniform(1.0, 3.0) * glass).astype(np.float32)
    return Distractor(
        "reflection",
        False,
        np.zeros(plane.shape, bool),
        _blank(plane),
        warmth,
        None,
        (1 + 0.3 * blob * glass).astype(np.float32),
    )


def furniture(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A cupboard or a sofa at about the room's temperature."""
    width, height = rng.uniform(0.4, 1.1), rng.uniform(0.3, 0.8)
    left = rng.choice([rng.uniform(-0.2, 0.1), rng.uniform(0.6, 0.9)]) * plane.width
    top = plane.height - height * rng.uniform(0.5, 1.0)
    covered = plane.inside(Rect(left, top, left + width, plane.height + 1))
    x, _ = plane.grid()
    temperature = (
        room
        - rng.uniform(0.2, 1.0)
        + 0.25 * np.sin(40 * x) * (rng.random() < 0.5)
        + 0.15 * soft_noise(rng, plane.shape, 60)
    )
    return Distractor(
        "furniture",
        False,
        covered,
        temperature.astype(np.float32),
        _blank(plane),
        _painted(plane, colour_near(rng, (120, 95, 75), 30)),
    )


def curtain(rng: Rng, plane: Plane, room: float) -> Distractor:
    """A curtain beside the window, in folds, a little colder than the room."""
    x, y = plane.grid()
    place = plane.opening or Rect(0.3 * plane.width, 0.1, 0.7 * plane.width, plane.height)
    left = rng.random() < 0.5
    a = place.left - 0.2 if left else place.right - 0.12
    covered = plane.inside(
        Rect(a, max(place.top - 0.15, 0), a + 0.32, plane.height if rng.random() < 0.5 else place.bottom + 0.2)
    )
    folds = np.sin(2 * np.pi * (x - a) / 0.08 + 0.6 * np.sin(3 * y))
    temperature = (room - rng.uniform(0.4, 1.3) + 0.35 * folds).astype(np.float32)
    return Distractor(
        "curtain",
        False,
        covered,
        temperature,
        _blank(plane),
        _painted(plane, colour_near(rng, (170, 120, 110), 30), 0.85 + 0.15 * folds),
    )


HOT: tuple[Callable[[Rng, Plane, float], Distractor], ...] = (
    radiator,
    lamp,
    person,
    pet,
    hot_tank,
    pipes,
    sun_patch,
    screen,
)
COOL: tuple[Callable[[Rng, Plane, float], Distractor], ...] = (reflection, furniture, curtain)
