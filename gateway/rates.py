"""How often a client may ask: a rate, and the count of who has used how much of it.

The count is the generic cell rate algorithm (GCRA): for each key one moment, at which all of its rate is free again.
A request is let through when that moment is less than the rate's whole period away, and then moves it on by the time
that one request costs. So a client may use its whole rate at once, gets it back evenly, and is never let through
more than twice as often in any one period; a refused request costs nothing, so that nobody is locked out.

It is our own because a gateway must not be filled with keys: whoever has a /48 of IPv6 addresses has 65,536 of them.
The memory storage of the ``limits`` library keeps every key until it expires (20,000 of 20,000 in a measurement, 270 to
440 bytes each), and walks through all of them again and again to find out which have.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_KEYS = 2**15  # per limit, about 7 MB; beyond it the one that has been quiet for longest is forgotten
_NANOSECONDS = 10**9
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(rf"([1-9][0-9]{{0,5}})/({'|'.join(_UNITS)})")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds, written ``20/minute``."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read ``<1 to 999999>/<second, minute, hour or day>``; raises :class:`ValueError` for anything else."""
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ValueError("must look like 20/minute (second, minute, hour or day), or be off")
        return cls(int(match[1]), _UNITS[match[2]])

    def __str__(self) -> str:
        unit = next((name for name, seconds in _UNITS.items() if seconds == self.seconds), f"{self.seconds} s")
        return f"{self.count}/{unit}"

    def times(self, factor: int) -> "Rate":
        """``factor`` times as many requests in the same time."""
        return Rate(self.count * factor, self.seconds)


class RateLimit:
    """Holds each key to ``rate``; ``clock`` gives nanoseconds and never goes back."""

    def __init__(self, rate: Rate, clock: Callable[[], int] = time.monotonic_ns, most_keys: int = MOST_KEYS) -> None:
        self._period = rate.seconds * _NANOSECONDS
        self._cost = self._period // rate.count
        self._clock = clock
        self._most_keys = most_keys
        self._free_at: OrderedDict[str, int] = OrderedDict()  # by when a key was last heard of

    def wait(self, key: str) -> int:
        """Count a request of ``key``: 0 when it is let through, otherwise the whole seconds until one will be."""
        now = self._clock()
        before = self._free_at.get(key, now)
        free_at = max(before, now) + self._cost
        excess = free_at - now - self._period
        self._free_at[key] = before if excess > 0 else free_at
        self._free_at.move_to_end(key)
        self._forget(now)
        return -(-excess // _NANOSECONDS) if excess > 0 else 0

    def _forget(self, now: int) -> None:
        """Keys with all of their rate are like new ones; beyond the bound the quietest goes, whatever it has used.

        Two at a time are looked at, so that the table shrinks although each request may add a key.
        """
        for _ in range(2):
            quietest = next(iter(self._free_at))
            if self._free_at[quietest] > now and len(self._free_at) <= self._most_keys:
                return
            del self._free_at[quietest]
            if not self._free_at:
                return
