"""What arrives before an app can count it is bounded in size and in time."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from services.chassis import protocol
from services.chassis.connections import OpenConnections
from tests.unit.gateway.wire import served

PATIENCE = 10.0


class App:
    """Reads its body, and answers with its length."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.received = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        length, more = 0, True
        while more and (message := await receive())["type"] == "http.request":
            length += len(message["body"])
            self.received = length
            more = message["more_body"]
        await self.answer.wait()
        body = str(length).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Deaf(App):
    """Answers without reading its body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def connected(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def sent_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes) -> int:
    """How many bytes the server takes before it closes the connection."""
    total = 0
    async with asyncio.timeout(PATIENCE):
        try:
            while not reader.at_eof() and total < 50_000_000:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
                total += len(piece)
        except ConnectionError:
            pass
    return total


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(b"GET /", b"x" * 1000, id="path"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n" * 100, id="headers"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: ", b"x" * 1000, id="one header"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
            b"A: b\r\n",
            id="trailers",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000, id="chunk extension"
        ),
    ],
)
async def test_what_is_no_body_does_not_go_on_for_ever(begin: bytes, piece: bytes):
    async with connected(App()) as (reader, writer):
        writer.write(begin)
        assert await sent_until_closed(reader, writer, piece) < 10_000_000  # the kernel's buffers take some


async def answered(port: int) -> bytes:
    """The beginning of the answer to a request on a new connection; nothing when that is closed instead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return (await reader.read())[:12]
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_a_connection_beyond_the_bound_is_closed_while_all_others_are_busy():
    app = App()
    app.answer.clear()
    async with served(app, OpenConnections(most=2)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in held:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while len(app.scopes) < 2:
                await asyncio.sleep(0.01)
        assert await answered(port) == b""
        app.answer.set()
        for reader, _ in held:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await answered(port) == b"HTTP/1.1 200"
        for _, writer in held:
            writer.close()


async def test_the_longest_idle_connection_is_closed_for_a_newcomer():
    async with served(App(), OpenConnections(most=2)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in held:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n0")
        assert await answered(port) == b"HTTP/1.1 200"
        (longest, _), (later_reader, later) = held
        async with asyncio.timeout(PATIENCE):
            assert await longest.read() == b""
        later.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await later_reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_an_address_at_its_bound_makes_room_among_its_own_connections():
    async with served(App(), OpenConnections(most_of_client=1)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        other_reader, other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        other.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await other_reader.readuntil(b"\r\n\r\n0")
        assert await answered(port) == b"HTTP/1.1 200"
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        other.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await other_reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_long_body_is_the_apps_business():
    app = App()
    async with connected(app) as (reader, writer):
        size = 10 * protocol.MOST_HEAD_BYTES
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert app.received == size


def in_pieces(size: int, pieces: int) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + (b"%x\r\n" % size + bytes(size) + b"\r\n") * pieces + b"0\r\n\r\n"


async def test_a_body_in_crumbs_is_refused_after_some_of_them():
    app = App()
    async with connected(app) as (reader, writer):
        writer.write(in_pieces(1, 2 * protocol.MOST_SMALL_PIECES))
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["detail"].startswith("The body came in too many small pieces.")
    assert app.received <= protocol.MOST_SMALL_PIECES * 1.1


async def test_a_body_in_crumbs_does_not_go_on_for_ever():
    async with connected(App()) as (reader, writer):
        writer.write(in_pieces(1, 1))
        await reader.readuntil(b"\r\n\r\n1")
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert await sent_until_closed(reader, writer, b"1\r\nx\r\n" * 1000) < 10_000_000


@pytest.mark.parametrize(
    ("size", "pieces"), [(1, protocol.MOST_SMALL_PIECES), (protocol.LEAST_PIECE_BYTES, 20_000), (4096, 5000)]
)
async def test_a_body_in_some_small_pieces_or_in_many_usual_ones_is_taken(size: int, pieces: int):
    app = App()
    async with connected(app) as (reader, writer):
        writer.write(in_pieces(size, pieces))
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert app.received == size * pieces


async def test_pieces_are_counted_for_each_body_anew():
    async with connected(App()) as (reader, writer):
        for _ in range(3):
            writer.write(in_pieces(1, protocol.MOST_SMALL_PIECES))
            async with asyncio.timeout(PATIENCE):
                assert (await reader.readuntil(b"\r\n\r\n%d" % protocol.MOST_SMALL_PIECES)).startswith(b"HTTP/1.1 200")


async def test_a_head_that_does_not_end_is_refused_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    for begin in (b"", b"GET / HTTP/1.1\r\nHos"):
        async with connected(App()) as (reader, writer):
            writer.write(begin)
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read()).startswith(b"HTTP/1.1 408")


async def test_a_slow_body_is_not_taken_for_a_slow_head(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with connected(App()) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx")
        await asyncio.sleep(0.15)
        writer.write(b"x")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_trailers_do_not_become_headers():
    app = App()
    async with connected(app) as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
    assert [name for name, _ in app.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


async def test_requests_follow_each_other_on_one_connection():
    app = App()
    async with connected(app) as (reader, writer):
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\nContent-Length: 1\r\n\r\nx")
            await reader.readuntil(b"\r\n\r\n1")
    assert [len(scope["headers"]) for scope in app.scopes] == [3, 3, 3]


async def test_requests_that_wait_for_their_turn_are_answered_in_their_order():
    async with connected(App()) as (reader, writer):
        for length in range(protocol.MOST_WAITING):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + bytes(length))
        for length in range(protocol.MOST_WAITING):
            await reader.readuntil(b"\r\n\r\n%d" % length)


async def test_a_client_that_never_waits_for_an_answer_is_cut_off():
    app = App()
    app.answer.clear()
    async with connected(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (protocol.MOST_WAITING + 2))
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        app.answer.set()
    assert len(app.scopes) == 1


@pytest.mark.parametrize("begun", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_goes_on_after_its_answer_is_cut_off_in_time(begun: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "REST_SECONDS", 0.05)
    async with connected(Deaf()) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + begun + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""


async def test_a_connection_goes_on_when_the_rest_of_a_body_comes_after_its_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "REST_SECONDS", 0.05)
    async with connected(Deaf()) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x")
        await asyncio.sleep(0.15)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nno chunk\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200, 431),
    ],
)
async def test_what_is_no_request_is_answered_with_a_problem_like_any_other(
    sent: bytes, status: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "MOST_HEAD_BYTES", 100)
    async with connected(App()) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    problem = json.loads(body)
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    assert headers["content-length"] == str(len(body))
    assert (problem["status"], problem["correlationId"]) == (status, headers["x-correlation-id"])


async def test_a_request_hears_that_its_client_left_while_others_wait_behind_it():
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(
            {"type": "http.response.start", "status": 200, "headers": []}
        )  # it takes nothing, and raises nothing
        await send({"type": "http.response.body", "body": bytes(100_000)})
        left.set()

    async with served(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        await asyncio.sleep(0.1)
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await left.wait()


async def test_nothing_is_written_to_a_connection_that_broke_off():
    wire, connection = held_together()
    wire.closed = True
    connection.write(b"x" * 100_000)  # where uvloop would raise
    assert wire.calls == []


async def test_nonsense_after_a_request_is_not_taken_for_the_answer_to_it():
    app = App()
    app.answer.clear()
    async with connected(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        app.answer.set()


class Wire(asyncio.Transport):
    """Notes what is written to it, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed


def held_together() -> tuple[Wire, asyncio.Transport]:
    wire = Wire()
    return wire, protocol._HeadsWithBodies(wire, asyncio.get_running_loop())


async def test_the_head_of_an_answer_goes_out_with_the_beginning_of_its_body():
    wire, connection = held_together()
    for part in (b"head", b"x" * 100_000, b"y" * 100_000, b""):
        connection.write(part)
    assert wire.calls == [b"head" + b"x" * 100_000, b"y" * 100_000]


async def test_a_head_whose_body_is_not_there_yet_does_not_wait_for_it():
    wire, connection = held_together()
    connection.write(b"head")
    assert wire.calls == []
    await asyncio.sleep(0)
    assert wire.calls == [b"head"]
    connection.write(b"body")
    await asyncio.sleep(0)
    assert wire.calls == [b"head", b"body"]


async def test_an_answer_without_a_body_goes_out_before_the_connection_is_closed():
    wire, connection = held_together()
    connection.write(b"head")
    connection.close()
    await asyncio.sleep(0)
    assert (wire.calls, wire.closed) == ([b"head"], True)


async def test_nothing_more_goes_out_over_a_connection_that_is_cut():
    wire, connection = held_together()
    connection.write(b"head")
    connection.abort()
    await asyncio.sleep(0)
    assert (wire.calls, wire.closed) == ([], True)


async def test_a_connection_that_broke_off_before_the_end_of_the_turn_is_left_alone():
    wire, connection = held_together()
    connection.write(b"head")
    wire.closed = True  # by the other side: the protocol has not been told yet
    await asyncio.sleep(0)
    assert wire.calls == []


@given(st.lists(st.binary(max_size=20) | st.just(b"x" * (protocol.MOST_HELD_BYTES + 1)) | st.none()))
async def test_whatever_is_written_goes_out_in_its_order_and_but_for_one_small_write_at_once(parts: list[bytes | None]):
    wire, connection = held_together()
    written = b""
    for part in parts:
        if part is None:
            await asyncio.sleep(0)
            assert b"".join(wire.calls) == written
        else:
            connection.write(part)
            written += part
            gone = b"".join(wire.calls)
            assert written.startswith(gone)
            assert len(written) - len(gone) <= protocol.MOST_HELD_BYTES
    connection.close()
    assert b"".join(wire.calls) == written
