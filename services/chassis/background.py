"""Work that goes on beside the requests of an app, for as long as the app lives."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from services.chassis.cancellation import cancellation_kept

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0


@asynccontextmanager
async def background(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run endless coroutine functions while the context lasts, and cancel them at its end.

    One that fails is logged and started again within RESTART_SECONDS: a relay or a sweeper that has quietly stopped
    would be the worst of failures.
    """
    tasks = [asyncio.create_task(_kept_up(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            with cancellation_kept():
                await work()
        except Exception:
            log.exception("background work failed; starting it again", work=getattr(work, "__qualname__", repr(work)))
        await asyncio.sleep(RESTART_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
