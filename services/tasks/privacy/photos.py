"""A photo as it may be shown, out of the photo store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from services.tasks.jobs import was_adopted
from services.tasks.photos.store import PhotoStore, PhotoStoreError, StoredPhoto
from services.tasks.pictures import HEAD_BYTES, media_type
from services.tasks.privacy import bmp, gif, heif, jpeg, plans, png, tiff, webp
from services.tasks.privacy.pieces import Pieces
from services.tasks.privacy.plans import Plan
from services.tasks.privacy.turns import Turns
from services.tasks.privacy.work import UnreadableError, Work

log = structlog.get_logger(__name__)

CLEANED_AT_ONCE = 2
CLEANED_AT_ONCE_OF_PERSON = 1
HELD_BYTES = 1024 * 1024
MOST_BYTES = 64 * 1024 * 1024  # of photos from before there was a limit; larger ones are not shown

_DRAWN_KINDS = ("report", "thumbnail")

_CLEANERS: dict[str, Callable[[bytes, Work], Pieces]] = {
    "image/jpeg": jpeg.cleaned,
    "image/png": png.cleaned,
    "image/webp": webp.cleaned,
    "image/heic": heif.cleaned,
    "image/avif": heif.cleaned,
    "image/tiff": tiff.cleaned,
    "image/gif": gif.cleaned,
    "image/bmp": bmp.cleaned,
}


@dataclass(frozen=True, slots=True)
class ShownPhoto:
    """A photo that may be shown: its size in bytes, its bytes in chunks, and its media type."""

    size: int
    chunks: AsyncIterator[bytes]
    media_type: str


def cleaned(photo: bytes, work: Work) -> tuple[str, Pieces]:
    """The media type of ``photo``, and what may be shown of it. Raises :class:`UnreadableError`."""
    kind = media_type(photo[:HEAD_BYTES])
    if kind is None:
        raise UnreadableError("no picture")
    return kind, _CLEANERS[kind](photo, work)


class ShownPhotos:
    """Reads photos of ``store`` for people.

    The first time, a photo is read to find its parts, and the plan of them is kept beside it. That takes a turn, of
    which a person has few. It ends when nobody waits for the photo any more. Later on, the photo is read while it is
    sent: a slow client holds no more than a chunk of it.
    """

    def __init__(self, store: PhotoStore, photo_bytes: int) -> None:
        self._store = store
        self._most_bytes = max(MOST_BYTES, photo_bytes)
        self._turns = Turns(CLEANED_AT_ONCE, CLEANED_AT_ONCE_OF_PERSON)
        # Threads of its own: those that all share read files, for reports too.
        self._threads = ThreadPoolExecutor(CLEANED_AT_ONCE, "cleaner")

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def open_listed(self, photo: Mapping[str, Any], person: str) -> ShownPhoto:
        """Find a photo by its row. Raises as :meth:`open` does."""
        if photo["kind"] in _DRAWN_KINDS and not was_adopted(photo["jobID"]):
            return await self.open_drawn(photo["photoID"])
        return await self.open(photo["photoID"], person)

    async def open_drawn(self, photo_id: str) -> ShownPhoto:
        """Find a picture that this system drew. It holds nothing but its pixels, so that it needs no turn."""
        stored = await self._store.open(photo_id)
        first = await anext(stored.chunks, b"")
        kind = media_type(first[:HEAD_BYTES])
        if kind is None:
            raise UnreadableError("no picture")
        return ShownPhoto(stored.size, _after(first, stored.chunks), kind)

    async def open(self, photo_id: str, person: str) -> ShownPhoto:
        """Find a photo of ``person``. Raises :class:`UnreadableError`.

        Raises what the store raises too, also while iterating.
        """
        stored = await self._store.open(photo_id)
        plan = _kept_plan(stored)
        if plan is None:
            async with self._turns.turn(person):
                stored = await self._store.open(photo_id)
                plan = _kept_plan(stored)  # another request for the same photo may have had its turn before
                if plan is None:
                    photo, plan = await self._plan(photo_id, stored)
                    if len(photo) <= HELD_BYTES:
                        return _shown(plan, _once(photo))
                    stored = await self._store.open(photo_id)
        return _shown(plan, stored.chunks)

    async def _plan(self, photo_id: str, stored: StoredPhoto) -> tuple[bytes, Plan]:
        """Read a photo and find its parts."""
        if stored.size > self._most_bytes:
            raise UnreadableError("too large")
        photo = b"".join([chunk async for chunk in stored.chunks])
        plan = await self._clean(photo)
        try:
            await self._store.keep_plan(photo_id, plans.written(plan, len(photo)))
        except PhotoStoreError as error:  # the photo can be shown all the same
            log.warning("how a photo is to be shown cannot be kept", error=type(error).__name__)
        return photo, plan

    async def _clean(self, photo: bytes) -> Plan:
        work = Work(len(photo))
        try:
            shown = await asyncio.get_running_loop().run_in_executor(self._threads, cleaned, photo, work)
        except UnreadableError:
            return Plan(None)
        finally:
            work.stop()  # a thread cannot be cancelled: it looks at this by itself
        return Plan(shown)


def _kept_plan(stored: StoredPhoto) -> Plan | None:
    return None if stored.plan is None else plans.read(stored.plan, stored.size)


def _shown(plan: Plan, chunks: AsyncIterator[bytes]) -> ShownPhoto:
    if plan.shown is None:
        raise UnreadableError("its picture cannot be told from the rest")
    kind, pieces = plan.shown
    return ShownPhoto(pieces.size, pieces.of(chunks), kind)


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _once(photo: bytes) -> AsyncIterator[bytes]:
    yield photo
