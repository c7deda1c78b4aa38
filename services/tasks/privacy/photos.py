"""A photo as it may be shown, out of the photo store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.tasks.photos.store import PhotoStore, StoredPhoto
from services.tasks.pictures import media_type
from services.tasks.privacy import bmp, gif, heif, jpeg, png, tiff, webp
from services.tasks.privacy.pieces import Pieces, UnreadableError
from services.tasks.uploads import HEAD_BYTES

CLEANED_AT_ONCE = 4
HELD_BYTES = 1024 * 1024
MOST_BYTES = 64 * 1024 * 1024  # of photos from before there was a limit; larger ones are not shown

_CLEANERS = {
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
class ShownPhoto(StoredPhoto):
    """A photo that may be shown, and its media type."""

    media_type: str


def cleaned(photo: bytes) -> tuple[str, Pieces]:
    """The media type of ``photo``, and what may be shown of it. Raises :class:`UnreadableError`."""
    kind = media_type(photo[:HEAD_BYTES])
    if kind is None:
        raise UnreadableError("no picture")
    return kind, _CLEANERS[kind](photo)


class ShownPhotos:
    """Reads photos of ``store`` for people.

    A photo is read once to find its parts, CLEANED_AT_ONCE at a time, and unless it is small a second time while it is
    sent: a slow client holds no more than a chunk of a large photo.
    """

    def __init__(self, store: PhotoStore, photo_bytes: int) -> None:
        self._store = store
        self._most_bytes = max(MOST_BYTES, photo_bytes)
        self._turns = asyncio.Semaphore(CLEANED_AT_ONCE)

    async def open(self, photo_id: str) -> ShownPhoto:
        """Find a photo. Raises :class:`UnreadableError`, and what the store raises; also while iterating."""
        async with self._turns:
            stored = await self._store.open(photo_id)
            if stored.size > self._most_bytes:
                raise UnreadableError("too large")
            photo = b"".join([chunk async for chunk in stored.chunks])
            kind, pieces = await asyncio.to_thread(cleaned, photo)
        if len(photo) <= HELD_BYTES:
            return ShownPhoto(pieces.size, pieces.of(_once(photo)), kind)
        return ShownPhoto(pieces.size, pieces.of((await self._store.open(photo_id)).chunks), kind)


async def _once(photo: bytes) -> AsyncIterator[bytes]:
    yield photo
