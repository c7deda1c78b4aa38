"""Every photo of GridFS as one stream, for backups: out of one database, into another.

The stream is BSON documents, byte for byte as the database keeps them: for each photo its file document and then its
chunks, and at the end one document that counts them, so that a stream which breaks off is not taken for a whole one.

A photo that is removed while it is read arrives without all its chunks. Whoever takes the stream leaves it out, as
if the removal had come first: no photo is ever there in part.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import PyMongoError

from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.photos.store import PhotoStore, PhotoStoreError
from services.tasks.store import TaskStore

PAGE = 100  # file documents at a time: no cursor stays open for longer than their chunks take
CHUNKS_AT_ONCE = 16  # about 8 MB
BEFORE_ALL = ObjectId("0" * 24)

_RAW = CodecOptions(document_class=RawBSONDocument)
Raw = AsyncIOMotorCollection[RawBSONDocument]


def _raw(collection: AsyncIOMotorCollection[dict[str, Any]]) -> Raw:
    # The type stubs do not see that the options change the type of the documents.
    return cast(Raw, collection.with_options(codec_options=cast(Any, _RAW)))


class ArchiveError(Exception):
    """The stream, or the place that it is to go to, is not what it must be; the message is for the operator."""


@dataclass(slots=True)
class Copied:
    """What a stream held."""

    photos: int = 0
    bytes: int = 0
    partial: int = 0  # photos that were removed while they were read


async def export_photos(store: GridFSPhotos, target: BinaryIO) -> Copied:
    """Write every photo to ``target``, those included that the old backend wrote.

    Photos that are written meanwhile may be in it or not. Raises :class:`PhotoStoreError`.
    """
    copied = Copied()
    try:
        async for document in _documents(store, copied):
            await asyncio.to_thread(target.write, document)
    except PyMongoError as error:
        raise PhotoStoreError(f"{type(error).__name__}: {error}") from error
    await asyncio.to_thread(target.write, bson.encode({"photos": copied.photos, "bytes": copied.bytes}))
    await asyncio.to_thread(target.flush)
    return copied


async def _documents(store: GridFSPhotos, copied: Copied) -> AsyncIterator[bytes]:
    files = _raw(store.files)
    chunks = _raw(store.chunks)
    last = BEFORE_ALL
    while page := await files.find({"_id": {"$gt": last}}).sort("_id").limit(PAGE).to_list(PAGE):
        keys = [document["_id"] for document in page]
        last = keys[-1]
        # By the index on (files_id, n), and so in the order of the page.
        cursor = chunks.find({"files_id": {"$in": keys}}).sort([("files_id", 1), ("n", 1)]).batch_size(CHUNKS_AT_ONCE)
        chunk = await anext(cursor, None)
        for document in page:
            yield bytes(document.raw)
            size = 0
            while chunk is not None and chunk["files_id"] == document["_id"]:
                size += len(chunk["data"])
                yield bytes(chunk.raw)
                chunk = await anext(cursor, None)
            if size == document["length"]:
                copied.photos += 1
                copied.bytes += size
            else:
                copied.partial += 1


async def import_photos(store: GridFSPhotos, source: BinaryIO, *, overwrite: bool) -> Copied:
    """Put every photo of a stream into an empty store; ``overwrite`` empties it first.

    Raises :class:`ArchiveError` when the store is not empty, or the stream is damaged or ends too early: what came
    until then is in the store.
    """
    try:
        if overwrite:
            await store.files.drop()
            await store.chunks.drop()
        elif await store.files.find_one({}, {"_id": 1}) or await store.chunks.find_one({}, {"_id": 1}):
            raise ArchiveError("There are photos in this database already.")
        await store.start()  # makes the indexes
        return await _take(store, bson.decode_file_iter(source, _RAW))
    except PyMongoError as error:
        raise PhotoStoreError(f"{type(error).__name__}: {error}") from error
    except InvalidBSON:
        raise ArchiveError("The photos are damaged, or end too early.") from None


async def _take(store: GridFSPhotos, documents: Iterator[RawBSONDocument]) -> Copied:
    copied = Copied()
    arriving = _Arriving(store)
    while (document := await asyncio.to_thread(next, documents, None)) is not None:
        if "files_id" in document:
            await arriving.chunk(document)
            continue
        await arriving.photo_ends(copied)
        if "_id" not in document:
            await arriving.flush()
            if (copied.photos, copied.bytes) != (document["photos"], document["bytes"]):
                raise ArchiveError(f"{document['photos']} photos were to come, and {copied.photos} came whole.")
            return copied
        arriving.photo = document
    raise ArchiveError("The photos end too early.")


class _Arriving:
    """What has come and is not in the store yet. A file document is stored only after its chunks, as by any writer."""

    def __init__(self, store: GridFSPhotos) -> None:
        self._files = _raw(store.files)
        self._chunks = _raw(store.chunks)
        self.photo: RawBSONDocument | None = None
        self._size = 0
        self._whole: list[RawBSONDocument] = []
        self._waiting: list[RawBSONDocument] = []

    async def chunk(self, document: RawBSONDocument) -> None:
        if self.photo is None or document["files_id"] != self.photo["_id"]:
            raise ArchiveError("The photos are damaged: a chunk belongs to none of them.")
        self._size += len(document["data"])
        self._waiting.append(document)
        if len(self._waiting) >= CHUNKS_AT_ONCE:
            await self.flush()

    async def photo_ends(self, copied: Copied) -> None:
        if self.photo is None:
            return
        if self._size == self.photo["length"]:
            self._whole.append(self.photo)
            copied.photos += 1
            copied.bytes += self._size
        else:
            await self.flush()
            await self._chunks.delete_many({"files_id": self.photo["_id"]})
            copied.partial += 1
        self.photo, self._size = None, 0

    async def flush(self) -> None:
        if self._waiting:
            await self._chunks.insert_many(self._waiting)
        if self._whole:
            await self._files.insert_many(self._whole)
        self._waiting, self._whole = [], []


async def remove_orphans(store: PhotoStore, records: TaskStore, end: datetime) -> int:
    """Remove our photos from before ``end`` that no record refers to, however old they are; how many.

    The sweeper looks back a few days only, and a backup may be older: what was uploaded while it was made came
    after its records.
    """
    removed = 0
    async for candidates in store.written_between(datetime(1970, 1, 1, tzinfo=UTC), end):
        if candidates and (orphans := await records.unknown_photos(candidates)):
            await store.delete(orphans)
            removed += len(orphans)
    return removed
