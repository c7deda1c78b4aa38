"""Whether a view shows the sky: what is coldest lies evenly along its top and ends at a sharp skyline.

A ceiling that lacks insulation is cold along the top too, but ends softly. This needs no temperatures, so it tells
views from outside whose scale is not known.
"""

import cv2
import numpy as np

from services.analysis.thermography.basis.constants import Constant
from services.analysis.thermography.finding.scale import Field, Mask

SKY_TOP = Constant(0.9, "1", "fit: of the top border that is sky; 44 real pictures that show a cold top")
SKYLINE = Constant(0.5, "1", "fit: of the span in view, over 10 pixels; facades 0.60 and 0.63, real defects up to 0.36")
_SPAN = (0.02, 0.98)
_COLDEST = 0.3  # of the span in view
_AREA = (0.1, 0.5)  # share of a view
_REACH = 5  # pixels to either side of the skyline
_LEAST_COLUMNS = 0.2  # of the view in which the skyline is seen


def shows_sky(temperature: Field, valid: Mask) -> bool:
    """Return whether the coldest part of a view is a sky."""
    h, w = temperature.shape
    low, high = (float(value) for value in np.quantile(temperature[valid], _SPAN))
    span = max(high - low, 1e-6)
    cold = (temperature < low + _COLDEST * span) | ~valid
    _, labels = cv2.connectedComponents(cold.astype(np.uint8), connectivity=4)
    sky = np.isin(labels, np.unique(labels[0][cold[0]]))
    share = float((sky & valid).sum()) / float(valid.sum())
    if float(sky[0].mean()) < SKY_TOP or not _AREA[0] <= share <= _AREA[1]:
        return False
    ends = np.where(sky.all(axis=0), h, np.argmin(sky, axis=0))
    columns = np.flatnonzero((ends >= _REACH) & (ends < h - _REACH))
    if len(columns) < _LEAST_COLUMNS * w:
        return False
    steps = temperature[ends[columns] + _REACH - 1, columns] - temperature[ends[columns] - _REACH, columns]
    return float(np.median(steps)) >= SKYLINE * span
