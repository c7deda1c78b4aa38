"""How sensor data lie against the picture beside them: turned by quarters, perhaps mirrored.

Cameras store the sensor's view as the sensor sits, and the picture as it was held. The file does not say how they
relate in a way that cameras agree on, so the two are compared.
"""

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = (64, 64)
"""The size on which the picture and the sensor data are compared."""

_Kind = TypeVar("_Kind", np.float32, np.bool_)

# Correlation of the fine structures in the order of warmth; fitted on 47 real R-JPEGs. As they lie 44 reach 0.3 to 0.97
# and at least 0.2 more than mirrored. None of the 47 is turned wrongly; with their picture mirrored 44 are found.
_LEAST_LIKENESS = 0.3
_CLEARLY_LIKER = 0.15
_FINE_PX = 6.0  # of the thumbnail: a wall that is colder below looks alike mirrored, what is finer does not


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do with sensor data: mirror the columns first, then turn anticlockwise by quarters."""

    quarters: int = 0
    mirrored: bool = False

    def applied_to(self, field: NDArray[_Kind]) -> NDArray[_Kind]:
        """Return a field (h, w) turned like the picture."""
        return np.ascontiguousarray(np.rot90(field[:, ::-1] if self.mirrored else field, self.quarters))


def best_turn(celsius: NDArray[np.float32], drawn: NDArray[np.float32], *, upright: bool, either_way: bool) -> Turn:
    """Find the turn that makes sensor data (h, w) most like the picture.

    ``drawn`` is how warm the picture draws each pixel, of THUMBNAIL_PX; ``upright`` tells whether the picture is higher
    than wide, ``either_way`` whether its palette may be drawn dark where it is warm.
    """
    sensed = _fine(np.asarray(cv2.resize(celsius, THUMBNAIL_PX, interpolation=cv2.INTER_AREA), np.float32))
    seen = _fine(drawn)
    same_way = (celsius.shape[0] > celsius.shape[1]) == upright
    turns = [Turn(quarters, mirrored) for mirrored in (False, True) for quarters in ((0, 2) if same_way else (1, 3))]
    likeness = {turn: _likeness(turn.applied_to(sensed), seen, either_way) for turn in turns}
    as_it_lies = turns[0] if same_way else max(turns[:2], key=likeness.__getitem__)
    best = max(turns, key=likeness.__getitem__)
    clear = likeness[best] >= max(_LEAST_LIKENESS, likeness[as_it_lies] + _CLEARLY_LIKER)
    return best if clear else as_it_lies


def _fine(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the fine structures of a field (h, w) in the order of its values: palettes and clipping keep the order."""
    order = np.empty(field.size, np.float32)
    order[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size, dtype=np.float32)
    rank = order.reshape(field.shape)
    return np.asarray(rank - cv2.GaussianBlur(rank, (0, 0), _FINE_PX), np.float32)


def _likeness(sensed: NDArray[np.float32], seen: NDArray[np.float32], either_way: bool) -> float:
    if sensed.std() == 0 or seen.std() == 0:
        return 0.0
    alike = float(np.corrcoef(sensed.ravel(), seen.ravel())[0, 1])
    return abs(alike) if either_way else alike
