"""Proxies that stand on the links between the parts of the system, and spoil them on request.

A :class:`Link` listens on a loopback port and forwards each connection to one of its targets in turn, past those that
refuse: a balancer for replicas. It can be cut, silenced, delayed, throttled and left half open, and it can *watch*:
when given bytes pass by, it calls back before or after they are forwarded. That is how a process is killed between a
commit and a publish, and how an answer is lost although the work is done.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

CHUNK_BYTES = 64 * 1024
PIECE_BYTES = 4 * 1024  # what a throttled link forwards at a time
UNDER_WAY = 64  # chunks that a slow link holds before it stops reading
CONNECT_SECONDS = 5.0
LONGEST_PATTERN = 128  # bytes
CLOSING_SECONDS = 2.0  # for connections to end when a link is closed

Address: TypeAlias = tuple[str, int]


class _EndedError(Exception):
    """This connection is over."""


@dataclass(eq=False)
class Watch:
    """Waits for ``patterns``, one after the other on one connection, in what clients send; acts once.

    ``before``: :attr:`act` is called with the connection and the last bytes are held back for good. Otherwise they are
    forwarded first.
    """

    patterns: tuple[bytes, ...]
    act: Callable[["Connection"], None]
    before: bool = False
    seen: asyncio.Event = field(default_factory=asyncio.Event)


class Connection:
    """One client's connection through a link."""

    def __init__(self, link: "Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link = link
        self._client = (reader, writer)
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._task = asyncio.current_task()
        self._progress: dict[Watch, tuple[int, int]] = {}  # how many of its patterns were seen, and where the last ends
        self._tail = b""
        self._passed = 0  # bytes that clients sent
        self._gone = False  # the server's end: this one is half open
        self._deaf = False  # answers are lost
        self._unnoticed = False  # the client's end is not told to the server
        self.target: Address | None = None

    def cut(self) -> None:
        """Reset both ends."""
        if self._task is not None:
            self._task.cancel()

    def abandon(self) -> None:
        """Reset the server's end and leave the client's open and silent."""
        self._gone = True
        if self._server is not None:
            self._server[1].transport.abort()

    def lose_answers(self) -> None:
        """From now on drop what the server says; requests still reach it."""
        self._deaf = True

    def keep_server(self) -> None:
        """Do not tell the server when the client leaves, as when a machine loses its power."""
        self._unnoticed = True

    async def run(self) -> None:
        """Forward until both ends are closed."""
        try:
            await self._link.flowing.wait()
            if self._link.refusing:
                return
            reader, writer, self.target = await self._link.connect()
            self._server = (reader, writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(self._client[0], writer, asking=True))
                pumps.create_task(self._pump(reader, self._client[1], asking=False))
        except* (OSError, asyncio.CancelledError, _EndedError):
            pass  # cut, or one side is gone: so is the other
        finally:
            for _, writer in (self._client, self._server or self._client):
                if self._link.refusing:
                    writer.transport.abort()
                else:
                    writer.close()  # what was forwarded still arrives

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asking: bool) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(reader, waiting, asking=asking))
            group.create_task(self._write(waiting, writer, asking=asking))

    async def _read(
        self, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]], *, asking: bool
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                data = await reader.read(CHUNK_BYTES)
            except OSError:
                if asking or not self._gone:
                    raise
                data = b""
            if not data and self._gone and not asking:
                await asyncio.Event().wait()  # until the client leaves
            await waiting.put((clock() + self._link.latency(), data))
            if not data:
                return

    async def _write(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, asking: bool
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - clock()))
            await self._link.flowing.wait()
            if self._gone and asking:
                if not data:
                    raise _EndedError
                continue
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if self._deaf and not asking:
                continue
            watch = self._watched(data) if asking else None
            if watch is not None and watch.before:
                self._link.fire(watch, self)
                await self._client_gone(waiting)
            for piece in self._pieces(data):
                writer.write(piece)
                await writer.drain()
                if self._link.rate is not None:
                    await asyncio.sleep(len(piece) / self._link.rate)
            if watch is not None:
                self._link.fire(watch, self)

    async def _client_gone(self, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Take what the client still says for nothing; raise when it has left, unless nobody is to know."""
        while (await waiting.get())[1]:
            pass
        if self._unnoticed:
            await asyncio.Event().wait()
        raise _EndedError

    def _pieces(self, data: bytes) -> list[bytes]:
        if self._link.rate is None:
            return [data]
        return [data[n : n + PIECE_BYTES] for n in range(0, len(data), PIECE_BYTES)]

    def _watched(self, data: bytes) -> Watch | None:
        """The watch whose last pattern these bytes complete, if any."""
        view = self._tail + data
        start = self._passed - len(self._tail)
        self._passed += len(data)
        self._tail = view[-LONGEST_PATTERN:]
        for watch in self._link.watches:
            number, end = self._progress.get(watch, (0, 0))
            while number < len(watch.patterns):
                place = view.find(watch.patterns[number], max(0, end - start))
                if place < 0:
                    break
                end = start + place + len(watch.patterns[number])
                number += 1
            if number == len(watch.patterns):
                return watch
            self._progress[watch] = (number, end)
        return None


class Link:
    """A link from one part of the system to another."""

    def __init__(self, name: str, targets: Callable[[], Sequence[Address]], rng: random.Random) -> None:
        self.name = name
        self._targets = targets
        self._rng = rng
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[Any], Connection] = {}
        self._delay: tuple[float, float] | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.refusing = False
        self.rate: float | None = None  # bytes per second, of each connection and direction
        self.watches: list[Watch] = []
        self.port = 0

    @property
    def connections(self) -> list[Connection]:
        """Those that there are at present."""
        return list(self._connections.values())

    def latency(self) -> float:
        """Seconds by which the next bytes are delayed."""
        return self._rng.uniform(*self._delay) if self._delay else 0.0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Address]:
        """A connection to the next target that accepts one."""
        targets = self._targets()
        self._turn += 1
        for number in range(len(targets)):
            target = targets[(self._turn + number) % len(targets)]
            with contextlib.suppress(OSError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, writer = await asyncio.open_connection(*target)
                return reader, writer, target
        raise ConnectionRefusedError(self.name)

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self) -> None:
        """Reset every connection; new ones are accepted and reset at once, until :meth:`heal`."""
        self.refusing = True
        for connection in self.connections:
            connection.cut()

    def silence(self) -> None:
        """Let no byte through in either direction and close nothing, until :meth:`heal`; then the bytes arrive."""
        self.flowing.clear()

    def delay(self, least: float, most: float) -> None:
        """Deliver every chunk so many seconds late, until :meth:`heal`."""
        self._delay = (least, most)

    def throttle(self, rate: float) -> None:
        """Let through so many bytes a second, until :meth:`heal`."""
        self.rate = rate

    def half_open(self) -> None:
        """Take the server's end of every connection away without telling the client; new ones are whole."""
        for connection in self.connections:
            connection.abandon()

    def watch(self, *patterns: bytes, act: Callable[[Connection], None], before: bool = False) -> Watch:
        """Call ``act`` once, when clients have sent ``patterns``; see :class:`Watch`."""
        watch = Watch(patterns, act, before)
        self.watches.append(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Watch no longer."""
        if watch in self.watches:
            self.watches.remove(watch)

    def fire(self, watch: Watch, connection: Connection) -> None:
        """The watch's bytes were seen on ``connection``."""
        if watch in self.watches:
            self.watches.remove(watch)
            watch.act(connection)
            watch.seen.set()

    def heal(self) -> None:
        """Forward again as if nothing had been; watches stay."""
        self.refusing = False
        self.rate = None
        self._delay = None
        self.flowing.set()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(self, reader, writer)
        self._connections[task] = connection
        try:
            await connection.run()
        finally:
            del self._connections[task]

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                while self._connections:
                    await asyncio.sleep(0.01)
