"""Network addresses of clients, as limits count them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

CLIENT_PREFIX = 64  # bits of an IPv6 address that a provider gives to one customer; the rest is the customer's choice

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_address(word: str) -> Address | None:
    """Return the address that ``word`` spells, without the zone of a link-local one; None when it spells none."""
    try:
        address = ip_address(word.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_of(address: Address) -> str:
    """Return what names a client: its IPv4 address, or the /64 network of its IPv6 address."""
    return str(address) if address.version == 4 else str(ip_network((address, CLIENT_PREFIX), strict=False))


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether one of ``networks`` holds ``address``."""
    return any(address in network for network in networks)
