"""The transactional outbox: an event is stored in the transaction that makes it true, and published afterwards.

:meth:`Outbox.add` writes a row beside the change that the event tells of; the :class:`Relay` publishes committed
rows and deletes each when the broker has confirmed it. A crash between the two repeats the event, never loses it.

Any number of replicas may relay the same table. A relay claims a batch in a short transaction by writing its lease
token on rows that others skip (``FOR UPDATE SKIP LOCKED``; READ COMMITTED, because gap locks would make claimers
wait for writers), publishes outside of any transaction, and ends each row with a statement that filters on the
token: when the lease has run out and another relay holds the row, the late end changes nothing. Only the database's
clock is used.

A writer that is in a hurry leases its row to itself while it writes it (:meth:`Outbox.add_leased`) and hands the event
to its own relay when it has committed (:meth:`Outbox.publish`): no claim, and half of the commits. When it does not get
that far, the lease runs out, and the row is claimed as any other.
"""

import asyncio
import contextlib
import math
import secrets
from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import Envelope, EventData
from services.chassis.correlation import traceparent
from services.chassis.database import TRANSIENT, Database, UtcDateTime, microseconds, now
from services.chassis.messaging.broker import Broker, PublishError
from services.chassis.metrics import Metrics

log = structlog.get_logger(__name__)

BATCH = 100
LEASE_SECONDS = 25  # longer than a batch takes: 10 s for all of it, concurrently. So long a killed relay holds its rows
# The same for a row that its writer publishes at once: a killed writer's waits no longer than a person would mind. A
# broker that takes longer to confirm may be given the event twice.
HEAD_START_SECONDS = 5.0
POLL_SECONDS = 1.0  # for rows whose writer was killed before it could poke, and for retries
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 10.0  # a broker that has come back is noticed so soon; asking one that is away costs little
STOP_SECONDS = 2.0  # for the batch that is being published when the relay is told to stop
MEASURE_SECONDS = 5.0


def outbox_table(metadata: sa.MetaData, name: str) -> sa.Table:
    """The outbox of a service; services that share a database give it different names."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("envelope", sa.JSON, nullable=False),
        sa.Column("createdAt", UtcDateTime, nullable=False),
        sa.Column("dueAt", UtcDateTime, nullable=False, index=True),  # when it may be claimed (again)
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("leaseToken", sa.String(32)),
    )


def retry_pause(failures: int) -> float:
    """Seconds, before jitter, after a row's ``failures + 1``-th failure."""
    return float(min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures, 30)))


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many rows wait, and for how many seconds the oldest has."""

    rows: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Leased:
    """A row that this process may publish until its lease runs out."""

    row_id: int
    token: str
    envelope: Any  # an Envelope, or one as it was stored
    failures: int = 0
    until: float = math.inf  # by the clock of the event loop; of a row that is handed over


class Outbox:
    """Where a service's events wait for the broker. ``backlog`` is at most some MEASURE_SECONDS old."""

    def __init__(self, table: sa.Table) -> None:
        self.table = table
        self.backlog = Backlog()
        # Made once, as each submission needs it: putting it together costs more than running it.
        self._insert_leased = sa.insert(table).values(createdAt=now(), dueAt=now("head_start"), failures=0)
        self._news = asyncio.Event()
        self._is_poked = False
        self._handed: deque[Leased] = deque(maxlen=BATCH)  # of more, the oldest are left to the end of their leases

    async def add(self, connection: AsyncConnection, *events: EventData) -> None:
        """Store ``events`` in the caller's transaction. Call :meth:`poke` after it has been committed."""
        for data in events:
            envelope = Envelope.wrap(data, traceparent=traceparent())
            await connection.execute(
                sa.insert(self.table).values(
                    envelope=envelope.model_dump(mode="json"), createdAt=now(), dueAt=now(), failures=0
                )
            )

    async def add_leased(self, connection: AsyncConnection, data: EventData) -> Leased:
        """Store an event in the caller's transaction. Call :meth:`publish` after it has been committed."""
        envelope, token = Envelope.wrap(data, traceparent=traceparent()), secrets.token_hex(16)
        until = asyncio.get_running_loop().time() + HEAD_START_SECONDS
        given = {
            "envelope": envelope.model_dump(mode="json"),
            "leaseToken": token,
            "head_start": microseconds(HEAD_START_SECONDS),
        }
        stored = await connection.execute(self._insert_leased, given)
        return Leased(stored.lastrowid, token, envelope, until=until)

    async def withdraw(self, connection: AsyncConnection, kind: type[EventData], subjects: Collection[str]) -> None:
        """Delete the events of one kind about ``subjects`` that still wait, in the caller's transaction."""
        table = self.table
        waiting = sa.select(table.c.id).where(
            table.c.envelope["type"].as_string() == kind.TYPE, table.c.envelope["subject"].as_string().in_(subjects)
        )
        # By their keys: a deletion that looks into every row would wait for those that a relay is claiming.
        ids = (await connection.scalars(waiting)).all()
        await connection.execute(sa.delete(table).where(table.c.id.in_(ids)))

    def poke(self) -> None:
        """Tell the relay that there are committed rows, so that it need not wait for its next look."""
        self._is_poked = True
        self._news.set()

    def publish(self, leased: Leased) -> None:
        """Give the relay an event whose row has been committed."""
        self._handed.append(leased)
        self._news.set()

    def take_handed(self) -> list[Leased]:
        """What the relay was given since the last time, but for what may be claimed again by now."""
        present = asyncio.get_running_loop().time()
        handed = [row for row in self._handed if row.until > present]
        self._handed.clear()
        return handed

    async def news(self, seconds: float) -> bool:
        """Return when there is something to do, or after ``seconds``; whether it is to look for due rows."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        look = self._is_poked or not self._news.is_set()
        self._is_poked = False
        self._news.clear()
        return look


class Relay:
    """Publishes the rows of an outbox, at least once each."""

    def __init__(self, database: Database, outbox: Outbox, broker: Broker, metrics: Metrics, service: str) -> None:
        self._database = database
        self._outbox = outbox
        self._table = outbox.table
        self._broker = broker
        self._metrics = metrics
        self._service = service
        self._delete_sent = sa.delete(outbox.table).where(
            outbox.table.c.id.in_(sa.bindparam("ids", expanding=True)),
            outbox.table.c.leaseToken.in_(sa.bindparam("tokens", expanding=True)),
        )

    async def run(self) -> None:
        """Relay until cancelled. A database that is away is waited for."""
        clock = asyncio.get_running_loop().time
        look_at = clock()
        while True:
            look = await self._outbox.news(look_at - clock())
            try:
                await self._finished(self.relay_handed())
                if look or clock() >= look_at:
                    look_at = clock() + POLL_SECONDS
                    while await self._finished(self.relay_batch()) == BATCH:
                        pass
            except TRANSIENT as error:
                log.warning("the outbox cannot be read; trying again", error=type(error).__name__)

    async def _finished(self, relaying: Coroutine[Any, Any, int]) -> int:
        """One batch; when cancelled, it may still finish, because its rows are leased and nobody else may send them."""
        batch = asyncio.ensure_future(relaying)
        try:
            return await asyncio.shield(batch)
        except asyncio.CancelledError:
            await asyncio.wait({batch}, timeout=STOP_SECONDS)
            batch.cancel()
            await asyncio.gather(batch, return_exceptions=True)
            raise

    async def relay_handed(self) -> int:
        """Publish what the writers of this process handed over; the number of events."""
        return await self._relay(self._outbox.take_handed())

    async def relay_batch(self) -> int:
        """Claim the rows that are due, up to BATCH, and publish them; the number claimed."""
        return await self._relay(await self._claim())

    async def _relay(self, rows: Sequence[Leased]) -> int:
        """Publish ``rows`` concurrently, and end each."""
        if rows:
            outcomes = await asyncio.gather(*map(self._publish, rows))
            sent = [row for row, ok in zip(rows, outcomes, strict=True) if ok]
            failed = [row for row, ok in zip(rows, outcomes, strict=True) if not ok]
            await self._end(sent, failed)
        return len(rows)

    async def _claim(self) -> list[Leased]:
        table, token = self._table, secrets.token_hex(16)
        due = (
            sa.select(table.c.id, table.c.envelope, table.c.failures)
            .where(table.c.dueAt <= now())
            .order_by(table.c.dueAt, table.c.id)
            .limit(BATCH)
        )
        if not self._database.is_mysql:  # a look without the write lock: an idle relay must not hold up writers
            async with self._database.read() as connection:
                if (await connection.execute(due.limit(1))).first() is None:
                    return []
        async with self._database.write() as connection:
            rows = (await connection.execute(due.with_for_update(skip_locked=True))).all()
            if rows:
                await connection.execute(
                    sa.update(table)
                    .where(table.c.id.in_([row.id for row in rows]))
                    .values(leaseToken=token, dueAt=now(LEASE_SECONDS))
                )
        return [Leased(row.id, token, row.envelope, row.failures) for row in rows]

    async def _publish(self, row: Leased) -> bool:
        kind = "unknown"
        try:
            envelope = Envelope.model_validate(row.envelope)
            kind = envelope.type
            await self._broker.publish(envelope)
        except PublishError as error:
            log.warning("an event could not be published; it will be retried", type=kind, error=str(error))
        except Exception:  # one odd row must not hold up the others
            log.exception("an event cannot be published; it will be retried", type=kind, row=row.row_id)
        else:
            self._metrics.events_published.labels(self._service, kind, "confirmed").inc()
            return True
        self._metrics.events_published.labels(self._service, kind, "failed").inc()
        return False

    async def _end(self, sent: Sequence[Leased], failed: Sequence[Leased]) -> None:
        table = self._table
        async with self._database.write() as connection:
            if sent:
                given = {"ids": [row.row_id for row in sent], "tokens": list({row.token for row in sent})}
                await connection.execute(self._delete_sent, given)
            for row in failed:
                jittered = retry_pause(row.failures) * (0.5 + secrets.randbelow(1000) / 1000)
                await connection.execute(
                    sa.update(table)
                    .where(table.c.id == row.row_id, table.c.leaseToken == row.token)
                    .values(leaseToken=None, dueAt=now(jittered), failures=row.failures + 1)
                )

    async def measure_forever(self) -> None:
        """Keep the gauges and the outbox' backlog up to date until cancelled."""
        while True:
            with contextlib.suppress(*TRANSIENT):  # the relay itself says that the database is away
                await self.measure()
            await asyncio.sleep(MEASURE_SECONDS)

    async def measure(self) -> None:
        """Bring the gauges and the outbox' backlog up to date."""
        table = self._table
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(sa.func.count(), sa.func.min(table.c.createdAt), now()))).one()
        waiting, oldest, present = row
        backlog = Backlog(waiting, max(0.0, (present - oldest).total_seconds()) if oldest else 0.0)
        self._outbox.backlog = backlog
        self._metrics.outbox_rows.labels(self._service).set(backlog.rows)
        self._metrics.outbox_oldest_seconds.labels(self._service).set(backlog.oldest_seconds)
