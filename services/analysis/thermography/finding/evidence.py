"""How likely a cold region is a defect, and what speaks for something else: structure, a rim, studs, a radiator."""

import cv2
import numpy as np

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.basis.constants import Constant
from services.analysis.thermography.finding.expectation import Expectation
from services.analysis.thermography.finding.shapes import Shape, rim_of, slope_of
from services.analysis.thermography.finding.typed import HOT
from services.analysis.thermography.finding.view import WARM, WORKING_SIDE, Field, Mask, View

# A logistic regression on the 1,907 regions of 1,800 synthetic scenes of development seeds, of which 1,265 lie on a
# defect. Deep, large, long and compact ones within a window are; what ends in a steep edge for its depth is structure
# or the edge of something: cold air and cold that heat has spread end softly. Doors have more structure.
_EVIDENCE = {
    "constant": 11.0,
    "depth": 5.0,
    "area": 0.45,
    "length": 0.64,
    "filled": 2.6,
    "in opening": 1.11,
    "slope": -55,
    "door": -1.26,
}
_RIM_PX = 9  # gaps up to this broad do not open a ring
_WIDEST_CRACK = 0.25  # m, across; a region within an opening that is wider and hollow runs around something
_RIM_DEPTH = 0.16  # missing index up to which such a ring is the rim of a sound pane
_ALONG_BORDER = 0.4  # share of a region's rim that lies on the border of the view, of a strip along it
_BORDER_STRIP = 0.02  # of the longer side: as narrow as no defect at the border is
_ENCLOSED = 0.5  # times the rim's own area that it encloses at least
_STUDS = 3  # lines of one photo from which on they are no bridges but studs
_EVEN_FIELD = 0.5  # evenness from which on a field over a radiator may be a window
_TALL = 0.12  # of the view's height: of a radiator below a field
_NEAR_PX, _FAR_PX = 6, 18  # between which the surroundings of a region lie, at the working size
HEATED_SURROUNDINGS = Constant(
    0.4,
    "1",
    "fit: 1 of 95 true regions of synthetic scenes and none of 46 real ones lie in more heat, 18 of 85 false ones do",
)
SHARP_EDGE = Constant(4.5, "pixels", "fit: depth by slope at the rim; the same regions, 2 of 95, none and 14")
SOME_HEAT = Constant(0.1, "1", "fit: of the surroundings of a sharp-edged region; the same regions")
CLUTTER = Constant(0.5, "1", "fit: share of a view that is edges; 0.40 at most in 39 real defect pictures, towers 0.72")
_EDGE, _LEAST_SPAN = 0.02, 0.05  # of the span in view, from pixel to pixel; index that a span counts for at least
_WEB = 0.25, 0.9  # filled less, reaching farther: studs and corners all over the view


def evidence_of(mask: Mask, shape: Shape, missing: Field, slope: Field, part: TaskType | None) -> float:
    """Return how likely a region is a defect rather than structure, noise or the edge of something: log odds."""
    return float(
        _EVIDENCE["constant"]
        + _EVIDENCE["depth"] * float(np.log(np.quantile(missing[mask], 0.98)))
        + _EVIDENCE["area"] * float(np.log(mask.mean()))
        + _EVIDENCE["length"] * float(np.log(shape.length))
        + _EVIDENCE["filled"] * shape.filled
        + _EVIDENCE["in opening"] * shape.in_opening
        + _EVIDENCE["slope"] * float(np.median(slope[rim_of(mask)])) * (max(mask.shape) / WORKING_SIDE)
        + _EVIDENCE["door"] * (part is TaskType.DOOR)
    )


def is_structure(mask: Mask, shape: Shape, missing: Field, expectation: Expectation, view: View) -> bool:
    """Return whether a region is a part of a sound wall or window, or what is left of a margin."""
    filled, reach = _WEB
    web = not view.known and shape.filled < filled and shape.reach > reach
    strip = shape.edge > _ALONG_BORDER and shape.width < _BORDER_STRIP * max(mask.shape) * expectation.metres
    return web or strip or _is_rim(mask, shape, missing)


def is_edge_of_heat(mask: Mask, missing: Field, expectation: Expectation, view: View, *, line: bool) -> bool:
    """Return whether a region only looks cold beside something hot: it is what lies behind a person or a radiator.

    The surroundings of a defect are at the level of the wall. Only a ``line`` is as sharp by nature as things are.
    """
    ring = _grown(mask, _FAR_PX) & ~_grown(mask, _NEAR_PX) & view.valid
    if not ring.any():
        return False
    heat = float((view.index[ring] > expectation.sound[ring] + WARM).mean())
    if heat > HEATED_SURROUNDINGS:
        return True
    rim = rim_of(mask)
    rim[[0, 1, -1, -2], :] = False
    rim[:, [0, 1, -1, -2]] = False
    if line or heat <= SOME_HEAT or not rim.any():
        return False
    steepness = float(np.median(slope_of(view.index)[rim]))
    return float(np.quantile(missing[mask], 0.9)) < SHARP_EDGE * steepness


def _grown(mask: Mask, pixels: int) -> Mask:
    size = 2 * pixels + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0, np.bool_)


def _is_rim(mask: Mask, shape: Shape, missing: Field) -> bool:
    """Return whether a region is the shallow rim of a sound pane: it runs around one, hollow and nowhere deep.

    A pane's spacer and the frame's shadow are a little colder than either; a leak that runs as far has a deep place.
    """
    hollow = shape.in_opening > 0.7 and shape.filled <= 0.5 and shape.width > _WIDEST_CRACK
    return hollow and float(np.quantile(missing[mask], 0.9)) <= _RIM_DEPTH and _runs_around(mask)


def _runs_around(mask: Mask) -> bool:
    """Return whether a region encloses something, small gaps aside. A leak along two sides of a door does not."""
    closed = cv2.dilate(mask.astype(np.uint8), np.ones((_RIM_PX, _RIM_PX), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = cv2.drawContours(np.zeros_like(closed), outlines, -1, 1, cv2.FILLED)
    return int((whole > closed).sum()) > _ENCLOSED * int(mask.sum())


def is_cluttered(view: View) -> bool:
    """Return whether a view is full of edges: a street, a machine or a whole room, not a part of a house."""
    low, high = np.quantile(view.index[view.valid], (0.02, 0.98))
    edges = slope_of(view.index)[view.valid] > _EDGE * max(float(high - low), _LEAST_SPAN)
    return float(edges.mean()) > CLUTTER


def has_studs(kinds: list[DefectKind]) -> bool:
    """Return whether lines repeat: where the scale is estimated, studs of a sound wall look like bridges."""
    return kinds.count(DefectKind.THERMAL_BRIDGE) >= _STUDS


def is_window_over_radiator(mask: Mask, shape: Shape, expectation: Expectation, view: View) -> bool:
    """Return whether an even cold field lies above something hot over most of its breadth: then it is a window."""
    if view.part not in (None, TaskType.WALL) or shape.evenness <= _EVEN_FIELD:
        return False
    columns = mask.any(axis=0)
    lowest = mask.shape[0] - 1 - np.argmax(mask[::-1], axis=0)  # in each column
    below = np.arange(mask.shape[0])[:, None] > lowest
    hot = view.index - expectation.wall > HOT
    tall = (hot & below).sum(axis=0) > _TALL * mask.shape[0]
    return bool((tall & columns).sum() > 0.5 * columns.sum())
