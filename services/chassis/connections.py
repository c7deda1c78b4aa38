"""The open connections of a server: how many there are, whose they are, and which of them wait for nothing.

Anybody may open connections, and one that was answered costs a client nothing to keep. So a newcomer is let in as
long as an idle connection can be closed for it: a client never keeps another one out by connections that it does not
use. An idle connection is one without a request under way, which a client must expect to be closed at any time.
"""

import resource
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from services.chassis.addresses import Network, client_of, is_within, parse_address

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 4096  # of a server; each may hold a head, and as much again of a body
WARN_EVERY_SECONDS = 60.0  # an attack must not fill the log


class Connection(Protocol):
    """A connection that can be closed to make room."""

    def make_room(self) -> None:
        """Close the connection at once."""


def affordable_connections() -> int:
    """Return how many connections this process may have open: each takes a file, and its request to a service another.

    Beyond the system's limit the kernel would refuse newcomers, and nobody could make room for them.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 2)


class OpenConnections:
    """The connections of one server, at most ``most``, and at most ``most_of_client`` of them from one address.

    ``most`` is by default what the process can afford. An address is an IPv4 address or the /64 network of an IPv6
    address. The proxies in ``trusted`` speak for many clients and are not bounded by address; nor is anybody when
    ``most_of_client`` is None.
    """

    def __init__(
        self,
        most: int | None = None,
        most_of_client: int | None = None,
        trusted: Sequence[Network] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = affordable_connections() if most is None else most
        self._most_of_client = most_of_client
        self._trusted = tuple(trusted)
        self._clock = clock
        self._client_of: dict[Connection, str | None] = {}  # None: not bounded by address
        self._count: Counter[str] = Counter()
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # the longest idle first
        self._idle_of_client: dict[str, OrderedDict[Connection, None]] = {}
        self._warn_at = clock()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._client_of)

    def admit(self, connection: Connection, host: str | None) -> bool:
        """Take ``connection`` from ``host`` in as an idle one, until :meth:`remove`. Return False when it has no room.

        Where a bound is reached, the longest idle connection below that bound is closed for it.
        """
        client = self._bounded_client(host)
        if client is not None and self._count[client] >= (self._most_of_client or 0):
            self._make_room(self._idle_of_client.get(client, OrderedDict()))
        elif self.open >= self._most:
            self._make_room(self._idle)
        crowded = client is not None and self._count[client] >= (self._most_of_client or 0)
        if crowded or self.open >= self._most:
            self._warn()
            return False
        self._client_of[connection] = client
        if client is not None:
            self._count[client] += 1
        self.note_idle(connection)
        return True

    def note_idle(self, connection: Connection) -> None:
        """Remember that ``connection`` waits for a request from now on."""
        if connection not in self._client_of:
            return
        self.note_busy(connection)
        self._idle[connection] = None
        client = self._client_of[connection]
        if client is not None:
            self._idle_of_client.setdefault(client, OrderedDict())[connection] = None

    def note_busy(self, connection: Connection) -> None:
        """Remember that a request of ``connection`` is under way."""
        self._idle.pop(connection, None)
        client = self._client_of.get(connection)
        if client is not None and (idle := self._idle_of_client.get(client)) is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle_of_client[client]

    def remove(self, connection: Connection) -> None:
        """Forget ``connection``; one that was not admitted is none."""
        self.note_busy(connection)
        client = self._client_of.pop(connection, None)
        if client is not None:
            self._count[client] -= 1
            if not self._count[client]:
                del self._count[client]

    def _bounded_client(self, host: str | None) -> str | None:
        address = parse_address(host) if host else None
        if self._most_of_client is None or address is None or is_within(address, self._trusted):
            return None
        return client_of(address)

    def _make_room(self, idle: OrderedDict[Connection, None]) -> None:
        longest = next(iter(idle), None)
        if longest is not None:
            self.remove(longest)
            longest.make_room()

    def _warn(self) -> None:
        now = self._clock()
        if now >= self._warn_at:
            self._warn_at = now + WARN_EVERY_SECONDS
            log.warning("too many connections are busy; a new one was closed", open=self.open)
