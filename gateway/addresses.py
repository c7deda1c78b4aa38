"""Where a request comes from, as far as that can be believed.

``X-Forwarded-For`` is what proxies write, and what anybody else can write too. So it is only read when the peer of
the connection is a proxy that the operator has named, and from right to left: each proxy appends the address that it
saw itself, and the first one that is no proxy of ours is the client. What stands to the left of it is the client's
own word and counts for nothing.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

UNKNOWN = "unknown"  # the client of a request that came over no network, all of them together
CLIENT_PREFIX = 64  # bits of an IPv6 address that a provider gives to one customer; the rest is the customer's choice


class Addresses:
    """Tells clients apart by their address. ``trusted``: the networks of the proxies in front of the gateway."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> str:
        """The client's IPv4 address, or the /64 network of its IPv6 address."""
        peer = scope.get("client")
        found = _address(peer[0]) if peer else None
        if found is None:
            return UNKNOWN
        if self._is_trusted(found):
            found = self._forwarded(found, scope)
        return str(found) if found.version == 4 else str(ip_network((found, CLIENT_PREFIX), strict=False))

    def _forwarded(self, proxy: IPv4Address | IPv6Address, scope: Scope) -> IPv4Address | IPv6Address:
        lists = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        nearest = proxy
        for word in reversed(",".join(lists).split(",")):
            address = _address(_without_port(word.strip()))
            if address is None:
                return nearest  # nobody whom we trust has said who it was
            if not self._is_trusted(address):
                return address
            nearest = address
        return nearest

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _without_port(word: str) -> str:
    """``192.0.2.1:80``, ``[2001:db8::1]:80`` and ``[2001:db8::1]`` without what is not the address."""
    if word.startswith("["):
        return word[1:].partition("]")[0]
    host, colon, _ = word.partition(":")
    return host if colon and word.count(":") == 1 else word


def _address(word: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(word.partition("%")[0])  # without the zone of a link-local address
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
