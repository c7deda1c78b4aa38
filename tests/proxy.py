"""A TCP proxy in the test's own process, to cut and to silence the link between a service and its server."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

CHUNK_BYTES = 65536


class Proxy:
    """Listens on ``port`` and forwards to ``target()``, asked anew for every connection: a restart may move it."""

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.refusing = False
        self.port = 0
        self.accepted = 0

    @property
    def links(self) -> int:
        """How many connections there are at present."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every connection; new ones are accepted and closed at once, until :meth:`heal`."""
        self.refusing = True
        for link in list(self._links):
            link.cancel()

    def silence(self) -> None:
        """Let no byte through, in either direction, without closing anything, until :meth:`heal`."""
        self._flowing.clear()

    def heal(self) -> None:
        """Forward again."""
        self.refusing = False
        self._flowing.set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        writers = [writer]
        try:
            if self.refusing:
                return
            await self._flowing.wait()
            up_reader, up_writer = await asyncio.open_connection(*self._target())
            writers.append(up_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, up_writer))
                pumps.create_task(self._pump(up_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # cut, or one side is gone: so is the other
        finally:
            self._links.discard(task)
            for end in writers:
                end.transport.abort()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: Any) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while self._links:
                    await asyncio.sleep(0.01)
