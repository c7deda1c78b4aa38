"""Photos in MongoDB GridFS (motor): database ``LeakageImages``, default bucket, as the old backend kept them.

Chunks are written by ourselves instead of by the driver's ``GridIn``, which since PyMongo 4 collects up to 48 MB of
chunks in memory before it sends any: with many uploads at once that is all memory. The layout is GridFS' own
(chunks first, the file document last), so any GridFS client reads our photos, and we read theirs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import pymongo
import structlog
from bson import ObjectId
from bson.binary import Binary
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ASCENDING
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from services.chassis.circuit import Circuit
from services.chassis.startup import StartupError, wait_for
from services.tasks.photos.store import (
    CHUNK_BYTES,
    MARK,
    PhotoMetadata,
    PhotoNotFoundError,
    PhotoStoreError,
    PhotoWriter,
    StoredPhoto,
)

log = structlog.get_logger(__name__)

DEFAULT_DATABASE = "LeakageImages"  # what the old backend called it
SERVER_SECONDS = 3  # to find a server that can do what is asked
ANSWER_SECONDS = 5  # to do it; the driver's threads are free again by then too
SEARCH_SECONDS = 60  # for what the sweeper asks, which looks at many photos
ABORT_SECONDS = 2  # to undo an upload, while somebody waits to hear that it failed
POOL_SIZE = 50
BATCH = 500
SMALL_CHUNKS = 2  # a photo of so few is read at once; of a larger one, a reader holds one more

_OPENED = {"length": 1, "chunkSize": 1, "plan": 1}  # of a file document

Document = dict[str, Any]
T = TypeVar("T")


class _GridFSWriter:
    def __init__(self, store: "GridFSPhotos", photo_id: str, metadata: PhotoMetadata) -> None:
        self._store = store
        self._id = ObjectId(photo_id)
        self._metadata = metadata
        self._buffer = bytearray()
        self._written = 0
        self._chunks = 0
        # Giving up a wait does not stop the driver's thread: whoever aborts has to know of it.
        self.under_way: asyncio.Future[Any] | None = None
        self.document: Document = {}  # what makes the photo visible, once it has ended

    async def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            chunk = bytes(memoryview(self._buffer)[:CHUNK_BYTES])
            del self._buffer[:CHUNK_BYTES]
            await self._write_chunk(chunk)

    async def _write_chunk(self, chunk: bytes) -> None:
        document = {"files_id": self._id, "n": self._chunks, "data": Binary(chunk)}

        def insert() -> Awaitable[Any]:
            self.under_way = asyncio.ensure_future(self._store.chunks.insert_one(document))
            return asyncio.shield(self.under_way)

        await self._store.answer(insert)
        self._chunks += 1
        self._written += len(chunk)

    async def end(self, media_type: str, sha256: str) -> None:
        if self._buffer:
            await self._write_chunk(bytes(self._buffer))
            self._buffer.clear()
        self.document = {
            "_id": self._id,
            "filename": self._metadata.filename,
            "length": self._written,
            "chunkSize": CHUNK_BYTES,
            "metadata": {"writtenBy": MARK, "contentType": media_type, "sha256": sha256},
        }

    async def abort(self) -> None:
        self._buffer.clear()
        if self.under_way is not None:
            await asyncio.wait([self.under_way], timeout=ABORT_SECONDS)
        try:
            await self._store.remove([self._id], ABORT_SECONDS)
        except PhotoStoreError as error:
            log.warning("an aborted upload stays for the sweeper", error=str(error))


async def _each(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class GridFSPhotos:
    """A :class:`~services.tasks.photos.store.PhotoStore` in GridFS."""

    def __init__(self, mongo_url: str) -> None:
        if not mongo_url.startswith(("mongodb://", "mongodb+srv://")):
            raise StartupError("MONGO_URL: must start with mongodb:// or mongodb+srv://.")
        try:
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                mongo_url,
                serverSelectionTimeoutMS=SERVER_SECONDS * 1000,
                connectTimeoutMS=SERVER_SECONDS * 1000,
                socketTimeoutMS=ANSWER_SECONDS * 1000,
                waitQueueTimeoutMS=SERVER_SECONDS * 1000,
                maxPoolSize=POOL_SIZE,
                tz_aware=True,
            )
            database = self._client.get_default_database(DEFAULT_DATABASE)
        except (ConfigurationError, InvalidURI, ValueError):  # their messages may repeat parts of a password
            raise StartupError(
                "MONGO_URL: not a MongoDB URL; write mongodb://user:password@host:27017/database, with special "
                "characters of the user and the password percent-encoded."
            ) from None
        # An acknowledged photo has reached the journal of a majority: it survives a kill of the server.
        durable = WriteConcern(w="majority", j=True, wtimeout=SERVER_SECONDS * 1000)
        self.files: AsyncIOMotorCollection[Document] = database["fs.files"].with_options(write_concern=durable)
        # Chunks reach a majority too, or a new primary could have the file document and not them. They need not wait
        # for the journal: the file document's entry follows theirs in the same one.
        spread = WriteConcern(w="majority", wtimeout=SERVER_SECONDS * 1000)
        self.chunks: AsyncIOMotorCollection[Document] = database["fs.chunks"].with_options(write_concern=spread)

        # A plan can be made again.
        self._plans: AsyncIOMotorCollection[Document] = database["fs.files"].with_options(
            write_concern=WriteConcern(w=1)
        )

        self._circuit = Circuit("mongodb", lambda: self._client.admin.command("ping"))

    @property
    def is_away(self) -> bool:
        """Whether MongoDB has fallen silent, so that everybody is refused at once."""
        return self._circuit.is_open

    async def answer(self, operation: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """What MongoDB answers, within ``seconds`` (ANSWER_SECONDS); each failure becomes a :class:`PhotoStoreError`.

        The driver is told of the limit, so that its few threads are not held any longer; ours holds too while an
        operation waits for one of them.
        """
        seconds = ANSWER_SECONDS if seconds is None else seconds
        if self.is_away:
            raise PhotoStoreError("MongoDB is silent")
        try:
            with pymongo.timeout(seconds):
                answer = operation()
            async with asyncio.timeout(seconds):
                return await answer
        except (PyMongoError, TimeoutError) as error:
            if isinstance(error, TimeoutError) or error.timeout:
                self._circuit.suspect()
            raise PhotoStoreError(f"{type(error).__name__}: {error}") from error

    async def start(self) -> None:
        """Wait until MongoDB answers, and make GridFS' indexes."""

        async def prepare() -> None:
            try:
                await self._client.admin.command("ping")
                # By these fields and names GridFS clients look for the indexes before they would make them.
                await self.files.create_index([("filename", ASCENDING), ("uploadDate", ASCENDING)])
                await self.files.create_index([("uploadDate", ASCENDING)])
                await self.chunks.create_index([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)
            except OperationFailure as error:
                if error.code in (13, 18):  # unauthorized, authentication failed
                    raise StartupError("MONGO_URL: MongoDB refuses this user, password or database.") from None
                raise

        await wait_for("mongodb", prepare, (PyMongoError,))

    def writer(self, photo_id: str, metadata: PhotoMetadata) -> _GridFSWriter:
        """Begin a photo."""
        return _GridFSWriter(self, photo_id, metadata)

    async def publish(self, writers: Sequence[PhotoWriter]) -> None:
        """Insert the file documents of photos, all at once."""
        ours = cast("Sequence[_GridFSWriter]", writers)
        documents = [{**writer.document, "uploadDate": datetime.now(UTC)} for writer in ours]

        def insert() -> Awaitable[Any]:
            insertion = asyncio.ensure_future(self.files.insert_many(documents))
            for writer in ours:
                writer.under_way = insertion
            return asyncio.shield(insertion)

        if documents:
            await self.answer(insert)

    async def open(self, photo_id: str) -> StoredPhoto:
        """Find a photo."""
        if not ObjectId.is_valid(photo_id):
            raise PhotoNotFoundError(photo_id)
        key = ObjectId(photo_id)
        document = await self.answer(lambda: self.files.find_one({"_id": key}, _OPENED))
        if document is None:
            raise PhotoNotFoundError(photo_id)
        length, plan = document["length"], document.get("plan")
        expected = -(-length // document["chunkSize"])
        # Told now, because once an answer has begun a missing chunk can only break it off.
        if expected <= SMALL_CHUNKS:
            whole = [chunk async for chunk in self._read(key, length)]
            return StoredPhoto(length, _each(whole), plan)
        chunks = await self.answer(lambda: self.chunks.count_documents({"files_id": key}))
        if chunks < expected:
            raise PhotoNotFoundError(f"{photo_id}: {chunks} chunks of {length} bytes")
        return StoredPhoto(length, self._read(key, length), plan)

    async def _read(self, key: ObjectId, length: int) -> AsyncIterator[bytes]:
        chunks = read = 0
        is_over = False
        # Few at a time: the driver would otherwise fetch 16 MB at once for each reader. One more than a small photo
        # has, so that its first batch is known to be the last.
        cursor = self.chunks.find(
            {"files_id": key}, {"n": 1, "data": 1}, sort=[("n", ASCENDING)], batch_size=SMALL_CHUNKS + 1
        )
        try:
            while batch := await self.answer(lambda: cursor.to_list(SMALL_CHUNKS + 1)):
                for chunk in batch:
                    if chunk["n"] != chunks:
                        raise PhotoNotFoundError(f"{key}: chunk {chunks} is missing")
                    chunks += 1
                    read += len(chunk["data"])
                    yield bytes(chunk["data"])
                if len(batch) <= SMALL_CHUNKS:
                    is_over = True
                    break
        finally:
            if not is_over:
                with contextlib.suppress(PhotoStoreError):  # the server forgets it by itself, later
                    await self.answer(cursor.close)
        if read != length:
            raise PhotoNotFoundError(f"{key}: {read} of {length} bytes")

    async def keep_plan(self, photo_id: str, plan: bytes) -> None:
        """Note it in the file document; not in its metadata, which another writer may have set to anything."""
        update = {"$set": {"plan": Binary(plan)}}
        await self.answer(lambda: self._plans.update_one({"_id": ObjectId(photo_id)}, update))

    async def delete(self, photo_ids: Collection[str]) -> None:
        """Remove photos: the file document first, so that no reader sees a photo without its chunks."""
        await self.remove([ObjectId(photo_id) for photo_id in photo_ids if ObjectId.is_valid(photo_id)], SEARCH_SECONDS)

    async def remove(self, keys: Sequence[ObjectId], seconds: float) -> None:
        """The same by the keys themselves, each of its two steps within ``seconds``."""
        await self.answer(lambda: self.files.delete_many({"_id": {"$in": keys}}), seconds)
        await self.answer(lambda: self.chunks.delete_many({"files_id": {"$in": keys}}), seconds)

    async def written_between(self, start: datetime, end: datetime) -> AsyncIterator[list[str]]:
        """Our photos from that time, and what has chunks from that time but no file document."""
        ours = {"uploadDate": {"$gte": start, "$lt": end}, "metadata.writtenBy": MARK}
        whole = self.files.find(ours, {"_id": 1})
        while batch := await self.answer(lambda: whole.to_list(BATCH), SEARCH_SECONDS):
            yield [str(document["_id"]) for document in batch]
        # Our ids begin with the time at which they were made. Any chunk will do: of a removal that was interrupted,
        # the last ones may be left. Nobody else can read chunks without a file document, whoever wrote them.
        span = {"$gte": ObjectId.from_datetime(start), "$lt": ObjectId.from_datetime(end)}
        begun = self.chunks.aggregate([{"$match": {"files_id": span}}, {"$group": {"_id": "$files_id"}}])
        while batch := await self.answer(lambda: begun.to_list(BATCH), SEARCH_SECONDS):
            keys = [document["_id"] for document in batch]
            known = self.files.find({"_id": {"$in": keys}}, {"_id": 1})
            files = await self.answer(partial(known.to_list, BATCH), SEARCH_SECONDS)
            yield [str(key) for key in keys if {"_id": key} not in files]

    async def ping(self) -> None:
        """One round trip."""
        await self.answer(lambda: self._client.admin.command("ping"))

    async def close(self) -> None:
        """Close every connection."""
        await self._circuit.close()
        self._client.close()
