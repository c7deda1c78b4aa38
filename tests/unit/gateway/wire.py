"""Servers on the loopback interface, and a client that sends exactly the bytes it is told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from services.chassis.connections import OpenConnections
from services.chassis.protocol import bounded_protocol
from services.chassis.serving import KEEP_ALIVE_SECONDS, bind

PATIENCE = 10.0  # a test that waits longer has failed


@asynccontextmanager
async def served(app: ASGIApp, public: OpenConnections | None = None) -> AsyncIterator[int]:
    """The port at which ``app`` is served by the services' server, but for its unhurried stop."""
    config = uvicorn.Config(
        app,
        http=bounded_protocol(public or OpenConnections(), is_paced=public is not None),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,  # uvicorn's own would close what our bounds leave open
    )
    config.load()
    state = ServerState()
    protocol = config.http_protocol_class
    sock = bind("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), sock=sock)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(*state.tasks, return_exceptions=True)
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[int]:
    """The port of a server that does with its connections what ``handler`` does, and then closes them."""

    tasks = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Connection:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    unfinished: Answer | None = field(default=None)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        return Answer(int(lines[0].split()[1]), headers)

    async def answer(self) -> Answer:
        """The next answer; ``complete`` is False when the connection broke off before its end."""
        answer = await self.head()
        async with asyncio.timeout(PATIENCE):
            try:
                if answer.header("transfer-encoding") == "chunked":
                    while size := int(await self.reader.readuntil(b"\r\n"), 16):
                        answer.body += (await self.reader.readexactly(size + 2))[:-2]
                    await self.reader.readexactly(2)
                else:
                    answer.body = await self.reader.readexactly(int(answer.header("content-length") or 0))
            except (asyncio.IncompleteReadError, ConnectionError):
                return answer
        answer.complete = True
        return answer

    async def closed(self) -> bool:
        """Whether the other side closes the connection."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def ask(port: int, request: bytes) -> Answer:
    """The answer to one request on a connection of its own."""
    async with connected(port) as connection:
        await connection.send(request)
        return await connection.answer()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: door.example", *headers, "", ""]).encode("latin-1")


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: door.example", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked_post(path: str, *chunks: bytes, end: bool = True) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: door.example\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + (b"0\r\n\r\n" if end else b"")
