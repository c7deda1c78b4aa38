"""A link forwards, and spoils only what it was told to."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.links import Address, Connection, Link
from tests.waiting import until

SILENCE_SECONDS = 0.2  # long enough for bytes to arrive that should not


class Echo:
    """Answers every line with the same line after its own name."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.heard = b""
        self.ended = 0
        self.address: Address = ("", 0)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.heard += line
                writer.write(self.name + b":" + line)
        self.ended += 1
        writer.close()


@asynccontextmanager
async def _listening(echo: Echo) -> AsyncIterator[Echo]:
    server = await asyncio.start_server(echo.answer, "127.0.0.1", 0)
    echo.address = server.sockets[0].getsockname()[:2]
    try:
        yield echo
    finally:
        server.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with _listening(Echo("a")) as running:
        yield running


@pytest.fixture
async def link(echo: Echo) -> AsyncIterator[Link]:
    async with Link("test", lambda: [echo.address], random.Random(1)) as running:  # noqa: S311 - not a secret
        yield running


class Client:
    """Speaks through a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, link: Link) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", link.port))

    async def ask(self, line: bytes) -> bytes:
        self.writer.write(line + b"\n")
        return (await self.reader.readline()).strip()

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


async def test_what_is_asked_is_answered(link: Link) -> None:
    assert await (await Client.of(link)).ask(b"hello") == b"a:hello"


async def test_the_end_of_a_client_reaches_the_server(link: Link, echo: Echo) -> None:
    client = await Client.of(link)
    await client.ask(b"hello")
    client.writer.close()
    await until(lambda: echo.ended == 1)
    await until(lambda: not link.connections)


async def test_connections_go_to_the_targets_in_turn_past_those_that_refuse() -> None:
    async with _listening(Echo("a")) as a, _listening(Echo("b")) as b:
        gone = ("127.0.0.1", 1)
        async with Link("test", lambda: [a.address, gone, b.address], random.Random(1)) as link:  # noqa: S311
            answers = [await (await Client.of(link)).ask(b"") for _ in range(6)]
    assert set(answers) == {b"a:", b"b:"}


async def test_a_cut_link_resets_what_there_is_and_what_comes(link: Link) -> None:
    old = await Client.of(link)
    await old.ask(b"hello")
    link.cut()
    new = await Client.of(link)
    for client in (old, new):
        with contextlib.suppress(ConnectionResetError):
            assert await client.ask(b"again") == b""
    link.heal()
    assert await (await Client.of(link)).ask(b"hello") == b"a:hello"


async def test_a_silent_link_delivers_after_it_was_healed(link: Link, echo: Echo) -> None:
    client = await Client.of(link)
    await client.ask(b"hello")
    link.silence()
    client.writer.write(b"again\n")
    assert await client.is_silent()
    assert echo.heard == b"hello\n"
    link.heal()
    assert await client.reader.readline() == b"a:again\n"


async def test_a_slow_link_keeps_bytes_in_their_order(link: Link) -> None:
    link.delay(0.0, 0.02)
    client = await Client.of(link)
    for n in range(20):
        assert await client.ask(str(n).encode()) == f"a:{n}".encode()


async def test_a_throttled_link_delivers_all(link: Link) -> None:
    link.throttle(1_000_000)
    assert await (await Client.of(link)).ask(b"x" * 20_000) == b"a:" + b"x" * 20_000


async def test_a_half_open_connection_is_silent_and_a_new_one_is_whole(link: Link, echo: Echo) -> None:
    client = await Client.of(link)
    await client.ask(b"hello")
    link.half_open()
    await until(lambda: echo.ended == 1)
    client.writer.write(b"again\n")
    assert await client.is_silent()
    assert echo.heard == b"hello\n"
    assert await (await Client.of(link)).ask(b"hello") == b"a:hello"
    client.writer.close()
    await until(lambda: len(link.connections) <= 1)


async def test_an_answer_is_lost_although_the_request_arrived(link: Link, echo: Echo) -> None:
    link.watch(b"COMMIT", act=Connection.lose_answers)
    client = await Client.of(link)
    assert await client.ask(b"BEGIN") == b"a:BEGIN"
    client.writer.write(b"COMMIT\n")
    assert await client.is_silent()
    assert echo.heard == b"BEGIN\nCOMMIT\n"


async def test_what_is_watched_for_before_it_is_forwarded_never_arrives(link: Link, echo: Echo) -> None:
    watch = link.watch(b"COMMIT", act=Connection.cut, before=True)
    client = await Client.of(link)
    await client.ask(b"BEGIN")
    client.writer.write(b"COMMIT\n")
    async with asyncio.timeout(5):
        await watch.seen.wait()
    assert await client.reader.read() == b""
    await until(lambda: echo.ended == 1)
    assert echo.heard == b"BEGIN\n"


async def test_patterns_count_in_their_order_on_one_connection_alone(link: Link) -> None:
    watch = link.watch(b"INSERT", b"COMMIT", act=lambda _: None)
    first, second = await Client.of(link), await Client.of(link)
    await first.ask(b"COMMIT INSERT")
    await second.ask(b"COMMIT")
    assert not watch.seen.is_set()
    await first.ask(b"COMMIT")
    assert watch.seen.is_set()


async def test_a_pattern_in_two_pieces_is_seen(link: Link) -> None:
    watch = link.watch(b"COMMIT", act=lambda _: None)
    client = await Client.of(link)
    client.writer.write(b"COM")
    await asyncio.sleep(0.05)
    await client.ask(b"MIT")
    assert watch.seen.is_set()


async def test_a_watch_acts_once(link: Link) -> None:
    acted: list[Connection] = []
    link.watch(b"COMMIT", act=acted.append)
    client = await Client.of(link)
    await client.ask(b"COMMIT")
    await client.ask(b"COMMIT")
    assert len(acted) == 1


async def test_a_client_that_leaves_while_its_bytes_are_held_back_ends_the_connection(link: Link, echo: Echo) -> None:
    watch = link.watch(b"COMMIT", act=lambda _: None, before=True)
    client = await Client.of(link)
    client.writer.write(b"COMMIT\n")
    async with asyncio.timeout(5):
        await watch.seen.wait()
    client.writer.close()
    await until(lambda: echo.ended == 1)
    assert echo.heard == b""


async def test_a_server_may_not_be_told_that_a_client_has_left(link: Link, echo: Echo) -> None:
    watch = link.watch(b"COMMIT", act=Connection.keep_server, before=True)
    client = await Client.of(link)
    client.writer.write(b"COMMIT\n")
    async with asyncio.timeout(5):
        await watch.seen.wait()
    client.writer.close()
    await asyncio.sleep(SILENCE_SECONDS)
    assert echo.ended == 0
