"""How bad a leak is, from its heat loss.

The limits are ours (an estimate that nobody has verified), on the building's own quantity, W/K, so that the same window
gets the same word in every climate.
"""

from contracts.reports import Severity
from services.analysis.thermography.basis.constants import HIGH_HEAT_LOSS, LOW_HEAT_LOSS, MODERATE_HEAT_LOSS

_LEAST_HEAT_LOSS = (
    (HIGH_HEAT_LOSS, Severity.HIGH),
    (MODERATE_HEAT_LOSS, Severity.MODERATE),
    (LOW_HEAT_LOSS, Severity.LOW),
)
_ORDER = (Severity.UNKNOWN, Severity.NONE, Severity.LOW, Severity.MODERATE, Severity.HIGH)


def severity_of(heat_loss: float) -> Severity:
    """The severity of a heat loss in W/K."""
    return next((severity for least, severity in _LEAST_HEAT_LOSS if heat_loss >= least), Severity.NONE)


def worst(severities: list[Severity]) -> Severity:
    """The worst of some observations; one that is known outweighs one that is not."""
    return max(severities, key=_ORDER.index, default=Severity.UNKNOWN)
