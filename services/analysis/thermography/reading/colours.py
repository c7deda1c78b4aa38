"""How a picture was drawn: with a palette that is known, one that its colour bar shows, a mixture, or by order alone.

Each way is measured by how far the colours of a picture lie from it. A colour counts by the square root of its pixels:
the few pixels of rare colours, a leak's above all, then speak as well as the many of a wall. The simplest way wins
unless another one fits clearly better.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.reading import curves, palettes
from services.analysis.thermography.reading.palettes import Palette

_COLOURS = 400  # the commonest, by which a way of drawing is measured
_FEW_COLOURS = 150  # the same for the first search among mixtures
_FARTHEST = 30.0  # 0..255 units: a colour that is farther off is print or another photo, however far
_SURE = 10.0  # mean distance up to which a known palette is not doubted: 48 of 60 pure pictures stay below
_GOOD = 14.0  # up to which it is taken unless a mixture fits far better: the others of the 60 stay below but for one
_POOR = 19.0  # from which on it explains nothing: photos show 20 to 28
_POOR_OTHERWISE = 12.0  # the same for a mixture or an order, which fit anything better
_MIXED_BETTER = 0.5  # times the distance of a known palette, and less, for a mixture: eight real ones show 0.06 to 0.38
_CURVE_BETTER = 6.0  # by which an order has to fit better than a known palette, which says more
_SHARES = (0.4, 0.55, 0.7, 0.85)  # of false colour in a mixture, tried first
_FINER = (-0.1, -0.05, 0.0, 0.05, 0.1)  # and then around the best
_REFINED = 3  # palettes, the likeliest ones
_LEAST_SHARE, _MOST_SHARE = 0.3, 0.95
_EVERY = 5  # entries of a palette that are tried for a mixture


@dataclass(frozen=True, slots=True)
class Drawing:
    """A way in which a picture may have been drawn."""

    palette: Palette
    misfit: float  # mean distance of its colours, 0..255 units
    linear: bool = True  # equal steps of the palette are equal steps of temperature; the order alone is known otherwise

    @property
    def fits(self) -> bool:
        """Whether the colours can be read at all."""
        return self.misfit < (_POOR if self.linear and self.palette.share == 1 else _POOR_OTHERWISE)

    def fits_as_well(self, other: "Drawing") -> bool:
        """Whether this way is as good as another that knows less."""
        return self.misfit < min(other.misfit + _CURVE_BETTER, _GOOD)


@dataclass(frozen=True, slots=True)
class Sample:
    """The colours of a picture and how much each counts."""

    points: NDArray[np.float32]  # (n, 3) in the weighted space
    weights: NDArray[np.float64]  # (n,)
    histogram: NDArray[np.float64]  # (32768,)

    @classmethod
    def of(cls, rgb: NDArray[np.uint8]) -> "Sample":
        """Count the colours of pixels (..., 3)."""
        histogram = np.sqrt(np.bincount(palettes.bins(rgb).ravel(), minlength=32768))
        common = np.argsort(-histogram, kind="stable")[:_COLOURS]
        common = common[histogram[common] > 0]
        return cls(palettes.weighted(palettes.colours_of(common)), histogram[common], histogram)

    def commonest(self, count: int) -> "Sample":
        """Return the sample with its commonest colours alone."""
        return Sample(self.points[:count], self.weights[:count], self.histogram)

    def misfit(self, palette: Palette, every: int = 1) -> float:
        """Mean distance of the colours from a palette."""
        apart = np.sqrt(palettes.misfits(self.points, palette, every).min(1))
        return float(np.average(np.minimum(apart, _FARTHEST), weights=self.weights))


def drawing_of(sample: Sample) -> Drawing:
    """Find the way in which a picture was drawn."""
    palette = palettes.known()[palettes.matches(sample.histogram)[0].index]
    known = Drawing(palette, sample.misfit(palette))
    if known.misfit < (_GOOD if palette.is_grey else _SURE):
        return known
    mixture = _mixture(sample)
    is_mixed = mixture.misfit < _MIXED_BETTER * known.misfit
    best = mixture if is_mixed else known
    if best.misfit < _GOOD and not is_mixed:
        return best
    ordered = curves.order_of(sample.points, sample.weights)
    if ordered is None:
        return best
    order = Drawing(ordered, sample.misfit(ordered), linear=False)
    return order if order.misfit < best.misfit - (0 if is_mixed else _CURVE_BETTER) else best


def _mixture(sample: Sample) -> Drawing:
    """Find the palette and the share of it that explain a picture best as mixed with a grey photo."""
    candidates = [palette for palette in palettes.known() if not (palette.is_grey or palette.in_video_range)]
    few = sample.commonest(_FEW_COLOURS)
    coarse = [(few.misfit(p.mixed(s), _EVERY), at, s) for at, p in enumerate(candidates) for s in _SHARES]
    best: dict[int, float] = {}
    for _, at, share in sorted(coarse):
        best.setdefault(at, share)
    drawings = []
    for at in list(best)[:_REFINED]:
        finer = {round(min(max(best[at] + step, _LEAST_SHARE), _MOST_SHARE), 2) for step in _FINER}
        drawings += [Drawing(mixed := candidates[at].mixed(s), sample.misfit(mixed, 2)) for s in sorted(finer)]
    return min(drawings, key=lambda drawing: drawing.misfit)
