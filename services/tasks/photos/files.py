"""Photos as files in a folder, for the embedded backend.

A photo is written to ``<id>.part``, flushed to the disk, and renamed to ``<id>``, which makes it visible whole. How
it is to be shown lies in ``<id>.plan``.
Everything that touches the disk runs in a thread.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import BinaryIO, ParamSpec, TypeVar, cast

import structlog

from services.chassis.startup import StartupError
from services.tasks.photos.store import (
    CHUNK_BYTES,
    PhotoMetadata,
    PhotoNotFoundError,
    PhotoStoreError,
    PhotoWriter,
    StoredPhoto,
)

log = structlog.get_logger(__name__)

PART, PLAN = ".part", ".plan"

_ID = re.compile(r"[0-9a-f]{24}")

P = ParamSpec("P")
T = TypeVar("T")


class _FileWriter:
    def __init__(self, part: Path, whole: Path) -> None:
        self._part = part
        self._whole = whole
        self._file: BinaryIO | None = None
        # Cancelling a call does not stop its thread: an abort waits for that, and one that comes later does nothing.
        self._lock = Lock()
        self._aborted = False

    async def write(self, data: bytes) -> None:
        await _in_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if not self._aborted:
                self._opened().write(data)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            folder = self._part.parent
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                _sync_folder(folder.parent)
            self._file = self._part.open("xb", buffering=CHUNK_BYTES)
        return self._file

    async def end(self, media_type: str, sha256: str) -> None:  # noqa: ARG002 - a file has no room for them
        await _in_thread(self._end)

    def _end(self) -> None:
        with self._lock:
            if not self._aborted:
                with self._opened() as file:
                    file.flush()
                    os.fsync(file.fileno())

    def publish(self) -> None:
        """Give the file its name, in a thread."""
        with self._lock:
            if not self._aborted:
                self._part.rename(self._whole)
                _sync_folder(self._whole.parent)

    async def abort(self) -> None:
        try:
            await _in_thread(self._abort)
        except PhotoStoreError as error:
            log.warning("an aborted upload stays for the sweeper", error=str(error))

    def _abort(self) -> None:
        with self._lock:
            self._aborted = True
            if self._file is not None:
                with contextlib.suppress(OSError):  # what it still held cannot be written, and need not be
                    self._file.close()
            self._part.unlink(missing_ok=True)
            self._whole.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Let the names in ``folder`` survive a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FilePhotos:
    """A :class:`~services.tasks.photos.store.PhotoStore` in a folder, spread over 256 subfolders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, photo_id: str) -> Path:
        if not _ID.fullmatch(photo_id):
            raise PhotoNotFoundError(photo_id)
        return self._folder / photo_id[-2:] / photo_id

    async def start(self) -> None:
        """Make the folder."""
        try:
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(f"Cannot keep photos in {self._folder}: {error.strerror}.") from None

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> _FileWriter:  # noqa: ARG002 - named by id alone
        """Begin a photo."""
        path = self._path(photo_id)
        return _FileWriter(path.with_suffix(PART), path)

    async def publish(self, writers: Sequence[PhotoWriter]) -> None:
        """Give the files of photos their names."""
        for writer in cast("Sequence[_FileWriter]", writers):
            await _in_thread(writer.publish)

    async def open(self, photo_id: str) -> StoredPhoto:
        """Find a photo."""
        path = self._path(photo_id)

        def look() -> tuple[int, bytes | None]:
            size, plan = path.stat().st_size, path.with_suffix(PLAN)
            return size, plan.read_bytes() if plan.exists() else None

        with _absence_told(photo_id):
            size, plan = await _in_thread(look)
        return StoredPhoto(size, self._read(path), plan)

    async def _read(self, path: Path) -> AsyncIterator[bytes]:
        with _absence_told(path.name):
            file = await _in_thread(path.open, "rb")
        try:
            while chunk := await _in_thread(file.read, CHUNK_BYTES):
                yield chunk
        finally:
            file.close()

    async def keep_plan(self, photo_id: str, plan: bytes) -> None:
        """Write it into a file beside the photo's."""
        path = self._path(photo_id)

        def keep() -> None:
            if path.exists():
                path.with_suffix(PLAN).write_bytes(plan)
            if not path.exists():  # removed meanwhile, perhaps before there was a plan to remove
                path.with_suffix(PLAN).unlink(missing_ok=True)

        await _in_thread(keep)

    async def delete(self, photo_ids: Collection[str]) -> None:
        """Remove photos, whole or begun."""

        def remove() -> None:
            for photo_id in filter(_ID.fullmatch, photo_ids):
                path = self._path(photo_id)
                path.unlink(missing_ok=True)
                path.with_suffix(PART).unlink(missing_ok=True)
                path.with_suffix(PLAN).unlink(missing_ok=True)

        await _in_thread(remove)

    async def written_between(self, start: datetime, end: datetime) -> AsyncIterator[list[str]]:
        """Files last written in that time."""

        def of_folder(folder: Path) -> list[str]:
            found = set()
            for path in folder.iterdir():
                if path.suffix in ("", PART, PLAN) and _ID.fullmatch(path.stem):
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        if start.timestamp() <= path.stat().st_mtime < end.timestamp():
                            found.add(path.stem)
            return sorted(found)

        for folder in await _in_thread(lambda: sorted(p for p in self._folder.iterdir() if p.is_dir())):
            yield await _in_thread(of_folder, folder)

    async def ping(self) -> None:
        """Raise when the folder is gone."""
        if not await asyncio.to_thread(self._folder.is_dir):
            raise PhotoStoreError(f"{self._folder} is gone")

    async def close(self) -> None:
        """Nothing is held open."""


@contextlib.contextmanager
def _absence_told(photo_id: str) -> Iterator[None]:
    try:
        yield
    except PhotoStoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise PhotoNotFoundError(photo_id) from None
        raise


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise PhotoStoreError(f"{type(error).__name__}: {error.strerror}") from error
