"""Photos go through the stream of a backup unchanged, and none arrives in part: see the module under test."""

import io
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from bson import ObjectId
from gridfs import GridFSBucket
from pymongo.database import Database

from services.chassis.database import Database as SqlDatabase
from services.chassis.migrations import migrate
from services.tasks.app import MIGRATIONS, SERVICE
from services.tasks.photos import archive
from services.tasks.photos.archive import ArchiveError, Copied, export_photos, import_photos
from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.photos.store import CHUNK_BYTES, PhotoMetadata, PhotoStoreError, new_photo_id
from tests import servers
from tests.integration.services.tasks.conftest import task_store
from tests.integration.services.tasks.test_store import submission, uploaded

Contents = dict[str, list[dict[str, Any]]]
SIZES = (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES)


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        yield client.get_default_database()


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[GridFSPhotos]:
    made = GridFSPhotos(mongo_url)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def empty_url(mongo_server: servers.MongoServer) -> Iterator[str]:
    with mongo_server.fresh_url() as url:
        yield url


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[GridFSPhotos]:
    made = GridFSPhotos(empty_url)
    yield made
    await made.close()


async def written(store: GridFSPhotos, data: bytes) -> str:
    photo_id = new_photo_id()
    writer = store.writer(photo_id, PhotoMetadata(f"job_{photo_id}.jpg"))
    await writer.write(data)
    await writer.end("image/jpeg", "0" * 64)
    await store.publish([writer])
    return photo_id


async def filled(store: GridFSPhotos, sizes: tuple[int, ...] = SIZES) -> dict[str, bytes]:
    made = {}
    for number, size in enumerate(sizes):
        data = random.Random(number).randbytes(size)  # noqa: S311 - the same each time
        made[await written(store, data)] = data
    return made


async def contents(store: GridFSPhotos) -> Contents:
    return {
        "files": await store.files.find().sort("_id").to_list(None),
        "chunks": await store.chunks.find({}, {"_id": 0}).sort([("files_id", 1), ("n", 1)]).to_list(None),
    }


async def stream(store: GridFSPhotos) -> bytes:
    target = io.BytesIO()
    await export_photos(store, target)
    return target.getvalue()


async def test_every_photo_arrives_as_it_was(
    store: GridFSPhotos, empty: GridFSPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "PAGE", 2)
    photos = await filled(store)
    target = io.BytesIO()
    expected = Copied(len(photos), sum(map(len, photos.values())))
    assert await export_photos(store, target) == expected
    target.seek(0)
    assert await import_photos(empty, target, overwrite=False) == expected
    assert await contents(empty) == await contents(store)
    for photo_id, data in photos.items():
        assert b"".join([chunk async for chunk in (await empty.open(photo_id)).chunks]) == data


async def test_photos_of_the_old_backend_arrive_with_all_that_it_noted(
    store: GridFSPhotos, empty: GridFSPhotos, mongo: Database[dict[str, Any]]
) -> None:
    noted = {"by": "old", "at": datetime(2024, 1, 2, tzinfo=UTC)}
    photo_id = GridFSBucket(mongo).upload_from_stream("job_obs0_rgb.jpg", b"old" * 200_000, metadata=noted)
    await import_photos(empty, io.BytesIO(await stream(store)), overwrite=False)
    assert await contents(empty) == await contents(store)
    assert (await empty.open(str(photo_id))).size == 600_000


async def test_a_photo_that_is_removed_while_it_is_read_is_left_out(store: GridFSPhotos, empty: GridFSPhotos) -> None:
    photos = await filled(store)
    *_, partial = photos
    await store.chunks.delete_many({"files_id": ObjectId(partial), "n": {"$gt": 2}})
    await import_photos(empty, io.BytesIO(await stream(store)), overwrite=False)
    after = await contents(empty)
    assert {str(document["_id"]) for document in after["files"]} == photos.keys() - {partial}
    assert ObjectId(partial) not in {chunk["files_id"] for chunk in after["chunks"]}


async def test_chunks_without_a_photo_are_not_taken_along(store: GridFSPhotos, empty: GridFSPhotos) -> None:
    await filled(store)
    before = await contents(store)
    for key in (ObjectId("1" * 24), ObjectId()):
        await store.chunks.insert_one({"files_id": key, "n": 0, "data": b"begun"})
    await import_photos(empty, io.BytesIO(await stream(store)), overwrite=False)
    assert await contents(empty) == before


async def test_photos_that_are_there_are_not_mixed_with_others(store: GridFSPhotos, empty: GridFSPhotos) -> None:
    await filled(store)
    whole = await stream(store)
    await filled(empty, (10,))
    before = await contents(empty)
    with pytest.raises(ArchiveError, match="already"):
        await import_photos(empty, io.BytesIO(whole), overwrite=False)
    assert await contents(empty) == before
    await import_photos(empty, io.BytesIO(whole), overwrite=True)
    assert await contents(empty) == await contents(store)
    indexes = await empty.chunks.index_information()
    assert [("files_id", 1), ("n", 1)] in [index["key"] for index in indexes.values()]


@pytest.mark.parametrize("cut", [1, 4, 100, CHUNK_BYTES, 3 * CHUNK_BYTES])
async def test_a_stream_that_ends_too_early_is_a_failure(store: GridFSPhotos, empty: GridFSPhotos, cut: int) -> None:
    await filled(store)
    whole = await stream(store)
    with pytest.raises(ArchiveError):
        await import_photos(empty, io.BytesIO(whole[:-cut]), overwrite=False)


async def test_a_stream_that_has_lost_a_document_in_its_midst_is_a_failure(
    store: GridFSPhotos, empty: GridFSPhotos
) -> None:
    await filled(store)
    documents = [bson.encode(document) for document in bson.decode_all(await stream(store))]
    for lost in range(len(documents)):
        with pytest.raises(ArchiveError):
            await import_photos(empty, io.BytesIO(b"".join(documents[:lost] + documents[lost + 1 :])), overwrite=True)


async def test_a_database_that_is_away_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tasks.photos.gridfs.SERVER_SECONDS", 1)
    away = GridFSPhotos("mongodb://127.0.0.1:9/x")
    with pytest.raises(PhotoStoreError):
        await export_photos(away, io.BytesIO())
    await away.close()


def command(
    mongo_url: str, *arguments: str, given: bytes = b"", sql_url: str = "mysql://unused"
) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "SQL_URL": sql_url,
        "MONGO_URL": mongo_url,
        "RABBITMQ_URL": "amqp://127.0.0.1",
        "GOOGLE_CLIENT_IDS": "client",
        "AUTH_URL": "http://unused",
        "SERVICE_TOKEN": secrets.token_hex(16),
    }
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "services.tasks", "photos", *arguments],
        cwd=Path(__file__).parents[5],
        env=environment,
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )


async def test_the_commands_carry_photos_from_one_database_to_another(
    store: GridFSPhotos, empty: GridFSPhotos, mongo_url: str, empty_url: str
) -> None:
    await filled(store)
    exported = command(mongo_url, "export", "--records-from", str(time.time()))
    assert exported.returncode == 0, exported.stderr
    imported = command(empty_url, "import", given=exported.stdout)
    assert (imported.returncode, imported.stderr) == (0, exported.stderr)
    assert await contents(empty) == await contents(store)
    again = command(empty_url, "import", given=exported.stdout)
    assert (again.returncode, again.stderr) == (1, b"There are photos in this database already.\n")


async def test_an_export_long_after_the_records_were_read_says_that_photos_may_be_missing(
    store: GridFSPhotos, mongo_url: str
) -> None:
    exported = command(mongo_url, "export", "--records-from", str(time.time() - 3600))
    assert exported.returncode == 1
    assert b"PHOTO_GRACE_SECONDS" in exported.stderr


async def test_photos_without_a_record_are_removed_however_old_they_are(
    store: GridFSPhotos, mongo: Database[dict[str, Any]], mongo_url: str, tmp_path: Path
) -> None:
    sql_url = f"sqlite:///{tmp_path}/tasks.sqlite3"
    records = SqlDatabase(sql_url)
    await records.start()
    await migrate(records, SERVICE, MIGRATIONS)
    old, kept, new = [await written(store, b"photo") for _ in range(3)]
    begun = ObjectId.from_datetime(datetime(2020, 1, 2, tzinfo=UTC))
    await store.chunks.insert_one({"files_id": begun, "n": 0, "data": b"begun"})
    for photo_id in (old, kept):
        moment = {"$set": {"uploadDate": datetime(2020, 1, 2, tzinfo=UTC)}}
        await store.files.update_one({"_id": ObjectId(photo_id)}, moment)
    another = GridFSBucket(mongo).upload_from_stream("of the old backend", b"photo")
    await task_store(records).submit("job", submission(), [replace(uploaded(1)[0], photo_id=kept)])
    await records.close()

    removed = command(mongo_url, "remove-orphans", sql_url=sql_url)
    assert (removed.returncode, removed.stderr) == (0, b"2 photos that no record refers to were removed.\n")
    after = await contents(store)
    assert {str(document["_id"]) for document in after["files"]} == {kept, new, str(another)}
    assert begun not in {chunk["files_id"] for chunk in after["chunks"]}
