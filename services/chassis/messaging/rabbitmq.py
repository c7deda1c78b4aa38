"""The broker on servers: RabbitMQ, with quorum queues and confirmed, mandatory, persistent publishes.

Publishing and consuming use a connection each, because a broker alarm stalls any connection that publishes.
Deliveries are acknowledged by hand, since the library's own context manager rejects on cancellation too. A publish
that meets a lost connection would wait for its return without a bound, hence the timeout around it.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass

import aio_pika
import structlog
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import (
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
    AbstractRobustChannel,
    AbstractRobustConnection,
)
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq.exceptions import ChannelAccessRefused
from yarl import URL

from contracts.events import Envelope
from contracts.topology import EXCHANGE, SUBSCRIPTIONS, Subscription
from services.chassis.cancellation import NobodyCancelledError, cancellation_kept
from services.chassis.messaging.broker import (
    Consumer,
    DeadLetter,
    Depth,
    Handlers,
    OnDead,
    PublishError,
    read_dead_letter,
)
from services.chassis.messaging.queues import declare, find
from services.chassis.metrics import Metrics
from services.chassis.settings import names_a_server
from services.chassis.startup import StartupError, wait_for

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 10
CONNECT_SECONDS = 5
PING_SECONDS = 2
HEARTBEAT_SECONDS = 10
GOODBYE_SECONDS = 1  # for each step of a stop that waits for the server: a frozen one must not hold us up
_FAILURES = "x-failures"
_REASON = "x-reason"

CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    AMQPError,
    OSError,
    TimeoutError,
    ChannelInvalidStateError,
    NobodyCancelledError,
)
# RuntimeError is how the driver says that it has no connection at the moment.
NO_ANSWER: tuple[type[Exception], ...] = (*CONNECTION_ERRORS, RuntimeError)


async def _all_ended(farewells: Iterable[Awaitable[object]]) -> None:
    """Wait for all of them at once, for GOODBYE_SECONDS; a server that is gone or silent is left as it is."""

    async def ended(farewell: Awaitable[object]) -> None:
        with contextlib.suppress(*NO_ANSWER), cancellation_kept():
            async with asyncio.timeout(GOODBYE_SECONDS):
                await farewell

    await asyncio.gather(*map(ended, farewells))


@dataclass(slots=True)
class _Delivery:
    message: AbstractIncomingMessage
    subscription: Subscription
    broker: "RabbitBroker"

    @property
    def body(self) -> bytes:
        return self.message.body

    @property
    def failures(self) -> int:
        value = self.message.headers.get(_FAILURES, 0)
        return value if isinstance(value, int) else 0

    async def ack(self) -> None:
        await self._settle(self.message.ack())

    async def retry(self, delay_number: int) -> None:
        await self._move(self.subscription.retry_queue(delay_number), {_FAILURES: delay_number})

    async def bury(self, reason: str) -> None:
        await self._move(self.subscription.dead_queue, {_FAILURES: self.failures + 1, _REASON: reason})

    async def requeue(self) -> None:
        await self._settle(self.message.nack(requeue=True))

    async def _move(self, queue: str, headers: dict[str, int | str]) -> None:
        """Publish to ``queue`` and only then acknowledge: a crash in between doubles the message, never loses it."""
        try:
            await self.broker.move(self.subscription, queue, self.message.body, self.message.message_id, headers)
        except PublishError:
            log.warning("cannot move a delivery; giving it back", queue=queue)
            await self.requeue()
        else:
            await self.ack()

    async def _settle(self, settling: Awaitable[object]) -> None:
        try:
            with cancellation_kept():
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await settling
        except CONNECTION_ERRORS as error:
            # The server gives the delivery to somebody again; handlers are idempotent.
            log.warning("cannot settle a delivery; it will come again", error=type(error).__name__)


class RabbitBroker:
    """A :class:`~services.chassis.messaging.broker.Broker` over RabbitMQ.

    It declares the queues of ``subscriptions``. A guest (``is_guest``) waits instead until another service has declared
    them. Its user needs no right to: it may publish its own events, and read and move what is in its own queues.
    """

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        name: str,
        subscriptions: Sequence[Subscription] = SUBSCRIPTIONS,
        *,
        is_guest: bool = False,
    ) -> None:
        self._url = url
        self._metrics = metrics
        self._name = name
        self._subscriptions = subscriptions
        self._is_guest = is_guest
        self._publishing: AbstractRobustConnection | None = None
        self._consuming: AbstractRobustConnection | None = None
        self._channel: AbstractRobustChannel | None = None
        self._exchange: AbstractExchange | None = None
        # The library holds channels weakly.
        self._consumers: list[tuple[AbstractRobustChannel, AbstractQueue, str]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, waiting with back-off until the server is there, and declare the topology."""
        if not self._url.startswith(("amqp://", "amqps://")):
            raise StartupError("RABBITMQ_URL: must start with amqp:// or amqps://.")
        if not names_a_server(self._url):
            raise StartupError("RABBITMQ_URL: must name a host, and a port only as a number.")

        async def connect() -> None:
            try:
                async with asyncio.timeout(CONNECT_SECONDS * 2):
                    await self._connect()
            except (AuthenticationError, ProbableAuthenticationError):
                raise StartupError("RABBITMQ_URL: RabbitMQ refuses this user or password.") from None
            except InvalidFrameError:  # how the library reports a connection that was closed instead of opened
                raise StartupError("RABBITMQ_URL: RabbitMQ refuses this virtual host.") from None
            except (ChannelAccessRefused, ChannelPreconditionFailed) as error:
                raise StartupError(f"RABBITMQ_URL: RabbitMQ refuses our queues: {error}.") from None
            except BaseException:
                await self.close()
                raise

        await wait_for("rabbitmq", connect, CONNECTION_ERRORS)

    async def _connect(self) -> None:
        self._publishing = await self._connection("publishing")
        self._consuming = await self._connection("consuming")
        channel = self._publishing.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        self._channel = channel
        self._exchange = await self._declare_exchange(channel)
        for subscription in self._subscriptions:
            await self._declare(channel, subscription)

    async def _declare_exchange(self, channel: AbstractRobustChannel) -> AbstractExchange:
        if self._is_guest:  # until it is there, events wait in the outbox
            return await channel.get_exchange(EXCHANGE, ensure=False)
        return await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)

    async def _connection(self, purpose: str) -> AbstractRobustConnection:
        connection = aio_pika.RobustConnection(
            URL(self._url).update_query(
                heartbeat=HEARTBEAT_SECONDS,
                reconnect_interval=random.uniform(0.5, 1),  # noqa: S311 - jitter, not a secret
            ),
            client_properties={"connection_name": f"{self._name} {purpose}"},
        )
        try:
            await connection.connect(timeout=CONNECT_SECONDS)
        except BaseException:
            await connection.close()  # or it would go on trying in the background
            raise
        return connection

    async def _declare(self, channel: AbstractRobustChannel, subscription: Subscription) -> AbstractQueue:
        return await (find if self._is_guest else declare)(channel, subscription)

    async def publish(self, envelope: Envelope) -> None:
        """Publish to the exchange; returns when the server has confirmed that every bound queue holds it."""
        await self._publish(self._exchange, envelope.type, envelope.model_dump_json().encode(), envelope.id, {})

    async def move(
        self,
        subscription: Subscription,
        queue: str,
        body: bytes,
        message_id: str | None,
        headers: dict[str, int | str],
    ) -> None:
        """Publish straight to ``queue``, one of those of ``subscription``."""
        exchange = await self._channel.get_exchange(subscription.moves, ensure=False) if self._channel else None
        await self._publish(exchange, queue, body, message_id, headers)

    async def _publish(
        self,
        exchange: AbstractExchange | None,
        routing_key: str,
        body: bytes,
        message_id: str | None,
        headers: dict[str, int | str],
    ) -> None:
        if exchange is None:
            raise PublishError("not connected")
        message = Message(
            body,
            message_id=message_id,
            content_type="application/cloudevents+json",
            delivery_mode=DeliveryMode.PERSISTENT,
            headers=dict(headers),
        )
        try:
            with cancellation_kept():
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await exchange.publish(message, routing_key, mandatory=True)
        except CONNECTION_ERRORS as error:  # among them: returned as unroutable, refused by a full queue
            raise PublishError(f"{type(error).__name__}: {error}") from error

    async def subscribe(
        self, subscription: Subscription, handlers: Handlers, *, concurrency: int, on_dead: OnDead | None = None
    ) -> None:
        """Consume a queue; see :class:`~services.chassis.messaging.broker.Broker`."""
        if self._consuming is None:
            raise PublishError("not connected")
        channel = self._consuming.channel(publisher_confirms=False)
        await channel.initialize()
        await channel.set_qos(prefetch_count=concurrency)
        # Declared on this channel too: the library declares again what a channel declared when its connection returns,
        # and a server that lost its queues must get this one back before we consume it.
        await self._declare_exchange(channel)
        queue = await self._declare(channel, subscription)
        consumer = Consumer(subscription, handlers, on_dead, self._metrics)

        async def on_message(message: AbstractIncomingMessage) -> None:
            task = asyncio.ensure_future(consumer.take(_Delivery(message, subscription, self)))
            self._under_way.add(task)
            task.add_done_callback(self._finished)

        tag = await queue.consume(on_message)
        self._consumers.append((channel, queue, tag))

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery could not be settled; it will come again when its link ends", exc_info=error)

    async def drain(self, seconds: float) -> None:
        """Take no more deliveries, let handlers finish for ``seconds``, then give the rest back."""
        await _all_ended(queue.cancel(tag) for _, queue, tag in self._consumers)
        self._consumers.clear()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        rest = set(self._under_way)
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=GOODBYE_SECONDS)

    async def close(self) -> None:
        """Disconnect both connections."""
        await _all_ended(connection.close() for connection in (self._consuming, self._publishing) if connection)
        self._channel = self._exchange = self._publishing = self._consuming = None

    async def ping(self) -> None:
        """Raise when either connection is down, or the server does not answer on the publishing one."""
        for connection in (self._publishing, self._consuming):
            if connection is None or connection.transport is None or connection.transport.connection.is_closed:
                raise PublishError("not connected")
        if self._channel is not None:
            await self._channel.set_qos(timeout=PING_SECONDS)  # the smallest request that changes nothing

    async def depth(self, subscription: Subscription) -> Depth:
        """How much lies in a queue."""
        if self._consuming is None:
            raise PublishError("not connected")
        # On the consuming connection, because an alarm of the server stalls the other; on a channel of its own, because
        # asking for a queue that is not there ends the channel.
        try:
            channel = self._consuming.channel(publisher_confirms=False)
        except RuntimeError as error:  # the connection is being made anew
            raise PublishError(f"not connected: {error}") from error
        try:
            with cancellation_kept():
                async with asyncio.timeout(PING_SECONDS):
                    await channel.initialize()
                    waiting, dead = [
                        (await channel.declare_queue(name, passive=True, robust=False)).declaration_result.message_count
                        or 0
                        for name in (subscription.queue, subscription.dead_queue)
                    ]
        except NO_ANSWER as error:
            raise PublishError(f"{type(error).__name__}: {error}") from error
        finally:
            # With a time limit of its own: a channel whose goodbye is cut off stays half open.
            await _all_ended([channel.close()])
        return Depth(waiting, dead)

    async def dead_letters(self, subscription: Subscription, limit: int) -> list[DeadLetter]:
        """Look at the oldest dead letters of a queue, leaving them there."""
        held = await self._hold_dead(subscription, limit)
        try:
            return [
                read_dead_letter(message.body, str(message.headers.get(_REASON, "delivery limit"))) for message in held
            ]
        finally:
            for message in held:
                await message.nack(requeue=True)

    async def replay(self, subscription: Subscription, limit: int) -> int:
        """Put the oldest dead letters back into their queue, as if new; the number of them."""
        held = await self._hold_dead(subscription, limit)
        moved = 0
        try:
            for message in held:
                await self.move(subscription, subscription.queue, message.body, message.message_id, {})
                await message.ack()
                moved += 1
        finally:
            for message in held[moved:]:
                await message.nack(requeue=True)
        return moved

    async def _hold_dead(self, subscription: Subscription, limit: int) -> list[AbstractIncomingMessage]:
        if self._channel is None:
            raise PublishError("not connected")
        queue = await self._channel.get_queue(subscription.dead_queue, ensure=False)
        held: list[AbstractIncomingMessage] = []
        while len(held) < limit:
            message = await queue.get(fail=False, timeout=PUBLISH_SECONDS)
            if message is None:
                break
            held.append(message)
        return held
