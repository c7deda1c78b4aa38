"""What a broker is, and what becomes of a delivery.

The adapters (:mod:`.rabbitmq`, :mod:`.local`) move bytes; the decisions are made here, once:

- the handler returns → the delivery is acknowledged;
- it raises → the delivery comes back after the subscription's next delay; after the last one, and at once for
  :class:`PermanentError`, it is buried as a dead letter, and ``on_dead`` hears of it first, so that a person who waits
  is told;
- there is no handler for this type of event → as if one had raised: while a new version is rolled out, another
  replica may know it;
- it is no event at all → it is buried at once;
- the handler is cancelled (shutdown) → the delivery is given back untouched. Cancellation is not a failure. An end
  that has been decided is carried out all the same.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import aiohttp
import structlog
from pydantic import ValidationError

from contracts.events import Envelope, EventData
from contracts.topology import Subscription
from services.chassis.cancellation import cancellation_kept
from services.chassis.correlation import correlated
from services.chassis.logs import masked
from services.chassis.metrics import Metrics

log = structlog.get_logger(__name__)

UNSETTLED_PAUSE_SECONDS = 1.0
MEASURE_SECONDS = 15.0
LONGEST_REASON = 500  # characters
SERVER_AWAY = (OSError, aiohttp.ClientConnectionError)
"""Failures that pass when the server that was asked is back: no fault of ours, so no traceback is logged."""


class PublishError(Exception):
    """The broker did not confirm an event; it may or may not have it. Publish it again."""


class PermanentError(Exception):
    """Raised by a handler for a delivery that will never succeed."""


# A handler of one kind of event. Any: the table below pairs each kind with a handler of just that kind.
Handler: TypeAlias = Callable[[Any], Awaitable[None]]
Handlers: TypeAlias = Mapping[type[EventData], Handler]
OnDead: TypeAlias = Callable[[EventData], Awaitable[None]]
End: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that nobody will try again by itself."""

    event_id: str | None
    type: str | None
    subject: str | None
    reason: str
    body: str


@dataclass(frozen=True, slots=True)
class Depth:
    """How many deliveries wait to be taken from a queue, and how many dead letters it has."""

    waiting: int
    dead: int


class Delivery(Protocol):
    """One message in a consumer's hands. Exactly one of the four ends is called."""

    @property
    def body(self) -> bytes:
        """The message as it was published."""

    @property
    def failures(self) -> int:
        """How often a handler has failed on it before."""

    async def ack(self) -> None:
        """It is done."""

    async def retry(self, delay_number: int) -> None:
        """Bring it back after the subscription's delay of that number (1 for the first)."""

    async def bury(self, reason: str) -> None:
        """Make it a dead letter."""

    async def requeue(self) -> None:
        """Give it back untouched."""


class Broker(Protocol):
    """Carries events between services."""

    async def start(self) -> None:
        """Connect, waiting with back-off until the broker is there, and declare the topology."""

    async def publish(self, envelope: Envelope) -> None:
        """Hand over an event for good. Raises :class:`PublishError` when that was not confirmed in time."""

    async def subscribe(
        self, subscription: Subscription, handlers: Handlers, *, concurrency: int, on_dead: OnDead | None = None
    ) -> None:
        """Consume a queue, up to ``concurrency`` deliveries at a time, until :meth:`drain`."""

    async def drain(self, seconds: float) -> None:
        """Take no more deliveries, let the handlers finish for ``seconds``, then give the rest back."""

    async def close(self) -> None:
        """Disconnect."""

    async def ping(self) -> None:
        """Raise when the broker cannot be reached."""

    async def depth(self, subscription: Subscription) -> Depth:
        """How much lies in a queue. Raises :class:`PublishError` when the broker does not tell in time."""

    async def dead_letters(self, subscription: Subscription, limit: int) -> list[DeadLetter]:
        """Look at the oldest dead letters of a queue, leaving them there."""

    async def replay(self, subscription: Subscription, limit: int) -> int:
        """Put the oldest dead letters back into their queue, as if new; the number of them."""


async def measure_dead_letters(broker: Broker, subscriptions: Sequence[Subscription], metrics: Metrics) -> None:
    """Keep the gauge of dead letters up to date until cancelled; while the broker is away it stays as it was."""
    while True:
        for subscription in subscriptions:
            with contextlib.suppress(PublishError), cancellation_kept():
                metrics.dead_letters.labels(subscription.queue).set((await broker.depth(subscription)).dead)
        await asyncio.sleep(MEASURE_SECONDS)


def read_dead_letter(body: bytes, reason: str) -> DeadLetter:
    """Describe a dead letter, whatever it is."""
    text = body.decode(errors="replace")
    envelope = _read(body)
    if envelope is None:
        return DeadLetter(None, None, None, reason, text)
    return DeadLetter(envelope.id, envelope.type, envelope.subject, reason, text)


@dataclass(frozen=True, slots=True)
class Consumer:
    """Applies the rules above to the deliveries of one queue."""

    subscription: Subscription
    handlers: Handlers
    on_dead: OnDead | None
    metrics: Metrics

    async def take(self, delivery: Delivery) -> None:
        """Handle one delivery to one of its ends."""
        started = time.perf_counter()
        envelope = _read(delivery.body)
        kind = next((kind for kind in self.handlers if envelope and envelope.type == kind.TYPE), None)
        with (
            correlated(envelope.traceparent if envelope else None),
            structlog.contextvars.bound_contextvars(
                queue=self.subscription.queue,
                event=kind.TYPE if kind else "unknown",
                job=envelope.data.get("job_id") if envelope else None,
            ),
        ):
            try:
                outcome, end = await self._judge(delivery, envelope, kind)
            except asyncio.CancelledError:
                await delivery.requeue()
                raise
            except Exception:
                log.exception("a failure could not be told; the delivery is given back")
                outcome = "given back"
                try:
                    await asyncio.sleep(UNSETTLED_PAUSE_SECONDS)
                finally:
                    await _uncancelled(delivery.requeue())
            else:
                await _uncancelled(end())
        self.metrics.events_handled.labels(self.subscription.queue, kind.TYPE if kind else "unknown", outcome).inc()
        self.metrics.event_seconds.labels(self.subscription.queue).observe(time.perf_counter() - started)

    async def _judge(
        self, delivery: Delivery, envelope: Envelope | None, kind: type[EventData] | None
    ) -> tuple[str, End]:
        """What the delivery comes to, and the call that makes it so."""
        if envelope is None:
            log.error("a message is no event; it is a dead letter now")
            return "buried", partial(delivery.bury, "not an event")
        data: EventData | None = None
        try:
            if kind is None:
                raise LookupError("no handler for this type of event")
            data = _payload(kind, envelope)
            await _ended(self.handlers[kind](data))
        except Exception as error:
            delays = self.subscription.retry_delays
            number = delivery.failures + 1
            if number <= len(delays) and not isinstance(error, PermanentError):
                if isinstance(error, SERVER_AWAY):
                    log.warning(
                        "handling failed, as a server is away; it will be retried",
                        failures=number,
                        error=type(error).__name__,
                    )
                else:
                    log.warning("handling failed; it will be retried", failures=number, exc_info=error)
                return "retried", partial(delivery.retry, number)
            log.exception("handling failed for good; it is a dead letter now", failures=number)
            if self.on_dead is not None and data is not None:
                await self.on_dead(data)
            return "buried", partial(delivery.bury, masked(f"{type(error).__name__}: {error}")[:LONGEST_REASON])
        return "handled", delivery.ack


def _read(body: bytes) -> Envelope | None:
    try:
        return Envelope.model_validate_json(body)
    except ValidationError:
        return None


def _payload(kind: type[EventData], envelope: Envelope) -> EventData:
    try:
        return kind.model_validate(envelope.data)
    except ValidationError as error:
        # The error's own text would show what was sent.
        faults = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False))
        raise PermanentError(f"the event does not fit its type: {faults}") from None


async def _ended(handling: Awaitable[None]) -> None:
    try:
        await handling
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Something that the handler waited for was cancelled, not we: giving the delivery back would repeat that.
        raise RuntimeError("the handler was cut off") from None


async def _uncancelled(end: Awaitable[None]) -> None:
    """Let ``end`` finish even if we are cancelled meanwhile; then pass the cancellation on."""
    task = asyncio.ensure_future(end)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
