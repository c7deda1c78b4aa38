"""Starting: what ends it with a clear line, and waiting for servers that are not up yet."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from services.chassis.cancellation import cancellation_kept

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


class StartupError(Exception):
    """The process cannot start; the message tells the operator why and what to do. Printed without a traceback."""


async def wait_for(name: str, ready: Callable[[], Awaitable[object]], errors: tuple[type[Exception], ...]) -> None:
    """Call ``ready`` until it succeeds, with growing, jittered pauses of at most 5 s.

    Waits without an end, because servers that start together come up in any order and an orchestrator bounds the
    wait anyway. Errors other than ``errors`` (connection faults) propagate at once.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            with cancellation_kept():
                await ready()
        except errors as error:
            log.info("waiting for a server", server=name, error=type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            return
