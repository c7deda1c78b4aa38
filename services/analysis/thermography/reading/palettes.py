"""False-colour palettes: which one a picture was drawn with, and back from its colours to places on its scale.

A palette is a curve through colour space from cold to hot. A colour's place is the nearest point of the curve, between
its entries too. Brightness counts less than hue in that distance: many cameras lay the outlines of a visible photo
over the thermal picture, and that changes brightness most. Where the curve is grey, brightness is all there is, and
decides.

``palettes.json`` holds the curves as figures, each with its source; where camera and app makers draw one name
differently, the name appears more than once. Two tables over all colours of 5 bits per channel (nearest entry, and
distance to it) are computed for each palette on first use and kept for the life of the process: about 0.2 s and
2 MB in all, see :func:`tables`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
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

DOUBTFUL = 16.0
"""Mean distance from which on it is asked whether the picture is mixed with a grey photo."""

MIXED_SHARES = (0.4, 0.5, 0.6, 0.7)
MIXED_BETTER = 0.34
"""Shares of false colour in a mixture, and how much smaller the distance of its hues has to be. Of 48 synthetic
mixtures all stay below 0.31 (and above 19 in distance); of 191 pure pictures and 24 real ones all stay above 0.37."""

GREY = frozenset({"white-hot", "black-hot"})
"""The palettes that tell hot from cold by brightness alone, and so cannot be told from each other by their colours."""

_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
_AXES /= np.linalg.norm(_AXES, axis=1, keepdims=True)
_AXES[0] *= BRIGHTNESS_WEIGHT
_OPENCV = {"jet": cv2.COLORMAP_JET, "turbo": cv2.COLORMAP_TURBO, "inferno": cv2.COLORMAP_INFERNO,
           "plasma": cv2.COLORMAP_PLASMA, "hot-metal": cv2.COLORMAP_HOT}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """One palette, ready for inversion."""

    name: str
    colours: NDArray[np.float32]  # (256, 3) RGB, cold to hot in equal steps of the scale
    curve: NDArray[np.float32]  # (256, 3) the same in the weighted space
    slope: NDArray[np.float32]  # (256, 3) entries per unit along the curve, for interpolation between entries

    @classmethod
    def of(cls, name: str, colours: NDArray[np.float32]) -> "Palette":
        """Build from any number (2 or more) of equally spaced colours (n, 3), cold to hot."""
        at = np.linspace(0, len(colours) - 1, ENTRIES)
        rgb = np.stack([np.interp(at, np.arange(len(colours)), colours[:, c]) for c in range(3)], 1).astype(np.float32)
        curve = rgb @ _AXES.T
        padded = np.pad(curve, ((2, 2), (0, 0)), mode="reflect", reflect_type="odd")
        tangent = (padded[4:] - padded[:-4]) / 4
        length = np.maximum((tangent**2).sum(1, keepdims=True), 0.05)
        return cls(name, rgb, np.ascontiguousarray(curve), (tangent / length).astype(np.float32))


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
        Palette.of(palette.name, palette.colours * (219 / 255) + 16) for palette in listed if palette.name not in GREY
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
        near = gap < explained_within(index)
        explained = float(weight[near].sum())
        residual = float((weight[near] * gap[near]).sum() / max(explained, 1e-9))
        found.append(Match(index, explained, residual))
    return sorted(found, key=_cost)


def explained_within(index: int) -> float:
    """Largest distance of a colour that the palette explains."""
    return EXPLAINED_GREY if known()[index].name in GREY else EXPLAINED


def _cost(match: Match) -> tuple[float, int]:
    return match.residual * match.explained + EXPLAINED * (1 - match.explained), match.index


@lru_cache(maxsize=1)
def grey() -> frozenset[int]:
    """Indices of the grey palettes."""
    return frozenset(index for index, palette in enumerate(known()) if palette.name in GREY)


def reversed_grey(index: int) -> int:
    """Give the other grey palette: the same colours with hot and cold exchanged."""
    return next(other for other in sorted(grey()) if other != index)


def explained_share(rgb: NDArray[np.uint8], index: int) -> float:
    """Share 0..1 of the pixels (..., 3) whose colour the palette explains."""
    _, distance = tables()
    return float((distance[index][bins(rgb)] < explained_within(index)).mean())


def blended(colours: NDArray[np.uint8], index: int) -> bool:
    """Tell whether colours (n, 3) are rather another palette mixed with grey than the palette that seems to fit.

    Mixing with a grey photo draws a palette's hues towards grey by one share everywhere and leaves its brightness to
    the photo. So hues alone are compared, of each palette of the files and several shares. Only where the palette that
    seems to fit leaves a doubt, and another one fits far better in this way, the picture is a mixture.
    """
    histogram = np.bincount(bins(colours), minlength=32768)
    common = np.argsort(-histogram, kind="stable")[:400]
    common = common[histogram[common] > 0]
    weight = np.sqrt(histogram[common].astype(np.float64))
    _, distance = tables()
    doubt = np.average(distance[index][common], weights=weight)
    if doubt < DOUBTFUL:
        return False
    cells = np.stack([common >> 10, (common >> 5) & 31, common & 31], 1).astype(np.float32) * 8 + 3.5
    hues = (cells @ _AXES.T)[:, 1:]
    best = np.inf
    for at, palette in enumerate(known()):
        if at in grey():
            continue
        for share in MIXED_SHARES:
            curve = palette.curve[::4, 1:] * np.float32(share)
            apart = np.sqrt(((hues[:, None] - curve[None]) ** 2).sum(2)).min(1)
            best = min(best, float(np.average(np.minimum(apart, 30), weights=weight)))
    return bool(best < MIXED_BETTER * doubt)


def places(rgb: NDArray[np.uint8], index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Invert colours (h, w, 3): the place on the scale, 0 cold to 1 hot, and the distance to the palette (h, w)."""
    palette = known()[index]
    nearest, _ = tables()
    entry = np.take(nearest[index], bins(rgb))
    point = [np.asarray(axis, np.float32) for axis in cv2.split(cv2.transform(rgb.astype(np.float32), _AXES))]
    # The table answers for the middle of a cell of 8 colours: first go to the entry that is nearest to the colour
    # itself, then to the place between the entries.
    at = np.clip(_step(palette, entry, point, 4.0) + entry, 0, ENTRIES - 1)
    entry = np.rint(at).astype(np.uint8)
    at = np.clip(_step(palette, entry, point, 1.5) + entry, 0, ENTRIES - 1)
    square = sum((axis - _looked_up(palette.curve[:, at_axis], entry)) ** 2 for at_axis, axis in enumerate(point))
    return at / np.float32(ENTRIES - 1), np.sqrt(np.asarray(square, np.float32))


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
