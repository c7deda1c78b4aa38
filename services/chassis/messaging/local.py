"""The broker without a server: durable queues in one SQLite file, for the embedded backend.

It keeps the promise of the real one, across restarts too: a published event lies in the file, in one row per
subscribed queue, until its handler succeeds or it is buried. One process at a time owns the file.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import aiosqlite
import structlog

from contracts.events import Envelope
from contracts.topology import SUBSCRIPTIONS, Subscription
from services.chassis.messaging.broker import Consumer, DeadLetter, Handlers, OnDead, PublishError, read_dead_letter
from services.chassis.metrics import Metrics
from services.chassis.startup import StartupError

log = structlog.get_logger(__name__)

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    body BLOB NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    visible_at REAL NOT NULL DEFAULT 0,   -- Unix time before which it waits for a retry
    taken INTEGER NOT NULL DEFAULT 0,     -- 1 while a handler has it
    reason TEXT                           -- why it is a dead letter; NULL while it is not
);
CREATE INDEX IF NOT EXISTS message_queue ON message (queue, taken, visible_at) WHERE reason IS NULL;
CREATE INDEX IF NOT EXISTS message_dead ON message (queue) WHERE reason IS NOT NULL;
UPDATE message SET taken = 0 WHERE taken = 1;  -- held by a process that is gone
"""


@dataclass(slots=True)
class _Delivery:
    broker: "LocalBroker"
    subscription: Subscription
    id: int
    body: bytes
    failures: int

    async def ack(self) -> None:
        await self.broker.execute("DELETE FROM message WHERE id = ?", self.id)

    async def retry(self, delay_number: int) -> None:
        due = time.time() + self.subscription.retry_delays[delay_number - 1]
        await self.broker.execute(
            "UPDATE message SET taken = 0, failures = ?, visible_at = ? WHERE id = ?", delay_number, due, self.id
        )

    async def bury(self, reason: str) -> None:
        await self.broker.execute("UPDATE message SET taken = 0, reason = ? WHERE id = ?", reason, self.id)

    async def requeue(self) -> None:
        await self.broker.execute("UPDATE message SET taken = 0 WHERE id = ?", self.id)


class LocalBroker:
    """A :class:`~services.chassis.messaging.broker.Broker` in this process, its queues in the file at ``path``."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._connection: aiosqlite.Connection | None = None
        self._users = 0
        self._news = {subscription.queue: asyncio.Event() for subscription in SUBSCRIPTIONS}
        self._loops: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the file; deliveries that a killed process held are free again."""
        self._users += 1
        if self._connection is not None:
            return
        try:
            self._connection = await aiosqlite.connect(self._path, isolation_level=None)
            await self._connection.executescript(_SCHEMA)
        except aiosqlite.Error as error:
            raise StartupError(f"Cannot keep events in {self._path}: {error}.") from None

    async def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run one statement, committed when this returns."""
        if self._connection is None:
            raise PublishError("the broker is closed")
        # Shielded: an end that has been decided is written even while the process is told to stop.
        return await asyncio.shield(self._execute(self._connection, statement, values))

    async def _execute(
        self, connection: aiosqlite.Connection, statement: str, values: tuple[object, ...]
    ) -> list[tuple[object, ...]]:
        rows = [tuple(row) for row in await connection.execute_fetchall(statement, values)]
        for news in self._news.values():
            news.set()
        return rows

    async def publish(self, envelope: Envelope) -> None:
        """Write the event to every queue that it is routed to, in one statement."""
        body = envelope.model_dump_json().encode()
        queues = [s.queue for s in SUBSCRIPTIONS if any(envelope.type == event.TYPE for event in s.events)]
        if not queues:
            raise PublishError(f"nobody subscribes to {envelope.type}")
        rows = ", ".join("(?, ?)" for _ in queues)
        try:
            await self.execute(
                f"INSERT INTO message (queue, body) VALUES {rows}",  # noqa: S608 - placeholders only
                *(value for queue in queues for value in (queue, body)),
            )
        except aiosqlite.Error as error:
            raise PublishError(str(error)) from error

    async def subscribe(
        self, subscription: Subscription, handlers: Handlers, *, concurrency: int, on_dead: OnDead | None = None
    ) -> None:
        """Consume a queue; see :class:`~services.chassis.messaging.broker.Broker`."""
        consumer = Consumer(subscription, handlers, on_dead, self._metrics)
        self._loops.append(asyncio.create_task(self._consume(subscription, consumer, concurrency)))

    async def _consume(self, subscription: Subscription, consumer: Consumer, concurrency: int) -> None:
        free = asyncio.Semaphore(concurrency)
        news = self._news[subscription.queue]
        while True:
            await free.acquire()
            news.clear()
            delivery = await self._take(subscription)
            if delivery is None:
                free.release()
                await self._wait_for_news(subscription, news)
                continue
            task = asyncio.create_task(consumer.take(delivery))
            self._under_way.add(task)
            task.add_done_callback(self._finished)
            task.add_done_callback(lambda _: free.release())

    async def _take(self, subscription: Subscription) -> _Delivery | None:
        rows = await self.execute_quietly(
            "UPDATE message SET taken = 1 WHERE id = (SELECT id FROM message WHERE queue = ? AND taken = 0 "
            "AND reason IS NULL AND visible_at <= ? ORDER BY id LIMIT 1) RETURNING id, body, failures",
            subscription.queue,
            time.time(),
        )
        for number, body, failures in rows:
            assert isinstance(number, int)  # noqa: S101 - the column's type
            assert isinstance(body, bytes)  # noqa: S101
            assert isinstance(failures, int)  # noqa: S101
            return _Delivery(self, subscription, number, body, failures)
        return None

    async def execute_quietly(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run one statement that is no news to any queue."""
        if self._connection is None:
            raise PublishError("the broker is closed")
        return [tuple(row) for row in await self._connection.execute_fetchall(statement, values)]

    async def _wait_for_news(self, subscription: Subscription, news: asyncio.Event) -> None:
        rows = await self.execute_quietly(
            "SELECT min(visible_at) FROM message WHERE queue = ? AND taken = 0 AND reason IS NULL", subscription.queue
        )
        due = rows[0][0]
        try:
            async with asyncio.timeout(max(0.0, due - time.time()) if isinstance(due, float) else None):
                await news.wait()
        except TimeoutError:
            return  # a retry has become due

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery could not be settled; it will come again at the next start", exc_info=error)

    async def drain(self, seconds: float) -> None:
        """Take no more deliveries, let handlers finish for ``seconds``, then give the rest back."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops.clear()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        rest = set(self._under_way)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def close(self) -> None:
        """Close the file, when the last of the services that share this broker does."""
        self._users = max(0, self._users - 1)
        if self._connection is not None and not self._users:
            await self._connection.close()
            self._connection = None

    async def ping(self) -> None:
        """Raise when the file cannot be read."""
        await self.execute_quietly("SELECT 1")

    async def dead_letters(self, subscription: Subscription, limit: int) -> list[DeadLetter]:
        """Look at the oldest dead letters of a queue, leaving them there."""
        rows = await self.execute_quietly(
            "SELECT body, reason FROM message WHERE queue = ? AND reason IS NOT NULL ORDER BY id LIMIT ?",
            subscription.queue,
            limit,
        )
        return [read_dead_letter(body if isinstance(body, bytes) else b"", str(reason)) for body, reason in rows]

    async def replay(self, subscription: Subscription, limit: int) -> int:
        """Put the oldest dead letters back into their queue, as if new; the number of them."""
        rows = await self.execute(
            "UPDATE message SET reason = NULL, failures = 0, visible_at = 0 WHERE id IN (SELECT id FROM message "
            "WHERE queue = ? AND reason IS NOT NULL ORDER BY id LIMIT ?) RETURNING id",
            subscription.queue,
            limit,
        )
        return len(rows)
