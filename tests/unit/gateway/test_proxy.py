"""The proxy, byte by byte: what reaches the service, what reaches the client, and how each failure ends."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from gateway.limits import BodyLimits, Limited
from gateway.proxy import Patience, Upstream, connections
from services.chassis.serving import bind
from tests.unit.gateway.wire import (
    PATIENCE,
    Connection,
    ask,
    chunked_post,
    connected,
    get,
    post,
    raw_server,
    served,
)

LIMITS = BodyLimits(most_bytes=50_000_000, idle_seconds=10, whole_seconds=10)
IMPATIENT = Patience(connect=0.3, answer=0.2)


@asynccontextmanager
async def proxied(port: int, patience: Patience | None = None, limits: BodyLimits = LIMITS) -> AsyncIterator[int]:
    """The port of a server that proxies to ``port``."""
    async with connections() as http:
        app = Limited(Upstream("behind", f"http://127.0.0.1:{port}", http, patience), limits)
        async with served(app) as front:
            yield front


class Service:
    """A service that notes the bytes it gets, and answers each request with ``answer`` once it has ``expected``."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", until: bytes = b"") -> None:
        self.answer = answer
        self.until = until
        self.heard = b""
        self.connections = 0
        self.ended = asyncio.Event()
        self._news = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard += head
            self._news.set()
            while self.until and not self.heard.endswith(self.until):
                data = await reader.read(65536)
                if not data:
                    return
                self.heard += data
                self._news.set()
            writer.write(self.answer)
            await writer.drain()
        finally:
            self.ended.set()

    async def hears(self, part: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            while part not in self.heard:
                self._news.clear()
                await self._news.wait()

    async def end(self) -> bytes:
        """What it has heard when its connection has ended."""
        async with asyncio.timeout(PATIENCE):
            await self.ended.wait()
        return self.heard

    def headers(self) -> list[str]:
        return [line.lower() for line in self.heard.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]]


async def test_a_request_and_its_answer_pass_through():
    service = Service(b"HTTP/1.1 201 Created\r\nContent-Type: text/x\r\nX-More: 1\r\nContent-Length: 5\r\n\r\nhello")
    async with raw_server(service) as port, proxied(port) as front:
        answer = await ask(front, get("/a/b%20c?q=1&r=%C3%A9", "Authorization: Bearer abc", "Accept: text/*"))
    assert service.heard.startswith(b"GET /a/b%20c?q=1&r=%C3%A9 HTTP/1.1\r\n")
    assert sorted(service.headers()) == ["accept: text/*", "authorization: bearer abc", f"host: 127.0.0.1:{port}"]
    assert (answer.status, answer.body, answer.header("content-type")) == (201, b"hello", "text/x")
    assert answer.header("x-more") == "1"


async def test_hop_by_hop_headers_stay_on_their_hop_in_both_directions():
    hops = ["Keep-Alive: 5", "TE: trailers", "Upgrade: h2c", "Proxy-Authorization: x", "Proxy-Connection: x"]
    service = Service(
        b"HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: 5\r\nServer: s\r\n"
        b"Proxy-Authenticate: x\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    async with raw_server(service) as port, proxied(port) as front:
        answer = await ask(front, get("/", "Connection: X-Mine, close", "X-Mine: 1", *hops))
    assert service.headers() == [f"host: 127.0.0.1:{port}"]
    assert [name for name, _ in answer.headers if name not in ("date", "content-length", "connection")] == []
    dates = [value for name, value in answer.headers if name == "date"]
    assert all("1970" not in date for date in dates)


async def test_a_body_with_a_length_is_forwarded_with_that_length():
    service = Service(until=b"whole")
    async with raw_server(service) as port, proxied(port) as front:
        assert (await ask(front, post("/", b"the whole"))).status == 200
    assert "content-length: 9" in service.headers()
    assert "transfer-encoding: chunked" not in service.headers()
    assert service.heard.endswith(b"\r\n\r\nthe whole")


async def test_a_length_stays_when_the_client_calls_it_hop_by_hop():
    service = Service(until=b"whole")
    async with raw_server(service) as port, proxied(port) as front:
        await ask(front, post("/", b"whole", "Connection: close, Content-Length"))
    assert "content-length: 5" in service.headers()


async def test_a_client_cannot_have_the_gateway_drop_the_token_that_it_has_checked():
    service = Service()
    async with raw_server(service) as port, proxied(port) as front:
        await ask(front, get("/", "Authorization: Bearer x", "Connection: close, Authorization, traceparent"))
    assert "authorization: bearer x" in service.headers()


async def test_a_body_without_a_length_is_forwarded_in_chunks():
    service = Service(until=b"0\r\n\r\n")
    async with raw_server(service) as port, proxied(port) as front:
        assert (await ask(front, chunked_post("/", b"abc", b"de"))).status == 200
    assert "transfer-encoding: chunked" in service.headers()
    body = service.heard.partition(b"\r\n\r\n")[2]
    assert body in (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n")


async def test_a_post_without_a_body_says_so():
    service = Service()
    async with raw_server(service) as port, proxied(port) as front:
        assert (await ask(front, post("/"))).status == 200
    assert "content-length: 0" in service.headers()


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(chunked_post("/", b"half of it", end=False), id="chunked"),
        pytest.param(post("/", b"half of it").replace(b"Length: 10", b"Length: 20"), id="with a length"),
    ],
)
async def test_a_body_that_its_client_abandons_never_looks_complete(begun: bytes):
    service = Service(until=b"never")
    async with raw_server(service) as port, proxied(port) as front:
        async with connected(front) as connection:
            await connection.send(begun)
            await service.hears(b"half of it")
        heard = await service.end()
    assert b"half of it" in heard
    assert not heard.endswith(b"0\r\n\r\n")
    assert service.connections == 1


@pytest.mark.usefixtures("short_linger")
async def test_a_body_that_passes_the_limit_never_looks_complete():
    service = Service(until=b"never")
    async with raw_server(service) as port, proxied(port, limits=BodyLimits(100, 10, 10)) as front:
        async with connected(front) as connection:
            await connection.send(chunked_post("/", b"first", end=False))
            await service.hears(b"first")
            await connection.send(b"60\r\n" + b"x" * 0x60 + b"\r\n0\r\n\r\n")
            answer = await connection.answer()
        heard = await service.end()
    assert answer.status == 413
    assert not heard.endswith(b"0\r\n\r\n")


async def test_an_abandoned_body_looks_abandoned_to_an_asgi_service():
    begun = asyncio.Event()
    ended = asyncio.get_running_loop().create_future()

    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        ended.set_result(message["type"])

    async with served(service) as port, proxied(port) as front:
        async with connected(front) as connection:
            await connection.send(chunked_post("/", b"half of it", end=False))
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
        async with asyncio.timeout(PATIENCE):
            assert await ended == "http.disconnect"


async def test_an_answer_in_the_middle_of_an_upload_is_relayed_at_once():
    service = Service(b"HTTP/1.1 422 No\r\nContent-Length: 9\r\n\r\nno photos")  # it never reads the body
    async with raw_server(service) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nonly a little")
        answer = await connection.answer()
    assert (answer.status, answer.body, answer.header("connection")) == (422, b"no photos", "close")


async def test_a_client_that_sends_a_large_upload_gets_the_early_answer_of_a_service():
    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"no photos"})

    async with served(service) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(post("/", b"x" * 8_000_000))
        answer = await connection.answer()
    assert (answer.status, answer.body) == (422, b"no photos")


async def test_a_service_that_refuses_connections_is_unavailable():
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    sock.close()
    async with proxied(port) as front:
        answer = await ask(front, get("/"))
        upload = await ask(front, post("/", b"x" * 100))
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    assert json.loads(answer.body)["detail"] == (
        "The service is briefly unavailable. Please try again in a few seconds."
    )
    assert upload.status == 503


async def test_a_service_that_accepts_no_connection_in_time_is_unavailable():
    listener = bind("127.0.0.1", 0)
    address = listener.getsockname()
    listener.listen(0)
    queued = [socket.socket() for _ in range(3)]
    try:
        for sock in queued:  # fill the queue, so that further connections are not accepted
            sock.setblocking(False)
            sock.connect_ex(address)
        async with proxied(address[1], Patience(connect=0.2)) as front:
            assert (await ask(front, get("/"))).status == 503
    finally:
        for sock in (*queued, listener):
            sock.close()


async def test_a_service_that_does_not_answer_in_time_has_failed():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000_000)
        await asyncio.sleep(PATIENCE)

    async with raw_server(silent) as port, proxied(port, IMPATIENT) as front:
        assert (await ask(front, get("/"))).status == 504
        assert (await ask(front, post("/", b"x" * 100))).status == 504


@pytest.mark.usefixtures("short_linger")
async def test_a_service_that_stops_reading_has_failed():
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()
        await asyncio.sleep(PATIENCE)

    async with raw_server(deaf) as port, proxied(port, IMPATIENT) as front, connected(front) as connection:
        connection.writer.write(post("/", b"x" * 20_000_000))
        assert (await connection.answer()).status == 504


async def test_the_time_that_a_client_takes_is_not_charged_to_the_service():
    service = Service(until=b"second")
    async with raw_server(service) as port, proxied(port, IMPATIENT) as front, connected(front) as connection:
        await connection.send(post("/", b"firstsecond")[:-6])
        await asyncio.sleep(2 * IMPATIENT.answer)
        await connection.send(b"second")
        assert (await connection.answer()).status == 200


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_service_that_speaks_no_proper_http_has_failed(answer: bytes):
    service = Service(answer, until=b"x" * 10)
    async with raw_server(service) as port, proxied(port) as front:
        assert (await ask(front, post("/", b"x" * 10))).status == 502


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(answer: bytes):
    async with raw_server(Service(answer)) as port, proxied(port) as front:
        reply = await ask(front, get("/"))
    assert (reply.status, reply.complete) == (200, False)


class Later:
    """The loop's clock, which can be put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.seconds, time = 0.0, loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + self.seconds)


async def test_an_answer_that_stalls_breaks_off_for_the_client(monkeypatch: pytest.MonkeyPatch):
    later = Later(monkeypatch)

    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read()

    async with raw_server(stalling) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(get("/"))
        assert (await connection.head()).status == 200
        assert await connection.reader.readexactly(4) == b"half"
        later.seconds += Patience().answer
        assert await connection.closed()


async def test_an_answer_may_take_as_long_as_its_bytes_flow(monkeypatch: pytest.MonkeyPatch):
    more, later = asyncio.Event(), Later(monkeypatch)

    async def dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            await more.wait()
            more.clear()
            writer.write(b"x")

    async with raw_server(dribbling) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(get("/"))
        await connection.head()
        for _ in range(100):  # half an hour in all
            later.seconds += 0.6 * Patience().answer
            more.set()
            assert await connection.reader.readexactly(1) == b"x"


class Restarting:
    """A service that answers one request per connection and then closes it as if it had been idle for too long."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # a further request on the same connection: closed without an answer


async def test_a_get_whose_idle_connection_was_closed_is_sent_again():
    service = Restarting()
    async with raw_server(service) as port, proxied(port) as front:
        assert (await ask(front, get("/first"))).status == 200
        assert (await ask(front, get("/second"))).status == 200
    assert [request.split()[1] for request in service.requests] == [b"/first", b"/second"]


async def test_a_post_is_never_sent_again():
    service = Restarting()
    async with raw_server(service) as port, proxied(port) as front:
        assert (await ask(front, get("/first"))).status == 200
        assert (await ask(front, post("/second", b"x"))).status == 502
    assert [request.split()[1] for request in service.requests] == [b"/first"]


async def test_an_answer_is_relayed_while_it_is_still_being_written():
    go_on = asyncio.Event()

    async def dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        async with asyncio.timeout(PATIENCE):
            await go_on.wait()
        writer.write(b"other")

    async with raw_server(dribbling) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(get("/"))
        await connection.head()
        assert await connection.reader.readexactly(5) == b"first"
        go_on.set()
        assert await connection.reader.readexactly(5) == b"other"


class Endless:
    """A service whose answer goes on until it is told to end."""

    goes_on = True
    written = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        while self.goes_on:
            writer.write(chunk)
            await writer.drain()
            self.written += 0x10000
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def is_held_back_by(self, connection: Connection) -> None:
        """Let the client read no more, until it all stands still."""
        connection.reader._transport.pause_reading()
        before = -1
        while before < self.written:
            before = self.written
            await asyncio.sleep(0.1)


async def test_a_client_that_does_not_read_holds_the_service_back():
    service = Endless()
    async with raw_server(service) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(get("/"))
        await connection.head()
        await service.is_held_back_by(connection)
        assert service.written < 32_000_000  # the kernel's buffers on both hops, and ours


async def test_the_time_that_a_client_takes_to_read_is_not_charged_to_the_service(monkeypatch: pytest.MonkeyPatch):
    service, later = Endless(), Later(monkeypatch)
    async with raw_server(service) as port, proxied(port) as front, connected(front) as connection:
        await connection.send(get("/"))
        await connection.head()
        await service.is_held_back_by(connection)
        later.seconds += 2 * Patience().answer
        await asyncio.sleep(0.05)  # for whoever has waited long enough now
        service.goes_on = False
        connection.reader._transport.resume_reading()
        while size := int(await connection.reader.readuntil(b"\r\n"), 16):
            await connection.reader.readexactly(size + 2)


async def test_an_answer_is_not_fetched_further_for_a_client_that_left():
    ended = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()
        finally:
            ended.set()

    async with raw_server(endless) as port, proxied(port) as front:
        async with connected(front) as connection:
            await connection.send(get("/"))
            await connection.head()
        async with asyncio.timeout(PATIENCE):
            await ended.wait()


async def test_a_client_that_leaves_does_not_disturb_the_next_one():
    service = Service(until=b"never")
    async with raw_server(service) as port, proxied(port) as front:
        async with connected(front) as connection:
            await connection.send(chunked_post("/", b"half", end=False))
        await service.end()
        service.until = b""
        assert (await ask(front, get("/"))).status == 200


async def test_a_compressed_answer_stays_compressed():
    packed = gzip.compress(b"x" * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with raw_server(Service(head + packed)) as port, proxied(port) as front:
        answer = await ask(front, get("/", "Accept-Encoding: gzip"))
    assert (answer.body, answer.header("content-encoding")) == (packed, "gzip")


async def test_redirects_and_cookies_are_the_clients_business():
    service = Service(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with raw_server(service) as port, proxied(port) as front:
        answer = await ask(front, get("/"))
        await ask(front, get("/"))
    assert (answer.status, answer.header("location")) == (307, "http://127.0.0.1:1/")
    assert "cookie: a=b" not in service.headers()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_has_none(status: bytes):
    async with raw_server(Service(b"HTTP/1.1 " + status + b"\r\n\r\n")) as port, proxied(port) as front:
        answer = await ask(front, get("/"))
    assert (answer.status, answer.body) == (int(status[:3]), b"")


async def test_header_values_in_utf_8_arrive_as_they_were_sent():
    service = Service()
    async with raw_server(service) as port, proxied(port) as front:
        answer = await ask(front, get("/", "X-Name: Ã©"))  # as latin-1: the two bytes of an é in UTF-8
    assert answer.status == 200
    assert "x-name: é".encode() in service.heard


async def test_a_service_learns_that_the_client_has_left_before_its_answer() -> None:
    left = asyncio.Event()

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        if not await reader.read():
            left.set()

    asked = asyncio.Event()
    async with raw_server(service) as port, proxied(port) as front, asyncio.timeout(PATIENCE):
        async with connected(front) as connection:
            await connection.send(get("/photo"))
            await asked.wait()
        await left.wait()


async def test_a_service_goes_on_with_what_it_was_told_to_do_when_the_client_leaves() -> None:
    service = Service(b"")
    go_on = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        reading = asyncio.ensure_future(reader.read())
        await go_on.wait()
        await asyncio.sleep(0.1)
        assert not reading.done()
        reading.cancel()
        service.ended.set()

    asked = asyncio.Event()
    async with raw_server(slow) as port, proxied(port) as front, asyncio.timeout(PATIENCE):
        async with connected(front) as connection:
            await connection.send(get("/account").replace(b"GET", b"DELETE"))
            await asked.wait()
        go_on.set()
        await service.ended.wait()
