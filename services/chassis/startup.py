"""Starting: what ends it with a clear line, and waiting for servers that are not up yet."""

from collections.abc import Awaitable, Callable

import stamina
import structlog

log = structlog.get_logger(__name__)


class StartupError(Exception):
    """The process cannot start; the message tells the operator why and what to do. Printed without a traceback."""


async def wait_for(name: str, ready: Callable[[], Awaitable[object]], errors: tuple[type[Exception], ...]) -> None:
    """Call ``ready`` until it succeeds, with growing, jittered pauses of at most 5 s.

    Waits without an end, because servers that start together come up in any order and an orchestrator bounds the
    wait anyway. Errors other than ``errors`` (connection faults) propagate at once.
    """
    async for attempt in stamina.retry_context(
        on=errors, attempts=None, timeout=None, wait_initial=0.2, wait_max=5.0, wait_jitter=0.5
    ):
        with attempt:
            if attempt.num > 1:
                log.info("waiting for a server", server=name, attempt=attempt.num)
            await ready()
