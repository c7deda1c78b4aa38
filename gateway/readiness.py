"""Whether a service behind the gateway is ready, asked in the way in which requests reach it.

Anybody may ask the gateway, as often as they like, and each answer costs the services a look at every server that they
need. So a service is asked by one at a time, and its answer is kept for a moment.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message

KEPT_SECONDS = 1.0


class NotReadyError(Exception):
    """The service answered that it is not ready, or did not answer."""


class Readiness:
    """The readiness of ``service``; ``clock`` gives seconds and never goes back."""

    def __init__(self, service: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._asking = asyncio.Lock()
        self._status = 0
        self._kept_until = clock()

    async def check(self) -> None:
        """Return when the service answers ``GET /readyz`` with 200; raises :class:`NotReadyError` otherwise."""
        async with self._asking:
            if self._clock() >= self._kept_until:
                self._status = await _ask(self._service)
                self._kept_until = self._clock() + KEPT_SECONDS
        if self._status != 200:
            raise NotReadyError(str(self._status))


async def _ask(service: ASGIApp) -> int:
    status = 0
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()  # we never leave
        return messages.pop()

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await service(
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "server": None,
            "client": None,
            "root_path": "",
            "path": "/readyz",
            "raw_path": b"/readyz",
            "query_string": b"",
            "headers": [],
        },
        receive,
        send,
    )
    return status
