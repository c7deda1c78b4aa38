"""Whether a photo is a thermal one: at a glance, and by its colours."""

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading import overlays, palettes
from services.analysis.thermography.reading.layout import GARISH
from services.analysis.thermography.reading.pictures import fit
from services.analysis.thermography.reading.thermogram import Photograph

GLANCE_SIDE_PX = 120
"""Longer side of the picture that tells most colour photos from thermal ones."""

DETAILED = 0.03
"""Fine structures of at least this strength are those of an ordinary photo: four photos of rooms and houses show 0.043
to 0.054 in a view of 480 pixels, seven thermal pictures 0.006 to 0.018."""


MOSTLY_GARISH = 0.4
"""Share of garish pixels from which on a photo is thermal whatever palette explains it.

Twelve real mixtures and unknown palettes show 0.49 to 0.95, 27 colour photos at most 0.16.
"""


def looks_thermal(photo: Photograph) -> float:
    """Say how much a photo looks like a thermal one, 0..1; what is above 0.5 more likely is one than not."""
    if photo.radiometric is not None:  # be they damaged
        return 1.0
    layout = photo.layout
    palette = layout.drawing.palette
    x0, y0, x1, y1 = layout.area
    area = np.ascontiguousarray(photo.reduced[y0:y1, x0:x1])
    few = np.ascontiguousarray(area[::2, ::2])
    explained = float((palettes.places(few, palette).gap < palette.explained_within).mean())
    colour = float(overlays.coloured(area).mean())
    if palette.is_grey:
        # A grey photo has fine detail; a grey thermal picture is smooth, and may carry a colour bar.
        likely = 0.9 if layout.bar is not None else 0.65 if _detail(area) < DETAILED else 0.35
        return likely * (1.0 if explained > 0.85 and colour < 0.1 else 0.3)
    certain = 0.15 * explained if layout.bar is not None else 0.0
    garish = float(overlays.coloured(area, GARISH).mean())
    # Without garish colours, beige walls and wooden floors may happen to lie along some palette.
    sure = 0.45 + 0.55 * min(1.0, garish / 0.1)
    if palette.share < 1 or not layout.drawing.linear:
        # A mixture or an order explains many a dull photo, wood above all.
        sure *= min(1.0, garish / MOSTLY_GARISH)
    pure = float(np.clip((explained - 0.45) / 0.4, 0, 1) * np.clip(0.35 + colour, 0, 0.85)) * sure
    # Mixed with another photo it is a thermal one still: more garish than any room.
    mixed = 0.6 * min(1.0, garish / MOSTLY_GARISH)
    return max(pure + certain, mixed)


def looks_ordinary(photo: Photograph) -> bool:
    """Whether a glance shows that a photo is no thermal one: coloured, but nowhere garish.

    Of 127 thermal photos, synthetic and real, none looks ordinary; of 103 colour photos 89 do.
    """
    if photo.radiometric is not None:
        return False
    height, width = photo.picture.rgb.shape[:2]
    few = cv2.resize(photo.picture.rgb, fit((width, height), GLANCE_SIDE_PX), interpolation=cv2.INTER_NEAREST)
    rgb = np.asarray(few, np.uint8)
    return bool(overlays.coloured(rgb).mean() >= 0.1 and overlays.coloured(rgb, GARISH).mean() < 0.05)


def _detail(rgb: NDArray[np.uint8]) -> float:
    """How strong the fine structures of a picture (h, w, 3) are, 0..1: what nine tenths of its pixels stay below."""
    grey = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) / np.float32(255)).astype(np.float32)
    return float(np.quantile(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0)), 0.9))
