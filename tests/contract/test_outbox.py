"""What the outbox and its relay promise, on both databases: see :mod:`services.chassis.outbox`."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa

from contracts.events import AnalysisStarted, Envelope
from services.chassis import outbox as outbox_module
from services.chassis.correlation import correlated
from services.chassis.database import TRANSIENT, Database, now
from services.chassis.messaging.broker import Broker, PublishError
from services.chassis.metrics import Metrics
from services.chassis.outbox import HEAD_START_SECONDS, LEASE_SECONDS, Outbox, Relay, outbox_table
from tests.waiting import until

METADATA = sa.MetaData()
TABLE = outbox_table(METADATA, "test_outbox")


class Publications:
    """A broker that notes what it was given; ``fault`` is raised instead, and ``gate`` waited for."""

    def __init__(self) -> None:
        self.published: list[Envelope] = []
        self.attempts = 0
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def names(self) -> list[str]:
        return [envelope.subject for envelope in self.published]

    async def publish(self, envelope: Envelope) -> None:
        self.attempts += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.published.append(envelope)


@pytest.fixture
def broker() -> Publications:
    return Publications()


@pytest.fixture
async def outbox(database: Database) -> Outbox:
    async with database.write() as connection:
        await connection.run_sync(METADATA.create_all)
    return Outbox(TABLE)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def relay(database: Database, outbox: Outbox, broker: Publications, metrics: Metrics) -> Relay:
    return Relay(database, outbox, cast(Broker, broker), metrics, "test")


@pytest.fixture
async def running(relay: Relay) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(relay.run())
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def add(database: Database, outbox: Outbox, *names: str) -> None:
    async with database.write() as connection:
        await outbox.add(connection, *(AnalysisStarted(job_id=name) for name in names))


async def rows(database: Database) -> list[Any]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(TABLE).order_by(TABLE.c.id))).all())


async def add_leased(database: Database, outbox: Outbox, *names: str) -> None:
    for name in names:
        async with database.write() as connection:
            leased = await outbox.add_leased(connection, AnalysisStarted(job_id=name))
        outbox.publish(leased)


async def make_due(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.update(TABLE).values(dueAt=now(-1)))


async def test_a_committed_event_is_published_and_its_row_removed(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    with correlated(None) as trace_id:
        await add(database, outbox, "a", "b")
    assert await relay.relay_batch() == 2
    assert sorted(broker.names) == ["a", "b"]
    assert all(trace_id in (envelope.traceparent or "") for envelope in broker.published)
    assert await rows(database) == []
    assert await relay.relay_batch() == 0


async def test_an_event_of_a_transaction_that_is_rolled_back_is_never_published(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 - the block is what raises
        async with database.write() as connection:
            await outbox.add(connection, AnalysisStarted(job_id="never"))
            raise RuntimeError
    assert await relay.relay_batch() == 0
    assert broker.published == []


@pytest.mark.parametrize("fault", [PublishError("unconfirmed"), ValueError("a bug")], ids=["unconfirmed", "unforeseen"])
async def test_an_event_whose_publish_fails_is_kept_and_tried_again_later(
    fault: Exception, database: Database, outbox: Outbox, broker: Publications, relay: Relay, metrics: Metrics
) -> None:
    await add(database, outbox, "a")
    broker.fault = fault
    assert await relay.relay_batch() == 1
    assert await relay.relay_batch() == 0  # not due yet
    (row,) = await rows(database)
    assert row.failures == 1
    assert row.leaseToken is None
    async with database.read() as connection:
        waits = row.dueAt - (await connection.execute(sa.select(now()))).scalar_one()
    assert timedelta(0) < waits <= timedelta(seconds=1.5)

    broker.fault = None
    await make_due(database)
    assert await relay.relay_batch() == 1
    assert broker.names == ["a"]
    assert await rows(database) == []
    published = metrics.events_published
    assert published.labels("test", AnalysisStarted.TYPE, "failed")._value.get() == 1
    assert published.labels("test", AnalysisStarted.TYPE, "confirmed")._value.get() == 1


async def test_the_pauses_between_attempts_grow_up_to_a_bound(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    await add(database, outbox, "a")
    broker.fault = PublishError("no")
    for failures in (1, 2, 5, 10_000):  # the last: a broker that has been away for a day
        async with database.write() as connection:
            await connection.execute(sa.update(TABLE).values(dueAt=now(-1), failures=failures - 1))
        await relay.relay_batch()
        (row,) = await rows(database)
        assert row.failures == failures
        async with database.read() as connection:
            waits = (row.dueAt - (await connection.execute(sa.select(now()))).scalar_one()).total_seconds()
        pause = min(outbox_module.LAST_RETRY_SECONDS, 2.0 ** min(failures - 1, 30))
        assert 0.5 * pause - 0.5 < waits <= 1.5 * pause


async def test_a_row_that_is_no_event_does_not_hold_up_the_others(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    async with database.write() as connection:
        await connection.execute(sa.insert(TABLE).values(envelope={"odd": 1}, createdAt=now(), dueAt=now(), failures=0))
    await add(database, outbox, "good")
    assert await relay.relay_batch() == 2
    assert broker.names == ["good"]
    (odd,) = await rows(database)
    assert odd.failures == 1


async def test_due_rows_are_claimed_oldest_first_and_in_batches(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "BATCH", 3)
    for name in "abcde":
        await add(database, outbox, name)
    assert await relay.relay_batch() == 3
    assert broker.names == ["a", "b", "c"]
    assert await relay.relay_batch() == 2
    assert broker.names == ["a", "b", "c", "d", "e"]


async def test_two_relays_at_once_never_publish_a_row_twice(
    any_sql_url: str, database: Database, outbox: Outbox, broker: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "BATCH", 7)
    monkeypatch.setattr(outbox_module, "POLL_SECONDS", 0.02)
    names = [str(n) for n in range(100)]
    others = [Database(any_sql_url) for _ in range(3)]  # as replicas: each with connections of its own
    tasks = [
        asyncio.create_task(Relay(each, Outbox(TABLE), cast(Broker, broker), Metrics(), "test").run())
        for each in (database, *others)
    ]
    for start in range(0, 100, 10):  # written while they run
        await add(database, outbox, *names[start : start + 10])
    await until(lambda: len(broker.published) >= len(names))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert Counter(broker.names) == Counter(names)
    assert await rows(database) == []
    for each in others:
        await each.close()


async def test_a_leased_row_is_not_claimed_by_others_until_the_lease_has_run_out(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    await add(database, outbox, "a")
    broker.gate.clear()
    first = asyncio.create_task(relay.relay_batch())
    await until(lambda: broker.attempts == 1)
    assert await relay.relay_batch() == 0
    (row,) = await rows(database)
    async with database.read() as connection:
        lasts = (row.dueAt - (await connection.execute(sa.select(now()))).scalar_one()).total_seconds()
    assert LEASE_SECONDS - 10 < lasts <= LEASE_SECONDS
    broker.gate.set()
    await first


@pytest.mark.parametrize("late", ["sent", "failed"])
async def test_an_expired_lease_is_taken_over_and_the_late_end_of_the_first_changes_nothing(
    late: str, database: Database, outbox: Outbox, metrics: Metrics
) -> None:
    slow, quick = Publications(), Publications()
    first = Relay(database, outbox, cast(Broker, slow), metrics, "test")
    second = Relay(database, outbox, cast(Broker, quick), metrics, "test")
    await add(database, outbox, "a")
    slow.gate.clear()
    slow.fault = PublishError("late") if late == "failed" else None
    hanging = asyncio.create_task(first.relay_batch())
    await until(lambda: slow.attempts == 1)
    await make_due(database)  # the lease has run out

    quick.gate.clear()
    taking_over = asyncio.create_task(second.relay_batch())
    await until(lambda: quick.attempts == 1)
    (leased,) = await rows(database)
    slow.gate.set()
    await hanging
    assert await rows(database) == [leased]  # still the second's, as it took it

    quick.gate.set()
    await taking_over
    assert quick.names == ["a"]
    assert await rows(database) == []


async def test_a_poke_wakes_the_relay_at_once(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "POLL_SECONDS", 3600.0)
    task = asyncio.create_task(relay.run())
    for name in ("a", "b", "c"):
        await add(database, outbox, name)
        outbox.poke()
        await until(lambda: name in broker.names)  # noqa: B023 - awaited here
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_rows_are_found_without_a_poke(
    database: Database, outbox: Outbox, broker: Publications, running: asyncio.Task[None]
) -> None:
    await add(database, outbox, "a")  # by a process that was killed before it could poke
    await until(lambda: broker.names == ["a"])


async def test_a_relay_that_is_stopped_finishes_the_batch_it_holds(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    await add(database, outbox, "a")
    broker.gate.clear()
    task = asyncio.create_task(relay.run())
    await until(lambda: broker.attempts == 1)
    task.cancel()
    await asyncio.sleep(0)
    broker.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert broker.names == ["a"]
    assert await rows(database) == []


async def test_a_relay_that_is_stopped_does_not_wait_for_a_broker_without_end(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "STOP_SECONDS", 0.05)
    await add(database, outbox, "a")
    broker.gate.clear()
    task = asyncio.create_task(relay.run())
    await until(lambda: broker.attempts == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert len(await rows(database)) == 1


# ── events that their writer publishes itself ────────────────────────────────────────────────────────────────────────


async def test_a_leased_event_is_published_when_it_is_handed_over_without_a_claim(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    with correlated(None) as trace_id:
        await add_leased(database, outbox, "a", "b")
    assert await relay.relay_batch() == 0
    assert await relay.relay_handed() == 2
    assert sorted(broker.names) == ["a", "b"]
    assert all(trace_id in (envelope.traceparent or "") for envelope in broker.published)
    assert await rows(database) == []
    assert await relay.relay_handed() == 0


async def test_a_running_relay_publishes_a_leased_event_at_once(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "POLL_SECONDS", 3600.0)
    task = asyncio.create_task(relay.run())
    for name in ("a", "b", "c"):
        await add_leased(database, outbox, name)
        await until(lambda: name in broker.names)  # noqa: B023 - awaited here
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows(database) == []


async def test_due_rows_are_found_while_leased_events_keep_coming(
    database: Database, outbox: Outbox, broker: Publications, running: asyncio.Task[None]
) -> None:
    await add(database, outbox, "due")
    count = 0
    while "due" not in broker.names:
        await add_leased(database, outbox, f"leased {count}")
        count += 1
        await asyncio.sleep(0)
    assert not running.done()


async def test_a_poke_is_not_lost_among_leased_events(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "POLL_SECONDS", 3600.0)
    task = asyncio.create_task(relay.run())
    await add_leased(database, outbox, "first")
    await until(lambda: "first" in broker.names)
    await add(database, outbox, "due")
    outbox.poke()
    await add_leased(database, outbox, "leased")
    await until(lambda: set(broker.names) == {"first", "due", "leased"})
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_leased_event_whose_writer_was_killed_is_published_when_its_lease_has_run_out(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    async with database.write() as connection:
        await outbox.add_leased(connection, AnalysisStarted(job_id="a"))
    (row,) = await rows(database)
    async with database.read() as connection:
        lasts = (row.dueAt - (await connection.execute(sa.select(now()))).scalar_one()).total_seconds()
    assert HEAD_START_SECONDS - 4 < lasts <= HEAD_START_SECONDS
    assert await relay.relay_handed() == 0
    assert await relay.relay_batch() == 0
    await make_due(database)
    assert await relay.relay_batch() == 1
    assert broker.names == ["a"]
    assert await rows(database) == []


async def test_a_leased_event_whose_publish_fails_is_tried_again_like_any_other(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    await add_leased(database, outbox, "a")
    broker.fault = PublishError("unconfirmed")
    assert await relay.relay_handed() == 1
    (row,) = await rows(database)
    assert (row.failures, row.leaseToken) == (1, None)
    broker.fault = None
    await make_due(database)
    assert await relay.relay_handed() == 0
    assert await relay.relay_batch() == 1
    assert broker.names == ["a"]


async def test_an_event_that_waited_for_the_relay_until_its_lease_ran_out_is_left_to_be_claimed(
    database: Database, outbox: Outbox, broker: Publications, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "HEAD_START_SECONDS", 0)
    await add_leased(database, outbox, "a")
    assert await relay.relay_handed() == 0
    assert await relay.relay_batch() == 1
    assert broker.names == ["a"]


@pytest.mark.parametrize("late", ["sent", "failed"])
async def test_the_late_end_of_a_leased_event_leaves_the_row_to_the_relay_that_has_taken_it_over(
    late: str, database: Database, outbox: Outbox, broker: Publications, relay: Relay, metrics: Metrics
) -> None:
    await add_leased(database, outbox, "a")
    broker.gate.clear()
    broker.fault = PublishError("late") if late == "failed" else None
    hanging = asyncio.create_task(relay.relay_handed())
    await until(lambda: broker.attempts == 1)
    await make_due(database)

    other = Publications()
    other.gate.clear()
    taking_over = asyncio.create_task(
        Relay(database, Outbox(TABLE), cast(Broker, other), metrics, "test").relay_batch()
    )
    await until(lambda: other.attempts == 1)
    (leased,) = await rows(database)
    broker.gate.set()
    await hanging
    assert await rows(database) == [leased]
    other.gate.set()
    await taking_over
    assert other.names == ["a"]
    assert await rows(database) == []


async def test_of_more_leased_events_than_a_batch_the_oldest_wait_for_the_end_of_their_leases(
    database: Database, broker: Publications, outbox: Outbox, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "BATCH", 2)
    small = Outbox(TABLE)
    relay = Relay(database, small, cast(Broker, broker), metrics, "test")
    await add_leased(database, small, "a", "b", "c")
    assert await relay.relay_handed() == 2
    assert sorted(broker.names) == ["b", "c"]
    await make_due(database)
    assert await relay.relay_batch() == 1
    assert sorted(broker.names) == ["a", "b", "c"]


# ── trouble, and what is seen ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_relay_outlives_the_loss_of_its_database(
    database: Database,
    outbox: Outbox,
    broker: Publications,
    running: asyncio.Task[None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real: Callable[..., Any] = database.write
    fault = TRANSIENT[0]("SELECT 1", {}, OSError("gone"))  # type: ignore[call-arg]
    failures = 0

    def gone(**options: Any) -> Any:
        nonlocal failures
        failures += 1
        raise fault

    monkeypatch.setattr(outbox_module, "POLL_SECONDS", 0.02)
    await add(database, outbox, "a")
    monkeypatch.setattr(database, "write", gone)
    monkeypatch.setattr(database, "read", gone)
    await until(lambda: failures > 3)
    monkeypatch.undo()
    assert database.write == real
    outbox.poke()
    await until(lambda: "a" in broker.names)
    assert not running.done()


async def test_the_gauges_tell_how_many_rows_wait_and_for_how_long(
    database: Database, outbox: Outbox, relay: Relay, metrics: Metrics
) -> None:
    count, oldest = metrics.outbox_rows.labels("test"), metrics.outbox_oldest_seconds.labels("test")
    await relay.measure()
    assert (count._value.get(), oldest._value.get()) == (0, 0)
    await add(database, outbox, "a", "b")
    async with database.write() as connection:
        await connection.execute(sa.update(TABLE).where(TABLE.c.id == 1).values(createdAt=now(-90)))
    await relay.measure()
    assert count._value.get() == 2
    assert 90 <= oldest._value.get() < 150


@pytest.mark.parametrize("text", ["", "naïve ☃ 𝄞", "\x00\x1f\"\\'%s :name", "a" * 100_000])
async def test_any_text_is_published_as_it_was_stored(
    text: str, database: Database, outbox: Outbox, broker: Publications, relay: Relay
) -> None:
    await add(database, outbox, text)
    await relay.relay_batch()
    assert broker.names == [text]
