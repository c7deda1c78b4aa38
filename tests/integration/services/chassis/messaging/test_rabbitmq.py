"""RabbitMQ's own dangers: cut and silent links, restarts, poison messages, refusals, a server that comes late."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aio_pika
import pytest

from contracts.events import AnalysisStarted, Envelope, EventData
from contracts.topology import EXCHANGE, SUBSCRIPTIONS, Subscription
from services.chassis.messaging import queues as queues_module
from services.chassis.messaging import rabbitmq
from services.chassis.messaging.broker import PublishError
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from services.chassis.startup import StartupError
from tests.proxy import Proxy
from tests.servers import RabbitMqServer
from tests.waiting import until

WORK = Subscription("test.work", (AnalysisStarted,), retry_delays=(0.2,))


def event(name: str) -> Envelope:
    return Envelope.wrap(AnalysisStarted(job_id=name), traceparent=None)


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}").geturl()


@pytest.fixture
def own_server(rabbitmq_server: RabbitMqServer) -> RabbitMqServer:
    if rabbitmq_server.given:
        pytest.skip("only on a server of our own, in a container")
    return rabbitmq_server


@asynccontextmanager
async def started(url: str, subscriptions: tuple[Subscription, ...] = (WORK,)) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(url, Metrics(), "test", subscriptions)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.drain(0)
        await broker.close()


@pytest.fixture
async def proxy(own_server: RabbitMqServer) -> AsyncIterator[Proxy]:
    async with Proxy(lambda: own_server.host_port) as proxy:
        yield proxy


class Publisher:
    """Publishes numbered events without a pause, and notes which were confirmed; every refusal is a PublishError."""

    def __init__(self, broker: RabbitBroker, concurrency: int = 8) -> None:
        self._broker = broker
        self._concurrency = concurrency
        self._number = 0
        self._stopping = False
        self.confirmed: set[str] = set()
        self.refused: list[str] = []

    async def _publish(self) -> None:
        while not self._stopping:
            self._number += 1
            name = str(self._number)
            try:
                await self._broker.publish(event(name))
            except PublishError:
                self.refused.append(name)
                await asyncio.sleep(0.01)
            else:
                self.confirmed.add(name)
                await asyncio.sleep(0.002)

    async def __aenter__(self) -> "Publisher":
        self._tasks = [asyncio.create_task(self._publish()) for _ in range(self._concurrency)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)


async def test_nothing_confirmed_is_lost_when_the_link_is_cut_again_and_again(
    proxy: Proxy, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 2)
    seen: Counter[str] = Counter()

    async def handle(data: AnalysisStarted) -> None:
        await asyncio.sleep(0.005)  # so that a cut meets deliveries that are being handled
        seen[data.job_id] += 1

    async with started(through(proxy, rabbitmq_url)) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=10)
        async with Publisher(broker) as publisher:
            for _ in range(4):
                before = len(publisher.confirmed)
                await until(lambda: len(publisher.confirmed) > before + 50)  # noqa: B023 - awaited here
                proxy.cut()
                await until(lambda: proxy.links == 0)
                proxy.heal()
        await until(lambda: publisher.confirmed <= seen.keys())
    assert publisher.refused  # or the cuts cut nothing


async def test_a_publish_during_a_cut_is_refused_in_time_and_later_ones_succeed(
    proxy: Proxy, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 0.5)
    async with started(through(proxy, rabbitmq_url)) as broker:
        proxy.cut()
        for _ in range(3):
            async with asyncio.timeout(10):  # the library alone would wait for the link's return
                with pytest.raises(PublishError):
                    await broker.publish(event("lost"))
        with pytest.raises(PublishError):
            await broker.ping()
        proxy.heal()
        async with asyncio.timeout(30):
            while True:
                try:
                    await broker.publish(event("kept"))
                    await broker.ping()  # its other connection comes back by itself, too
                    break
                except PublishError:
                    await asyncio.sleep(0.05)


async def test_a_publish_into_silence_is_refused_in_time(
    proxy: Proxy, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 0.5)
    async with started(through(proxy, rabbitmq_url)) as broker:
        proxy.silence()
        async with asyncio.timeout(10):
            with pytest.raises(PublishError):
                await broker.publish(event("unheard"))
        proxy.heal()


async def test_a_silent_server_does_not_hold_up_a_stop(proxy: Proxy, rabbitmq_url: str) -> None:
    async def handle(data: AnalysisStarted) -> None:
        raise AssertionError(data)

    async with started(through(proxy, rabbitmq_url)) as broker:
        for _ in range(3):
            await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        proxy.silence()
        async with asyncio.timeout(5):  # of the 10 seconds in which a process has to stop
            await broker.drain(0)
            await broker.close()
        proxy.heal()


async def test_a_silent_link_is_noticed_by_heartbeats_and_replaced(
    proxy: Proxy, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 1)
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    async with started(through(proxy, rabbitmq_url)) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        connections = proxy.accepted
        proxy.silence()
        await until(lambda: proxy.accepted >= connections + 2)  # both links were given up
        proxy.heal()
        async with asyncio.timeout(30):
            while "after" not in seen:
                with suppress(PublishError):
                    await broker.publish(event("after"))
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_nothing_confirmed_is_lost_when_the_server_restarts(
    kill: bool, own_server: RabbitMqServer, proxy: Proxy, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 2)
    seen: Counter[str] = Counter()

    async def handle(data: AnalysisStarted) -> None:
        seen[data.job_id] += 1
        if int(data.job_id) % 7 == 0 and seen[data.job_id] == 1:
            raise OSError("comes again after its delay")

    async with started(through(proxy, rabbitmq_url)) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=10)
        # The server notes on disk only every few seconds that a queue exists: one that has just been declared for the
        # first time is empty after a kill. (Seen with RabbitMQ 4.3: "member of queue ... was not found on this node".)
        await asyncio.sleep(6)
        async with Publisher(broker, concurrency=2) as publisher:
            await until(lambda: len(publisher.confirmed) > 50)
            await asyncio.to_thread(own_server.restart, kill=kill)
            before = len(publisher.confirmed)
            await until(lambda: len(publisher.confirmed) > before + 50)
        retried = {name for name in publisher.confirmed if int(name) % 7 == 0}
        await until(lambda: publisher.confirmed <= seen.keys() and all(seen[name] >= 2 for name in retried))


async def test_queues_that_the_server_lost_are_declared_again_and_consumed(
    own_server: RabbitMqServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 2)
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    async with started(rabbitmq_url) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        name = urlsplit(rabbitmq_url).path.strip("/")
        await asyncio.to_thread(own_server.manage, "DELETE", f"/vhosts/{name}")
        await asyncio.to_thread(own_server.manage, "PUT", f"/vhosts/{name}", {})
        async with asyncio.timeout(30):
            while not seen:
                with suppress(PublishError):
                    await broker.publish(event("after"))
                await asyncio.sleep(0.1)


async def test_a_consumer_whose_queue_was_deleted_comes_back(
    own_server: RabbitMqServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "PUBLISH_SECONDS", 2)
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    async with started(rabbitmq_url) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        await asyncio.to_thread(own_server.delete_queues, (WORK,), rabbitmq_url)
        async with asyncio.timeout(30):
            while not seen:
                with suppress(PublishError):
                    await broker.publish(event("after"))
                await asyncio.sleep(0.1)


async def test_a_channel_that_the_server_closes_is_opened_again(rabbitmq_url: str) -> None:
    """As it does to a consumer that holds a delivery for longer than the server's limit."""
    seen: Counter[str] = Counter()
    gate = asyncio.Event()

    async def handle(data: AnalysisStarted) -> None:
        seen[data.job_id] += 1
        await gate.wait()

    async with started(rabbitmq_url) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        await broker.publish(event("held"))
        await until(lambda: seen["held"] == 1)
        channel = await broker._consumers[0][0].get_underlay_channel()
        await channel.basic_ack(delivery_tag=999)  # the server closes the channel of a client that acks nonsense
        await until(lambda: seen["held"] == 2)  # redelivered on the new channel
        gate.set()
        await broker.publish(event("next"))
        await until(lambda: seen["next"] == 1)


async def test_a_message_that_kills_its_consumer_each_time_ends_as_a_dead_letter(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues_module, "DELIVERY_LIMIT", 3)
    deaths = 0
    async with started(rabbitmq_url) as broker:
        await broker.publish(event("poison"))
        async with asyncio.timeout(60):
            while not await broker.dead_letters(WORK, 10):
                connection = await aio_pika.connect(rabbitmq_url)
                queue = await (await connection.channel()).get_queue(WORK.queue, ensure=False)
                if await queue.get(fail=False) is not None:
                    deaths += 1
                await connection.close()  # without a word about the message, as a killed process
        (letter,) = await broker.dead_letters(WORK, 10)
    assert letter.subject == "poison"
    assert letter.reason == "delivery limit"
    assert deaths == 4


async def test_a_message_that_is_no_event_is_buried_at_once(rabbitmq_url: str) -> None:
    handled: list[EventData] = []

    async def handle(data: EventData) -> None:
        handled.append(data)

    async with started(rabbitmq_url) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        for body in (b"", b"\xff\x00", b"[]", b'{"specversion": "2.0"}'):
            await broker.move(WORK, WORK.queue, body, None, {})
        async with asyncio.timeout(20):
            while len(letters := await broker.dead_letters(WORK, 10)) < 4:
                await asyncio.sleep(0.05)
    assert {letter.reason for letter in letters} == {"not an event"}
    assert handled == []


async def test_a_publish_that_a_queue_has_no_room_for_is_refused(own_server: RabbitMqServer, rabbitmq_url: str) -> None:
    vhost = urlsplit(rabbitmq_url).path.strip("/")
    async with started(rabbitmq_url) as broker:
        policy = {"pattern": "^test\\.work$", "definition": {"max-length": 2}, "apply-to": "quorum_queues"}
        await asyncio.to_thread(own_server.manage, "PUT", f"/policies/{vhost}/small", policy)
        async with asyncio.timeout(20):
            with pytest.raises(PublishError):  # noqa: PT012 - the block is what raises
                while True:  # the limit is enforced a few messages late
                    await broker.publish(event("one too many"))


async def test_the_queues_are_as_promised(own_server: RabbitMqServer, rabbitmq_url: str) -> None:
    vhost = urlsplit(rabbitmq_url).path.strip("/")
    async with started(rabbitmq_url, SUBSCRIPTIONS):
        queues = {
            queue["name"]: queue for queue in await asyncio.to_thread(own_server.manage, "GET", f"/queues/{vhost}")
        }
        bindings = await asyncio.to_thread(own_server.manage, "GET", f"/bindings/{vhost}")
    assert all(queue["durable"] and queue["type"] == "quorum" for queue in queues.values())
    for subscription in SUBSCRIPTIONS:
        arguments = queues.pop(subscription.queue)["arguments"]
        assert arguments["x-overflow"] == "reject-publish"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-dead-letter-routing-key"] == subscription.dead_queue
        assert arguments["x-delivery-limit"] == queues_module.DELIVERY_LIMIT
        assert queues.pop(subscription.dead_queue)["arguments"]["x-delivery-limit"] == queues_module.NEVER
        delays = {subscription.retry_queue(n): delay for n, delay in enumerate(subscription.retry_delays, start=1)}
        for name, seconds in delays.items():
            arguments = queues.pop(name)["arguments"]
            assert arguments["x-message-ttl"] == seconds * 1000
            assert arguments["x-dead-letter-routing-key"] == subscription.queue
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            assert arguments["x-overflow"] == "reject-publish"
    assert queues == {}
    assert {(b["destination"], b["routing_key"]) for b in bindings if b["source"] == EXCHANGE} == {
        (subscription.queue, kind.TYPE) for subscription in SUBSCRIPTIONS for kind in subscription.events
    }


async def test_publishing_and_consuming_have_a_connection_each(proxy: Proxy, rabbitmq_url: str) -> None:
    async with started(through(proxy, rabbitmq_url)):
        assert proxy.links == 2


async def test_several_services_may_declare_the_queues_at_once(rabbitmq_url: str) -> None:
    brokers = [RabbitBroker(rabbitmq_url, Metrics(), f"test {n}", SUBSCRIPTIONS) for n in range(4)]
    await asyncio.gather(*(broker.start() for broker in brokers))
    await asyncio.gather(*(broker.close() for broker in brokers))


async def test_a_wrong_password_ends_the_start(rabbitmq_url: str) -> None:
    parts = urlsplit(rabbitmq_url)
    wrong = parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(StartupError, match=r"RABBITMQ_URL.*password"):
        await RabbitBroker(wrong, Metrics(), "test", (WORK,)).start()


async def test_an_unknown_virtual_host_ends_the_start(rabbitmq_url: str) -> None:
    with pytest.raises(StartupError, match="RABBITMQ_URL"):
        await RabbitBroker(urlsplit(rabbitmq_url)._replace(path="/nowhere").geturl(), Metrics(), "test").start()


async def test_a_queue_with_other_arguments_ends_the_start(own_server: RabbitMqServer, rabbitmq_url: str) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await (await connection.channel()).declare_queue(WORK.queue, durable=True)
    with pytest.raises(StartupError, match=r"test\.work"):
        await RabbitBroker(rabbitmq_url, Metrics(), "test", (WORK,)).start()


async def test_the_start_waits_for_a_server_that_is_not_up_yet(proxy: Proxy, rabbitmq_url: str) -> None:
    proxy.cut()
    broker = RabbitBroker(through(proxy, rabbitmq_url), Metrics(), "test", (WORK,))
    starting = asyncio.create_task(broker.start())
    await until(lambda: proxy.accepted >= 2)
    assert not starting.done()
    proxy.heal()
    await asyncio.wait_for(starting, 30)
    await broker.ping()
    await broker.close()


async def test_a_start_that_is_cancelled_leaves_no_connection_attempts_behind(proxy: Proxy, rabbitmq_url: str) -> None:
    proxy.silence()
    starting = asyncio.create_task(RabbitBroker(through(proxy, rabbitmq_url), Metrics(), "test", (WORK,)).start())
    await until(lambda: proxy.accepted == 1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    attempts = proxy.accepted
    await asyncio.sleep(2.5)
    assert proxy.accepted == attempts
