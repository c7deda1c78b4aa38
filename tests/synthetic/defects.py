"""What is wrong with a plane: leaks, missing insulation, bridges, single glazing. Each changes the physical state.

A defect returns the index that it takes from each point and the loss that it adds. Conduction raises U, so its loss is
the integral of the raise; a leak's loss follows from its area alone (see :mod:`tests.synthetic.physics`).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from contracts.reports import DefectKind
from tests.synthetic.physics import DOUBLE_GLAZING_U, Field, jet_cooling, leak_ua, plume_cooling
from tests.synthetic.plane import Crack, Mask, Plane, Rect, Rng, soft_noise


@dataclass(frozen=True, slots=True)
class House:
    """What the season's infiltration depends on beside the leak, and whether anybody has cared for the joints."""

    storeys: int
    shelter: int
    wind: float  # m/s, seasonal mean
    neglected: bool


@dataclass(frozen=True, slots=True)
class Flaw:
    """A defect in the plane before anybody photographs it."""

    kind: DefectKind
    raised: Field | None = None  # W/m²K added behind each point, conduction only
    excess: Field | None = None  # W/m²K lost beyond what a sound part may lose, conduction only
    taken: Field | None = None  # share of the index taken by cold air, leaks only
    leakage_cm2: float | None = None  # at 4 Pa, leaks only
    leak_ua: float = 0.0  # W/K, leaks only


def air_leak(rng: Rng, plane: Plane, house: House) -> Flaw | None:
    """Air through a part of a joint, or through a hole."""
    speed = rng.uniform(1.2, 2.8)  # at the crack during the survey
    if plane.holes and (not plane.cracks or rng.random() < 0.25):
        return _hole(rng, plane, house, speed)
    cracks = [crack for crack in (_visible(plane, crack) for crack in plane.cracks) if crack is not None]
    if not cracks:
        return None
    crack = cracks[rng.integers(len(cracks))]
    length = crack.length if house.neglected else min(crack.length, rng.uniform(0.18, 1.3))
    start = rng.uniform(0, crack.length - length)
    along = np.array([crack.end[0] - crack.start[0], crack.end[1] - crack.start[1]]) / crack.length
    origin = np.array(crack.start) + along * start
    least, most = np.log(crack.leakage_per_metre)
    per_metre = np.exp(rng.uniform(most - 0.4 * (most - least) if house.neglected else least, most))
    area = per_metre * length

    normal = np.array(crack.normal) / np.hypot(*crack.normal)
    x, y = plane.grid()
    dx, dy = x - origin[0], y - origin[1]
    across = np.array([-along[1], along[0]])
    across *= np.sign(across @ normal) or 1
    distance = dx * across[0] + dy * across[1]
    drift = (normal @ along) / max(
        normal @ across, 0.2
    )  # cold air falls: a jet beside an upright crack leans downwards
    position = dx * along[0] + dy * along[1] - drift * np.clip(distance, 0, None)

    # An uneven crack: the width varies along it; with the distance its streaks run into each other.
    step = 0.01
    samples = max(8, int(length / step))
    uneven = np.exp(0.6 * soft_noise(rng, (2, samples), rng.uniform(4, 12))[0])
    uneven *= np.clip(np.minimum(np.arange(samples) + 1, samples - np.arange(samples)) / 5, 0, 1)
    uneven *= area * 1e-4 / length / uneven.mean()
    margin = 60
    row = np.pad(uneven, margin).astype(np.float32)
    reach = 0.6
    rows = [
        cv2.GaussianBlur(row[None], (0, 0), sigmaX=max(0.8, (0.008 + 0.12 * d) / step), borderType=cv2.BORDER_CONSTANT)[
            0
        ]
        for d in np.arange(0, reach, step)
    ]
    mixed = np.stack(rows)
    widths = cv2.remap(
        mixed,
        np.ascontiguousarray(position / step + margin - 0.5, np.float32),
        np.ascontiguousarray(np.abs(distance) / step, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    ahead = jet_cooling(np.abs(distance).astype(np.float32), np.asarray(widths, np.float32), speed)
    behind = ahead * np.exp(-np.abs(distance) / 0.015) * 0.8
    taken = np.where(distance >= 0, ahead, behind).astype(np.float32)
    return _leak(plane, taken, float(area), house)


def _hole(rng: Rng, plane: Plane, house: House, speed: float) -> Flaw:
    x0, y0 = plane.holes[rng.integers(len(plane.holes))]
    area = float(np.exp(rng.uniform(np.log(2), np.log(20))))
    diameter = float(np.sqrt(4 * area * 1e-4 / np.pi))
    x, y = plane.grid()
    lean = rng.normal(0, 0.2)
    along = (y - y0) * np.cos(lean) + (x - x0) * np.sin(lean)
    across = (x - x0) * np.cos(lean) - (y - y0) * np.sin(lean)
    across = across + 0.008 * soft_noise(rng, plane.shape, 40)
    taken = plume_cooling(along.astype(np.float32), across.astype(np.float32), diameter, speed)
    return _leak(plane, taken, area, house)


def _leak(plane: Plane, taken: Field, area: float, house: House) -> Flaw:
    loss = leak_ua(area, storeys=house.storeys, shelter=house.shelter, wind=house.wind)
    return Flaw(DefectKind.AIR_LEAK, taken=np.clip(taken, 0, 0.9), leakage_cm2=area, leak_ua=loss)


def _visible(plane: Plane, crack: Crack) -> Crack | None:
    """The part of a crack within the view, if there is enough of it."""
    clip = [
        (float(np.clip(x, 0.02, plane.width - 0.02)), float(np.clip(y, 0.02, plane.height - 0.02)))
        for x, y in (crack.start, crack.end)
    ]
    upright = abs(crack.start[0] - crack.end[0]) < 1e-9
    moved = abs(clip[0][0] - crack.start[0]) if upright else abs(clip[0][1] - crack.start[1])
    kept = Crack(clip[0], clip[1], crack.normal, crack.leakage_per_metre)
    return kept if moved < 1e-9 and kept.length > 0.16 else None


def missing_insulation(rng: Rng, plane: Plane, house: House) -> Flaw | None:
    """Some bays between studs without insulation, over their height or only at the top where it has slumped."""
    visible = [
        Rect(max(bay.left, 0), max(bay.top, 0), min(bay.right, plane.width), min(bay.bottom, plane.height))
        for bay in plane.bays
    ]
    visible = [bay for bay in visible if bay.width > 0.15 and bay.height > 0.15]
    if not visible:
        return None
    first = 0 if house.neglected else int(rng.integers(len(visible)))
    count = len(visible) if house.neglected else int(rng.integers(1, 5))
    chosen = [bay for bay in visible[first : first + count] if abs(bay.top - visible[first].top) < 0.01]
    _, y = plane.grid()
    empty_u = rng.uniform(1.3, 2.3)
    slumped = rng.random() < 0.5
    share = rng.uniform(0.15, 0.6) if slumped else rng.uniform(0.4, 1.0)
    offset = 0.0 if slumped else rng.uniform(0, 1 - share)
    raised = np.zeros(plane.shape, np.float32)
    for bay in chosen:
        top = bay.top + offset * bay.height
        lower = top + share * bay.height + rng.normal(0, 0.03)
        wave = 0.02 * soft_noise(rng, (2, plane.shape[1]), 25)[0] if slumped else 0.0
        where = plane.inside(Rect(bay.left, top, bay.right, bay.bottom)) & (y < lower + wave)
        raised[where] = np.clip(empty_u - plane.conductance, 0, None)[where]
    return _conduction(plane, DefectKind.MISSING_INSULATION, raised, spread=0.018)


def thermal_bridge(rng: Rng, plane: Plane, _house: House) -> Flaw | None:
    """A line of poor insulation: a slab's edge, a lintel, a corner post."""
    if not plane.edges:
        return None
    (x0, y0), (x1, y1) = plane.edges[rng.integers(len(plane.edges))]
    if not (min(x0, x1) + 0.26 >= 0 and 0.02 <= y0 <= plane.height - 0.02):
        return None
    x, y = plane.grid()
    width = rng.uniform(0.05, 0.12)
    strong = rng.uniform(1.0, 2.2)
    line = np.array([x1 - x0, y1 - y0])
    length = np.hypot(*line)
    along = ((x - x0) * line[0] + (y - y0) * line[1]) / length
    off = np.abs((x - x0) * line[1] - (y - y0) * line[0]) / length
    raised = strong * ((off < width / 2) & (along >= 0) & (along <= length)).astype(np.float32)
    if plane.opening is not None:
        raised[plane.inside(plane.opening)] = 0
    return _conduction(plane, DefectKind.THERMAL_BRIDGE, raised, spread=0.025)


def cold_glazing(rng: Rng, plane: Plane, _house: House) -> Flaw | None:
    """Single glass in all panes, or in one of several."""
    if not plane.panes:
        return None
    panes = plane.panes if rng.random() < 0.6 else [plane.panes[rng.integers(len(plane.panes))]]
    single = rng.uniform(4.7, 5.6)
    _, y = plane.grid()
    where = np.zeros(plane.shape, bool)
    for pane in panes:
        where |= plane.inside(pane)
    if not where.any():
        return None
    low = (y - y[where].min()) / max(float(np.ptp(y[where])), 1e-3)
    raised = np.where(where, np.clip(single * (1 + 0.06 * (low - 0.5)) - plane.conductance, 0, None), 0)
    excess = np.where(where, np.clip(plane.conductance + raised - DOUBLE_GLAZING_U, 0, None), 0)
    return Flaw(DefectKind.COLD_GLAZING, raised=raised.astype(np.float32), excess=excess.astype(np.float32))


def _conduction(plane: Plane, kind: DefectKind, raised: Field, *, spread: float) -> Flaw:
    """Let the surface layer spread a raise sideways by ``spread`` metres; the heat stays the same."""
    blurred = np.asarray(cv2.GaussianBlur(raised, (0, 0), spread * plane.scale), np.float32)
    return Flaw(kind, raised=blurred, excess=blurred)


def seen(taken_index: Field, visible: Mask) -> Mask:
    """The region of a defect: where it lowers the index by 0.05 and by three tenths of its peak, and is not hidden."""
    peak = float(taken_index[visible].max(initial=0.0))
    return (taken_index >= max(0.05, 0.3 * peak)) & visible
