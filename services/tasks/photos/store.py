"""What a photo store promises.

A photo becomes visible whole or not at all: its bytes are written under an id allocated beforehand, and count only
once :meth:`PhotoStore.publish` has returned. Whatever was begun and not published is an orphan; the writer removes
its own when it can, and :meth:`PhotoStore.written_between` finds what a killed process left behind.
"""

import secrets
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

# Marks the photos that this system wrote. The sweeper never touches any other, such as the old backend's.
MARK = "home-energy-audit"

# Most photos are one chunk of this size: twice GridFS' default costs one write less, and still little memory. A
# multiple of 3, so that chunks can be put into base64 one by one.
CHUNK_BYTES = 510 * 1024


class PhotoStoreError(Exception):
    """The photo store is away, or failed to do what it was asked; trying again may help."""


class PhotoNotFoundError(Exception):
    """There is no (whole) photo under that id."""


def new_photo_id() -> str:
    """An id in the form of MongoDB's ObjectId: 24 hexadecimal digits, the first 8 the time in seconds."""
    return f"{int(time.time()):08x}{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """What is stored beside the bytes."""

    filename: str  # <jobId>_<uploaded name>, as the old backend named them


class PhotoWriter(Protocol):
    """One photo on its way into the store. Calls follow one another; each may be cancelled."""

    async def write(self, data: bytes) -> None:
        """Add bytes."""

    async def end(self, media_type: str, sha256: str) -> None:
        """Say that these were all, and what they are."""

    async def abort(self) -> None:
        """Remove what was written, also by a call that was cancelled and still goes on.

        Never raises a :class:`PhotoStoreError`: what cannot be removed now is an orphan.
        """


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo to be read: its size in bytes, and its bytes in chunks of CHUNK_BYTES (the last may be shorter).

    ``plan`` is what :meth:`PhotoStore.keep_plan` last kept of it.
    """

    size: int
    chunks: AsyncIterator[bytes]
    plan: bytes | None = None


class PhotoStore(Protocol):
    """Keeps photos by id. Methods raise :class:`PhotoStoreError` when the store is away."""

    async def start(self) -> None:
        """Wait until the store answers, and prepare it."""

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> PhotoWriter:
        """Begin a photo under an id that is not in use."""

    async def publish(self, writers: Sequence[PhotoWriter]) -> None:
        """Make photos of this store visible that have ended, durably; after an error, perhaps some of them."""

    async def open(self, photo_id: str) -> StoredPhoto:
        """Find a photo. Raises :class:`PhotoNotFoundError`; also while iterating, when bytes are missing after all."""

    async def keep_plan(self, photo_id: str, plan: bytes) -> None:
        """Keep how a photo is to be shown beside its bytes. It goes with them, and is not kept once they are gone.

        A plan can be made again: it may be lost in a crash, or break off.
        """

    async def delete(self, photo_ids: Collection[str]) -> None:
        """Remove photos, whole or begun; ids that are unknown, or none of ours, are no error."""

    def written_between(self, start: datetime, end: datetime) -> AsyncIterator[list[str]]:
        """The ids of our photos, whole or begun, from that time, in batches: candidates for being orphans."""

    async def ping(self) -> None:
        """Raise when the store cannot be reached."""

    async def close(self) -> None:
        """Let go of connections."""
