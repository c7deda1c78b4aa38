"""Getting to the broker. Whoever asks a service for something needs it later or not at all, and is served without it.

A service that is started anew while the broker is away would otherwise add its own absence to the broker's.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from services.chassis.cancellation import cancellation_kept
from services.chassis.messaging.broker import Broker

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 10.0  # servers that are started together come up within a few
AGAIN_SECONDS = 5.0


@asynccontextmanager
async def connected(broker: Broker, subscribe: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Start ``broker`` and call ``subscribe``: before the context begins, or in it when PATIENCE_SECONDS are over.

    What goes wrong before, a refusal (:class:`~services.chassis.startup.StartupError`) above all, is raised; what goes
    wrong later is logged, and tried again.
    """
    is_serving = asyncio.Event()
    connecting = asyncio.create_task(_connect(broker, subscribe, is_serving))
    try:
        await asyncio.wait({connecting}, timeout=PATIENCE_SECONDS)
        if connecting.done():
            connecting.result()
        else:
            log.warning("the broker is away; serving without it until it is there")
        is_serving.set()
        yield
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


async def _connect(broker: Broker, subscribe: Callable[[], Awaitable[None]], is_serving: asyncio.Event) -> None:
    while True:
        try:
            with cancellation_kept():
                await broker.start()
                await subscribe()
        except Exception:
            if not is_serving.is_set():
                raise
            log.exception("the broker cannot be used; trying again")
        else:
            return
        await broker.drain(0)  # a part of the subscriptions may be there
        await broker.close()
        await asyncio.sleep(AGAIN_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
