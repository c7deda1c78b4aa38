"""The photographed plane in its healthy state: walls, windows and doors as U-values and paint.

A plane is a raster with a fixed number of points per metre. Elements are drawn into it from the wall outwards; each
names the places where a defect could sit: cracks, bays of insulation, edges that bridge, panes.
"""

import itertools
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.synthetic.physics import SURFACE_RESISTANCE, Field

Rng = np.random.Generator
Mask = NDArray[np.bool_]
POINTS_ALONG = 560  # points along the longer side of the view: a few millimetres each, finer than any camera here


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of the plane in metres from its top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Metres."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Metres."""
        return self.bottom - self.top

    def inset(self, by: float) -> "Rect":
        """The rectangle without a margin of ``by`` metres."""
        return Rect(self.left + by, self.top + by, self.right - by, self.bottom - by)


@dataclass(frozen=True, slots=True)
class Crack:
    """A straight joint through which air may come; it blows towards ``normal``."""

    start: tuple[float, float]
    end: tuple[float, float]
    normal: tuple[float, float]
    leakage_per_metre: tuple[float, float]  # cm² at 4 Pa per metre, from a noticeable to a very poor joint

    @property
    def length(self) -> float:
        """Metres."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))


@dataclass(slots=True)
class Plane:
    """A view of ``width`` by ``height`` metres; ``left``/``top`` of drawn things may lie outside it."""

    width: float
    height: float
    scale: float = 0.0  # points per metre
    conductance: Field = field(init=False)  # W/m²K
    resistance: Field = field(init=False)  # m²K/W
    paint: NDArray[np.float32] = field(init=False)  # RGB 0..255
    glass: Mask = field(init=False)
    floor_from: float | None = None  # metres from the top, where the wall meets the floor
    cracks: list[Crack] = field(default_factory=list)
    holes: list[tuple[float, float]] = field(default_factory=list)
    bays: list[Rect] = field(default_factory=list)
    edges: list[tuple[tuple[float, float], tuple[float, float]]] = field(default_factory=list)
    panes: list[Rect] = field(default_factory=list)
    opening: Rect | None = None  # the window or door

    def __post_init__(self) -> None:
        self.scale = POINTS_ALONG / max(self.width, self.height)
        shape = (round(self.height * self.scale), round(self.width * self.scale))
        self.conductance = np.zeros(shape, np.float32)
        self.resistance = np.full(shape, SURFACE_RESISTANCE, np.float32)
        self.paint = np.zeros((*shape, 3), np.float32)
        self.glass = np.zeros(shape, bool)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the raster."""
        return self.conductance.shape[0], self.conductance.shape[1]

    @property
    def point_area(self) -> float:
        """m² of one raster point."""
        return self.width * self.height / self.conductance.size

    def grid(self) -> tuple[Field, Field]:
        """x and y of every point in metres."""
        rows, columns = self.shape
        x = (np.arange(columns, dtype=np.float32) + 0.5) / self.scale
        y = (np.arange(rows, dtype=np.float32) + 0.5) / self.scale
        return np.broadcast_to(x, self.shape), np.broadcast_to(y[:, None], self.shape)

    def inside(self, rect: Rect) -> Mask:
        """The points of a rectangle."""
        x, y = self.grid()
        return (x >= rect.left) & (x < rect.right) & (y >= rect.top) & (y < rect.bottom)

    def fill(self, where: Mask, conductance: float | None, colour: tuple[float, float, float] | None) -> None:
        """Set the U-value and paint of some points."""
        if conductance is not None:
            self.conductance[where] = conductance
        if colour is not None:
            self.paint[where] = colour


def colour_near(rng: Rng, base: tuple[float, float, float], spread: float = 12) -> tuple[float, float, float]:
    """A colour close to ``base``."""
    red, green, blue = np.clip(np.array(base) + rng.normal(0, spread, 3), 5, 250)
    return float(red), float(green), float(blue)


def soft_noise(rng: Rng, shape: tuple[int, int], grain: float) -> Field:
    """Unit-variance noise smooth over ``grain`` points."""
    small = (max(2, round(shape[0] / grain)), max(2, round(shape[1] / grain)))
    noise = cv2.resize(rng.normal(0, 1, small).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


PAINTS = ((214, 206, 190), (196, 200, 198), (222, 214, 170), (170, 186, 194), (228, 224, 216), (188, 170, 150))


def wall(rng: Rng, width: float, height: float, *, floor: bool, ceiling: bool, corner: bool) -> Plane:
    """An insulated framed wall with studs, and where asked its edges to floor, ceiling and the next wall."""
    plane = Plane(width, height)
    x, y = plane.grid()
    clear = rng.uniform(0.25, 0.5)
    paint = colour_near(rng, PAINTS[rng.integers(len(PAINTS))])
    plane.conductance[:] = clear
    plane.paint[:] = paint
    top = rng.uniform(0.08, 0.25) * height if ceiling else 0.0
    bottom = height * (1 - rng.uniform(0.08, 0.22)) if floor else height
    side = rng.uniform(0.1, 0.3) * width if corner else 0.0
    if side and rng.random() < 0.5:
        side = width - side

    spacing = float(rng.choice([0.406, 0.61]))
    stud = clear + rng.uniform(0.08, 0.35)
    first = -rng.uniform(0, spacing)
    centres = np.arange(first, width + spacing, spacing)
    distance = np.abs(x[..., None] - centres.astype(np.float32)).min(-1)
    on_stud = (distance < 0.0225) & (y >= top) & (y < bottom)
    plane.conductance[on_stud] = stud
    plane.bays = [
        Rect(max(a, 0) + 0.0225, top, min(b, width) - 0.0225, bottom)
        for a, b in itertools.pairwise(centres)
        if min(b, width) - max(a, 0) > 0.25
    ]

    bridging = np.ones(plane.shape, np.float32)
    if ceiling:
        above = y < top
        plane.fill(above, rng.uniform(0.15, 0.35), colour_near(rng, (236, 234, 230), 5))
        bridging += rng.uniform(0.2, 0.6) * np.exp(-np.abs(y - top) / 0.09)
        plane.edges.append(((0, top), (width, top)))
    if floor:
        plane.floor_from = bottom
        bridging += rng.uniform(0.2, 0.7) * np.exp(-np.abs(y - bottom) / 0.09)
        _floor(rng, plane, bottom)
        plane.edges.append(((0, bottom - 0.05), (width, bottom - 0.05)))
        plane.cracks.append(Crack((0, bottom), (width, bottom), (0, 1), (2.5, 12)))
    if side:
        bridging += rng.uniform(0.2, 0.6) * np.exp(-np.abs(x - side) / 0.09)
        shaded = (x < side) if side < width / 2 else (x > side)
        plane.paint[shaded & (y >= top) & (y < bottom)] *= rng.uniform(0.85, 0.97)
        plane.edges.append(((side, top), (side, bottom)))
        plane.cracks.append(Crack((side, top), (side, bottom), (1 if side < width / 2 else -1, 0.35), (2, 9)))
    if ceiling:
        plane.cracks.append(Crack((0, top), (width, top), (0, 1), (2.5, 12)))
    plane.conductance *= bridging
    plane.resistance += 0.04 * np.clip(bridging - 1, 0, 1)
    for _ in range(int(rng.integers(0, 3))):
        _socket(rng, plane, top, bottom)
    return plane


def _socket(rng: Rng, plane: Plane, top: float, bottom: float) -> None:
    """An outlet: a small plate, a little colder, where air may come through."""
    x0 = rng.uniform(0.1, 0.9) * plane.width
    y0 = bottom - 0.3 if bottom < plane.height else rng.uniform(0.4, 0.85) * plane.height
    if y0 < top + 0.15:
        return
    plate = Rect(x0 - 0.04, y0 - 0.06, x0 + 0.04, y0 + 0.06)
    plane.conductance[plane.inside(plate)] += 0.08
    plane.fill(plane.inside(plate), None, (240, 238, 232))
    plane.holes.append((x0, y0))


def _floor(rng: Rng, plane: Plane, start: float) -> None:
    """A floor of planks or carpet, with the skirting board above it."""
    x, y = plane.grid()
    below = y >= start
    wood = rng.random() < 0.5
    loss = rng.uniform(0.1, 0.35)
    colour = colour_near(rng, (150, 105, 65) if wood else (120, 112, 105), 15)
    plane.fill(below, loss, colour)
    if wood:
        plank = np.floor((y - start) / 0.045 + 0.15 * x).astype(int)
        tone = rng.normal(0, 1, 200).astype(np.float32)[np.clip(plank, 0, 199)]
        plane.conductance += below * np.clip(tone, -1.5, 1.5) * 0.04
        plane.paint += (below * tone * 9)[..., None]
    board = plane.inside(Rect(0, start - rng.uniform(0.06, 0.14), plane.width, start))
    plane.fill(board, None, colour_near(rng, (238, 236, 230), 4))
    plane.conductance[board] += rng.uniform(0.0, 0.12)


def window(rng: Rng, plane: Plane, place: Rect) -> None:
    """A window of one to three sashes: reveal, frame, sash joints, glass with the spacer's cold edge, sill below."""
    plane.opening = place
    plane.bays = [bay for bay in _around(plane, place) if bay.height > 0.15 and bay.width > 0.25]
    x, y = plane.grid()
    frame_u, frame = rng.uniform(1.4, 2.3), rng.uniform(0.045, 0.075)
    frame_colour = colour_near(
        rng, ((240, 240, 238), (120, 80, 50), (70, 72, 75))[rng.choice(3, p=[0.6, 0.25, 0.15])], 6
    )
    outside = np.maximum(np.maximum(place.left - x, x - place.right), np.maximum(place.top - y, y - place.bottom))
    plane.conductance += rng.uniform(0.1, 0.35) * np.exp(-np.clip(outside, 0, None) / 0.05) * (outside > 0)
    casing = plane.inside(place.inset(-0.06)) & (outside > 0)
    plane.fill(casing, None, colour_near(rng, (236, 234, 228), 4))
    plane.fill(plane.inside(place), frame_u, frame_colour)

    inner = place.inset(frame)
    sashes = int(rng.choice([1, 2, 3], p=[0.3, 0.5, 0.2])) if place.width > 0.8 else 1
    hung = sashes == 1 and rng.random() < 0.5  # a sash window, divided across
    glass_u = rng.uniform(2.6, 3.29) if rng.random() < 0.7 else rng.uniform(1.5, 2.1)
    spacer = rng.uniform(0.3, 0.7)
    sky = np.array([colour_near(rng, (196, 214, 236), 10), colour_near(rng, (96, 118, 80), 18)])
    joints = []
    for number in range(2 if hung else sashes):
        if hung:
            middle = (inner.top + inner.bottom) / 2
            sash = Rect(
                inner.left, inner.top if number == 0 else middle, inner.right, middle if number == 0 else inner.bottom
            )
        else:
            step = inner.width / sashes
            sash = Rect(inner.left + number * step, inner.top, inner.left + (number + 1) * step, inner.bottom)
        joints.append(sash)
        pane = sash.inset(rng.uniform(0.04, 0.06))
        plane.panes.append(pane)
        where = plane.inside(pane)
        plane.glass |= where
        edge = np.minimum(np.minimum(x - pane.left, pane.right - x), np.minimum(y - pane.top, pane.bottom - y))
        low = np.clip((y - pane.top) / pane.height, 0, 1)
        u = glass_u * (1 + 0.08 * (low - 0.5)) + spacer * np.exp(-np.clip(edge, 0, None) / 0.025)
        plane.conductance[where] = u[where]
        view = sky[0] * (1 - low[..., None]) + sky[1] * low[..., None]
        horizon = (low > rng.uniform(0.45, 0.7)).astype(np.float32)[..., None]
        view = view * (1 - horizon) + (sky[1] + soft_noise(rng, plane.shape, 9)[..., None] * 22) * horizon
        plane.paint[where] = np.clip(view, 0, 255)[where]
        rim = plane.inside(sash) & ~plane.inside(sash.inset(0.006))
        plane.conductance[rim] += 0.25
        plane.paint[rim] *= 0.7
    for sash in joints:
        plane.cracks += [
            Crack((sash.left, sash.bottom), (sash.right, sash.bottom), (0, 1), (3, 22)),
            Crack((sash.left, sash.top), (sash.left, sash.bottom), (1, 0.4), (3, 18)),
            Crack((sash.right, sash.top), (sash.right, sash.bottom), (-1, 0.4), (3, 18)),
            Crack((sash.left, sash.top), (sash.right, sash.top), (0, 1), (3, 18)),
        ]
    sill = Rect(place.left - 0.08, place.bottom, place.right + 0.08, place.bottom + 0.035)
    plane.fill(plane.inside(sill), None, (244, 243, 240))
    plane.conductance[plane.inside(sill)] += 0.25
    plane.cracks.append(Crack((sill.left, sill.bottom), (sill.right, sill.bottom), (0, 1), (3, 22)))
    plane.cracks.append(Crack((place.left - 0.06, place.top), (place.left - 0.06, place.bottom), (-1, 0.4), (3, 18)))
    plane.edges = [((place.left - 0.25, place.top - 0.14), (place.right + 0.25, place.top - 0.14))]  # the lintel


def door(rng: Rng, plane: Plane, place: Rect) -> None:
    """A door: frame, leaf with panels, perhaps a glazed light, joints all round and a threshold."""
    plane.opening = place
    plane.bays = [bay for bay in _around(plane, place) if bay.height > 0.3 and bay.width > 0.3]
    x, y = plane.grid()
    frame_colour = colour_near(rng, (236, 234, 228), 5)
    plane.fill(plane.inside(place), rng.uniform(1.1, 1.8), frame_colour)
    leaf = Rect(place.left + 0.045, place.top + 0.045, place.right - 0.045, place.bottom)
    leaf_u = rng.uniform(0.8, 1.1) if rng.random() < 0.5 else rng.uniform(1.5, 2.2)
    leaf_colour = colour_near(
        rng, ((130, 40, 35), (50, 80, 60), (240, 238, 230), (60, 65, 75), (140, 95, 55))[rng.integers(5)], 8
    )
    plane.fill(plane.inside(leaf), leaf_u, leaf_colour)
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    glazed = rng.random() < 0.4
    for row in range(rows):
        for column in range(columns):
            w, h = leaf.width / columns, leaf.height / rows
            panel = Rect(
                leaf.left + column * w, leaf.top + row * h, leaf.left + (column + 1) * w, leaf.top + (row + 1) * h
            ).inset(0.09)
            where = plane.inside(panel)
            if glazed and row == 0:
                low = np.clip((y - panel.top) / panel.height, 0, 1)
                edge = np.minimum(
                    np.minimum(x - panel.left, panel.right - x), np.minimum(y - panel.top, panel.bottom - y)
                )
                u = rng.uniform(2.6, 3.2) * (1 + 0.06 * (low - 0.5)) + 0.4 * np.exp(-np.clip(edge, 0, None) / 0.025)
                plane.conductance[where] = u[where]
                plane.paint[where] = colour_near(rng, (200, 212, 222), 8)
                plane.glass |= where
                plane.panes.append(panel)
            else:
                plane.conductance[where] += rng.uniform(0.05, 0.3)
                plane.paint[where] *= 0.9
    rim = plane.inside(leaf.inset(-0.004)) & ~plane.inside(leaf.inset(0.006))
    plane.conductance[rim] += 0.3
    plane.paint[rim] *= 0.5
    plane.fill(
        plane.inside(
            Rect(leaf.right - 0.09, leaf.top + leaf.height * 0.52, leaf.right - 0.05, leaf.top + leaf.height * 0.56)
        ),
        None,
        (205, 190, 120),
    )
    plane.cracks = [
        Crack((leaf.left, leaf.bottom), (leaf.right, leaf.bottom), (0, 1), (8, 30)),
        Crack((leaf.left, leaf.bottom), (leaf.right, leaf.bottom), (0, -1), (8, 30)),
        Crack((leaf.left, leaf.top), (leaf.left, leaf.bottom), (-1, 0.4), (8, 24)),
        Crack((leaf.right, leaf.top), (leaf.right, leaf.bottom), (1, 0.4), (8, 24)),
        Crack((leaf.left, leaf.top), (leaf.right, leaf.top), (0, 1), (8, 24)),
    ]
    plane.holes = [((leaf.left + leaf.right) / 2, leaf.top + 0.55 * leaf.height)]  # letter box
    plane.edges = [((place.left - 0.15, place.top - 0.12), (place.right + 0.15, place.top - 0.12))]


def _around(plane: Plane, place: Rect) -> list[Rect]:
    """The bays of the wall as far as an opening leaves them free."""
    kept = []
    for bay in plane.bays:
        if bay.right <= place.left - 0.05 or bay.left >= place.right + 0.05:
            kept.append(bay)
        else:
            kept.append(Rect(bay.left, bay.top, bay.right, place.top - 0.1))
            kept.append(Rect(bay.left, place.bottom + 0.1, bay.right, bay.bottom))
    return kept
