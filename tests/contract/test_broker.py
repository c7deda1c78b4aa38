"""What every broker promises, run against each of them: see :mod:`services.chassis.messaging`."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.events import AnalysisStarted, Envelope, EventData, ProfileUpdated, TaskSubmitted
from contracts.topology import Subscription
from services.chassis.correlation import correlated, correlation_id, traceparent
from services.chassis.messaging import broker as broker_module
from services.chassis.messaging.broker import (
    Broker,
    Depth,
    Handlers,
    PermanentError,
    PublishError,
    measure_dead_letters,
)
from services.chassis.messaging.local import LocalBroker
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from tests.servers import RabbitMqServer
from tests.waiting import until

WORK = Subscription("test.work", (TaskSubmitted, AnalysisStarted), retry_delays=(0.2, 0.4))
ECHO = Subscription("test.echo", (TaskSubmitted,), retry_delays=(0.2,))
SUBSCRIPTIONS = (WORK, ECHO)


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.docker("rabbitmq"))])
def new_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Broker]:
    """Makes brokers that share their queues, one after the other: as the same service does when it restarts."""
    if request.param == "local":
        return lambda: LocalBroker(tmp_path / "events.db", Metrics(), SUBSCRIPTIONS)
    url: str = request.getfixturevalue("rabbitmq_url")
    server: RabbitMqServer = request.getfixturevalue("rabbitmq_server")
    if server.given:
        server.delete_queues(SUBSCRIPTIONS)
    return lambda: RabbitBroker(url, Metrics(), "test", SUBSCRIPTIONS)


@asynccontextmanager
async def started(broker: Broker) -> AsyncIterator[Broker]:
    await broker.start()
    try:
        yield broker
    finally:
        await broker.drain(0)
        await broker.close()


class Handler:
    """Notes what it was given; ``fails`` decides what happens then."""

    def __init__(self, fails: Iterator[Exception | None] | Exception | None = None) -> None:
        self.seen: list[str] = []
        self._fails = fails

    async def __call__(self, data: EventData) -> None:
        self.seen.append(data.subject)
        fault = next(self._fails, None) if isinstance(self._fails, Iterator) else self._fails
        if fault is not None:
            raise fault

    @property
    def table(self) -> Handlers:
        return {AnalysisStarted: self, TaskSubmitted: self}


def event(name: str) -> Envelope:
    return Envelope.wrap(AnalysisStarted(job_id=name), traceparent=traceparent())


def submission(name: str) -> Envelope:
    return Envelope.wrap(TaskSubmitted(job_id=name, task_id="t"), traceparent=None)


async def rest(broker: Broker, subscription: Subscription = WORK) -> list[str]:
    """What is still in a queue: a last event is published, and everything that arrives before it is returned.

    Retries that wait for their delay are not seen.
    """
    handler = Handler()
    await broker.subscribe(subscription, handler.table, concurrency=1)
    await broker.publish(submission("last"))
    await until(lambda: "last" in handler.seen)
    await broker.drain(5)
    return [name for name in handler.seen if name != "last"]


async def test_a_published_event_is_handled_once(new_broker: Callable[[], Broker]) -> None:
    names = [f"job {n}" for n in range(50)]
    handler = Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, handler.table, concurrency=4)
        await asyncio.gather(*(broker.publish(event(name)) for name in names))
        await until(lambda: len(handler.seen) >= len(names))
        await broker.drain(5)
        assert Counter(handler.seen) == Counter(names)
        assert await rest(broker) == []


async def test_an_event_waits_for_a_consumer_that_comes_later(new_broker: Callable[[], Broker]) -> None:
    async with started(new_broker()) as broker:
        await broker.publish(event("early"))
        assert await rest(broker) == ["early"]


async def test_every_subscribed_queue_gets_the_event_and_no_other_does(new_broker: Callable[[], Broker]) -> None:
    work, echo = Handler(), Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, work.table, concurrency=1)
        await broker.subscribe(ECHO, echo.table, concurrency=1)
        await broker.publish(event("started"))  # only to work
        await broker.publish(submission("submitted"))
        await until(lambda: len(work.seen) == 2 and len(echo.seen) == 1)
    assert sorted(work.seen) == ["started", "submitted"]
    assert echo.seen == ["submitted"]


async def test_two_consumers_of_a_queue_share_its_events(new_broker: Callable[[], Broker]) -> None:
    one, two = Handler(), Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, one.table, concurrency=2)
        await broker.subscribe(WORK, two.table, concurrency=2)
        names = [f"job {n}" for n in range(20)]
        await asyncio.gather(*(broker.publish(event(name)) for name in names))
        await until(lambda: len(one.seen) + len(two.seen) >= len(names))
        await broker.drain(5)
    assert Counter(one.seen + two.seen) == Counter(names)


async def test_a_failed_delivery_comes_back_after_its_delays_until_it_succeeds(
    new_broker: Callable[[], Broker],
) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def fail_twice(_: EventData) -> None:
        times.append(loop.time())
        if len(times) <= 2:
            raise OSError("not yet")

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: fail_twice}, concurrency=1)
        await broker.publish(event("stubborn"))
        await until(lambda: len(times) == 3)
        await broker.drain(5)
        assert await broker.dead_letters(WORK, 10) == []
    # Never earlier than promised; how much later is the machine's affair.
    first, second = times[1] - times[0], times[2] - times[1]
    assert first >= 0.9 * WORK.retry_delays[0]
    assert second >= 0.9 * WORK.retry_delays[1]


async def test_a_delivery_that_fails_for_good_is_told_of_and_becomes_a_dead_letter(
    new_broker: Callable[[], Broker],
) -> None:
    handler, dead = Handler(OSError("disk of someone@example.com on fire")), Handler()
    envelope = event("hopeless")
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, handler.table, concurrency=1, on_dead=dead)
        await broker.publish(envelope)
        await until(lambda: bool(dead.seen))
        await broker.drain(5)
        (letter,) = await broker.dead_letters(WORK, 10)
    assert handler.seen == ["hopeless"] * (1 + len(WORK.retry_delays))
    assert dead.seen == ["hopeless"]
    assert (letter.event_id, letter.type, letter.subject) == (envelope.id, AnalysisStarted.TYPE, "hopeless")
    assert letter.reason == "OSError: disk of [address] on fire"
    assert Envelope.model_validate_json(letter.body) == envelope


async def test_the_depth_of_a_queue_tells_what_waits_and_what_is_dead(new_broker: Callable[[], Broker]) -> None:
    handler = Handler(PermanentError("never"))
    async with started(new_broker()) as broker:
        assert await broker.depth(WORK) == Depth(waiting=0, dead=0)
        for name in "abc":
            await broker.publish(event(name))
        assert await broker.depth(WORK) == Depth(waiting=3, dead=0)
        await broker.subscribe(WORK, handler.table, concurrency=1)
        await until(lambda: len(handler.seen) == 3)
        await broker.drain(5)
        assert await broker.depth(WORK) == Depth(waiting=0, dead=3)
        await broker.replay(WORK, 2)
        assert await broker.depth(WORK) == Depth(waiting=2, dead=1)


async def test_what_a_handler_holds_does_not_wait(new_broker: Callable[[], Broker]) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def hold(_: EventData) -> None:
        begun.set()
        await end.wait()

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: hold}, concurrency=1)
        await broker.publish(event("held"))
        await begun.wait()
        assert await broker.depth(WORK) == Depth(waiting=0, dead=0)
        end.set()


async def test_the_gauge_of_dead_letters_follows_the_queue(
    new_broker: Callable[[], Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "MEASURE_SECONDS", 0.01)
    metrics = Metrics()

    def gauge() -> float | None:
        return metrics.registry.get_sample_value("dead_letters", {"queue": WORK.queue})

    async with started(new_broker()) as broker:
        measuring = asyncio.create_task(measure_dead_letters(broker, (WORK,), metrics))
        await until(lambda: gauge() == 0)
        await broker.subscribe(WORK, Handler(PermanentError("never")).table, concurrency=1)
        await broker.publish(event("wrong"))
        await until(lambda: gauge() == 1)
        await broker.replay(WORK, 1)  # and it dies again
        await until(lambda: gauge() == 1)
        measuring.cancel()


async def test_retries_of_one_event_do_not_hold_up_others(new_broker: Callable[[], Broker]) -> None:
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)
        if data.job_id == "bad":
            raise OSError("always")

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        await broker.publish(event("bad"))
        await until(lambda: seen == ["bad"])
        await broker.publish(event("good"))
        await until(lambda: seen.count("bad") == 3)
    assert seen.index("good") == 1


async def test_a_permanent_error_is_not_retried(new_broker: Callable[[], Broker]) -> None:
    handler, dead = Handler(PermanentError("never")), Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, handler.table, concurrency=1, on_dead=dead)
        await broker.publish(event("wrong"))
        await until(lambda: bool(dead.seen))
        await broker.drain(5)
        assert [letter.subject for letter in await broker.dead_letters(WORK, 10)] == ["wrong"]
    assert handler.seen == ["wrong"]
    assert dead.seen == ["wrong"]


async def test_data_that_does_not_fit_its_type_is_buried_without_repeating_it(new_broker: Callable[[], Broker]) -> None:
    handler, dead = Handler(), Handler()
    odd = event("x").model_copy(update={"data": {"job_id": {"secret": "me@example.com"}}})
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, handler.table, concurrency=1, on_dead=dead)
        await broker.publish(odd)
        assert await _first_dead_reason(broker) == "PermanentError: the event does not fit its type: job_id"
    assert handler.seen == dead.seen == []


async def test_an_event_without_a_handler_gets_its_retries_because_a_newer_replica_may_have_one(
    new_broker: Callable[[], Broker],
) -> None:
    handler = Handler()
    async with started(new_broker()) as old:
        await old.subscribe(WORK, {TaskSubmitted: handler}, concurrency=1)
        await old.publish(event("of a new kind"))
        assert "no handler" in await _first_dead_reason(old)
    assert handler.seen == []


async def _first_dead_reason(broker: Broker) -> str:
    async with asyncio.timeout(20):
        while not (letters := await broker.dead_letters(WORK, 10)):
            await asyncio.sleep(0.05)
    return letters[0].reason


async def test_a_failure_that_cannot_be_told_is_given_back_not_buried(
    new_broker: Callable[[], Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.messaging.broker.UNSETTLED_PAUSE_SECONDS", 0.05)
    handler = Handler(PermanentError("never"))
    told = Handler(iter([OSError("the database is away"), OSError("still"), None]))
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, handler.table, concurrency=1, on_dead=told)
        await broker.publish(event("unlucky"))
        await until(lambda: len(told.seen) == 3)
        await broker.drain(5)
        assert [letter.subject for letter in await broker.dead_letters(WORK, 10)] == ["unlucky"]


async def test_draining_lets_handlers_finish(new_broker: Callable[[], Broker]) -> None:
    entered, finished = asyncio.Event(), asyncio.Event()

    async def slow(_: EventData) -> None:
        entered.set()
        await asyncio.sleep(0.2)
        finished.set()

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: slow}, concurrency=1)
        await broker.publish(event("slow"))
        await entered.wait()
        await broker.drain(10)
        assert finished.is_set()
        assert await rest(broker) == []


async def test_a_handler_that_does_not_finish_in_time_is_cut_off_and_its_event_given_back_untouched(
    new_broker: Callable[[], Broker],
) -> None:
    entered = asyncio.Event()
    cut_off: list[bool] = []

    async def endless(_: EventData) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.append(True)

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: endless}, concurrency=1)
        for name in ("held", "waiting"):
            await broker.publish(event(name))
        await entered.wait()
        await broker.drain(0.05)
    assert cut_off == [True]

    handler = Handler(OSError("no"))
    async with started(new_broker()) as successor:
        await successor.subscribe(WORK, handler.table, concurrency=1)
        await until(lambda: len(handler.seen) == 6)
    # Being cut off was no failure: each still had all of its attempts.
    assert Counter(handler.seen) == {"held": 3, "waiting": 3}


async def test_nothing_is_delivered_after_a_drain(new_broker: Callable[[], Broker]) -> None:
    handler = Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, handler.table, concurrency=1)
        await broker.drain(1)
        await broker.publish(event("late"))
        assert await rest(broker) == ["late"]
    assert handler.seen == []


async def test_an_event_that_nobody_would_get_is_refused(new_broker: Callable[[], Broker]) -> None:
    nobody = Envelope.wrap(ProfileUpdated(user_id="u", version=1, household={}), traceparent=None)
    async with started(new_broker()) as broker:
        with pytest.raises(PublishError):
            await broker.publish(nobody)
        await broker.publish(event("next"))  # and the broker still works
        assert await rest(broker) == ["next"]


async def test_publishing_without_a_connection_is_refused(new_broker: Callable[[], Broker]) -> None:
    broker = new_broker()
    with pytest.raises(PublishError):
        await broker.publish(event("too early"))
    await broker.start()
    await broker.ping()
    await broker.close()
    with pytest.raises(PublishError):
        await broker.publish(event("too late"))
    with pytest.raises(PublishError):
        await broker.ping()


async def test_no_more_than_the_agreed_number_are_handled_at_a_time(new_broker: Callable[[], Broker]) -> None:
    under_way, most, done = 0, 0, 0

    async def handle(_: EventData) -> None:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        done += 1

    async with started(new_broker()) as broker:
        await asyncio.gather(*(broker.publish(event(str(n))) for n in range(30)))
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=3)
        await until(lambda: done == 30)
    assert most == 3


async def test_dead_letters_can_be_looked_at_again_and_again(new_broker: Callable[[], Broker]) -> None:
    names = [f"job {n}" for n in range(5)]
    dead = Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, Handler(PermanentError("no")).table, concurrency=1, on_dead=dead)
        for name in names:
            await broker.publish(event(name))
        await until(lambda: len(dead.seen) == len(names))
        await broker.drain(5)
        assert len(await broker.dead_letters(WORK, 2)) == 2
        for _ in range(30):  # more often than a server's usual limit of 20 deliveries
            letters = await broker.dead_letters(WORK, 100)
            assert sorted(letter.subject or "" for letter in letters) == names
        assert await broker.dead_letters(ECHO, 100) == []


async def test_replayed_dead_letters_are_handled_as_if_new(new_broker: Callable[[], Broker]) -> None:
    dead = Handler()
    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, Handler(OSError("no")).table, concurrency=3, on_dead=dead)
        for name in "abc":
            await broker.publish(event(name))
        await until(lambda: len(dead.seen) == 3)
        await broker.drain(5)

        assert await broker.replay(WORK, 2) == 2
        assert len(await broker.dead_letters(WORK, 10)) == 1
        assert await broker.replay(WORK, 100) == 1
        assert await broker.replay(WORK, 100) == 0
        assert await broker.dead_letters(WORK, 10) == []

        again = Handler(OSError("no"))
        await broker.subscribe(WORK, again.table, concurrency=3)
        await until(lambda: len(again.seen) == 9)  # all of the attempts, again
    assert Counter(again.seen) == {"a": 3, "b": 3, "c": 3}


async def test_the_correlation_id_travels_with_the_event(new_broker: Callable[[], Broker]) -> None:
    seen: list[str | None] = []

    async def handle(_: EventData) -> None:
        seen.append(correlation_id())

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        with correlated(None) as mine:
            await broker.publish(event("traced"))
        await until(lambda: bool(seen))
    assert seen == [mine]


async def test_events_and_dead_letters_survive_a_restart(new_broker: Callable[[], Broker]) -> None:
    dead = Handler()
    async with started(new_broker()) as before:
        await before.subscribe(WORK, Handler(PermanentError("no")).table, concurrency=1, on_dead=dead)
        await before.publish(event("dead"))
        await until(lambda: bool(dead.seen))
        await before.drain(5)
        await before.publish(event("alive"))
    async with started(new_broker()) as after:
        assert await rest(after) == ["alive"]
        assert [letter.subject for letter in await after.dead_letters(WORK, 10)] == ["dead"]


async def test_a_waiting_retry_survives_a_restart(new_broker: Callable[[], Broker]) -> None:
    handler = Handler(OSError("no"))
    async with started(new_broker()) as before:
        await before.subscribe(WORK, handler.table, concurrency=1)
        await before.publish(event("patient"))
        await until(lambda: bool(handler.seen))
        await before.drain(5)
    second = Handler()
    async with started(new_broker()) as after:
        await after.subscribe(WORK, second.table, concurrency=1)
        await until(lambda: bool(second.seen))
    assert second.seen == ["patient"]


async def test_any_text_arrives_as_it_was_sent(new_broker: Callable[[], Broker]) -> None:
    texts = ["", "naïve ☃ 𝄞", '\x00\x1f"\\', "a" * 100_000]
    seen: list[Any] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    async with started(new_broker()) as broker:
        await broker.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
        for text in texts:
            await broker.publish(event(text))
        await until(lambda: len(seen) == len(texts))
    assert json.dumps(sorted(seen)) == json.dumps(sorted(texts))
