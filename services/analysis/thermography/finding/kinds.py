"""What a cold region most likely is, from its shape: a table, of which the first rule that fits decides."""

from collections.abc import Callable
from typing import NamedTuple

from contracts.events import TaskType
from contracts.reports import DefectKind
from services.analysis.thermography.basis.constants import Constant
from services.analysis.thermography.finding.shapes import Shape

_DEEPEST_BRIDGE = Constant(0.33, "1", "missing index of uninsulated concrete or brick, U = 2.8 W/m²K; colder is air")
DEEPEST_WALL = Constant(
    0.28, "1", "missing index of a wall of U = 2.5 W/m²K; solid brick has 2.1. True fields lack up to 0.26, things 0.30"
)
SURELY_NO_WALL = Constant(0.4, "1", "missing index of U = 3.6 W/m²K, more than bare concrete has; ice packs show 0.40")
_LINE = 5.0  # times as long as wide
_WIDEST_BRIDGE = 0.22  # m; a bay between studs is wider
_WIDEST_LINE = 0.3  # m, of a bridge that runs through more than half of the view
_LONG = 0.55  # of the view: what runs that far is structure
_WITHIN = 0.7  # share of a region that lies within an opening which it belongs to
_WIDER_THAN_PLUME = 0.25  # m


class Likely(NamedTuple):
    """The likeliest kind, and how sure it is (0..1)."""

    kind: DefectKind
    confidence: float


class _Rule(NamedTuple):
    fits: Callable[[Shape], bool]
    likely: Likely


def _is_line(shape: Shape) -> bool:
    """Return whether a region is a line of even depth, as a stud, a joist or a slab's edge draws it."""
    return (
        shape.width < _WIDEST_LINE
        and shape.in_opening < 0.5
        and shape.length > _LINE * shape.width
        and shape.variation < (0.3 if shape.reach > _LONG else 0.2)
        and shape.evenness > 0.66
        and shape.deepest < _DEEPEST_BRIDGE
    )


def _is_narrow_pane(shape: Shape) -> bool:
    broad = shape.width > 0.1 or (shape.width > 0.08 and shape.evenness > 0.7)
    return shape.in_opening > _WITHIN and broad and shape.filled > 0.8 and shape.variation < 0.25


def _is_even_field(shape: Shape) -> bool:
    return shape.width > 0.15 and shape.evenness > 0.72 and shape.filled > 0.6


_RULES = (
    _Rule(
        lambda s: s.in_opening > _WITHIN and s.filled > 0.5 and s.width > _WIDER_THAN_PLUME,
        Likely(DefectKind.COLD_GLAZING, 0.7),
    ),
    _Rule(_is_narrow_pane, Likely(DefectKind.COLD_GLAZING, 0.6)),
    _Rule(lambda s: _is_line(s) and s.width < _WIDEST_BRIDGE, Likely(DefectKind.THERMAL_BRIDGE, 0.6)),
    _Rule(lambda s: _is_even_field(s) and s.in_opening > _WITHIN, Likely(DefectKind.COLD_GLAZING, 0.7)),
    _Rule(_is_even_field, Likely(DefectKind.MISSING_INSULATION, 0.7)),
    _Rule(lambda s: _is_line(s) and s.reach > _LONG, Likely(DefectKind.THERMAL_BRIDGE, 0.6)),
    _Rule(
        lambda s: s.width > 0.3 and s.in_opening < 0.5 and s.evenness > 0.6,
        Likely(DefectKind.MISSING_INSULATION, 0.5),
    ),
)
# Of a window or door seen aslant or too near, where what is narrow has been set apart already.
_ASKEW_RULES = (
    _Rule(
        lambda s: s.width > _WIDER_THAN_PLUME and s.evenness > 0.72 and s.filled > 0.6,
        Likely(DefectKind.COLD_GLAZING, 0.5),
    ),
)
# Where nobody said what was photographed.
_UNKNOWN_PART_RULES = (
    _Rule(
        lambda s: s.width > 0.15 and s.evenness > 0.6 and s.filled > 0.75,
        Likely(DefectKind.COLD_GLAZING, 0.4),
    ),
    *_RULES,
)
_OTHERWISE = Likely(DefectKind.AIR_LEAK, 0.6)
_ASKEW_OTHERWISE = Likely(DefectKind.AIR_LEAK, 0.5)


def likeliest_kind(shape: Shape, part: TaskType | None, *, askew: bool) -> Likely:
    """Return the likeliest kind of a region. ``askew``: see :class:`Expectation`."""
    if askew:
        return next((rule.likely for rule in _ASKEW_RULES if rule.fits(shape)), _ASKEW_OTHERWISE)
    rules = _UNKNOWN_PART_RULES if part is None else _RULES
    return next((rule.likely for rule in rules if rule.fits(shape)), _OTHERWISE)
