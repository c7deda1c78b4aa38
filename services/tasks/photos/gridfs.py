"""Photos in MongoDB GridFS (motor): database ``LeakageImages``, default bucket, as the old backend kept them.

Chunks are written by ourselves instead of by the driver's ``GridIn``, which since PyMongo 4 collects up to 48 MB of
chunks in memory before it sends any: with many uploads at once that is all memory. The layout is GridFS' own
(chunks first, the file document last), so any GridFS client reads our photos, and we read theirs.
"""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import structlog
from bson import ObjectId
from bson.binary import Binary
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ASCENDING
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from services.chassis.startup import StartupError, wait_for
from services.tasks.photos.store import (
    CHUNK_BYTES,
    MARK,
    PhotoMetadata,
    PhotoNotFoundError,
    PhotoStoreError,
    StoredPhoto,
)

log = structlog.get_logger(__name__)

DEFAULT_DATABASE = "LeakageImages"  # what the old backend called it
SERVER_SECONDS = 5
SOCKET_SECONDS = 20
POOL_SIZE = 50
BATCH = 500

Document = dict[str, Any]


@contextlib.contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise PhotoStoreError(f"{type(error).__name__}: {error}") from error


class _GridFSWriter:
    def __init__(self, store: "GridFSPhotos", photo_id: str, metadata: PhotoMetadata) -> None:
        self._store = store
        self._id = ObjectId(photo_id)
        self._metadata = metadata
        self._buffer = bytearray()
        self._written = 0
        self._chunks = 0

    async def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            chunk = bytes(memoryview(self._buffer)[:CHUNK_BYTES])
            del self._buffer[:CHUNK_BYTES]
            await self._write_chunk(chunk)

    async def _write_chunk(self, chunk: bytes) -> None:
        with _told_as_ours():
            await self._store.chunks.insert_one({"files_id": self._id, "n": self._chunks, "data": Binary(chunk)})
        self._chunks += 1
        self._written += len(chunk)

    async def finish(self, media_type: str, sha256: str) -> None:
        if self._buffer:
            await self._write_chunk(bytes(self._buffer))
            self._buffer.clear()
        with _told_as_ours():
            await self._store.files.insert_one(
                {
                    "_id": self._id,
                    "filename": self._metadata.filename,
                    "length": self._written,
                    "chunkSize": CHUNK_BYTES,
                    "uploadDate": datetime.now(UTC),
                    "metadata": {"writtenBy": MARK, "contentType": media_type, "sha256": sha256},
                }
            )

    async def abort(self) -> None:
        self._buffer.clear()
        try:
            await self._store.delete([str(self._id)])
        except PhotoStoreError as error:
            log.warning("an aborted upload stays for the sweeper", error=str(error))


class GridFSPhotos:
    """A :class:`~services.tasks.photos.store.PhotoStore` in GridFS."""

    def __init__(self, mongo_url: str) -> None:
        if urlsplit(mongo_url).scheme not in ("mongodb", "mongodb+srv"):
            raise StartupError("MONGO_URL: must start with mongodb:// or mongodb+srv://.")
        try:
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                mongo_url,
                serverSelectionTimeoutMS=SERVER_SECONDS * 1000,
                connectTimeoutMS=SERVER_SECONDS * 1000,
                socketTimeoutMS=SOCKET_SECONDS * 1000,
                waitQueueTimeoutMS=SERVER_SECONDS * 1000,
                maxPoolSize=POOL_SIZE,
                tz_aware=True,
            )
            database = self._client.get_default_database(DEFAULT_DATABASE)
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise StartupError(f"MONGO_URL: {error}.") from None
        # An acknowledged photo has reached the journal of a majority: it survives a kill of the server.
        durable = WriteConcern(w="majority", j=True, wtimeout=SOCKET_SECONDS * 1000)
        self.files: AsyncIOMotorCollection[Document] = database["fs.files"].with_options(write_concern=durable)
        # Chunks count only with their file document, whose journal write follows theirs in the same journal.
        self.chunks: AsyncIOMotorCollection[Document] = database["fs.chunks"]

    async def start(self) -> None:
        """Wait until MongoDB answers, and make GridFS' indexes."""

        async def prepare() -> None:
            try:
                await self.ping()
                # By these fields and names GridFS clients look for the indexes before they would make them.
                await self.files.create_index([("filename", ASCENDING), ("uploadDate", ASCENDING)])
                await self.files.create_index([("uploadDate", ASCENDING)])
                await self.chunks.create_index([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)
            except OperationFailure as error:
                if error.code in (13, 18):  # unauthorized, authentication failed
                    raise StartupError("MONGO_URL: MongoDB refuses this user, password or database.") from None
                raise

        await wait_for("mongodb", prepare, (PyMongoError, PhotoStoreError))

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> _GridFSWriter:
        """Begin a photo."""
        return _GridFSWriter(self, photo_id, metadata)

    async def open(self, photo_id: str) -> StoredPhoto:
        """Find a photo."""
        key = _object_id(photo_id)
        with _told_as_ours():
            document = await self.files.find_one({"_id": key}, {"length": 1})
        if document is None:
            raise PhotoNotFoundError(photo_id)
        return StoredPhoto(document["length"], self._read(key, document["length"]))

    async def _read(self, key: ObjectId, length: int) -> AsyncIterator[bytes]:
        read = 0
        with _told_as_ours():
            # One chunk in a batch: the driver would otherwise fetch 16 MB at a time for each reader.
            cursor = self.chunks.find({"files_id": key}, {"data": 1}, sort=[("n", ASCENDING)], batch_size=4)
            async for chunk in cursor:
                read += len(chunk["data"])
                yield bytes(chunk["data"])
        if read != length:
            raise PhotoNotFoundError(f"{key}: {read} of {length} bytes")

    async def delete(self, photo_ids: Collection[str]) -> None:
        """Remove photos: the file document first, so that no reader sees a photo without its chunks."""
        keys = [_object_id(photo_id) for photo_id in photo_ids]
        with _told_as_ours():
            await self.files.delete_many({"_id": {"$in": keys}})
            await self.chunks.delete_many({"files_id": {"$in": keys}})

    async def written_between(self, start: datetime, end: datetime) -> AsyncIterator[list[str]]:
        """Our photos from that time, and what has chunks from that time but no file document."""
        with _told_as_ours():
            batch: list[str] = []
            ours = {"uploadDate": {"$gte": start, "$lt": end}, "metadata.writtenBy": MARK}
            async for document in self.files.find(ours, {"_id": 1}):
                batch.append(str(document["_id"]))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
            yield batch
            async for batch in self._headless(start, end):
                yield batch

    async def _headless(self, start: datetime, end: datetime) -> AsyncIterator[list[str]]:
        """Ids that have a first chunk but no file document. Our ids begin with the time at which they were made."""
        span = {"$gte": ObjectId.from_datetime(start), "$lt": ObjectId.from_datetime(end)}
        keys: list[ObjectId] = []
        async for chunk in self.chunks.find({"files_id": span, "n": 0}, {"files_id": 1, "_id": 0}):
            keys.append(chunk["files_id"])
            if len(keys) == BATCH:
                yield await self._without_file(keys)
                keys = []
        yield await self._without_file(keys)

    async def _without_file(self, keys: list[ObjectId]) -> list[str]:
        whole = {document["_id"] async for document in self.files.find({"_id": {"$in": keys}}, {"_id": 1})}
        return [str(key) for key in keys if key not in whole]

    async def ping(self) -> None:
        """One round trip."""
        with _told_as_ours():
            await self._client.admin.command("ping")

    async def close(self) -> None:
        """Close every connection."""
        self._client.close()


def _object_id(photo_id: str) -> ObjectId:
    if not ObjectId.is_valid(photo_id):
        raise PhotoNotFoundError(photo_id)
    return ObjectId(photo_id)
