"""The command: ``python -m tests.evaluation.scales [--pictures N] [--seed N] [--failures FOLDER] [--trained]``.

Measures how printed scales are read in typefaces that the sign reader was not trained on (those of the installed font
packages, see docs/thermography.md), with the bar's place known and with the bar found by the analysis.
"""

import argparse
import io
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from services.analysis.thermography.reading.printed import Box, read_printed_scale
from services.analysis.thermography.reading.thermogram import Photograph
from tests.synthetic.scales import ScalePicture, draw_scale_picture
from training.print.typefaces import FOR_TESTS, FOR_TRAINING, font, typefaces

_NEAR = 0.02  # of the scale's span and at least a tenth of a degree: how far an end may be off


def verdict(picture: ScalePicture, bar: Box | None) -> str:
    """Read a picture's scale: ``right``, ``unread``, ``unit`` where the numbers are right alone, or ``misread``."""
    found = read_printed_scale(picture.rgb, bar, inside_c=picture.inside_c, outside_c=picture.outside_c)
    if found is None:
        return "unread"
    truth = picture.low_c, picture.high_c
    if _is_near((found.low, found.high), truth):
        return "right"
    as_celsius = (found.low - 32) / 1.8, (found.high - 32) / 1.8
    as_fahrenheit = found.low * 1.8 + 32, found.high * 1.8 + 32
    return "unit" if _is_near(as_celsius, truth) or _is_near(as_fahrenheit, truth) else "misread"


def _is_near(found: tuple[float, float], truth: tuple[float, float]) -> bool:
    slack = max(0.1, _NEAR * (truth[1] - truth[0]))
    return max(abs(found[0] - truth[0]), abs(found[1] - truth[1])) <= slack


def found_bar(rgb: np.ndarray) -> Box | None:
    """The colour bar as the analysis finds it."""
    stored = io.BytesIO()
    Image.fromarray(rgb).save(stored, "PNG")
    photo = Photograph(stored.getvalue())
    if photo.layout.bar is None:
        return None
    scale = max(photo.working.shape) / max(photo.reduced.shape)
    x0, y0, x1, y1 = (round(value * scale) for value in photo.layout.bar.box)
    return x0, y0, x1, y1


def main() -> None:
    """Print a row for each layout and typeface family."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation.scales", description=__doc__)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--seed", type=int, default=5_000_000)
    parser.add_argument("--failures", type=Path, default=None, help="folder for the pictures that were not read right")
    parser.add_argument("--trained", action="store_true", help="typefaces that the reader was trained on")
    given = parser.parse_args()
    families = FOR_TRAINING if given.trained else FOR_TESTS
    faces = typefaces(families)
    rows: dict[str, Counter[str]] = {}
    for number in range(given.pictures):
        rng = np.random.default_rng(given.seed + number)
        family = faces[rng.integers(len(faces))]
        path = family[rng.integers(len(family))]
        picture = draw_scale_picture(rng, partial(font, path))
        told, found = verdict(picture, picture.bar), verdict(picture, found_bar(picture.rgb))
        for name in ("all", f"layout {picture.layout}", f"typeface {path.parent.name}"):
            rows.setdefault(name, Counter()).update([f"told {told}", f"found {found}"])
        if given.failures is not None and told != "right":
            given.failures.mkdir(parents=True, exist_ok=True)
            name = f"{told}-{number}-{picture.layout}-{path.stem}-{picture.low_c:.1f}-{picture.high_c:.1f}.png"
            Image.fromarray(picture.rgb).save(given.failures / name)
    columns = [f"{how} {what}" for how in ("told", "found") for what in ("right", "unread", "unit", "misread")]
    sys.stdout.write("| | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1) + "\n")
    for name in sorted(rows):
        sys.stdout.write(f"| {name} | " + " | ".join(str(rows[name][column]) for column in columns) + " |\n")


if __name__ == "__main__":
    main()
