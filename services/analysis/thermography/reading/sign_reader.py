"""Read the signs of print lines with a small network, trained on many typefaces by ``python -m training.print``.

The network is convolutional from end to end, so all lines of a picture are laid into one strip and read at once. Each
column of its answer says which sign has its centre there, or that none has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading.signs import SIGNS
from services.analysis.thermography.reading.strokes import LINE_HEIGHT

COLUMN_PX = 2
"""Pixels of a line for each column of the answer."""

MOST_PIXELS = 1800
"""Pixels in width of all lines that are read: bounds the time for a picture full of text."""

_CLOSEST_PX = 3.5  # between the centres of two letters or digits
_APART_PX = 14  # between lines in the strip: what a column sees reaches 12 to each side
_KERNELS = ((5, 5), (3, 3), (3, 3), (5, 3), (1, 5), (1, 1))  # height and width of each layer's
_FIRST, _SHRUNK, _WHOLE = 0, 1, 3  # layers: of every other pixel; halved in height; over the whole height that is left
_WEIGHTS = Path(__file__).with_name("signs.npz")

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReadSign:
    """A sign on a line: where its centre is, in pixels of the line's picture, and how sure the network is."""

    sign: str
    at: float
    sure: float


def read_signs(lines: Sequence[Plane]) -> list[list[ReadSign]]:
    """Return the signs of each line, left to right; lines beyond ``MOST_PIXELS`` are not read."""
    if not lines:
        return []
    starts: list[int] = []
    at = _APART_PX
    for line in lines:
        starts.append(at)
        at += line.shape[1] + _APART_PX
        at += at % 2
        if at > MOST_PIXELS:
            break
    strip = np.zeros((LINE_HEIGHT, at), np.float32)
    for start, line in zip(starts, lines, strict=False):
        strip[:, start : start + line.shape[1]] = line[:, : at - start]
    chances = _chances(strip)
    read = [
        _signs(chances[start // COLUMN_PX : (start + line.shape[1]) // COLUMN_PX])
        for start, line in zip(starts, lines, strict=False)
    ]
    return read + [[] for _ in lines[len(starts) :]]


def _signs(chances: Plane) -> list[ReadSign]:
    """The signs of a line: each run of columns that say the same is one, and its surest column is its place.

    Two letters or digits closer than any are printed are two guesses at one: the surer counts.
    """
    best = chances.argmax(1)
    starts = np.flatnonzero((best > 0) & (best != np.concatenate([[0], best[:-1]])))
    signs: list[ReadSign] = []
    for start in starts.tolist():
        stop = start + 1
        while stop < len(best) and best[stop] == best[start]:
            stop += 1
        at = start + int(chances[start:stop, best[start]].argmax())
        sign = ReadSign(SIGNS[best[start] - 1], at * COLUMN_PX + 1.0, float(chances[at, best[at]]))
        if signs and sign.at - signs[-1].at < _CLOSEST_PX and sign.sign.isalnum() and signs[-1].sign.isalnum():
            signs[-1] = max(signs[-1], sign, key=lambda guess: guess.sure)
        else:
            signs.append(sign)
    return signs


def _chances(strip: Plane) -> Plane:
    """The chance of each class (columns, classes) along a strip (LINE_HEIGHT, width)."""
    plane = strip[..., None]
    for at, ((height, width), (kernel, bias)) in enumerate(zip(_KERNELS, _kernels(), strict=True)):
        rim = 0 if at == _WHOLE else height // 2
        plane = _convolve(plane, kernel, bias, (height, width), rim, 2 if at == _FIRST else 1)
        if at < len(_KERNELS) - 1:
            np.maximum(plane, 0, out=plane)
        if at == _SHRUNK:
            plane = np.maximum(plane[0::2], plane[1::2])
    scores = plane[0]
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def _convolve(plane: Plane, kernel: Plane, bias: Plane, size: tuple[int, int], rim: int, step: int) -> Plane:
    """Convolve a plane (rows, columns, channels) with a kernel (height * width * channels, outputs)."""
    padded = np.pad(plane, ((rim, rim), (size[1] // 2, size[1] // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, (0, 1))[::step, ::step]
    rows, columns = windows.shape[:2]
    flat = windows.transpose(0, 1, 3, 4, 2).reshape(rows * columns, -1)
    return np.asarray(flat @ kernel + bias, np.float32).reshape(rows, columns, -1)


@cache
def _kernels() -> tuple[tuple[Plane, Plane], ...]:
    with np.load(_WEIGHTS) as stored:
        return tuple(
            (stored[f"kernel{at}"].astype(np.float32), stored[f"bias{at}"].astype(np.float32))
            for at in range(len(_KERNELS))
        )
