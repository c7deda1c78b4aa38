"""How bad a leak is, from its heat loss.

The limits are ours (an estimate that nobody has verified), on the building's own quantity, W/K, so that the same window
gets the same word in every climate. In a climate of 3,500 K·day (Illinois) they mean
13, 67 and 336 kWh of heat a year.
"""

from contracts.reports import Severity

_LEAST_HEAT_LOSS = ((4.0, Severity.HIGH), (0.8, Severity.MODERATE), (0.15, Severity.LOW))  # W/K
_ORDER = (Severity.UNKNOWN, Severity.NONE, Severity.LOW, Severity.MODERATE, Severity.HIGH)


def severity_of(heat_loss: float) -> Severity:
    """The severity of a heat loss in W/K."""
    return next((severity for least, severity in _LEAST_HEAT_LOSS if heat_loss >= least), Severity.NONE)


def worst(severities: list[Severity]) -> Severity:
    """The worst of some observations; one that is known outweighs one that is not."""
    return max(severities, key=_ORDER.index, default=Severity.UNKNOWN)
