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

_CLEARLY_LIKER, _LEAST_LIKENESS = 0.2, 0.5  # correlation: by which upside down must win, and that it must reach
_MIRROR_LIKENESS = 0.6  # correlation, an estimate: pictures blended with a photo reach no more
_MIRROR_REST = 0.5  # of what the likeness lacks to 1 as it lies: a scene that is nearly symmetric lacks little


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
    sensed = np.asarray(cv2.resize(celsius, THUMBNAIL_PX, interpolation=cv2.INTER_AREA), np.float32)
    same_way = (celsius.shape[0] > celsius.shape[1]) == upright
    quarters = (0, 2) if same_way else (1, 3)
    likeness = {
        Turn(quarter, mirrored): _likeness(Turn(quarter, mirrored).applied_to(sensed), drawn, either_way)
        for quarter in quarters
        for mirrored in (False, True)
    }
    straight, mirrored = (
        max((turn for turn in likeness if turn.mirrored is kind), key=likeness.__getitem__) for kind in (False, True)
    )
    if same_way and likeness[straight] < max(likeness[Turn()] + _CLEARLY_LIKER, _LEAST_LIKENESS):
        straight = Turn()  # as it lies, unless the other way round is clearly better
    rest = 1 - likeness[straight]
    if likeness[mirrored] >= _MIRROR_LIKENESS and 1 - likeness[mirrored] < _MIRROR_REST * rest:
        return mirrored
    return straight


def _likeness(sensed: NDArray[np.float32], drawn: NDArray[np.float32], either_way: bool) -> float:
    if sensed.std() == 0 or drawn.std() == 0:
        return 0.0
    alike = float(np.corrcoef(sensed.ravel(), drawn.ravel())[0, 1])
    return abs(alike) if either_way else alike
