"""How many requests may be under way at the same time: each holds a connection to a service, and its buffers.

Without such a bound a client that sends a body slowly, or takes an answer slowly, could hold every connection to the
services with a few hundred requests, and there would be none left for anybody else.
"""

from collections import Counter

from services.chassis.problems import RETRY_AFTER_SECONDS, Problem, unavailable


class Places:
    """Places for requests: ``most`` for all clients together, ``most_of_client`` for each of them."""

    def __init__(self, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._of_client: Counter[str] = Counter()  # only those with a request under way

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._of_client.total()

    def enter(self, client: str) -> None:
        """Take a place for ``client`` until :meth:`leave`.

        Raises :class:`Problem`: 429 when the client has them all, 503 when everybody together has.
        """
        if self._of_client[client] >= self._most_of_client:
            raise Problem(
                429,
                "Too many of your requests are under way. Please try again when some of them have ended.",
                {"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        if self.taken >= self._most:
            raise unavailable("Very many people are here right now. Please try again in a few seconds.")
        self._of_client[client] += 1

    def leave(self, client: str) -> None:
        """Give back a place that :meth:`enter` gave."""
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]
