"""A broker for tests that only want to know what was published."""

from typing import TypeVar

from contracts.events import Envelope, EventData
from contracts.topology import Subscription
from services.chassis.messaging.broker import DeadLetter, Depth, Handlers, OnDead, PublishError

E = TypeVar("E", bound=EventData)


class RecordingBroker:
    """Keeps every published event; ``away`` makes publishing fail."""

    def __init__(self) -> None:
        self.published: list[Envelope] = []
        self.away = False
        self.handlers: dict[str, Handlers] = {}
        self.depths: dict[str, Depth] = {}

    def events(self, kind: type[E]) -> list[E]:
        """What was published of one kind, in order."""
        return [kind.model_validate(e.data) for e in self.published if e.type == kind.TYPE]

    async def start(self) -> None: ...

    async def publish(self, envelope: Envelope) -> None:
        if self.away:
            raise PublishError("away")
        self.published.append(envelope)

    async def subscribe(
        self, subscription: Subscription, handlers: Handlers, *, concurrency: int, on_dead: OnDead | None = None
    ) -> None:
        self.handlers[subscription.queue] = handlers

    async def drain(self, seconds: float) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None:
        if self.away:
            raise PublishError("away")

    async def depth(self, subscription: Subscription) -> Depth:
        if self.away:
            raise PublishError("away")
        return self.depths.get(subscription.queue, Depth(waiting=0, dead=0))

    async def dead_letters(self, subscription: Subscription, limit: int) -> list[DeadLetter]:
        return []

    async def replay(self, subscription: Subscription, limit: int) -> int:
        return 0
