"""When a circuit opens and closes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.chassis import circuit as circuit_module
from services.chassis.circuit import Circuit
from tests.waiting import until


class Server:
    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.probes = 0
        self.fault: Exception | None = None

    async def probe(self) -> None:
        self.probes += 1
        if self.fault:
            raise self.fault
        await self.up.wait()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def circuit(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Circuit]:
    monkeypatch.setattr(circuit_module, "PROBE_SECONDS", 0.02)
    monkeypatch.setattr(circuit_module, "PAUSE_SECONDS", 0.01)
    made = Circuit("server", server.probe)
    yield made
    await made.close()


async def test_a_server_that_nobody_suspects_is_not_asked(circuit: Circuit, server: Server) -> None:
    await asyncio.sleep(0)
    assert (circuit.is_open, server.probes) == (False, 0)


@pytest.mark.parametrize("fault", [None, OSError("refused")], ids=["silent", "refusing"])
async def test_it_opens_when_no_probe_is_answered_and_closes_when_one_is(
    circuit: Circuit, server: Server, fault: Exception | None
) -> None:
    server.fault = fault
    for _ in range(2):
        circuit.suspect()
        await until(lambda: circuit.is_open)
        probes = server.probes
        await until(lambda: server.probes > probes + 2)  # noqa: B023 - awaited here
        assert circuit.is_open
        server.fault = None
        server.up.set()
        await until(lambda: not circuit.is_open)
        server.up.clear()
        server.fault = fault


async def test_a_suspicion_of_a_server_that_answers_opens_nothing(circuit: Circuit, server: Server) -> None:
    server.up.set()
    circuit.suspect()
    await until(lambda: server.probes == 1)
    for _ in range(10):
        await asyncio.sleep(0)
        assert not circuit.is_open


async def test_many_suspicions_at_once_are_one(circuit: Circuit, server: Server) -> None:
    server.up.set()
    for _ in range(100):
        circuit.suspect()
    await until(lambda: server.probes > 0)
    await asyncio.sleep(0)
    assert server.probes == 1


async def test_closing_it_ends_the_watch(circuit: Circuit, server: Server) -> None:
    circuit.suspect()
    await until(lambda: circuit.is_open)
    await circuit.close()
    probes = server.probes
    await asyncio.sleep(0.05)
    assert (circuit.is_open, server.probes) == (False, probes)
