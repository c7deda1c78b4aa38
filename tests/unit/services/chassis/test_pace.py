"""A client that takes its answers too slowly is cut off; a slow service, or a client that is merely slow, is not."""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from services.chassis import pace
from services.chassis.connections import OpenConnections
from services.chassis.pace import LEAST_BYTES_PER_SECOND, TICK_SECONDS, WINDOW_SECONDS, AnswerPace
from tests.unit.gateway.wire import served

PATIENCE = 20.0


class Clock:
    """The timers of a loop, turned by hand."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> "Clock":
        assert delay == TICK_SECONDS
        self.due = [callback]
        return self

    def cancel(self) -> None:
        self.due = []

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


class Line:
    """A transport; ``waiting`` bytes wait in it, ``kernel`` bytes in the kernel."""

    def __init__(self) -> None:
        self.waiting = 0
        self.kernel = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, name: str) -> None: ...


def watched() -> tuple[Line, Clock, AnswerPace]:
    line, clock = Line(), Clock()
    transport: Any = line
    loop: Any = clock
    return line, clock, AnswerPace(transport, loop, lambda _: line.kernel)


def read_at(bytes_per_second: float, *, seconds: int, kernel: int = 0) -> bool:
    """Whether a client is cut off that reads an endless answer at that rate."""
    line, clock, answers = watched()
    line.kernel = kernel
    written = kernel + 100_000
    answers.count(written)
    line.waiting = 100_000
    for _ in range(seconds):
        answers.count(round(bytes_per_second))  # as much as was taken is written anew
        clock.turn()
    return line.aborted


def test_a_client_below_the_least_rate_is_cut_off_after_the_window():
    assert not read_at(LEAST_BYTES_PER_SECOND * 0.9, seconds=round(WINDOW_SECONDS) - 1)
    assert read_at(LEAST_BYTES_PER_SECOND * 0.5, seconds=round(WINDOW_SECONDS) * 2)


def test_a_client_that_takes_70_kilobytes_every_15_seconds_is_cut_off():
    line, clock, answers = watched()
    answers.count(100_000)
    line.waiting = 100_000
    seconds = 0
    while not line.aborted and seconds < 300:
        seconds += 1
        if seconds % 15 == 0:
            answers.count(70_000)
        clock.turn()
    assert seconds <= 2 * WINDOW_SECONDS


def test_a_client_above_the_least_rate_is_never_cut_off():
    assert not read_at(LEAST_BYTES_PER_SECOND * 1.1, seconds=3600)


def test_what_the_kernel_holds_was_not_taken():
    line, clock, answers = watched()
    line.waiting = 1
    for _ in range(round(WINDOW_SECONDS) + 1):
        answers.count(1_000_000)
        line.kernel += 1_000_000
        clock.turn()
    assert line.aborted


def test_a_service_that_is_slow_to_answer_is_not_held_against_the_client():
    line, clock, answers = watched()
    for _ in range(1000):
        answers.count(10)
        line.waiting = 0  # taken at once
        clock.turn()
    assert not line.aborted


def test_nothing_is_watched_while_nothing_waits():
    line, clock, answers = watched()
    answers.count(10)
    clock.turn()
    assert clock.due == []
    answers.count(10)
    assert len(clock.due) == 1
    answers.stop()
    assert clock.due == []
    assert not line.aborted


class Endless:
    """An answer without an end; notes how much of it the server has taken, and when it was over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def leaving() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.over.set()

        left = asyncio.create_task(leaving())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not self.over.is_set():
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await asyncio.sleep(0)
        await left


async def slow_reader(port: int, over: asyncio.Event, bytes_per_second: int, seconds: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    end = asyncio.get_running_loop().time() + seconds
    try:
        while not over.is_set() and asyncio.get_running_loop().time() < end:
            await reader.read(bytes_per_second // 20)
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(pace, "WINDOW_SECONDS", 0.5)


@pytest.mark.usefixtures("hasty")
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell what they hold")
async def test_a_public_server_cuts_off_a_reader_that_takes_almost_nothing():
    app = Endless()
    async with served(app, OpenConnections()) as port, asyncio.timeout(PATIENCE):
        await slow_reader(port, app.over, 2_000, seconds=PATIENCE)
        assert app.over.is_set()


@pytest.mark.usefixtures("hasty")
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell what they hold")
async def test_a_reader_that_is_cut_off_does_not_get_what_the_kernel_still_holds():
    app = Endless()
    async with served(app, OpenConnections()) as port, asyncio.timeout(PATIENCE):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await app.over.wait()
            await asyncio.sleep(0.1)
            received = 0
            with pytest.raises(ConnectionResetError):  # noqa: PT012 - what was received first is counted
                while True:
                    received += len(await loop.sock_recv(client, 65536))
            assert received < 200_000


@pytest.mark.usefixtures("hasty")
async def test_a_service_leaves_slow_readers_to_the_gateway():
    app = Endless()
    async with served(app) as port:
        await slow_reader(port, app.over, 2_000, seconds=3)
        assert not app.over.is_set()


@pytest.mark.usefixtures("hasty")
async def test_a_reader_at_a_modest_rate_is_left_alone_although_the_kernel_takes_more_in_leaps():
    app = Endless()
    async with served(app, OpenConnections()) as port:
        await slow_reader(port, app.over, 2_000_000, seconds=3)
        assert not app.over.is_set()
