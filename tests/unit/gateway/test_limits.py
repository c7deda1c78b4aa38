"""A body is counted and timed while it streams through; a refused one looks cut off inside."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from gateway import limits
from gateway.limits import SMALL_REST_BYTES, BodyLimits, Limited, declared_length
from tests.unit.gateway.wire import ask, chunked_post, connected, get, post, served

PATIENT = BodyLimits(most_bytes=1000, idle_seconds=10, whole_seconds=10)


class Reader:
    """An app that reads its body to the end and answers with its length; it notes how the body ended."""

    def __init__(self) -> None:
        self.body = b""
        self.ended: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ended = "cut off"
                await answer(send, 400, b"what it says about a body that was cut off")
                return
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        self.ended = "complete"
        await answer(send, 200, str(len(self.body)).encode())


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def test_a_body_within_the_limit_arrives_whole():
    app = Reader()
    async with served(Limited(app, PATIENT)) as port:
        reply = await ask(port, post("/", b"x" * 1000))
    assert (reply.status, reply.body, app.ended) == (200, b"1000", "complete")


async def test_a_declared_length_beyond_the_limit_is_refused_before_a_byte_is_read():
    app = Reader()
    async with served(Limited(app, PATIENT)) as port, connected(port) as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
        reply = await connection.answer()
    assert reply.status == 413
    assert json.loads(reply.body)["detail"] == "The request is too large: at most 1000 bytes are accepted."
    assert app.ended is None


async def test_a_body_without_a_length_is_refused_when_the_count_passes_the_limit():
    app = Reader()
    async with served(Limited(app, PATIENT)) as port:
        reply = await ask(port, chunked_post("/", b"x" * 600, b"x" * 600, end=False))
    assert (reply.status, reply.header("connection")) == (413, "close")
    assert app.ended == "cut off"


@pytest.mark.usefixtures("short_linger")
async def test_a_client_that_sends_nothing_more_is_refused_as_too_slow():
    app = Reader()
    limits = BodyLimits(most_bytes=1000, idle_seconds=0.05, whole_seconds=10)
    async with served(Limited(app, limits)) as port, connected(port) as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        reply = await connection.answer()
        assert await connection.closed()
    assert (reply.status, app.ended) == (408, "cut off")


@pytest.mark.usefixtures("short_linger")
async def test_a_client_that_sends_a_byte_now_and_then_is_refused_when_the_whole_takes_too_long():
    app = Reader()
    limits = BodyLimits(most_bytes=1000, idle_seconds=10, whole_seconds=0.05)
    sent_bytes = 0

    async def receive() -> Message:
        nonlocal sent_bytes
        await asyncio.sleep(0.01)
        sent_bytes += 1
        return {"type": "http.request", "body": b"x", "more_body": sent_bytes < 100}

    sent = await collected(Limited(app, limits), receive, [(b"transfer-encoding", b"chunked")])
    assert sent[0]["status"] == 408
    assert app.ended == "cut off"
    assert len(app.body) < 100


async def test_waiting_for_the_client_to_leave_after_the_body_is_not_timed():
    limits = BodyLimits(most_bytes=1000, idle_seconds=0.01, whole_seconds=0.01)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"all"
        assert (await receive())["type"] == "http.disconnect"
        await answer(send, 200, b"")

    messages = [{"type": "http.request", "body": b"all"}]

    async def receive() -> Message:
        if messages:
            return messages.pop()

        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    sent = await collected(Limited(app, limits), receive, [(b"content-length", b"3")])
    assert sent[0]["status"] == 200


@pytest.mark.usefixtures("short_linger")
async def test_an_answer_that_has_begun_is_not_replaced_by_a_refusal():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"as it was"})

    async with served(Limited(app, PATIENT)) as port:
        reply = await ask(port, chunked_post("/", b"x" * 2000))
    assert (reply.status, reply.body) == (200, b"as it was")


async def test_a_client_that_sends_everything_before_it_listens_still_gets_an_early_answer():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 401, b"who are you?")

    body = b"x" * 8_000_000  # more than the buffers on the way hold
    limits = BodyLimits(most_bytes=10_000_000, idle_seconds=10, whole_seconds=10)
    async with served(Limited(app, limits)) as port, connected(port) as connection:
        await connection.send(post("/", body))
        reply = await connection.answer()
        assert await connection.closed()
    assert (reply.status, reply.body, reply.header("connection")) == (401, b"who are you?", "close")


async def test_an_early_answer_to_a_small_body_keeps_the_connection():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 401, b"who are you?")

    limits = BodyLimits(most_bytes=10_000_000, idle_seconds=10, whole_seconds=10)
    async with served(Limited(app, limits)) as port, connected(port) as connection:
        for _ in range(2):
            await connection.send(post("/", b"x" * SMALL_REST_BYTES))
            assert (await connection.answer()).status == 401


async def test_a_request_without_a_body_passes_untouched():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"fine")

    async with served(Limited(app, BodyLimits(0, 0, 0))) as port:
        assert (await ask(port, get("/"))).body == b"fine"


def test_a_transfer_encoding_wins_over_a_content_length():
    assert declared_length([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]) is None
    assert declared_length([(b"transfer-encoding", b"chunked"), (b"content-length", b"5")]) is None
    assert declared_length([(b"content-length", b"5")]) == 5
    assert declared_length([(b"host", b"x")]) == 0


async def test_a_body_in_crumbs_reaches_the_service_in_few_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "GATHER_SECONDS", 0.05)
    arrived, passed_on, crumbs = bytearray(), 0, 500
    over = False

    async def client() -> None:
        nonlocal over
        for _ in range(crumbs):
            arrived.append(0)
            await asyncio.sleep(0.001)
        over = True

    async def receive() -> Message:
        while not arrived and not over:
            await asyncio.sleep(0)
        body = bytes(arrived)
        arrived.clear()
        return {"type": "http.request", "body": body, "more_body": not over}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal passed_on
        more = True
        while more:
            message = await receive()
            passed_on += 1
            more = message["more_body"]
        await answer(send, 200, b"")

    sending = asyncio.create_task(client())
    sent = await collected(Limited(app, PATIENT), receive, [(b"transfer-encoding", b"chunked")])
    await sending
    assert sent[0]["status"] == 200
    assert passed_on < limits.MOST_SMALL_PIECES + crumbs / 10


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(0, 100))
async def test_a_body_arrives_whole_or_is_refused_however_it_is_cut_into_chunks(chunks: list[bytes], limit: int):
    app = Reader()
    messages = [{"type": "http.request", "body": c, "more_body": n + 1 < len(chunks)} for n, c in enumerate(chunks)]

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    sent = await collected(Limited(app, BodyLimits(limit, 10, 10)), receive, [(b"transfer-encoding", b"chunked")])
    whole = b"".join(chunks)
    if len(whole) <= limit:
        assert (app.ended, app.body, sent[0]["status"]) == ("complete", whole, 200)
    else:
        assert (app.ended, sent[0]["status"]) == ("cut off", 413)
        assert len(app.body) <= limit
    assert sent[-1].get("more_body", False) is False


async def collected(app: Limited, receive: Receive, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)
    return sent
