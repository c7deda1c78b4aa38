"""False-colour palettes: which one a picture was drawn with, and back from its colours to places on its scale.

A palette is a curve through colour space from cold to hot. A colour's place is the nearest point of the curve, between
its entries too. Brightness counts less than hue in that distance: many cameras lay the outlines of a visible photo
over the thermal picture, and that changes brightness most. Where the curve is grey, brightness is all there is, and
decides.

A grey photo that is mixed in at one share everywhere draws a colour towards the grey axis and moves it along that axis:
hue and saturation, scaled by that share, still tell the place, and brightness only bounds it.

``palettes.json`` holds the curves as figures, each with its source; where camera and app makers draw one name
differently, the name appears more than once. Two tables over all colours of 5 bits per channel (nearest entry, and
distance to it) are computed for each palette on first use and kept for the life of the process: about 0.2 s and
2 MB in all, see :func:`tables`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ENTRIES = 256
BRIGHTNESS_WEIGHT = 0.6
"""Weight of a difference in brightness against one in hue or saturation."""

EXPLAINED = 20.0
"""A colour nearer to the curve than this (0..255 units after weighting) belongs to the palette: what JPEG at
quality 75 and an outline overlay leave."""

EXPLAINED_GREY = 10.0
"""The same for the grey palettes: a photo of pale things is not yet a grey picture."""

GREY = frozenset({"white-hot", "black-hot"})
"""The palettes that tell hot from cold by brightness alone, and so cannot be told from each other by their colours."""

_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
_AXES /= np.linalg.norm(_AXES, axis=1, keepdims=True)
_AXES[0] *= BRIGHTNESS_WEIGHT
_OPENCV = {"jet": cv2.COLORMAP_JET, "turbo": cv2.COLORMAP_TURBO, "inferno": cv2.COLORMAP_INFERNO,
           "plasma": cv2.COLORMAP_PLASMA, "hot-metal": cv2.COLORMAP_HOT, "viridis": cv2.COLORMAP_VIRIDIS,
           "magma": cv2.COLORMAP_MAGMA, "cividis": cv2.COLORMAP_CIVIDIS}  # fmt: skip
_GREY_REACH = float(_AXES[0].sum() * 255)  # brightness, weighted, of white

_EVERY = 4  # entries of a palette, the nearest of which is found first; the way between them follows
_APART = 64  # entries between two places that are not neighbours
_UNSURE = 10.0  # a place that fits worse than the best by less than this (0..255 units) may be the right one


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """One palette, ready for inversion."""

    name: str
    colours: NDArray[np.float32]  # (256, 3) RGB, cold to hot in equal steps of the scale
    curve: NDArray[np.float32]  # (256, 3) the same in the weighted space
    slope: NDArray[np.float32]  # (256, 3) entries per unit along the curve, for interpolation between entries
    in_video_range: bool = False  # drawn from 16 to 235 instead of from 0 to 255
    share: float = 1.0  # of false colour in the picture; the rest is a grey photo, whose brightness nothing tells

    @classmethod
    def of(cls, name: str, colours: NDArray[np.float32]) -> "Palette":
        """Build from any number (2 or more) of equally spaced colours (n, 3), cold to hot."""
        at = np.linspace(0, len(colours) - 1, ENTRIES)
        rgb = np.stack([np.interp(at, np.arange(len(colours)), colours[:, c]) for c in range(3)], 1).astype(np.float32)
        curve = rgb @ _AXES.T
        return cls(name, rgb, np.ascontiguousarray(curve), _slope(curve))

    @lru_cache(maxsize=512)  # noqa: B019 - few palettes, which live as long as the process
    def mixed(self, share: float) -> "Palette":
        """Return this palette as it looks where a grey photo takes the rest of ``share`` (0..1)."""
        hues = self.curve * np.array([0, share, share], np.float32)
        curve = np.ascontiguousarray(self.curve * np.float32(share))
        return replace(self, curve=curve, slope=_slope(hues), share=share)

    @property
    def explained_within(self) -> float:
        """Largest distance of a colour that the palette explains."""
        return EXPLAINED_GREY if self.is_grey else EXPLAINED

    @property
    def is_grey(self) -> bool:
        """Whether the palette tells hot from cold by brightness alone."""
        return self.name in GREY


def _slope(curve: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(curve, ((2, 2), (0, 0)), mode="reflect", reflect_type="odd")
    tangent = (padded[4:] - padded[:-4]) / 4
    length = np.maximum((tangent**2).sum(1, keepdims=True), 0.05)
    return np.asarray(tangent / length, np.float32)


@dataclass(frozen=True, slots=True)
class Match:
    """How well a palette explains a picture."""

    index: int  # into :func:`known`
    explained: float  # 0..1, share of the weight that lies near enough to the palette
    residual: float  # mean distance of what is explained


@lru_cache(maxsize=1)
def known() -> tuple[Palette, ...]:
    """All palettes, those of ``palettes.json`` first, then the ones that OpenCV draws."""
    entries = json.loads(Path(__file__).with_name("palettes.json").read_text(encoding="utf-8"))
    listed = [Palette.of(entry["name"], np.array(entry["colours"], np.float32)) for entry in entries]
    # Some cameras write their picture in the range of video, 16..235, whatever the file's format says.
    listed += [
        replace(Palette.of(palette.name, palette.colours * (219 / 255) + 16), in_video_range=True)
        for palette in listed
        if not palette.is_grey
    ]
    steps = np.arange(ENTRIES, dtype=np.uint8)[:, None]
    drawn = [
        Palette.of(name, cv2.applyColorMap(steps, which)[:, 0, ::-1].astype(np.float32))
        for name, which in _OPENCV.items()
    ]
    return (*listed, *drawn)


@lru_cache(maxsize=1)
def tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Nearest entry and distance (at most 255) for each palette and 15-bit colour: two arrays (palettes, 32768)."""
    every = np.arange(32768)
    colours = np.stack([every >> 10, (every >> 5) & 31, every & 31], 1).astype(np.float32) * 8 + 3.5
    points = colours @ _AXES.T
    squared = (points**2).sum(1)
    nearest, distance = [], []
    for palette in known():
        entry = np.empty(32768, np.uint8)
        gap = np.empty(32768, np.float32)
        half = (palette.curve**2).sum(1) / 2
        for start in range(0, 32768, 512):  # few at a time: larger products would start a thread per core
            part = slice(start, start + 512)
            closeness = points[part] @ palette.curve.T - half
            best = closeness.argmax(1)
            entry[part] = best
            gap[part] = squared[part] - 2 * closeness[np.arange(512), best]
        nearest.append(entry)
        distance.append(np.minimum(np.sqrt(np.maximum(gap, 0)), 255).astype(np.uint8))
    return np.stack(nearest), np.stack(distance)


def bins(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Reduce colours (..., 3) to 5 bits per channel: the index into :func:`tables`."""
    high = (rgb >> 3).astype(np.uint16)
    return np.asarray((high[..., 0] << 10) | (high[..., 1] << 5) | high[..., 2], np.uint16)


def matches(weights: NDArray[np.float64]) -> list[Match]:
    """Rank the palettes for a picture given as a histogram over 15-bit colours (32768,), the best first."""
    _, distance = tables()
    used = np.flatnonzero(weights)
    weight = weights[used] / max(weights.sum(), 1e-9)
    found = []
    for index in range(len(known())):
        gap = distance[index, used].astype(np.float64)
        near = gap < known()[index].explained_within
        explained = float(weight[near].sum())
        residual = float((weight[near] * gap[near]).sum() / max(explained, 1e-9))
        found.append(Match(index, explained, residual))
    return sorted(found, key=_cost)


def _cost(match: Match) -> tuple[float, int]:
    return match.residual * match.explained + EXPLAINED * (1 - match.explained), match.index


def reversed_grey(palette: Palette) -> Palette:
    """Return the other grey palette: the same colours with hot and cold exchanged."""
    return next(other for other in known() if other.is_grey and other.name != palette.name)


def colours_of(cells: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the middle (n, 3) of each 15-bit colour (n,)."""
    return np.stack([cells >> 10, (cells >> 5) & 31, cells & 31], 1).astype(np.float32) * 8 + 3.5


def misfits(points: NDArray[np.float32], palette: Palette, every: int = 1) -> NDArray[np.float32]:
    """Squared distance of colours (n, 3), in the weighted space, from entries of a palette: (n, entries)."""
    curve = palette.curve[::every]
    hues = points[:, 1:]
    apart = (hues**2).sum(1)[:, None] - 2 * hues @ curve[:, 1:].T + (curve[:, 1:] ** 2).sum(1)
    off = points[:, :1] - curve[:, 0]
    if palette.share < 1:  # the photo adds anything from black to white
        off -= np.clip(off, 0, np.float32((1 - palette.share) * _GREY_REACH))
    return np.asarray(np.maximum(apart, 0) + off**2, np.float32)


def weighted(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring colours (n, 3) into the space in which distances are taken."""
    return colours @ _AXES.T


def unweighted(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring points (n, 3) of that space back to colours."""
    return np.asarray(points @ np.linalg.inv(_AXES.T), np.float32)


@dataclass(frozen=True, slots=True)
class Places:
    """A picture inverted by a palette."""

    place: NDArray[np.float32]  # (h, w), 0 cold to 1 hot
    gap: NDArray[np.float32]  # (h, w), distance to the palette
    other: NDArray[np.float32] | None = None  # (h, w), another place where that is as likely, ``place`` elsewhere


def places(rgb: NDArray[np.uint8], palette: Palette) -> Places:
    """Invert colours (h, w, 3)."""
    cells = bins(rgb)
    nearest, other = _nearest(cells, palette)
    entry = np.take(nearest, cells)
    point = [np.asarray(axis, np.float32) for axis in cv2.split(cv2.transform(rgb.astype(np.float32), _AXES))]
    # The table answers for the middle of a cell of 8 colours: first go to the entry that is nearest to the colour
    # itself, then to the place between the entries.
    at = np.clip(_step(palette, entry, point, 4.0) + entry, 0, ENTRIES - 1)
    entry = np.rint(at).astype(np.uint8)
    at = np.clip(_step(palette, entry, point, 1.5) + entry, 0, ENTRIES - 1)
    off = [axis - _looked_up(palette.curve[:, at_axis], entry) for at_axis, axis in enumerate(point)]
    if palette.share < 1:
        off[0] -= np.clip(off[0], 0, np.float32((1 - palette.share) * _GREY_REACH))
    gap = np.sqrt(np.asarray(sum(axis**2 for axis in off), np.float32))
    place = np.asarray(at / np.float32(ENTRIES - 1), np.float32)
    if other is None:
        return Places(place, gap)
    second = np.take(other, cells).astype(np.float32) / (ENTRIES - 1)
    return Places(place, gap, np.where(second < 0, place, second).astype(np.float32))


def _nearest(cells: NDArray[np.uint16], palette: Palette) -> tuple[NDArray[np.uint8], NDArray[np.int16] | None]:
    """Nearest entry for each 15-bit colour that occurs, and the entry that is as likely, -1 where there is none."""
    if palette in known():
        return tables()[0][known().index(palette)], None
    used = np.flatnonzero(np.bincount(cells.ravel(), minlength=32768))
    nearest = np.zeros(32768, np.uint8)
    other = np.full(32768, -1, np.int16)
    few = np.arange(0, ENTRIES, _EVERY)
    for start in range(0, len(used), 1024):
        part = used[start : start + 1024]
        apart = misfits(weighted(colours_of(part)), palette, _EVERY)
        best = apart.argmin(1)
        nearest[part] = few[best]
        if palette.share < 1:
            row = np.arange(len(part))
            least = np.sqrt(apart[row, best])
            apart[np.abs(few - few[best, None]) <= _APART] = np.inf
            second = apart.argmin(1)
            likely = np.sqrt(apart[row, second]) < least + _UNSURE
            other[part] = np.where(likely, few[second], -1)
    return nearest, other if palette.share < 1 else None


def _step(
    palette: Palette, entry: NDArray[np.uint8], point: Sequence[NDArray[np.float32]], limit: float
) -> NDArray[np.float32]:
    """How far along the curve a point lies from an entry, in entries."""
    step = _looked_up(-(palette.curve * palette.slope).sum(1), entry)
    for at_axis, axis in enumerate(point):
        step += axis * _looked_up(palette.slope[:, at_axis], entry)
    return np.clip(step, -limit, limit, out=step)


def _looked_up(table: NDArray[np.float32], entry: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``table[entry]``, several times faster."""
    return np.asarray(cv2.LUT(entry, np.ascontiguousarray(table)), np.float32)
