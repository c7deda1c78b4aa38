"""One scene from one integer: what was photographed, the files that the app would send, and the truth.

Odd seeds have at least one defect, even seeds none, so that half of any range is sound. Most sound scenes hold hot
objects. A defect counts only if a good camera could see it (its peak takes a tenth of the index, it covers eight
thousandths of the view, it is at least ``Low``); a draw that fails this is drawn again with the next child seed.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from contracts.events import Household, TaskType
from contracts.reports import DefectKind, Severity
from tests.synthetic import defects, distractors
from tests.synthetic.camera import choose_camera, pixel_areas
from tests.synthetic.defects import Flaw, House
from tests.synthetic.palettes import ANCHORS
from tests.synthetic.physics import Field, heat_per_month, index_of, severity_of
from tests.synthetic.pictures import (
    Layout,
    Picture,
    Window,
    colour_photo,
    draw,
    jpeg,
    radiometric_jpeg,
    range_exif,
    temperature_scale,
)
from tests.synthetic.plane import Mask, Plane, Rect, Rng, door, soft_noise, wall, window

DEGREE_DAYS = {
    "60601": 6354, "55401": 8755, "15213": 5909, "80202": 7406, "02108": 6407, "75201": 1911, "30303": 2883,
}  # fmt: skip
"""Heating degree days [°F·day, base 65 °F] of the states of some ZIP codes: NOAA CPC population-weighted normals."""


class Condition(StrEnum):
    """The circumstances of a scene; all but the first are reported apart."""

    WINTER = "winter, from inside"
    SUMMER = "warmer outside than inside"
    MILD = "less than 8 K between inside and outside"
    EXTERIOR = "seen from outside"
    BLENDED = "blended with the grey photo"


class Source(StrEnum):
    """What the thermal file says about its temperatures."""

    RADIOMETRIC = "raw values"
    METADATA = "range in the maker note"
    PICTURE = "colours only"


@dataclass(frozen=True, slots=True)
class Defect:
    """A true defect in the photo."""

    kind: DefectKind
    mask: Mask  # (h, w) of the upright thermal photo
    excess_ua: float  # W/K
    leakage_cm2: float | None  # at 4 Pa
    peak: float  # greatest loss of index


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything about one synthetic submission."""

    seed: int
    condition: Condition
    task_type: TaskType
    household: Household
    typed_inside_f: float | None
    typed_outside_f: float | None
    thermal: bytes
    colour: bytes
    thermal_picture: Picture  # upright, before compression
    colour_picture: Picture
    inside_c: float
    outside_c: float
    temperature: Field  # °C as the sensor measured it, (h, w) of the sensor
    sensor_covered: Mask  # (h, w) of the upright photo: printing and what else hides the scene
    window: Window
    palette: str
    scale: tuple[float, float]
    source: Source
    layout: Layout
    orientation: int
    spot: tuple[tuple[int, int], float] | None
    distractors: tuple[str, ...]
    defects: tuple[Defect, ...]

    @property
    def excess_ua(self) -> float:
        """Of all defects in view, W/K."""
        return sum(defect.excess_ua for defect in self.defects)

    @property
    def severity(self) -> Severity:
        """By :data:`tests.synthetic.physics.SEVERITY_LIMITS`."""
        return severity_of(self.excess_ua)

    @property
    def heat_kwh_per_month(self) -> float:
        """Heat lost through the defects, mean of the year."""
        return heat_per_month(self.excess_ua, DEGREE_DAYS[str(self.household.zip_code)])

    @property
    def mask(self) -> Mask:
        """All defects together."""
        total = np.zeros(self.thermal_picture.shape[:2], bool)
        for defect in self.defects:
            total |= defect.mask
        return total


def make_scene(
    seed: int, condition: Condition = Condition.WINTER, *, colour_size: tuple[int, int] = (1280, 960)
) -> Scene:
    """The scene of ``seed``; ``colour_size`` is (longer, shorter) side of the colour photo in pixels."""
    key = [seed, list(Condition).index(condition)]
    plan = np.random.default_rng(key)
    task_type = (TaskType.WINDOW, TaskType.DOOR, TaskType.WALL)[plan.choice(3, p=[0.45, 0.2, 0.35])]
    makers, shares = zip(*KINDS[task_type], strict=True)
    neglected = bool(plan.random() < 0.2)
    count = 3 if neglected else int(plan.choice([1, 2], p=[0.75, 0.25]))
    chosen = [makers[plan.choice(len(makers), p=shares)] for _ in range(count)]
    for attempt in itertools.count():
        rng = np.random.default_rng([*key, attempt])
        scene = _draw_scene(rng, seed, condition, task_type, chosen if seed % 2 else [], neglected, colour_size)
        if scene is not None:
            return scene
    raise AssertionError("unreachable")


def _photographed(rng: Rng, task_type: TaskType) -> Plane:
    """A plane in one of the usual framings."""
    upright = rng.random() < (0.5 if task_type is not TaskType.DOOR else 0.9)
    ratio = 3 / 4 if upright else 4 / 3
    if task_type is TaskType.WALL:
        area = rng.uniform(3, 8)
        width = float(np.sqrt(area * ratio))
        return wall(
            rng, width, area / width, floor=rng.random() < 0.45, ceiling=rng.random() < 0.5, corner=rng.random() < 0.4
        )
    close = rng.random() < 0.25
    if task_type is TaskType.WINDOW:
        size = np.array([rng.uniform(0.7, 1.5), rng.uniform(0.9, 1.5)])
    else:
        size = np.array([rng.uniform(0.8, 0.95), rng.uniform(1.98, 2.1)])
    if close:
        area = rng.uniform(0.7, 1.4)
    else:
        fit = size * rng.uniform(1.15, 1.6)
        area = float(max(fit[0] / ratio * fit[0], fit[1] * ratio * fit[1]))
    width = float(np.sqrt(area * ratio))
    height = area / width
    floor = task_type is TaskType.DOOR and not close
    plane = wall(rng, width, height, floor=False, ceiling=False, corner=rng.random() < 0.15 and not close)
    plane.cracks, plane.holes, plane.edges = [], [], []
    if close:
        corner = rng.choice([-1, 1])
        shift = rng.uniform(0.3, 0.6)
        left = width * shift if corner > 0 else width * (1 - shift) - size[0]
        top = height * rng.uniform(0.45, 0.75) - size[1] if rng.random() < 0.75 else height * rng.uniform(0.25, 0.5)
    else:
        left = (width - size[0]) * rng.uniform(0.25, 0.75)
        top = (height - size[1]) * (rng.uniform(0.3, 0.6) if not floor else 0.75)
    place = Rect(float(left), float(top), float(left + size[0]), float(top + size[1]))
    if task_type is TaskType.WINDOW:
        window(rng, plane, place)
    else:
        if floor:
            _, y = plane.grid()
            plane.fill(y > place.bottom, rng.uniform(0.1, 0.35), (130, 100, 75))
            plane.floor_from = place.bottom
        door(rng, plane, place)
    return plane


Maker = Callable[[Rng, Plane, House], Flaw | None]
KINDS: dict[TaskType, tuple[tuple[Maker, float], ...]] = {
    TaskType.WINDOW: (
        (defects.air_leak, 0.5),
        (defects.cold_glazing, 0.25),
        (defects.missing_insulation, 0.1),
        (defects.thermal_bridge, 0.15),
    ),
    TaskType.DOOR: (
        (defects.air_leak, 0.7),
        (defects.cold_glazing, 0.15),
        (defects.missing_insulation, 0.05),
        (defects.thermal_bridge, 0.1),
    ),
    TaskType.WALL: (
        (defects.air_leak, 0.35),
        (defects.missing_insulation, 0.4),
        (defects.thermal_bridge, 0.25),
    ),
}
"""What is wrong with each part, and how often."""


def _draw_scene(
    rng: Rng,
    seed: int,
    condition: Condition,
    task_type: TaskType,
    makers: list[Maker],
    neglected: bool,
    colour_size: tuple[int, int],
) -> Scene | None:
    plane = _photographed(rng, task_type)
    inside = rng.uniform(18, 23)
    outside = {
        Condition.SUMMER: lambda: inside + rng.uniform(10, 15),
        Condition.MILD: lambda: inside - rng.uniform(3, 8),
    }.get(condition, lambda: inside - rng.uniform(12, 30))()
    wander = rng.uniform(0.002, 0.009) * soft_noise(rng, plane.shape, 0.45 * plane.scale)
    house = House(int(rng.integers(1, 3)), int(rng.integers(2, 5)), rng.uniform(3, 5), neglected)
    flaws: list[Flaw] = []
    for maker in makers:
        flaw = maker(rng, plane, house)
        if flaw is None:
            return None
        flaws.append(flaw)
    things = _things(rng, plane, inside, sound=not flaws)

    clean, taken = _temperatures(plane, flaws, wander, inside, outside, rng.uniform(0.1, 0.5), condition)
    visible = np.ones(plane.shape, bool)
    paint = plane.paint.copy()
    for thing in things:
        clean = np.where(thing.covered, thing.temperature, clean + thing.warmth * ~thing.covered).astype(np.float32)
        visible &= ~thing.covered & (thing.warmth < 1.5)
        if thing.light is not None:
            paint *= thing.light[..., None]
        if thing.paint is not None:
            paint[thing.covered] = thing.paint[thing.covered]

    camera = choose_camera(rng, plane.shape)
    measured = camera.measure(rng, camera.look(clean))
    areas = pixel_areas(camera, plane.shape, plane.point_area)
    in_view = camera.look(visible.astype(np.float32), nearest=True) > 0.5

    source = (Source.RADIOMETRIC, Source.METADATA, Source.PICTURE)[rng.choice(3, p=[0.3, 0.25, 0.45])]
    layout = (Layout.PLAIN, Layout.HANDHELD, Layout.INSET, Layout.ROUNDED, Layout.PICTURE_IN_PICTURE)[
        rng.choice(5, p=[0.15, 0.4, 0.25, 0.1, 0.1])
    ]
    if condition is Condition.BLENDED:
        source, layout = Source.PICTURE, Layout.BLENDED
    if source is Source.RADIOMETRIC and layout is not Layout.PLAIN:
        layout = Layout.HANDHELD
    names = tuple(ANCHORS)
    palette = names[rng.choice(len(names), p=[0.32, 0.2, 0.08, 0.12, 0.06, 0.12, 0.1])]
    upright = measured.shape[0] > measured.shape[1]
    long_side = int(rng.choice([160, 320, 480, 640, 960, 1440], p=[0.04, 0.16, 0.15, 0.35, 0.15, 0.15]))
    if layout is not Layout.PLAIN:
        long_side = max(long_side, 320)
    size = (long_side * 3 // 4, long_side) if upright else (long_side, long_side * 3 // 4)
    scale = temperature_scale(rng, measured, inside)

    colour_shape = colour_size[::-1] if upright else colour_size
    enlarge = np.diag([colour_shape[0] / camera.size[0], colour_shape[1] / camera.size[1], 1.0])
    colour = colour_photo(rng, paint, colour_shape, enlarge @ camera.homography)
    small = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    drawn = draw(rng, measured, layout=layout, palette=palette, scale=scale, size=size, grey=grey)

    found = [
        _defect(
            flaw,
            camera.look(drop),
            None if flaw.excess is None else camera.look(flaw.excess),
            in_view,
            areas,
            drawn.window,
            size,
        )
        for flaw, drop in zip(flaws, taken, strict=True)
    ]
    if any(defect is None for defect in found):
        return None
    kept = tuple(defect for defect in found if defect is not None)
    if kept and severity_of(sum(defect.excess_ua for defect in kept)) is Severity.NONE:
        return None

    orientation = int(rng.choice([1, 3, 6, 8], p=[0.85, 0.05, 0.05, 0.05])) if source is Source.PICTURE else 1
    quality = int(rng.integers(60, 96))
    if source is Source.RADIOMETRIC:
        thermal = radiometric_jpeg(drawn.picture, measured, quality=quality, as_png=rng.random() < 0.5)
    elif source is Source.METADATA:
        thermal = jpeg(drawn.picture, quality=quality, exif=range_exif(scale))
    else:
        thermal = jpeg(drawn.picture, quality=quality, orientation=orientation)
    said = rng.random() >= 0.05
    return Scene(
        seed=seed,
        condition=condition,
        task_type=task_type,
        household=Household(
            zip_code=str(rng.choice(list(DEGREE_DAYS))),
            ownership=str(rng.choice(["Own", "Rent"])),
            retrofit_budget=str(rng.choice(["up to $200", "up to $1000", "up to $5000", "show me all retrofits"])),
        ),
        typed_inside_f=round(inside * 1.8 + 32 + rng.normal(0, 1)) if said else None,
        typed_outside_f=round(outside * 1.8 + 32 + rng.normal(0, 3)) if said else None,
        thermal=thermal,
        colour=jpeg(colour, quality=85),
        thermal_picture=drawn.picture,
        colour_picture=colour,
        inside_c=inside,
        outside_c=outside,
        temperature=measured,
        sensor_covered=drawn.covered,
        window=drawn.window,
        palette=palette,
        scale=scale,
        source=source,
        layout=layout,
        orientation=orientation,
        spot=drawn.spot,
        distractors=tuple(thing.name for thing in things),
        defects=kept,
    )


def _things(rng: Rng, plane: Plane, room: float, *, sound: bool) -> list[distractors.Distractor]:
    """What else is in the view: hot objects in three quarters of the sound scenes and in four tenths of the others."""
    makers = []
    if rng.random() < (0.78 if sound else 0.4):
        makers += list(rng.choice(len(distractors.HOT), size=int(rng.integers(1, 3)), replace=False))
    things = [distractors.HOT[number](rng, plane, room) for number in makers]
    if rng.random() < 0.4:
        things.append(distractors.COOL[rng.integers(len(distractors.COOL))](rng, plane, room))
    return things


def _temperatures(
    plane: Plane,
    flaws: list[Flaw],
    wander: Field,
    inside: float,
    outside: float,
    gradient: float,
    condition: Condition,
) -> tuple[Field, list[Field]]:
    """Apparent surface temperatures, and the index that each flaw alone takes from them."""
    _, y = plane.grid()
    # Rooms are never quite even: air mixes badly, furniture stood somewhere, studs behind differ.
    air = inside + gradient * (plane.height / 2 - y)

    def index(some: list[Flaw]) -> Field:
        conductance = plane.conductance + sum((flaw.raised for flaw in some if flaw.raised is not None), np.float32(0))
        field = np.clip(index_of(conductance, plane.resistance) + wander, 0.02, 1.01).astype(np.float32)
        for flaw in some:
            if flaw.taken is not None:
                field = field * (1 - flaw.taken)
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), 0.006 * plane.scale), np.float32)
        return np.where(plane.glass, 0.84 * field + 0.16, field).astype(np.float32)  # glass mirrors the room

    whole = index(flaws)
    sound = index([])
    if condition is Condition.EXTERIOR:
        return _outside(plane, whole, inside, outside), [sound - index([flaw]) for flaw in flaws]
    return (outside + whole * (air - outside)).astype(np.float32), [sound - index([flaw]) for flaw in flaws]


def _outside(plane: Plane, index: Field, inside: float, outside: float) -> Field:
    """The plane from the other side: what loses heat is warm, the rest near the outside air, glass mirrors the sky."""
    lost = 1 - index
    surface = outside + 0.35 * lost * (inside - outside)
    sky = outside - 15
    return np.where(plane.glass, 0.84 * surface + 0.16 * sky, surface).astype(np.float32)


def _defect(
    flaw: Flaw, drop: Field, excess: Field | None, visible: Mask, areas: Field, place: Window, size: tuple[int, int]
) -> Defect | None:
    """A flaw as the photo shows it, or None where it can hardly be seen."""
    seen = defects.seen(drop, visible)
    whole = defects.seen(drop, np.ones_like(visible))
    if seen.mean() < 0.008 or seen.sum() < 0.6 * whole.sum():
        return None
    peak = float(np.quantile(drop[seen], 0.98))
    if peak < 0.1:
        return None
    x0, y0, x1, y1 = place
    mask = np.zeros((size[1], size[0]), bool)
    mask[y0:y1, x0:x1] = cv2.resize(seen.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) >= 0.5
    loss = flaw.leak_ua if excess is None else float((excess * areas).sum())
    return Defect(flaw.kind, mask, loss, flaw.leakage_cm2, peak)
