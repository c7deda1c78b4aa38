"""What a person would be shown of some bytes."""

from collections.abc import AsyncIterator

from services.tasks.privacy.photos import cleaned
from services.tasks.privacy.pieces import Pieces
from services.tasks.privacy.work import UnreadableError, Work


async def in_chunks(data: bytes, size: int = 100) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def built(pieces: Pieces, source: bytes, chunk: int = 100) -> bytes:
    """All of ``pieces``, without a loop: what they are read from never waits."""

    async def read() -> bytes:
        return b"".join([part async for part in pieces.of(in_chunks(source, chunk))])

    reading = read()
    try:
        reading.send(None)
    except StopIteration as done:
        data: bytes = done.value
        assert len(data) == pieces.size
        return data
    raise AssertionError("it waits for something")


def rebuilt(photo: bytes) -> bytes:
    """The photo as it is shown. Raises :class:`UnreadableError`."""
    return built(cleaned(photo, Work(len(photo)))[1], photo)


def rebuilt_if_possible(photo: bytes) -> bytes:
    """The same, or nothing when the photo is not shown."""
    try:
        return rebuilt(photo)
    except UnreadableError:
        return b""
