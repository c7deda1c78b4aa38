"""Where a request comes from, as far as that can be believed.

``X-Forwarded-For`` is what proxies write, and what anybody else can write too. So it is only read when the peer of
the connection is a proxy that the operator has named, and from right to left: each proxy appends the address that it
saw itself, and the first one that is no proxy of ours is the client. What stands to the left of it is the client's
own word and counts for nothing.
"""

from collections.abc import Sequence

from starlette.types import Scope

from services.chassis.addresses import Address, Network, client_of, is_within, parse_address

UNKNOWN = "unknown"  # the client of a request that came over no network, all of them together


class Addresses:
    """Tells clients apart by their address. ``trusted``: the networks of the proxies in front of the gateway."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> str:
        """The client's IPv4 address, or the /64 network of its IPv6 address."""
        peer = scope.get("client")
        found = parse_address(peer[0]) if peer else None
        if found is None:
            return UNKNOWN
        return client_of(self._forwarded(found, scope) if is_within(found, self._trusted) else found)

    def _forwarded(self, proxy: Address, scope: Scope) -> Address:
        lists = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        nearest = proxy
        for word in reversed(",".join(lists).split(",")):
            address = parse_address(_without_port(word.strip()))
            if address is None:
                return nearest  # nobody whom we trust has said who it was
            if not is_within(address, self._trusted):
                return address
            nearest = address
        return nearest


def _without_port(word: str) -> str:
    """``192.0.2.1:80``, ``[2001:db8::1]:80`` and ``[2001:db8::1]`` without what is not the address."""
    if word.startswith("["):
        return word[1:].partition("]")[0]
    host, colon, _ = word.partition(":")
    return host if colon and word.count(":") == 1 else word
