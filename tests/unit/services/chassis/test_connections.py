"""Connections are bounded in all and by address, and an idle one always makes room for a newcomer."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.chassis.connections import WARN_EVERY_SECONDS, OpenConnections


class Line:
    """A connection that notes whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def make_room(self) -> None:
        self.closed = True


def admitted(connections: OpenConnections, *hosts: str) -> list[Line]:
    lines = [Line() for _ in hosts]
    assert all(connections.admit(line, host) for line, host in zip(lines, hosts, strict=True))
    return lines


def closed(lines: list[Line]) -> list[bool]:
    return [line.closed for line in lines]


def test_the_longest_idle_connection_of_all_makes_room_when_the_server_is_full():
    connections = OpenConnections(most=3)
    lines = admitted(connections, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    connections.note_busy(lines[0])
    connections.note_idle(lines[0])
    admitted(connections, "192.0.2.4")
    assert closed(lines) == [False, True, False]


def test_an_address_at_its_bound_loses_an_idle_connection_of_its_own():
    connections = OpenConnections(most=100, most_of_client=2)
    lines = admitted(connections, "192.0.2.9", "192.0.2.1", "192.0.2.1", "192.0.2.1")
    assert closed(lines) == [False, True, False, False]


def test_an_address_whose_connections_are_all_busy_gets_no_more_and_others_do():
    connections = OpenConnections(most=100, most_of_client=2)
    lines = admitted(connections, "192.0.2.1", "192.0.2.1")
    for line in lines:
        connections.note_busy(line)
    assert not connections.admit(Line(), "192.0.2.1")
    admitted(connections, "192.0.2.2")
    connections.remove(lines[0])
    admitted(connections, "192.0.2.1")


def test_a_server_whose_connections_are_all_busy_takes_no_more():
    connections = OpenConnections(most=1)
    (line,) = admitted(connections, "192.0.2.1")
    connections.note_busy(line)
    assert not connections.admit(Line(), "192.0.2.2")
    assert not line.closed


def test_a_customer_of_an_ipv6_network_is_one_address():
    connections = OpenConnections(most_of_client=1)
    lines = admitted(connections, "2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1")
    assert closed(lines) == [True, False, False]


def test_an_ipv4_address_is_the_same_one_in_its_ipv6_form():
    connections = OpenConnections(most_of_client=1)
    assert closed(admitted(connections, "192.0.2.1", "::ffff:192.0.2.1")) == [True, False]


def test_a_trusted_proxy_is_not_bounded_by_address():
    connections = OpenConnections(most=5, most_of_client=1, trusted=[ip_network("10.0.0.0/8")])
    lines = admitted(connections, *["10.0.0.1"] * 5)
    assert closed(lines) == [False] * 5
    admitted(connections, "10.0.0.1")
    assert closed(lines) == [True, False, False, False, False]


def test_without_a_bound_by_address_there_is_none():
    connections = OpenConnections(most=50)
    assert not any(closed(admitted(connections, *["192.0.2.1"] * 50)))


def test_a_connection_that_made_room_is_not_counted_when_it_ends():
    connections = OpenConnections(most=1)
    (first,) = admitted(connections, "192.0.2.1")
    admitted(connections, "192.0.2.2")
    connections.remove(first)
    connections.note_idle(first)
    assert connections.open == 1


def test_refusals_are_logged_once_a_minute():
    now = 0.0
    connections = OpenConnections(most=0, clock=lambda: now)
    with capture_logs() as logs:
        for _ in range(1000):
            connections.admit(Line(), "192.0.2.1")
        assert len(logs) == 1
        now = WARN_EVERY_SECONDS
        connections.admit(Line(), "192.0.2.1")
        assert len(logs) == 2


ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "10.0.0.1"])
STEPS = st.lists(st.tuples(st.sampled_from(["open", "busy", "idle", "close"]), ADDRESSES, st.integers(0, 9)))


@given(STEPS)
def test_the_bounds_hold_and_nothing_is_remembered_whatever_happens(steps: list[tuple[str, str, int]]):
    connections = OpenConnections(most=5, most_of_client=2, trusted=[ip_network("10.0.0.0/8")])
    lines: list[tuple[Line, str]] = []
    for step, address, number in steps:
        alive = [(line, at) for line, at in lines if not line.closed]
        if step == "open":
            line = Line()
            if connections.admit(line, address):
                lines.append((line, address))
        elif alive:
            line, _ = alive[number % len(alive)]
            if step == "busy":
                connections.note_busy(line)
            elif step == "idle":
                connections.note_idle(line)
            else:
                line.closed = True
                connections.remove(line)
        alive = [(line, at) for line, at in lines if not line.closed]
        assert connections.open == len(alive) <= 5
        for bounded in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
            assert sum(at == bounded for _, at in alive) <= 2
    for line, _ in lines:
        connections.remove(line)
    assert not connections._client_of
    assert not connections._count
    assert not connections._idle
    assert not connections._idle_of_client


@pytest.mark.parametrize("host", [None, "", "nonsense"])
def test_a_peer_without_an_address_is_bounded_with_all_together_only(host: str | None):
    connections = OpenConnections(most=2, most_of_client=1)
    lines = [Line(), Line(), Line()]
    assert [connections.admit(line, host) for line in lines] == [True, True, True]
    assert closed(lines) == [True, False, False]
