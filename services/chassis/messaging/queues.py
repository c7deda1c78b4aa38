"""The queues of a subscription on RabbitMQ: made by the service that owns them all, found by the others."""

from aio_pika import ExchangeType
from aio_pika.abc import AbstractQueue, AbstractRobustChannel

from contracts.topology import EXCHANGE, Subscription

# A message that kills its consumer each time ends as a dead letter after this many deliveries. Generous, because a
# crash also counts against the neighbours that the same consumer held.
DELIVERY_LIMIT = 20
# Newer servers limit every quorum queue to 20 deliveries and then drop; a dead letter must survive being looked at.
NEVER = 1_000_000_000

_SAFE = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-dead-letter-strategy": "at-least-once"}
_TO_DEFAULT = {"x-dead-letter-exchange": ""}


async def declare(channel: AbstractRobustChannel, subscription: Subscription) -> AbstractQueue:
    """Declare the queue of ``subscription``, those around it, and the exchange that leads to them."""
    dead = await channel.declare_queue(
        subscription.dead_queue, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": NEVER}
    )
    queue = await channel.declare_queue(
        subscription.queue,
        durable=True,
        arguments={
            **_SAFE,
            **_TO_DEFAULT,
            "x-dead-letter-routing-key": subscription.dead_queue,
            "x-delivery-limit": DELIVERY_LIMIT,
        },
    )
    delays = {subscription.retry_queue(n): delay for n, delay in enumerate(subscription.retry_delays, start=1)}
    retries = [
        await channel.declare_queue(
            name,
            durable=True,
            arguments={
                **_SAFE,
                **_TO_DEFAULT,
                "x-dead-letter-routing-key": subscription.queue,
                "x-message-ttl": round(seconds * 1000),
            },
        )
        for name, seconds in delays.items()  # equal delays share a queue
    ]
    await channel.declare_exchange(subscription.moves, ExchangeType.DIRECT, durable=True)
    for around in (queue, dead, *retries):
        await around.bind(subscription.moves, routing_key=around.name)
    for event in subscription.events:
        await queue.bind(EXCHANGE, routing_key=event.TYPE)
    return queue


async def find(channel: AbstractRobustChannel, subscription: Subscription) -> AbstractQueue:
    """Return the queue of ``subscription`` when all that its consumer needs is there; this takes no right."""
    await channel.declare_exchange(subscription.moves, ExchangeType.DIRECT, durable=True, passive=True)
    return await channel.declare_queue(subscription.queue, passive=True)
