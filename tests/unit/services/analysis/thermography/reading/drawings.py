"""Pictures with a known truth that the tests of reading draw: scenes, palettes, mixtures, photos around them."""

import cv2
import numpy as np

from services.analysis.thermography.reading import palettes
from services.analysis.thermography.reading.overlays import Box

IRON = palettes.known()[0].colours
GREY = next(palette.colours for palette in palettes.known() if palette.name == "white-hot")


def drawn(place: np.ndarray, colours: np.ndarray = IRON) -> np.ndarray:
    return np.rint(colours[np.clip(np.rint(place * 255), 0, 255).astype(int)]).astype(np.uint8)


def wall(height: int, width: int) -> np.ndarray:
    """Places 0..1 of an uneven wall with a cold spot."""
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-(((x / width - 0.3) / 0.15) ** 2 + ((y / height - 0.5) / 0.2) ** 2))
    return 0.75 + 0.1 * np.sin(5 * x / width) - 0.55 * spot


def grey_room(height: int, width: int) -> np.ndarray:
    """A grey photo with texture and a shadow."""
    rng = np.random.default_rng(5)
    grey = cv2.GaussianBlur(rng.normal(0, 40, (height, width)), (0, 0), 2) + np.linspace(50, 120, width)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def near(box: Box, expected: Box, by: int = 3) -> bool:
    return all(abs(one - other) <= by for one, other in zip(box, expected, strict=True))


def anchored(*colours: tuple[int, int, int]) -> np.ndarray:
    """A palette (256, 3) through a few colours in equal steps."""
    at = np.linspace(0, len(colours) - 1, 256)
    return np.stack([np.interp(at, range(len(colours)), [colour[c] for colour in colours]) for c in range(3)], 1)


SPECTRUM = anchored((0, 0, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0), (255, 255, 255))
UNKNOWN = {
    "sepia to lime": anchored((40, 20, 10), (130, 70, 40), (220, 150, 70), (230, 230, 90), (200, 255, 160)),
    "plum to teal": anchored((60, 0, 60), (40, 60, 160), (20, 140, 150), (120, 210, 120), (250, 250, 210)),
    "navy to rose": anchored((0, 0, 70), (70, 70, 200), (170, 90, 220), (250, 110, 160), (255, 210, 190)),
}


def with_bar(colours: np.ndarray, *, lying: bool = False, hot_first: bool = True) -> tuple[np.ndarray, Box]:
    photo = drawn(wall(360, 480), colours)
    length, width = (300, 12) if lying else (220, 12)
    scale = np.linspace(1, 0, length) if hot_first != lying else np.linspace(0, 1, length)
    strip = drawn(np.repeat(scale[:, None], width, 1), colours)
    if lying:
        box = (90, 335, 90 + length, 335 + width)
        photo[box[1] : box[3], box[0] : box[2]] = strip.transpose(1, 0, 2)
    else:
        box = (450, 60, 450 + width, 60 + length)
        photo[box[1] : box[3], box[0] : box[2]] = strip
    return photo, box


def colour_photo(width: int = 640, height: int = 480) -> np.ndarray:
    """A room in daylight: beige walls, a bluish window, wood, and the texture of a real photo."""
    rng = np.random.default_rng(9)
    rgb = np.full((height, width, 3), (196, 180, 158), np.float32)
    rgb[60:300, 100:330] = (178, 196, 214)
    rgb[350:] = (120, 88, 60)
    rgb += rng.normal(0, 14, (height // 2, width // 2)).repeat(2, 0).repeat(2, 1)[..., None]
    return np.clip(rgb, 0, 255).astype(np.uint8)


def scene(width: int = 640, height: int = 480) -> np.ndarray:
    return cv2.GaussianBlur(wall(height, width), (0, 0), 3)


def with_grey_bar(place: np.ndarray, colours: np.ndarray) -> np.ndarray:
    photo = drawn(place, colours)
    photo[100:380, 600:616] = drawn(np.repeat(np.linspace(1, 0, 280)[:, None], 16, 1), colours)
    return photo
