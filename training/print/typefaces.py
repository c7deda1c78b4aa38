"""The typefaces that the sign reader is trained on, and those that it is tested on: none is in both.

All are files of Debian's font packages (docs/thermography.md names them). Designs that descend from one another stay
together: Arimo is a Liberation Sans, Carlito a Lato, Free Sans a Nimbus Sans, Hack a DejaVu, Droid an Open Sans.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

FOLDERS = (Path("/usr/share/fonts"),)

FOR_TRAINING = (
    "noto", "open-sans", "droid", "urw-base35", "freefont", "lato", "crosextra/Carlito", "inconsolata", "firacode",
    "inter", "jetbrains-mono", "quicksand", "comfortaa", "oxygen", "play", "mplus", "vlgothic", "tuffy", "mononoki",
    "monofur", "monoid", "fantasque-sans", "andika", "gentium", "linux-libertine", "dosis", "league-spartan",
    "cantarell", "dseg", "courier-prime",
)  # fmt: skip
FOR_TESTS = (
    "dejavu", "hack/", "liberation", "croscore", "roboto", "b612", "karla", "paratype", "ocr-a",
    "crosextra/Caladea",
)  # fmt: skip

_NEEDED = "0123456789.,-"
_MOST_PER_FAMILY = 14


@cache
def typefaces(families: tuple[str, ...]) -> list[list[Path]]:
    """Return the font files of each family that is installed, at most some of each."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _files():
        family = next((name for name in families if f"type/{name}" in str(path)), None)
        if family is not None and _is_upright_latin(path):
            found[family].append(path)
    return [_spread(found[family]) for family in families if found[family]]


@cache
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Return a font at a size in pixels."""
    return ImageFont.truetype(str(path), size)


@cache
def signs_of(path: Path) -> frozenset[str]:
    """Return which of the wanted signs a font has: those that it draws otherwise than an unknown sign."""
    drawn = font(path, 32)
    unknown = bytes(drawn.getmask("\U0010fffe"))
    wanted = "0123456789.,-−–°º℃℉±:/~%=+()<>≈ε" + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return frozenset(sign for sign in wanted if (mask := bytes(drawn.getmask(sign))) and mask != unknown)


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".ttf", ".otf"})


def _is_upright_latin(path: Path) -> bool:
    name = path.stem.lower()
    if any(word in name for word in ("italic", "oblique", "symbol", "emoji", "dingbat", "music", "math")):
        return False
    try:
        drawn = font(path, 32)
        masks = [drawn.getmask(sign) for sign in _NEEDED]
    except OSError:
        return False
    filled = [bytes(mask) for mask in masks]
    return all(np.any(np.frombuffer(mask, np.uint8)) for mask in filled) and len(set(filled)) == len(_NEEDED)


def _spread(paths: list[Path]) -> list[Path]:
    step = max(1, len(paths) // _MOST_PER_FAMILY)
    return paths[::step][:_MOST_PER_FAMILY]
