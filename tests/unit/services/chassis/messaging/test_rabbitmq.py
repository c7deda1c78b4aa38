"""RabbitMQ's adapter, with a driver that is played."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.topology import TASKS_RESULTS
from services.chassis.messaging import rabbitmq
from services.chassis.messaging.broker import PublishError
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics


class Channel:
    """A channel that does ``open`` when it is opened; its goodbye takes a moment."""

    def __init__(self, open_: Callable[[], Awaitable[None]]) -> None:
        self._open = open_
        self.goodbyes: list[str] = []

    async def initialize(self) -> None:
        await self._open()

    async def close(self) -> None:
        self.goodbyes.append("begun")
        await asyncio.sleep(0.05)
        self.goodbyes.append("ended")


def asked(channel: Channel) -> RabbitBroker:
    class Connection:
        def channel(self, **_: object) -> Channel:
            return channel

    broker = RabbitBroker("amqp://nobody", Metrics(), "test")
    connection: Any = Connection()
    broker._consuming = connection
    return broker


async def hanging() -> None:
    await asyncio.sleep(60)


async def unconnected() -> None:
    raise RuntimeError("No active transport for connection")


async def test_a_depth_that_is_not_told_in_time_lets_its_channel_say_goodbye(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rabbitmq, "PING_SECONDS", 0.05)
    channel = Channel(hanging)
    with pytest.raises(PublishError):
        await asked(channel).depth(TASKS_RESULTS)
    assert channel.goodbyes == ["begun", "ended"]


async def test_a_depth_that_is_asked_for_while_the_driver_has_no_connection_is_not_told():
    channel = Channel(unconnected)
    with pytest.raises(PublishError, match="RuntimeError"):
        await asked(channel).depth(TASKS_RESULTS)
    assert channel.goodbyes == ["begun", "ended"]
