"""Keys of an issuer that is slow, away, wrong or flooded with made-up key ids."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from services.chassis import documents
from services.chassis.documents import (
    DEFAULT_MAX_AGE_SECONDS,
    EMPTY_RETRY_SECONDS,
    LARGEST_BYTES,
    LEAST_REFETCH_SECONDS,
    LONGEST_MAX_AGE_SECONDS,
    CachedDocument,
    DocumentUnavailableError,
)
from tests.loopback import served

PATIENCE = 5.0  # a test that waits longer has failed

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Issuer:
    """A server that answers with ``answer``, and counts."""

    def __init__(self) -> None:
        self.fetches = 0
        self.answer: Answer = self.keys("1")
        self.url = ""

    @staticmethod
    def keys(name: str, cache_control: str | None = "public, max-age=100") -> Answer:
        async def answer(_: web.Request) -> web.StreamResponse:
            headers = {} if cache_control is None else {"Cache-Control": cache_control}
            return web.json_response({"keys": name}, headers=headers)

        return answer

    @staticmethod
    def text(body: str | bytes, status: int = 200) -> Answer:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body if isinstance(body, bytes) else body.encode(), status=status)

        return answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.fetches += 1
        return await self.answer(request)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/certs", issuer.handle)
    async with served(app) as url:
        issuer.url = f"{url}/certs"
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def document(issuer: Issuer, clock: Clock) -> AsyncIterator[CachedDocument]:
    async with aiohttp.ClientSession() as http:
        yield CachedDocument(issuer.url, http, clock)


async def read(document: CachedDocument) -> str:
    return str(json.loads(await document.get())["keys"])


async def test_a_document_is_fetched_once_within_its_max_age(
    issuer: Issuer, clock: Clock, document: CachedDocument
) -> None:
    assert [await read(document) for _ in range(3)] == ["1"] * 3
    clock.time += 99
    issuer.answer = issuer.keys("2")
    assert (await read(document), issuer.fetches) == ("1", 1)
    clock.time += 1
    assert (await read(document), issuer.fetches) == ("2", 2)


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, DEFAULT_MAX_AGE_SECONDS),
        ("no-cache", DEFAULT_MAX_AGE_SECONDS),
        ("max-age=0", LEAST_REFETCH_SECONDS),
        ("public, max-age=19000, must-revalidate", 19_000),
        ("max-age=" + "9" * 400, LONGEST_MAX_AGE_SECONDS),
    ],
)
async def test_the_max_age_is_taken_within_reason(
    issuer: Issuer, clock: Clock, document: CachedDocument, cache_control: str | None, seconds: float
) -> None:
    issuer.answer = issuer.keys("1", cache_control)
    await document.get()
    clock.time += seconds - 1
    await document.get()
    assert issuer.fetches == 1
    clock.time += 1
    await document.get()
    assert issuer.fetches == 2


async def test_a_body_that_arrives_in_pieces_is_read_whole(issuer: Issuer, document: CachedDocument) -> None:
    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"keys": ', b'"in ', b'pieces"', b"}"):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    issuer.answer = in_pieces
    assert await read(document) == "in pieces"


async def test_many_readers_at_once_cause_one_fetch(issuer: Issuer, document: CachedDocument) -> None:
    assert await asyncio.gather(*(read(document) for _ in range(20))) == ["1"] * 20
    assert issuer.fetches == 1


BROKEN = {
    "an error": Issuer.text('{"keys": "x"}', 500),
    "not found": Issuer.text('{"keys": "x"}', 404),
    "no JSON": Issuer.text("<html>"),
    "no object": Issuer.text('["keys"]'),
    "no text": Issuer.text(b"\xff\xfe\x00"),
    "nested deeply": Issuer.text("[" * 100_000),
    "too large": Issuer.text('{"keys": "' + "x" * LARGEST_BYTES + '"}'),
    "nothing": Issuer.text(""),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_an_old_copy_outlives_a_failed_fetch(
    issuer: Issuer, clock: Clock, document: CachedDocument, answer: Answer
) -> None:
    await document.get()
    issuer.answer = answer
    clock.time += 100
    with capture_logs() as logs:
        assert await read(document) == "1"
    assert [line["stale"] for line in logs] == [True]
    assert await read(document) == "1"
    assert issuer.fetches == 2, "the next try waits"
    clock.time += LEAST_REFETCH_SECONDS
    issuer.answer = issuer.keys("2")
    assert await read(document) == "2"


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_without_any_copy_it_is_unavailable(issuer: Issuer, document: CachedDocument, answer: Answer) -> None:
    issuer.answer = answer
    with pytest.raises(DocumentUnavailableError):
        await document.get()
    with pytest.raises(DocumentUnavailableError):
        await document.refetch()


async def test_a_server_that_is_not_there_is_like_one_that_fails(clock: Clock, unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as http:
        document = CachedDocument(f"http://127.0.0.1:{unused_tcp_port}/certs", http, clock)
        with pytest.raises(DocumentUnavailableError):
            await document.get()


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b/"])
async def test_a_url_that_is_none_is_like_a_server_that_fails(clock: Clock, url: str) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(DocumentUnavailableError):
            await CachedDocument(url, http, clock).get()


async def test_it_is_available_soon_after_the_first_fetch_failed(
    issuer: Issuer, clock: Clock, document: CachedDocument
) -> None:
    issuer.answer = issuer.text("", 500)
    with pytest.raises(DocumentUnavailableError):
        await document.get()
    issuer.answer = issuer.keys("1")
    clock.time += EMPTY_RETRY_SECONDS
    assert await read(document) == "1"


async def test_readers_that_wait_for_a_hanging_server_do_not_wait_one_after_the_other(
    issuer: Issuer, document: CachedDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    issuer.answer = hang
    monkeypatch.setattr(documents, "FETCH_SECONDS", 0.1)
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*(document.get() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, DocumentUnavailableError) for result in results)
    assert issuer.fetches == 1


async def test_while_a_silent_server_holds_up_one_reader_the_others_have_the_old_copy(
    issuer: Issuer, clock: Clock, document: CachedDocument
) -> None:
    asked, answers = asyncio.Event(), asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        asked.set()
        await answers.wait()
        return await issuer.keys("2")(request)

    await document.get()
    issuer.answer = silent
    clock.time += 100
    async with asyncio.timeout(PATIENCE):
        held_up = asyncio.ensure_future(read(document))
        await asked.wait()
        assert [await read(document) for _ in range(3)] == ["1"] * 3
        assert not held_up.done()
        answers.set()
        assert await held_up == "2"
    assert await read(document) == "2"


async def test_a_refetch_looks_at_the_server_but_not_too_often(
    issuer: Issuer, clock: Clock, document: CachedDocument
) -> None:
    await document.get()
    issuer.answer = issuer.keys("2")
    for _ in range(50):
        await document.refetch()
    assert issuer.fetches == 1, "one was taken just now"
    clock.time += LEAST_REFETCH_SECONDS
    results = await asyncio.gather(*(document.refetch() for _ in range(50)))
    assert issuer.fetches == 2
    assert {json.loads(body)["keys"] for body in results} == {"2"}


async def test_a_reader_that_goes_away_does_not_leave_the_others_without_keys(
    issuer: Issuer, document: CachedDocument
) -> None:
    asked = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(0.05)
        return await issuer.keys("1")(request)

    issuer.answer = slow
    first = asyncio.ensure_future(document.get())
    others = [asyncio.ensure_future(read(document)) for _ in range(3)]
    await asked.wait()
    first.cancel()
    assert await asyncio.gather(*others) == ["1"] * 3
    with pytest.raises(asyncio.CancelledError):
        await first
