"""How large and how slow a request's body may be: counted while it streams through, never held."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.problems import problem_response

LINGER_SECONDS = 2.0
# A service handles each piece of a body by itself. After some small ones, we let more of them gather before we pass
# them on, so that a client cannot cost the services more by cutting its body into crumbs.
SMALL_PIECE_BYTES = 4096
MOST_SMALL_PIECES = 16
GATHER_SECONDS = 0.02
SMALL_REST_BYTES = 64 * 2**10

_DISCONNECT: Message = {"type": "http.disconnect"}


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a body is allowed: bytes, seconds without a byte, and seconds from its first wait to its end."""

    most_bytes: int
    idle_seconds: float
    whole_seconds: float


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """How long a request says that its body is, in bytes: 0 without a body, None when only its end will tell."""
    length: int | None = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)  # the server has refused anything but one number
    return length


class Limited:
    """An ASGI app that refuses bodies beyond its limits: too large 413, too slow 408.

    Inside, a refused body ends like that of a client that went away (``http.disconnect``), so that whatever reads it
    gives up what it began. What the app inside then still says is dropped in favour of the refusal; an answer that
    had begun before is left as it is.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = declared_length(scope["headers"])
        if declared == 0:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._limits, scope, declared, receive, send)
        if not exchange.refused:
            await self._app(scope, exchange.receive, exchange.send)
        await exchange.end()


class _Exchange:
    """One request with a body, and its answer."""

    def __init__(self, limits: BodyLimits, scope: Scope, declared: int | None, receive: Receive, send: Send) -> None:
        self._limits = limits
        self._scope = scope
        self._declared = declared
        self._receive = receive
        self._send = send
        self._expects = any(name == b"expect" for name, _ in scope["headers"])
        self._deadline: float | None = None
        self._received = 0
        self._small_pieces = 0
        self._over = False  # the body: all of it is here, or the client is gone
        self._begun = False  # the answer
        self._lingering = False
        self._held = False  # the answer is out but for its end
        self._refusal: tuple[int, str] | None = None
        if declared is not None and declared > limits.most_bytes:
            self._refuse_size()

    @property
    def refused(self) -> bool:
        return self._refusal is not None

    async def receive(self) -> Message:
        if self.refused:
            return _DISCONNECT
        if self._over:
            return await self._receive()  # waits for the client to leave: no hurry
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._limits.whole_seconds
        try:
            async with asyncio.timeout_at(min(now + self._limits.idle_seconds, self._deadline)):
                if self._small_pieces > MOST_SMALL_PIECES:
                    await asyncio.sleep(GATHER_SECONDS)
                message = await self._receive()
        except TimeoutError:
            self._refusal = (408, "The upload was too slow. Please try again with a better connection.")
            return _DISCONNECT
        if message["type"] == "http.disconnect":
            self._over = True
            return message
        size = len(message.get("body", b""))
        self._received += size
        self._small_pieces += size < SMALL_PIECE_BYTES
        if self._received > self._limits.most_bytes:
            self._refuse_size()
            return _DISCONNECT
        self._over = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._begun or not self.refused:
            await self._pass_on(message)

    async def end(self) -> None:
        """Say what is left to say once the app has returned."""
        if self._refusal and not self._begun:
            await problem_response(*self._refusal)(self._scope, self._receive, self._pass_on)
        if self._held:
            # Closing now would reset the connection under a client that is still sending, and it would lose the
            # answer: so for a moment what it sends is read and dropped.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while not self._over:
                        message = await self._receive()
                        self._over = not message.get("more_body", False)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            if self._unread():
                self._lingering = True
                headers = [(name, value) for name, value in message.get("headers", []) if name != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
        elif self._lingering and not message.get("more_body", False):
            self._held = True
            message = {**message, "more_body": True}
        await self._send(message)

    def _unread(self) -> bool:
        """Whether more of the body may come than the server should read just to keep the connection."""
        if self._over:
            return False
        return (
            self.refused
            or self._expects  # the client may leave the body away, and nobody knows
            or self._declared is None
            or self._declared - self._received > SMALL_REST_BYTES
        )

    def _refuse_size(self) -> None:
        self._refusal = (413, f"The request is too large: at most {_readable(self._limits.most_bytes)} are accepted.")


def _readable(size: int) -> str:
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} bytes"
