"""Unknown palettes: the order of a picture's colours, from the colours themselves.

A palette is a curve through colour space, and a thermal picture shows most of it without gaps. The tree that joins its
colours by the shortest steps follows the curve; the longest way through the tree is the palette. How the palette's
steps relate to temperature stays unknown: the order is all there is.
"""

import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading.palettes import Palette, unweighted

_CELL = 14.0  # 0..255 units: colours within one cell count as one knot of the tree
_RARE = 2e-3  # share of the weight that a cell needs: print and JPEG's mixtures have less
_MOST_KNOTS = 160
_LEAST_KNOTS = 4
_LEAST_WAY = 60.0  # 0..255 units: colours of a shorter way are one colour with noise
_WIDEST_GAP = 90.0  # 0..255 units: colours farther apart do not belong to one palette
_TELLING_HUE = 60.0  # red less blue, 0..255: from which on the redder end is the hot one


def order_of(points: NDArray[np.float32], weights: NDArray[np.float64]) -> Palette | None:
    """Return the order of colours (n, 3), given in the weighted space, as a palette; None where they have none."""
    knots, counts = _knots(points, weights)
    if len(knots) < _LEAST_KNOTS:
        return None
    way = _longest_way(knots)
    line = knots[way]
    if len(line) < _LEAST_KNOTS:
        return None
    line = _smoothed(line, counts[way])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    if length[-1] < _LEAST_WAY:
        return None
    at = np.linspace(0, length[-1], 64)
    even = np.stack([np.interp(at, length, line[:, axis]) for axis in range(3)], 1).astype(np.float32)
    colours = np.clip(unweighted(even), 0, 255)
    return Palette.of("unknown", colours if warm_end_last(colours) else colours[::-1])


def warm_end_last(colours: NDArray[np.float32]) -> bool:
    """Tell whether the last of colours (n, 3) along a palette is its hot end.

    Cameras draw warm things red or yellow and cold ones blue; where the ends have no such hue, warm things are bright.
    """
    few = max(1, len(colours) // 16)
    first, last = colours[:few].mean(0), colours[-few:].mean(0)
    redder = float((last[0] - last[2]) - (first[0] - first[2]))
    if abs(redder) > _TELLING_HUE:
        return redder > 0
    return float(last.sum() - first.sum()) >= 0


def _knots(
    points: NDArray[np.float32], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Gather colours in cells: the mean colour and the weight of each cell that is not rare."""
    cells = np.floor(points / _CELL).astype(np.int64)
    _, index = np.unique(cells, axis=0, return_inverse=True)
    index = index.ravel()
    total = np.bincount(index, weights)
    mean = np.stack([np.bincount(index, weights * points[:, axis]) / total for axis in range(3)], 1)
    kept = np.argsort(-total, kind="stable")[:_MOST_KNOTS]
    kept = kept[total[kept] > _RARE * total.sum()]
    return mean[kept].astype(np.float32), total[kept]


def _longest_way(knots: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the indices along the longest way through the shortest tree that joins the knots."""
    count = len(knots)
    apart = np.linalg.norm(knots[:, None] - knots[None], axis=2)
    parent = np.zeros(count, np.intp)
    near = apart[0].copy()
    joined = np.zeros(count, np.bool_)
    joined[0] = True
    joints: list[list[int]] = [[] for _ in range(count)]
    for _ in range(count - 1):
        following = int(np.where(joined, np.inf, near).argmin())
        if near[following] > _WIDEST_GAP:
            break
        joined[following] = True
        joints[following].append(int(parent[following]))
        joints[int(parent[following])].append(following)
        closer = ~joined & (apart[following] < near)
        near[closer], parent[closer] = apart[following][closer], following
    start = _farthest(joints, apart, 0)[0]
    end, came_from = _farthest(joints, apart, start)
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return np.array(way, np.intp)


def _farthest(joints: list[list[int]], apart: NDArray[np.float32], start: int) -> tuple[int, dict[int, int]]:
    """Return the knot that is farthest from one along the tree, and from where each knot is reached."""
    came_from: dict[int, int] = {start: start}
    distance = {start: 0.0}
    waiting = [start]
    while waiting:
        knot = waiting.pop()
        for following in joints[knot]:
            if following not in came_from:
                came_from[following] = knot
                distance[following] = distance[knot] + float(apart[knot, following])
                waiting.append(following)
    return max(distance, key=lambda knot: (distance[knot], -knot)), came_from


def _smoothed(line: NDArray[np.float32], counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Draw each inner knot towards its neighbours: cells cut the width of the curve into a zigzag."""
    weight = counts[:, None]
    for _ in range(2):
        mean = (line[:-2] * weight[:-2] + 2 * line[1:-1] * weight[1:-1] + line[2:] * weight[2:]) / (
            weight[:-2] + 2 * weight[1:-1] + weight[2:]
        )
        line = np.concatenate([line[:1], mean, line[-1:]]).astype(np.float32)
    return line
