"""What each service's user may do at the broker, by the rights that docker-compose.yml gives it."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
import yaml
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from contracts.events import AccountDeleted, AnalysisStarted, Envelope, TaskSubmitted
from contracts.topology import ANALYSIS_SUBMISSIONS, EXCHANGE, SUBSCRIPTIONS, TASKS_ACCOUNTS, TASKS_RESULTS
from services.chassis.messaging.broker import PublishError
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from tests.servers import RabbitMqServer
from tests.waiting import until

ROOT = Path(__file__).parents[5]
PASSWORD = "only-for-tests"


def definitions(name: str, vhost: str) -> dict[str, Any]:
    """What Compose has the broker load under that name, for a virtual host of its own."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    text: str = compose["configs"][name]["content"].replace("$$", "$")
    text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)
    text = re.sub(r"\$\{\w+:\?[^}]*\}", PASSWORD, text)
    text = text.replace('"vhost": "/"', f'"vhost": "{vhost}"').replace('{"name": "/"}', f'{{"name": "{vhost}"}}')
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@dataclass
class Place:
    """A virtual host with the rights of Compose."""

    server: RabbitMqServer
    vhost: str

    def url(self, user: str) -> str:
        host, port = self.server.host_port
        return f"amqp://{user}:{PASSWORD}@{host}:{port}/{self.vhost}"

    def give_rights(self) -> None:
        for name in ("rabbitmq-exchange", "rabbitmq-users"):
            self.server.manage("POST", "/definitions", definitions(name, self.vhost))

    def remove_exchange(self) -> None:
        self.server.manage("DELETE", f"/exchanges/{self.vhost}/{EXCHANGE}")

    def lose_everything(self) -> None:
        """As restore.sh empties the broker."""
        self.server.manage("DELETE", f"/vhosts/{self.vhost}")
        self.give_rights()


@pytest.fixture
def place(rabbitmq_server: RabbitMqServer, rabbitmq_url: str) -> Place:
    if rabbitmq_server.given:
        pytest.skip("only on a server of our own, in a container")
    made = Place(rabbitmq_server, urlsplit(rabbitmq_url).path.strip("/"))
    made.give_rights()
    return made


def of_tasks(place: Place) -> RabbitBroker:
    return RabbitBroker(place.url("audit"), Metrics(), "tasks", SUBSCRIPTIONS)


def of_analysis(place: Place) -> RabbitBroker:
    return RabbitBroker(place.url("analysis"), Metrics(), "analysis", (ANALYSIS_SUBMISSIONS,), is_guest=True)


@asynccontextmanager
async def started(*brokers: RabbitBroker) -> AsyncIterator[None]:
    try:
        for broker in brokers:
            await asyncio.wait_for(broker.start(), 30)
        yield
    finally:
        for broker in brokers:
            await broker.drain(0)
            await broker.close()


def wrapped(name: str) -> Envelope:
    return Envelope.wrap(AnalysisStarted(job_id=name), traceparent=None)


Attempt = Callable[[AbstractChannel], Awaitable[object]]


def publish(exchange: str, key: str) -> Attempt:
    async def attempt(channel: AbstractChannel) -> object:
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        return await target.publish(aio_pika.Message(b"{}"), key, mandatory=False)

    return attempt


def consume(queue: str) -> Attempt:
    async def attempt(channel: AbstractChannel) -> object:
        async def ignore(_: object) -> None: ...

        return await (await channel.get_queue(queue, ensure=False)).consume(ignore)

    return attempt


def get(queue: str) -> Attempt:
    async def attempt(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).get(fail=False)

    return attempt


def purge(queue: str) -> Attempt:
    async def attempt(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).purge()

    return attempt


def bind(queue: str, key: str) -> Attempt:
    async def attempt(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).bind(EXCHANGE, key)

    return attempt


async def is_refused(url: str, attempt: Attempt) -> bool:
    """Whether the server refuses ``attempt`` on a connection of its own for want of a right."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        try:
            async with asyncio.timeout(10):
                await attempt(channel)
        except ChannelAccessRefused:
            return True
    return False


FORBIDDEN_TO_ANALYSIS: dict[str, Attempt] = {
    "publish AccountDeleted": publish(EXCHANGE, AccountDeleted.TYPE),
    "publish TaskSubmitted": publish(EXCHANGE, TaskSubmitted.TYPE),
    "send a deletion straight to its queue": publish("", TASKS_ACCOUNTS.queue),
    "send a result straight to its queue": publish("", TASKS_RESULTS.queue),
    "move something into the queues of tasks": publish(TASKS_ACCOUNTS.moves, TASKS_ACCOUNTS.queue),
    "consume the results": consume(TASKS_RESULTS.queue),
    "look at deletions": get(TASKS_ACCOUNTS.queue),
    "look at dead deletions": get(TASKS_ACCOUNTS.dead_queue),
    "empty the queue of deletions": purge(TASKS_ACCOUNTS.queue),
    "have deletions sent to itself": bind(ANALYSIS_SUBMISSIONS.queue, AccountDeleted.TYPE),
    "make a queue": lambda channel: channel.declare_queue("spy", exclusive=True),
    "make a queue under a name of the server's": lambda channel: channel.declare_queue(exclusive=True),
    "remove its queue": lambda channel: channel.queue_delete(ANALYSIS_SUBMISSIONS.queue),
    "remove the exchange": lambda channel: channel.exchange_delete(EXCHANGE),
}


async def test_analysis_can_do_nothing_at_the_broker_but_its_own_work(place: Place) -> None:
    async with started(of_tasks(place)):
        allowed = [
            name
            for name, attempt in FORBIDDEN_TO_ANALYSIS.items()
            if not await is_refused(place.url("analysis"), attempt)
        ]
        assert allowed == []
        assert not await is_refused(place.url("analysis"), publish(EXCHANGE, AnalysisStarted.TYPE))  # the control
        assert not await is_refused(place.url("audit"), publish("", TASKS_ACCOUNTS.queue))


async def test_auth_publishes_its_own_events_and_reads_nothing(place: Place) -> None:
    auth = RabbitBroker(place.url("auth"), Metrics(), "auth", (), is_guest=True)
    async with started(of_tasks(place), auth):
        await auth.publish(Envelope.wrap(AccountDeleted.model_construct(user_id="a@example.com"), traceparent=None))
        forbidden = {
            "publish AnalysisStarted": publish(EXCHANGE, AnalysisStarted.TYPE),
            "send straight to a queue": publish("", TASKS_RESULTS.queue),
            "read submissions": get(ANALYSIS_SUBMISSIONS.queue),
            "read deletions": get(TASKS_ACCOUNTS.queue),
            "make a queue": lambda channel: channel.declare_queue("spy", exclusive=True),
        }
        allowed = [name for name, attempt in forbidden.items() if not await is_refused(place.url("auth"), attempt)]
        assert allowed == []


async def test_analysis_retries_buries_and_replays_with_its_own_rights(place: Place) -> None:
    tasks, analysis = of_tasks(place), of_analysis(place)
    async with started(tasks, analysis):
        body = wrapped("x").model_dump_json().encode()
        for queue in ANALYSIS_SUBMISSIONS.queues:
            await analysis.move(ANALYSIS_SUBMISSIONS, queue, body, "id", {})
        await until_depth(analysis, dead=1)
        assert len(await analysis.dead_letters(ANALYSIS_SUBMISSIONS, 10)) == 1
        assert await analysis.replay(ANALYSIS_SUBMISSIONS, 10) == 1
        await analysis.ping()


async def until_depth(broker: RabbitBroker, *, dead: int) -> None:
    async with asyncio.timeout(20):
        while (await broker.depth(ANALYSIS_SUBMISSIONS)).dead != dead:
            await asyncio.sleep(0.1)


async def test_a_guest_waits_until_its_queue_was_declared(place: Place) -> None:
    tasks, analysis = of_tasks(place), of_analysis(place)
    starting = asyncio.create_task(analysis.start())
    try:
        await asyncio.sleep(1)
        assert not starting.done()
        async with started(tasks):
            await asyncio.wait_for(starting, 30)
            await analysis.publish(wrapped("x"))
    finally:
        starting.cancel()
        await analysis.close()


async def test_a_guest_that_only_publishes_starts_before_the_exchange_is_there(
    place: Place,
) -> None:
    auth = RabbitBroker(place.url("auth"), Metrics(), "auth", (), is_guest=True)
    event = Envelope.wrap(AccountDeleted.model_construct(user_id="a@example.com"), traceparent=None)
    await asyncio.to_thread(place.remove_exchange)
    async with started(auth):
        for _ in range(2):
            with pytest.raises(PublishError):
                await auth.publish(event)
        async with started(of_tasks(place)):
            await asyncio.to_thread(place.give_rights)
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(PublishError):
                        await auth.publish(event)
                        break
                    await asyncio.sleep(0.2)


async def test_a_guest_goes_on_by_itself_after_the_broker_has_lost_everything(place: Place) -> None:
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    tasks, analysis = of_tasks(place), of_analysis(place)
    async with started(tasks, analysis):
        await analysis.subscribe(ANALYSIS_SUBMISSIONS, {AnalysisStarted: handle}, concurrency=1)
        await asyncio.to_thread(place.lose_everything)
        body = wrapped("after").model_dump_json().encode()

        async def moved() -> bool:
            try:
                await tasks.move(ANALYSIS_SUBMISSIONS, ANALYSIS_SUBMISSIONS.queue, body, "id", {})
            except Exception:  # noqa: BLE001 - until its connection is back
                return False
            return True

        async with asyncio.timeout(60):
            while not await moved():
                await asyncio.sleep(0.2)
        await until(lambda: "after" in seen, 60)
