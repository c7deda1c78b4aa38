"""The broker without a server: durable queues in one SQLite file, for the embedded backend.

It keeps the promise of the real one, across restarts too: a published event lies in the file, in one row per
subscribed queue, until its handler succeeds or it is buried. One process at a time owns the file, and locks it; which
rows its handlers hold is known in memory only, so that those of a killed process are free again.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import structlog

from contracts.events import Envelope
from contracts.topology import SUBSCRIPTIONS, Subscription
from services.chassis.messaging.broker import (
    Consumer,
    DeadLetter,
    Depth,
    Handlers,
    OnDead,
    PublishError,
    read_dead_letter,
)
from services.chassis.metrics import Metrics
from services.chassis.startup import StartupError

log = structlog.get_logger(__name__)

UNREADABLE_PAUSE_SECONDS = 1.0

_SCHEMA = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    body BLOB NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,          -- Unix time before which it waits for a retry
    reason TEXT                           -- why it is a dead letter; NULL while it is not
);
CREATE INDEX IF NOT EXISTS message_alive ON message (queue) WHERE reason IS NULL;
CREATE INDEX IF NOT EXISTS message_dead ON message (queue) WHERE reason IS NOT NULL;
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class _Delivery:
    broker: "LocalBroker"
    subscription: Subscription
    id: int
    body: bytes
    failures: int

    async def ack(self) -> None:
        await self._end("DELETE FROM message WHERE id = ?", self.id)

    async def retry(self, delay_number: int) -> None:
        due = time.time() + self.subscription.retry_delays[delay_number - 1]
        await self._end("UPDATE message SET failures = ?, due = ? WHERE id = ?", delay_number, due, self.id)

    async def bury(self, reason: str) -> None:
        await self._end("UPDATE message SET reason = ? WHERE id = ?", reason, self.id)

    async def requeue(self) -> None:
        self.broker.let_go(self.subscription, self.id)

    async def _end(self, statement: str, *values: object) -> None:
        try:
            await self.broker.execute(statement, *values)
        except aiosqlite.Error as error:  # a full disk, most likely
            log.warning("cannot settle a delivery; it will come again", error=str(error))
            await asyncio.sleep(UNREADABLE_PAUSE_SECONDS)
        finally:
            self.broker.let_go(self.subscription, self.id)


class LocalBroker:
    """A :class:`~services.chassis.messaging.broker.Broker` in this process, its queues in the file at ``path``."""

    def __init__(self, path: Path, metrics: Metrics, subscriptions: Sequence[Subscription] = SUBSCRIPTIONS) -> None:
        self._path = path
        self._metrics = metrics
        self._subscriptions = subscriptions
        self._connection: aiosqlite.Connection | None = None
        self._users = 0
        self._news: dict[str, list[asyncio.Event]] = {}  # one for each consumer of a queue
        self._held: set[int] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the file, unless a service that shares this broker has done so.

        Raises :class:`StartupError` when it cannot be used, or another process does.
        """
        self._users += 1
        if self._connection is not None:
            return
        try:
            connection = await aiosqlite.connect(self._path, isolation_level=None)
            try:
                await connection.executescript(_SCHEMA)
            except BaseException:
                await connection.close()
                raise
        except aiosqlite.Error as error:
            hint = "; another process uses it" if "locked" in str(error) else ""
            raise StartupError(f"Cannot keep events in {self._path}: {error}{hint}.") from None
        self._connection = connection

    async def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement, committed when this returns."""
        if self._connection is None:
            raise PublishError("the broker is closed")
        return [tuple(row) for row in await self._connection.execute_fetchall(statement, values)]

    def let_go(self, subscription: Subscription, number: int) -> None:
        """The row is no handler's any more; if it is still there, it may be taken."""
        self._held.discard(number)
        self._tell([subscription.queue])

    def _tell(self, queues: Iterable[str]) -> None:
        for queue in queues:
            for news in self._news.get(queue, ()):
                news.set()

    async def publish(self, envelope: Envelope) -> None:
        """Write the event to every queue that it is routed to, in one statement."""
        body = envelope.model_dump_json().encode()
        queues = [s.queue for s in self._subscriptions if any(envelope.type == event.TYPE for event in s.events)]
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
        self._tell(queues)

    async def subscribe(
        self, subscription: Subscription, handlers: Handlers, *, concurrency: int, on_dead: OnDead | None = None
    ) -> None:
        """Consume a queue; see :class:`~services.chassis.messaging.broker.Broker`."""
        consumer = Consumer(subscription, handlers, on_dead, self._metrics)
        news = asyncio.Event()
        self._news.setdefault(subscription.queue, []).append(news)
        self._loops.append(asyncio.create_task(self._consume(subscription, consumer, concurrency, news)))

    async def _consume(
        self, subscription: Subscription, consumer: Consumer, concurrency: int, news: asyncio.Event
    ) -> None:
        free = asyncio.Semaphore(concurrency)
        while True:
            await free.acquire()
            news.clear()
            delivery = None
            try:
                delivery = await self._take(subscription)
                if delivery is None:
                    await self._wait_for_news(subscription, news)
            except aiosqlite.Error:
                log.exception("cannot read events", queue=subscription.queue)
                await asyncio.sleep(UNREADABLE_PAUSE_SECONDS)
            if delivery is None:
                free.release()
                continue
            task = asyncio.create_task(consumer.take(delivery))
            self._under_way.add(task)
            task.add_done_callback(self._finished)
            task.add_done_callback(lambda _: free.release())

    async def _take(self, subscription: Subscription) -> _Delivery | None:
        while rows := await self.execute(
            "SELECT id, body, failures FROM message WHERE queue = ? AND reason IS NULL AND due <= ? "
            "AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 1",
            subscription.queue,
            time.time(),
            json.dumps([*self._held]),
        ):
            ((number, body, failures),) = rows
            if number not in self._held:  # another consumer may have taken it while we looked
                self._held.add(number)
                return _Delivery(self, subscription, number, body, failures)
        return None

    async def _wait_for_news(self, subscription: Subscription, news: asyncio.Event) -> None:
        ((due,),) = await self.execute(
            "SELECT min(due) FROM message WHERE queue = ? AND reason IS NULL "
            "AND id NOT IN (SELECT value FROM json_each(?))",
            subscription.queue,
            json.dumps([*self._held]),
        )
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - time.time())):
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
        self._news.clear()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        rest = set(self._under_way)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def close(self) -> None:
        """Close the file, when the last of the services that share this broker does."""
        self._users = max(0, self._users - 1)
        if self._users:
            return
        await self.drain(0)
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def ping(self) -> None:
        """Raise when the file cannot be read."""
        await self.execute("SELECT 1")

    async def depth(self, subscription: Subscription) -> Depth:
        """How much lies in a queue."""
        try:
            rows = await self.execute(
                "SELECT id, reason IS NOT NULL FROM message WHERE queue = ? AND (due <= ? OR reason IS NOT NULL)",
                subscription.queue,
                time.time(),
            )
        except aiosqlite.Error as error:
            raise PublishError(str(error)) from error
        return Depth(
            waiting=sum(not dead and number not in self._held for number, dead in rows),
            dead=sum(dead for _, dead in rows),
        )

    async def dead_letters(self, subscription: Subscription, limit: int) -> list[DeadLetter]:
        """Look at the oldest dead letters of a queue, leaving them there."""
        rows = await self.execute(
            "SELECT body, reason FROM message WHERE queue = ? AND reason IS NOT NULL ORDER BY id LIMIT ?",
            subscription.queue,
            limit,
        )
        return [read_dead_letter(body, reason) for body, reason in rows]

    async def replay(self, subscription: Subscription, limit: int) -> int:
        """Put the oldest dead letters back into their queue, as if new; the number of them."""
        rows = await self.execute(
            "UPDATE message SET reason = NULL, failures = 0, due = 0 WHERE id IN (SELECT id FROM message "
            "WHERE queue = ? AND reason IS NOT NULL ORDER BY id LIMIT ?) RETURNING id",
            subscription.queue,
            limit,
        )
        self._tell([subscription.queue])
        return len(rows)
