"""A service and its broker: what waits for which, and what becomes of a broker that is late."""

import asyncio

import pytest

from services.chassis.messaging import connecting
from services.chassis.messaging.broker import PublishError
from services.chassis.messaging.connecting import connected
from services.chassis.startup import StartupError
from tests.brokers import RecordingBroker
from tests.waiting import until


class LateBroker(RecordingBroker):
    """Is there once ``there`` is set, and refuses ``refusals`` times before; counts what it is asked for."""

    def __init__(self, *, refusals: int = 0) -> None:
        super().__init__()
        self.there = asyncio.Event()
        self.refusals = refusals
        self.calls: list[str] = []

    async def start(self) -> None:
        self.calls.append("start")
        await self.there.wait()
        if self.refusals:
            self.refusals -= 1
            raise StartupError("RabbitMQ refuses us.")

    async def drain(self, seconds: float) -> None:
        self.calls.append("drain")

    async def close(self) -> None:
        self.calls.append("close")

    async def subscribe_all(self) -> None:
        self.calls.append("subscribe")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(connecting, "AGAIN_SECONDS", 0.01)


async def test_a_broker_that_is_there_is_subscribed_to_before_anybody_is_served() -> None:
    broker = LateBroker()
    broker.there.set()
    async with connected(broker, broker.subscribe_all):
        assert broker.calls == ["start", "subscribe"]


async def test_a_refusal_ends_the_start() -> None:
    broker = LateBroker(refusals=1)
    broker.there.set()
    with pytest.raises(StartupError, match="refuses"):
        async with connected(broker, broker.subscribe_all):
            pytest.fail("it is not served")


@pytest.mark.usefixtures("impatient")
async def test_while_the_broker_is_away_people_are_served_and_then_it_is_subscribed_to() -> None:
    broker = LateBroker()
    async with connected(broker, broker.subscribe_all):
        assert broker.calls == ["start"]
        broker.there.set()
        await until(lambda: broker.calls == ["start", "subscribe"])


@pytest.mark.usefixtures("impatient")
async def test_what_goes_wrong_once_people_are_served_is_tried_again_from_the_start() -> None:
    broker = LateBroker(refusals=1)
    lost = [PublishError("not connected")]

    async def subscribe() -> None:
        await broker.subscribe_all()
        if lost:
            raise lost.pop()

    async with connected(broker, subscribe):
        broker.there.set()
        again = ["drain", "close", "start"]
        await until(lambda: broker.calls == ["start", *again, "subscribe", *again, "subscribe"])


@pytest.mark.usefixtures("impatient")
async def test_the_end_of_the_service_ends_the_waiting() -> None:
    broker = LateBroker()
    async with connected(broker, broker.subscribe_all):
        pass
    broker.there.set()
    await asyncio.sleep(0.05)
    assert broker.calls == ["start"]


@pytest.mark.usefixtures("impatient")
async def test_a_start_that_is_given_up_while_the_broker_is_away_ends_at_once() -> None:
    broker = LateBroker()

    async def serve() -> None:
        async with connected(broker, broker.subscribe_all):
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await until(lambda: broker.calls == ["start"])
    serving.cancel()
    await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 5)
    assert serving.cancelled()
