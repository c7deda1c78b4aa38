"""A remote document is fetched seldom, whole, and kept when its server is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from services.chassis import documents
from services.chassis.documents import CachedDocument, DocumentUnavailableError


@dataclass
class Server:
    """Answers every request with ``body``, in two pieces, and counts the requests."""

    body: bytes
    cache_control: str = "max-age=60"
    status: int = 200
    requests: int = 0
    pause: asyncio.Event = field(default_factory=asyncio.Event)
    now: float = 1000.0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        head = f"HTTP/1.1 {self.status} X\r\nConnection: close\r\nCache-Control: {self.cache_control}\r\n"
        half = len(self.body) // 2
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body[:half])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(self.body[half:])
        writer.close()


@asynccontextmanager
async def cached(server: Server) -> AsyncIterator[CachedDocument]:
    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as http:
            yield CachedDocument(f"http://127.0.0.1:{port}/", http, clock=lambda: server.now)
    finally:
        listener.close()


async def test_a_document_that_arrives_in_pieces_is_kept_whole():
    server = Server(b'{"keys": "' + b"x" * 100_000 + b'"}')
    async with cached(server) as document:
        assert await document.get() == server.body


async def test_a_document_is_fetched_again_when_its_age_is_over():
    server = Server(b'{"first": 1}')
    async with cached(server) as document:
        await document.get()
        server.body = b'{"second": 2}'
        server.now += 59
        assert await document.get() == b'{"first": 1}'
        server.now += 2
        assert await document.get() == b'{"second": 2}'
    assert server.requests == 2


async def test_many_who_ask_at_once_cause_one_fetch():
    server = Server(b"{}")
    async with cached(server) as document:
        await asyncio.gather(*(document.get() for _ in range(20)))
    assert server.requests == 1


async def test_an_old_document_is_better_than_none():
    server = Server(b'{"first": 1}')
    async with cached(server) as document:
        await document.get()
        server.now += 61
        for server.status, server.body in ((500, b"{}"), (200, b"no json"), (200, b"[]")):
            assert await document.get() == b'{"first": 1}'


async def test_without_any_copy_it_says_so():
    async with cached(Server(b"{}", status=500)) as document:
        with pytest.raises(DocumentUnavailableError):
            await document.get()


async def test_a_document_that_never_ends_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents, "LARGEST_BYTES", 1000)
    async with cached(Server(b'{"x": "' + b"x" * 1000 + b'"}')) as document:
        with pytest.raises(DocumentUnavailableError):
            await document.get()


async def test_unknown_key_ids_cannot_make_it_fetch_all_the_time():
    server = Server(b"{}")
    async with cached(server) as document:
        await document.get()
        for _ in range(5):
            await document.refetch()
        assert server.requests == 1
        server.now += documents.LEAST_REFETCH_SECONDS
        await document.refetch()
    assert server.requests == 2
