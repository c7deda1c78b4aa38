"""A light HTTP client: requests are bytes made beforehand, answers are parsed by httptools, nothing else is done.

It has to cost less than what it measures: a load says how much of a core this process has used meanwhile, and the
yardsticks of a run (a bare server answering the same bytes) show what it can do.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import httptools

ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long it took in seconds."""

    status: int
    body: bytes
    seconds: float


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._done: asyncio.Future[int] | None = None

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """A connection to a server on this machine."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(cls, "127.0.0.1", port)
        return protocol

    async def ask(self, request: bytes) -> Answer:
        """Send ``request``; the whole answer. Raises :class:`ConnectionError` and :class:`TimeoutError`."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        self._body.clear()
        started = time.perf_counter()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            status = await self._done
        return Answer(status, b"".join(self._body), time.perf_counter() - started)

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()

    # What asyncio and httptools call:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the server closed the connection"))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue: the answer follows
            return
        self._parser = httptools.HttpResponseParser(self)
        if self._done is not None and not self._done.done():
            self._done.set_result(status)


@dataclass(slots=True)
class Load:
    """What a loop of requests came to."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of this process
    latencies: list[float] = field(default_factory=list)  # in seconds, of answers with status 200
    others: dict[int, int] = field(default_factory=dict)  # how often any other status came
    spent: dict[str, float] = field(default_factory=dict)  # CPU seconds of each process, where somebody looked

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return len(self.latencies) / self.seconds

    @property
    def client_share(self) -> float:
        """Percent of one core that this process used."""
        return 100 * self.cpu_seconds / self.seconds

    def spent_each(self, *names: str) -> float:
        """CPU time in milliseconds of the processes ``names`` for each good answer."""
        return 1000 * sum(self.spent[name] for name in names) / max(1, len(self.latencies))

    def percentile(self, percent: float) -> float:
        """Latency in milliseconds that ``percent`` of the good answers stay within; of none, NaN."""
        if not self.latencies:
            return math.nan
        ranked = sorted(self.latencies)
        return 1000 * ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


@contextmanager
def timed() -> Iterator[Load]:
    """A load that lasts as long as the context."""
    load = Load()
    started, cpu = time.perf_counter(), time.process_time()
    yield load
    load.seconds, load.cpu_seconds = time.perf_counter() - started, time.process_time() - cpu


async def closed_loop(port: int, connections: int, seconds: float, make: Callable[[], bytes]) -> Load:
    """As many requests as ``connections`` clients send, each waiting for its answer, in ``seconds``."""
    clients = [await Connection.to(port) for _ in range(connections)]
    try:
        with timed() as load:
            end = time.perf_counter() + seconds

            async def go(client: Connection) -> None:
                while time.perf_counter() < end:
                    _note(load, await client.ask(make()))

            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(go(client))
    finally:
        for client in clients:
            client.close()
    return load


async def repeated(workers: int, seconds: float, work: Callable[[], Awaitable[object]]) -> Load:
    """The same for work that is no request: ``work`` over and over by ``workers`` at a time."""
    with timed() as load:
        end = time.perf_counter() + seconds

        async def go() -> None:
            while time.perf_counter() < end:
                began = time.perf_counter()
                await work()
                load.latencies.append(time.perf_counter() - began)

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(go())
    return load


def _note(load: Load, answer: Answer) -> None:
    if answer.status == 200:
        load.latencies.append(answer.seconds)
    else:
        load.others[answer.status] = load.others.get(answer.status, 0) + 1


def get(path: str, token: str | None = None) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{_bearer(token)}\r\n".encode()


def post(path: str, content_type: str, body: bytes, token: str | None = None) -> bytes:
    """A POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\n{_bearer(token)}Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _bearer(token: str | None) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""
