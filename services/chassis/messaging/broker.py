"""What a broker is, and what becomes of a delivery.

The adapters (:mod:`.rabbitmq`, :mod:`.local`) move bytes; the decisions are made here, once:

- the handler returns → the delivery is acknowledged;
- it raises → the delivery comes back after the subscription's next delay; after the last one, and at once for
  :class:`PermanentError` and for what is no event at all, it is buried as a dead letter, and ``on_dead`` hears of it
  first, so that a person who waits is told;
- it is cancelled (shutdown) → the delivery is given back untouched. Cancellation is not a failure.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import structlog
from pydantic import ValidationError

from contracts.events import Envelope, EventData
from contracts.topology import Subscription
from services.chassis.correlation import correlated
from services.chassis.metrics import Metrics

log = structlog.get_logger(__name__)

UNSETTLED_PAUSE_SECONDS = 1.0


class PublishError(Exception):
    """The broker did not confirm an event; it may or may not have it. Publish it again."""


class PermanentError(Exception):
    """Raised by a handler for a delivery that will never succeed."""


# A handler of one kind of event. Any: the table below pairs each kind with a handler of just that kind.
Handler: TypeAlias = Callable[[Any], Awaitable[None]]
Handlers: TypeAlias = Mapping[type[EventData], Handler]
OnDead: TypeAlias = Callable[[EventData], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that nobody will try again by itself."""

    event_id: str | None
    type: str | None
    subject: str | None
    reason: str
    body: str


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

    async def dead_letters(self, subscription: Subscription, limit: int) -> list[DeadLetter]:
        """Look at the oldest dead letters of a queue, leaving them there."""

    async def replay(self, subscription: Subscription, limit: int) -> int:
        """Put the oldest dead letters back into their queue, as if new; the number of them."""


def read_dead_letter(body: bytes, reason: str) -> DeadLetter:
    """Describe a dead letter, whatever it is."""
    text = body.decode(errors="replace")
    try:
        envelope = Envelope.model_validate_json(body)
    except ValidationError:
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
        try:
            kind, outcome = await self._handle(delivery)
        except asyncio.CancelledError:
            await delivery.requeue()
            raise
        except Exception:
            # Telling of a failure has failed too (the broker or a database is away): give it back, but not at once.
            log.exception("a delivery could not be brought to an end", queue=self.subscription.queue)
            await asyncio.sleep(UNSETTLED_PAUSE_SECONDS)
            await delivery.requeue()
            return
        self.metrics.events_handled.labels(self.subscription.queue, kind, outcome).inc()
        self.metrics.event_seconds.labels(self.subscription.queue).observe(time.perf_counter() - started)

    async def _handle(self, delivery: Delivery) -> tuple[str, str]:
        try:
            envelope = Envelope.model_validate_json(delivery.body)
            kind = next(kind for kind in self.handlers if envelope.type == kind.TYPE)
            data = kind.model_validate(envelope.data)
        except (ValidationError, StopIteration) as error:
            log.error("a message is no event of this queue", queue=self.subscription.queue, error=type(error).__name__)  # noqa: TRY400 - the traceback would show the message
            await delivery.bury("not an event of this queue")
            return "unknown", "buried"
        with (
            correlated(envelope.traceparent),
            structlog.contextvars.bound_contextvars(event=envelope.type, job=envelope.data.get("job_id")),
        ):
            try:
                await self.handlers[kind](data)
            except Exception as error:  # noqa: BLE001 - every failure of a handler ends here, visibly
                return kind.TYPE, await self._failed(delivery, data, error)
            await delivery.ack()
            return kind.TYPE, "handled"

    async def _failed(self, delivery: Delivery, data: EventData, error: Exception) -> str:
        delays = self.subscription.retry_delays
        number = delivery.failures + 1
        if number <= len(delays) and not isinstance(error, PermanentError):
            log.warning(
                "handling failed; it will be retried", failures=number, seconds=delays[number - 1], exc_info=error
            )
            await delivery.retry(number)
            return "retried"
        log.error("handling failed for good; it is a dead letter now", failures=number, exc_info=error)
        if self.on_dead is not None:
            await self.on_dead(data)
        await delivery.bury(f"{type(error).__name__}: {error}"[:500])
        return "buried"
