"""The findings of a report: each cold or cool region as an outline on the photo, with what is known of it."""

from collections.abc import Sequence

import cv2
import numpy as np

from contracts.reports import DefectKind, Finding
from services.analysis.thermography.finding.detection import Region
from services.analysis.thermography.finding.view import Mask
from services.analysis.thermography.judging.observation import Assessment
from services.analysis.thermography.reading.thermogram import ScaleSource, Thermogram

MOISTURE = "moisture suspected"
"""What a cool place looks like where no heat flows. ``Finding.kind`` has no word for it and must not gain one."""

_FINER = 4  # an outline runs along the rim of its pixels, not through their middles
_OUTLINE_ERROR = 3.0  # in these finer pixels
_ORDER_CONFIDENCE = 0.4  # of a kind at most, where the photo shows only which place is warmer: the shape alone tells


def findings(assessments: Sequence[Assessment]) -> tuple[Finding, ...]:
    """Return all regions of all observations, numbered from the one that loses most."""
    found = [
        (loss.total, assessment, region)
        for assessment in assessments
        for region, loss in zip(assessment.regions, assessment.losses, strict=True)
    ]
    found.sort(key=lambda item: -item[0])
    return tuple(_finding(number, assessment, region) for number, (_, assessment, region) in enumerate(found, start=1))


def _finding(number: int, assessment: Assessment, region: Region) -> Finding:
    thermogram = assessment.thermogram
    ordered = thermogram.scale is ScaleSource.ORDER
    confidence = min(region.kind_confidence, _ORDER_CONFIDENCE) if ordered else region.kind_confidence
    return Finding(
        number=number,
        observation=assessment.number,
        kind=region.kind,
        kindConfidence=round(confidence, 2) if region.looks_like is None else 0.0,
        looksLike=region.looks_like,
        outline=outline(region.mask, thermogram),
        areaShare=round(float(region.mask.mean()), 4),
        thermalIndex=None if ordered else round(region.coldest_index, 2),
        coldestTemperature=round(region.coldest_temperature, 1) if thermogram.scale.tells_degrees else None,
    )


def cool_findings(assessments: Sequence[Assessment]) -> tuple[Finding, ...]:
    """Return the cool places of all observations, the largest of each first."""
    found = [(assessment, place) for assessment in assessments for place in assessment.cool_places]
    return tuple(
        Finding(
            number=number,
            observation=assessment.number,
            kind=DefectKind.THERMAL_BRIDGE,  # clients that do not know ``looksLike`` see confidence 0
            kindConfidence=0.0,
            looksLike=MOISTURE,
            outline=outline(place.mask, assessment.thermogram),
            areaShare=round(float(place.mask.mean()), 4),
        )
        for number, (assessment, place) in enumerate(found, start=1)
    )


def outline(mask: Mask, thermogram: Thermogram) -> tuple[tuple[float, float], ...]:
    """Return the largest contour of a region as a polygon in fractions of the upright photo's width and height."""
    fine = cv2.resize(mask.astype(np.uint8), None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    points = cv2.approxPolyDP(contour, _OUTLINE_ERROR, True).reshape(-1, 2).astype(np.float64)
    x0, y0, x1, y1 = thermogram.window
    width, height = thermogram.photo_size
    rows, columns = fine.shape
    return tuple(
        (
            round(min(max((x0 + (x + 0.5) / columns * (x1 - x0)) / width, 0.0), 1.0), 4),
            round(min(max((y0 + (y + 0.5) / rows * (y1 - y0)) / height, 0.0), 1.0), 4),
        )
        for x, y in points
    )
