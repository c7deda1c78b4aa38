"""A client's address is what a trusted proxy saw, or the peer of the connection; never what the client says."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.addresses import UNKNOWN, Addresses

PROXIES = tuple(ip_network(text) for text in ("10.0.0.0/8", "2001:db8:ffff::/48"))


def client(peer: str | None, *forwarded: str, trusted: bool = True) -> str:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1234) if peer else None, "headers": headers}
    return Addresses(PROXIES if trusted else ()).of(scope)


def test_without_trusted_proxies_the_peer_is_the_client():
    assert client("10.0.0.1", "203.0.113.7", trusted=False) == "10.0.0.1"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=4))
def test_whatever_an_untrusted_peer_claims_changes_nothing(claims: list[str]):
    assert client("198.51.100.9", *claims) == "198.51.100.9"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=4))
def test_whatever_stands_left_of_what_a_trusted_proxy_saw_changes_nothing(claims: list[str]):
    assert client("10.0.0.1", *claims, "203.0.113.7") == "203.0.113.7"


def test_the_rightmost_address_that_is_no_proxy_of_ours_is_the_client():
    assert client("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.9.9.9,10.0.0.2") == "203.0.113.7"


def test_several_headers_are_read_as_one_list_in_their_order():
    assert client("10.0.0.1", "203.0.113.7", "10.0.0.2") == "203.0.113.7"
    assert client("10.0.0.1", "203.0.113.7", "198.51.100.9") == "198.51.100.9"


@pytest.mark.parametrize(
    "garbage", ["", "unknown", "_hidden", "1.2.3", "999.1.1.1", "for=1.2.3.4", "1.2.3.4 5", "\xff"]
)
def test_behind_garbage_nobody_is_believed(garbage: str):
    assert client("10.0.0.1", f"203.0.113.7, {garbage}") == "10.0.0.1"
    assert client("10.0.0.1", f"203.0.113.7, {garbage}, 10.0.0.2") == "10.0.0.2"


def test_a_proxy_that_forwards_no_address_is_the_client_itself():
    assert client("10.0.0.1") == "10.0.0.1"
    assert client("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("203.0.113.7:5012", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::/64"),
        ("[2001:DB8:1:2::6]:443", "2001:db8:1:2::/64"),
        ("\t203.0.113.7 ", "203.0.113.7"),
    ],
)
def test_an_address_is_recognised_however_proxies_write_it(written: str, meant: str):
    assert client("10.0.0.1", written) == meant


def test_a_proxy_is_recognised_in_either_family_and_when_mapped():
    assert client("2001:db8:ffff::1", "203.0.113.7") == "203.0.113.7"
    assert client("::ffff:10.0.0.1", "203.0.113.7") == "203.0.113.7"


def test_addresses_of_one_ipv6_customer_are_one_client_and_neighbours_are_not():
    assert client("2001:db8:1:2::1") == client("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert client("2001:db8:1:3::1") != client("2001:db8:1:2::1")
    assert client("fe80::1%eth0") == "fe80::/64"


@pytest.mark.parametrize("peer", [None, "testclient", ""])
def test_a_request_over_no_network_has_a_client_too(peer: str | None):
    scope = {"type": "http", "client": None if peer is None else (peer, 0), "headers": []}
    assert Addresses(PROXIES).of(scope) == UNKNOWN
