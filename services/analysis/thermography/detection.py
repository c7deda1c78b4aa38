"""Cold regions of a thermal photo: where they are, what they probably are, and what they are not.

Version of the first light: local warm reference, relative deficit, hysteresis, regions.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.conditions import Conditions
from services.analysis.thermography.thermogram import Thermogram

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WORKING_SIDE = 320


@dataclass(frozen=True, slots=True)
class Region:
    """One connected cold region of a thermal photo."""

    kind: DefectKind
    kind_confidence: float  # 0..1
    mask: Mask  # (h, w) of the detection's raster
    deficit: float  # sum over its pixels of the missing thermal index, by the pixels of the scene
    deepest: float  # largest missing thermal index
    length: float  # longest extent, in units of the square root of the scene's area
    coldest_index: float
    coldest_temperature: float  # °C


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one thermal photo."""

    regions: tuple[Region, ...]  # by heat, the largest first
    seen_from_outside: bool
    reasons: tuple[str, ...]  # what lowers the confidence, for a person


def detect(thermogram: Thermogram, conditions: Conditions, part: TaskType | None) -> Detection:
    """Find the regions that lose heat."""
    scale = min(1.0, _WORKING_SIDE / max(thermogram.temperature.shape))
    size = (round(thermogram.temperature.shape[1] * scale), round(thermogram.temperature.shape[0] * scale))
    temperature = cv2.resize(thermogram.temperature, size, interpolation=cv2.INTER_AREA)
    valid = cv2.resize(thermogram.valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    index = (temperature - conditions.outside) / conditions.difference
    index = cv2.GaussianBlur(index, (0, 0), 1.0).astype(np.float32)
    index = np.minimum(index, 1.0 + 1.0 / abs(conditions.difference))
    side = round(0.45 * min(size)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    reference = cv2.GaussianBlur(cv2.morphologyEx(index, cv2.MORPH_CLOSE, kernel), (0, 0), side / 6)
    deficit = np.maximum(reference - index, 0.0)
    deficit[~valid] = 0.0
    strong = deficit > 0.12
    weak = (deficit > 0.06).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    regions = []
    for label in range(1, count):
        mask = labels == label
        if stats[label, cv2.CC_STAT_AREA] < 0.002 * mask.size or not strong[mask].any():
            continue
        points = cv2.findNonZero(mask.astype(np.uint8))
        (_, (width, height), _) = cv2.minAreaRect(points)
        coldest = float(index[mask].min())
        regions.append(
            Region(
                kind=DefectKind.AIR_LEAK,
                kind_confidence=0.5,
                mask=mask,
                deficit=float(deficit[mask].sum() / valid.sum()),
                deepest=float(deficit[mask].max()),
                length=float(max(width, height) / np.sqrt(mask.size)),
                coldest_index=coldest,
                coldest_temperature=conditions.outside + coldest * conditions.difference,
            )
        )
    regions.sort(key=lambda region: -region.deficit)
    return Detection(tuple(regions), False, ())
