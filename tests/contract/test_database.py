"""What a database promises its service, SQLite and MySQL alike: see :mod:`services.chassis.database`."""

import asyncio
import contextlib
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.chassis import database as database_module
from services.chassis.database import TRANSIENT, Database, DatabaseSilentError, UtcDateTime, now

METADATA = sa.MetaData()
COUNTER = sa.Table("counter", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
TIMES = sa.Table(
    "times",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime, nullable=False),
)


@pytest.fixture
async def tables(database: Database) -> Database:
    async with database.write() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(sa.insert(COUNTER).values(id=1, n=0))
    return database


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.select(COUNTER.c.n))).scalar_one())


@given(
    st.lists(
        st.datetimes(
            datetime(1970, 1, 2),  # noqa: DTZ001 - naive by hypothesis' rules
            datetime(9998, 12, 30),  # noqa: DTZ001 - naive by hypothesis' rules
            timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9))]),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_times_come_back_to_the_microsecond_and_in_utc(tables: Database, times: list[datetime]) -> None:
    async with tables.write() as connection:
        await connection.execute(sa.delete(TIMES))
        await connection.execute(sa.insert(TIMES), [{"id": n, "at": at} for n, at in enumerate(times, start=1)])
        kept = (await connection.execute(sa.select(TIMES.c.at).order_by(TIMES.c.id))).scalars().all()
    assert list(kept) == times
    assert all(at.tzinfo is UTC for at in kept)


async def test_times_are_ordered_by_the_database_as_they_are_in_time(tables: Database) -> None:
    start = datetime(2026, 3, 4, 5, 6, 59, 999_999, tzinfo=UTC)
    times = [start + timedelta(microseconds=step) for step in (0, 1, 10, 999, 1000, 1_000_000, 60_000_000)]
    async with tables.write() as connection:
        shuffled = random.Random(1).sample(list(enumerate(times, start=1)), len(times))  # noqa: S311 - no secret
        await connection.execute(sa.insert(TIMES), [{"id": n, "at": at} for n, at in shuffled])
        ordered = (await connection.execute(sa.select(TIMES.c.at).order_by(TIMES.c.at))).scalars().all()
    assert list(ordered) == times


@pytest.mark.parametrize("opening", ["read", "write"])
async def test_nobody_who_waits_for_a_connection_is_overtaken(tables: Database, opening: str) -> None:
    order: list[str] = []
    all_taken = asyncio.Event()

    async def use(name: str) -> None:
        async with getattr(tables, opening)():
            order.append(name)

    async def busy() -> None:
        async with getattr(tables, opening)():
            await all_taken.wait()
        await use("late")

    at_once = 1 if opening == "write" and not tables.is_mysql else database_module.POOL_SIZE
    busy_ones = [asyncio.create_task(busy()) for _ in range(at_once)]
    await asyncio.sleep(0.5)
    patient = asyncio.create_task(use("patient"))
    await asyncio.sleep(0.1)
    all_taken.set()
    await asyncio.gather(patient, *busy_ones)
    assert order[0] == "patient"


async def test_that_all_connections_are_taken_says_nothing_of_the_server(tables: Database) -> None:
    at_once = database_module.POOL_SIZE if tables.is_mysql else 1
    async with contextlib.AsyncExitStack() as taken:
        for _ in range(at_once):
            await taken.enter_async_context(tables.write())
        with pytest.raises(PoolTimeoutError):
            async with tables.write(seconds=0.05):
                pass
    assert not tables.is_away
    assert await count(tables) == 0


@pytest.mark.parametrize("seconds", [0.001, 1, 61.5, 86_400, -0.25, -3600, 10**8])
async def test_the_databases_clock_can_be_shifted(database: Database, seconds: float) -> None:
    async with database.read() as connection:
        present, shifted = (await connection.execute(sa.select(now(), now(seconds)))).one()
    assert abs((shifted - present).total_seconds() - seconds) <= 0.0015  # SQLite's clock shows milliseconds
    assert abs(present - datetime.now(UTC)) < timedelta(minutes=10)
    assert present.tzinfo is UTC


async def test_the_databases_clock_compares_with_stored_times(tables: Database) -> None:
    async with tables.write() as connection:
        await connection.execute(sa.insert(TIMES), [{"id": 1, "at": datetime.now(UTC)}])
        await connection.execute(sa.insert(TIMES).values(id=2, at=now(3600)))
        due = (await connection.execute(sa.select(TIMES.c.id).where(TIMES.c.at <= now(1)))).scalars().all()
    assert list(due) == [1]


async def test_a_write_is_kept_when_its_block_ends_and_undone_when_it_raises(tables: Database) -> None:
    async with tables.write() as connection:
        await connection.execute(sa.update(COUNTER).values(n=5))
    with pytest.raises(KeyError):  # noqa: PT012 - the block is what raises
        async with tables.write() as connection:
            await connection.execute(sa.update(COUNTER).values(n=6))
            raise KeyError
    assert await count(tables) == 5


async def test_a_cancelled_write_is_undone(tables: Database) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        async with tables.write() as connection:
            await connection.execute(sa.update(COUNTER).values(n=6))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count(tables) == 0
    async with tables.write() as connection:  # and its lock is gone
        await connection.execute(sa.update(COUNTER).values(n=1))


async def test_concurrent_writers_and_readers_neither_fail_nor_lose_a_write(tables: Database) -> None:
    async def write() -> None:
        for _ in range(10):
            async with tables.write() as connection:
                (n,) = (await connection.execute(sa.select(COUNTER.c.n).with_for_update())).one()
                await asyncio.sleep(0)
                await connection.execute(sa.update(COUNTER).values(n=n + 1))

    async def read() -> None:
        for _ in range(30):
            await count(tables)

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(write())
            group.create_task(read())
    assert await count(tables) == 120


async def test_two_processes_may_write_at_once(any_sql_url: str, tables: Database) -> None:
    other = Database(any_sql_url)  # with connections and a lock of its own, as another process

    async def write(database: Database) -> None:
        for _ in range(20):
            async with database.write() as connection:
                await connection.execute(sa.update(COUNTER).values(n=COUNTER.c.n + 1))

    await asyncio.gather(write(tables), write(other), write(tables), write(other))
    await other.close()
    assert await count(tables) == 80


async def test_cancelled_queries_never_give_an_answer_to_the_wrong_question(tables: Database) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    wrong: list[tuple[int, int]] = []
    failures: list[Exception] = []

    async def ask(number: int) -> None:
        try:
            for step in range(5):
                question = number * 10 + step
                block = tables.write() if chance.random() < 0.5 else tables.read()
                async with block as connection:
                    answer = (await connection.execute(sa.select(sa.literal(question)))).scalar_one()
                    if answer != question:
                        wrong.append((question, answer))
        except TRANSIENT as error:
            failures.append(error)

    for batch in range(25):
        tasks = [asyncio.create_task(ask(batch * 100 + n)) for n in range(8)]
        await asyncio.sleep(chance.random() * 0.02)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert wrong == []
    assert failures == []
    await tables.ping()


async def test_a_block_that_takes_too_long_is_a_fault_that_passes(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatabaseSilentError):  # noqa: PT012 - the block is what raises
        async with tables.write(seconds=0.05) as connection:
            await connection.execute(sa.update(COUNTER).values(n=6))
            await asyncio.Event().wait()
    assert DatabaseSilentError in database_module.TRANSIENT
    assert await count(tables) == 0


async def test_a_wait_that_swallows_its_cancellation_ends_all_the_same(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "AGAIN_SECONDS", 0.05)
    with pytest.raises(DatabaseSilentError):  # noqa: PT012 - the block is what raises
        async with tables.read(seconds=0.05):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_timeout_of_the_callers_own_is_not_taken_for_the_databases(tables: Database) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012 - the block is what raises
        async with tables.read() as connection, asyncio.timeout(0.01):
            await connection.execute(sa.text("SELECT 1"))
            await asyncio.Event().wait()


async def test_starting_twice_and_again_changes_nothing(any_sql_url: str, tables: Database) -> None:
    again = Database(any_sql_url)
    await again.start()
    await again.start()
    assert await count(again) == 0
    await again.close()
