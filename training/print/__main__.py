"""The command: ``python -m training.print [--epochs N] [--seed N] [--out FILE]``.

Draws lines of print and fits the sign reader's network to them. Needs PyTorch beside the project's development packages
and the font packages that docs/thermography.md names. The same fonts and seed give the same lines; the weights may
differ in their last digits with the number of threads.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading.strokes import LINE_HEIGHT
from training.print.lines import WIDTH, draw_line
from training.print.network import fit
from training.print.typefaces import FOR_TESTS, FOR_TRAINING, typefaces

_CHUNK = 500  # lines drawn from one seed
_MOST_SIGNS = 24
_LINES = (16_000, 24_000)  # drawn from the seed and from the next one
_TEST_LINES = 2000
_WEIGHTS = Path("services/analysis/thermography/reading/signs.npz")

Drawn = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]


def main() -> None:
    """Train, and print how many lines of typefaces that took no part are read whole."""
    parser = argparse.ArgumentParser(prog="python -m training.print", description=__doc__)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=_WEIGHTS)
    given = parser.parse_args()
    first, second = (draw(lines, given.seed + at, FOR_TRAINING) for at, lines in enumerate(_LINES))
    learnt = (
        np.concatenate([first[0], second[0]]),
        np.concatenate([first[1], second[1]]),
        np.concatenate([first[2], second[2]]),
    )
    unseen = draw(_TEST_LINES, given.seed + 1_000_000, FOR_TESTS)
    weights = fit(learnt, unseen, epochs=given.epochs, seed=given.seed)
    halved: dict[str, Any] = {name: value.astype(np.float16) for name, value in weights.items()}
    np.savez_compressed(given.out, **halved)


def draw(lines: int, seed: int, families: tuple[str, ...]) -> Drawn:
    """Draw lines: pictures, classes of the signs (0 beyond the last), and their centres in pixels."""
    seeds = [(seed * 10_000 + at, families) for at in range(max(1, lines // _CHUNK))]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        chunks = list(pool.map(_chunk, seeds))
    pictures, classes, centres = zip(*chunks, strict=True)
    return np.concatenate(pictures), np.concatenate(classes), np.concatenate(centres)


def _chunk(task: tuple[int, tuple[str, ...]]) -> Drawn:
    seed, families = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    faces = typefaces(families)
    pictures = np.zeros((_CHUNK, LINE_HEIGHT, WIDTH), np.uint8)
    classes = np.zeros((_CHUNK, _MOST_SIGNS), np.int64)
    centres = np.zeros((_CHUNK, _MOST_SIGNS), np.float32)
    for at in range(_CHUNK):
        line = draw_line(rng, faces)
        count = min(len(line.classes), _MOST_SIGNS)
        pictures[at] = line.picture
        classes[at, :count] = line.classes[:count]
        centres[at, :count] = line.centres[:count]
    return pictures, classes, centres


if __name__ == "__main__":
    main()
