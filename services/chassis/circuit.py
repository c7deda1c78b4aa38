"""A circuit breaker: while a server of ours is silent, whoever needs it is refused at once instead of waiting.

A call that got no answer in time is a suspicion. Then the server is asked for a sign of life on the side, and unless
it gives one, the circuit is open until it does. So no person's request is spent on probing, one slow query opens
nothing (the server still answers the probe), and a server that is back is noticed within a second or two.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from services.chassis.cancellation import cancellation_kept

log = structlog.get_logger(__name__)

PROBE_SECONDS = 1.5
PAUSE_SECONDS = 1.0


class Circuit:
    """Watches one server; ``probe`` returns when it answers, and raises or hangs while it does not."""

    def __init__(self, server: str, probe: Callable[[], Awaitable[object]]) -> None:
        self._server = server
        self._probe = probe
        self._watching: asyncio.Task[None] | None = None
        self.is_open = False

    def suspect(self) -> None:
        """A call got no answer in time. Returns at once."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            while not await self._answers():
                if not self.is_open:
                    log.error("a server is silent; who needs it is refused until it answers", server=self._server)
                    self.is_open = True
                await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            if self.is_open:
                log.info("a server that was silent answers again", server=self._server)
        finally:
            self.is_open = False
            self._watching = None

    async def _answers(self) -> bool:
        try:
            with cancellation_kept():
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, the server did not answer
            log.debug("a probe was not answered", server=self._server, error=type(error).__name__)
            return False
        return True

    async def close(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
