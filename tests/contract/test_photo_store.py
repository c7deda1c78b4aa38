"""What every photo store promises, run against each of them: see :mod:`services.tasks.photos.store`."""

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import ObjectId
from gridfs import GridFSBucket

from services.chassis.startup import StartupError
from services.tasks.photos import gridfs
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.photos.store import (
    CHUNK_BYTES,
    PhotoMetadata,
    PhotoNotFoundError,
    PhotoStore,
    PhotoStoreError,
    PhotoWriter,
    new_photo_id,
)
from tests.proxy import Proxy
from tests.servers import MongoServer
from tests.waiting import until

BOTH = ["files", pytest.param("gridfs", marks=pytest.mark.docker("mongo"))]


@pytest.fixture(params=BOTH)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PhotoStore]:
    made: PhotoStore
    if request.param == "files":
        made = FilePhotos(tmp_path / "photos")
    else:
        made = GridFSPhotos(request.getfixturevalue("mongo_url"))
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def grid(mongo_url: str) -> AsyncIterator[GridFSPhotos]:
    made = GridFSPhotos(mongo_url)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def files(tmp_path: Path) -> FilePhotos:
    return FilePhotos(tmp_path / "photos")


def begun(store: PhotoStore, photo_id: str | None = None) -> tuple[str, PhotoWriter]:
    photo_id = photo_id or new_photo_id()
    return photo_id, store.writer(photo_id, PhotoMetadata("job_obs0_rgb.jpg"))


async def put(store: PhotoStore, data: bytes, photo_id: str | None = None, pieces: int = 65536) -> str:
    photo_id, writer = begun(store, photo_id)
    for start in range(0, len(data), pieces):
        await writer.write(data[start : start + pieces])
    await publish(store, writer)
    return photo_id


async def publish(store: PhotoStore, writer: PhotoWriter) -> None:
    await writer.end("image/jpeg", "0" * 64)
    await store.publish([writer])


async def chunks_of(store: PhotoStore, photo_id: str) -> list[bytes]:
    stored = await store.open(photo_id)
    chunks = [chunk async for chunk in stored.chunks]
    assert stored.size == sum(map(len, chunks))
    return chunks


async def candidates(store: PhotoStore, start: datetime | None = None, end: datetime | None = None) -> set[str]:
    """What a search for orphans finds; by default among all that was written in these two hours."""
    present = datetime.now(UTC)
    span = start or present - timedelta(hours=1), end or present + timedelta(hours=1)
    return {photo_id async for batch in store.written_between(*span) for photo_id in batch}


async def is_there(store: PhotoStore, photo_id: str) -> bool:
    try:
        await store.open(photo_id)
    except PhotoNotFoundError:
        return False
    return True


SIZES = [0, 1, 2, 3, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES, 9 * CHUNK_BYTES + 7]


async def test_a_photo_is_read_back_as_it_was_written_whatever_its_size(store: PhotoStore) -> None:
    for size in SIZES:
        data = os.urandom(size)
        assert b"".join(await chunks_of(store, await put(store, data))) == data


async def test_it_does_not_matter_in_which_pieces_it_is_written(store: PhotoStore) -> None:
    draw = random.Random(1)  # noqa: S311 - repeatable
    for _ in range(10):
        data = draw.randbytes(draw.randrange(3 * CHUNK_BYTES))
        photo_id, writer = begun(store)
        start = 0
        while start < len(data):
            size = draw.choice([0, 1, 100, 65536, CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
            await writer.write(data[start : start + size])
            start += size
        await publish(store, writer)
        assert b"".join(await chunks_of(store, photo_id)) == data


async def test_a_photo_is_read_in_chunks_that_base64_can_be_made_of_one_by_one(store: PhotoStore) -> None:
    chunks = await chunks_of(store, await put(store, bytes(2 * CHUNK_BYTES + 10)))
    assert [len(chunk) for chunk in chunks] == [CHUNK_BYTES, CHUNK_BYTES, 10]
    assert CHUNK_BYTES % 3 == 0


async def test_a_photo_can_be_read_by_many_at_once(store: PhotoStore) -> None:
    data = os.urandom(3 * CHUNK_BYTES)
    photo_id = await put(store, data)
    for chunks in await asyncio.gather(*(chunks_of(store, photo_id) for _ in range(20))):
        assert b"".join(chunks) == data


async def test_a_photo_is_invisible_until_it_is_published(store: PhotoStore) -> None:
    photo_id, writer = begun(store)
    assert not await is_there(store, photo_id)
    await writer.write(bytes(2 * CHUNK_BYTES))
    assert not await is_there(store, photo_id)
    await publish(store, writer)
    assert await is_there(store, photo_id)


@pytest.mark.parametrize("written", [None, 0, 10, 2 * CHUNK_BYTES + 10])
async def test_an_aborted_photo_leaves_nothing(store: PhotoStore, written: int | None) -> None:
    photo_id, writer = begun(store)
    if written is not None:
        await writer.write(bytes(written))
    await writer.abort()
    assert not await is_there(store, photo_id)
    assert await candidates(store) == set()


async def test_a_published_photo_can_still_be_aborted(store: PhotoStore) -> None:
    photo_id, writer = begun(store)
    await writer.write(b"abc")
    await publish(store, writer)
    await writer.abort()
    assert not await is_there(store, photo_id)
    assert await candidates(store) == set()


async def test_an_abort_undoes_what_a_cancelled_call_goes_on_with(store: PhotoStore) -> None:
    """Threads do not notice that nobody waits for them any more."""
    data = bytes(CHUNK_BYTES)
    for round_ in range(60):
        _, writer = begun(store)
        await writer.write(data)
        call = asyncio.create_task(writer.write(data) if round_ % 2 else publish(store, writer))
        for _ in range(round_ % 7):
            await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await writer.abort()
    await asyncio.sleep(0.2)  # whatever still goes on somewhere
    assert await candidates(store) == set()


async def test_a_call_that_is_cancelled_before_it_began_does_not_bring_a_photo_back(store: PhotoStore) -> None:
    _, writer = begun(store)
    call = asyncio.create_task(writer.write(b"abc"))
    await asyncio.sleep(0)
    call.cancel()
    await writer.abort()
    await asyncio.sleep(0.05)
    assert await candidates(store) == set()


async def test_deleted_photos_are_gone(store: PhotoStore) -> None:
    gone, kept = await put(store, bytes(CHUNK_BYTES + 1)), await put(store, b"kept")
    await store.delete([gone])
    assert not await is_there(store, gone)
    assert b"".join(await chunks_of(store, kept)) == b"kept"
    assert await candidates(store) == {kept}


async def test_a_photo_that_was_only_begun_can_be_deleted(store: PhotoStore) -> None:
    photo_id, writer = begun(store)
    await writer.write(bytes(2 * CHUNK_BYTES))
    await store.delete([photo_id])
    assert await candidates(store) == set()


@pytest.mark.parametrize(
    "photo_id", ["0" * 24, "not an id", "", "../../../etc/passwd", "zzzzzzzzzzzzzzzzzzzzzzzz", "é" * 24]
)
async def test_an_unknown_id_is_not_found_and_deleting_it_is_no_error(store: PhotoStore, photo_id: str) -> None:
    kept = await put(store, b"kept")
    with pytest.raises(PhotoNotFoundError):
        await store.open(photo_id)
    await store.delete([photo_id, kept])
    assert not await is_there(store, kept)


async def test_deleting_nothing_is_no_error(store: PhotoStore) -> None:
    await store.delete([])


async def test_the_search_for_orphans_finds_whole_and_begun_photos(store: PhotoStore) -> None:
    whole = {await put(store, b"abc"), await put(store, bytes(2 * CHUNK_BYTES))}
    part, writer = begun(store)
    await writer.write(bytes(CHUNK_BYTES + 1))
    assert await candidates(store) == {*whole, part}


async def test_the_search_for_orphans_keeps_to_its_time(store: PhotoStore) -> None:
    await put(store, b"abc")
    _, writer = begun(store)
    await writer.write(bytes(2 * CHUNK_BYTES))
    present = datetime.now(UTC)
    assert await candidates(store, present - timedelta(hours=2), present - timedelta(hours=1)) == set()
    assert await candidates(store, present + timedelta(hours=1), present + timedelta(hours=2)) == set()


async def test_the_search_for_orphans_is_complete_however_many_there_are(store: PhotoStore, monkeypatch: Any) -> None:
    monkeypatch.setattr(gridfs, "BATCH", 3)
    whole = {await put(store, b"abc") for _ in range(7)}
    parts = set()
    for _ in range(7):
        photo_id, writer = begun(store)
        await writer.write(bytes(2 * CHUNK_BYTES))
        parts.add(photo_id)
    assert await candidates(store) == whole | parts


async def test_new_ids_differ_and_tell_their_time() -> None:
    ids = {new_photo_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(abs(ObjectId(one).generation_time.timestamp() - time.time()) < 5 for one in ids)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_files_that_are_no_photos_of_ours_are_left_alone(files: FilePhotos, tmp_path: Path) -> None:
    photo_id = await put(files, b"abc")
    folder = tmp_path / "photos" / photo_id[-2:]
    for name in ("notes.txt", "0" * 24 + ".jpg", ".DS_Store"):
        (folder / name).write_text("not ours")
    (tmp_path / "photos" / "README").write_text("not ours")
    assert await candidates(files) == {photo_id}


async def test_an_abort_waits_for_a_thread_that_is_just_making_the_file(
    files: FilePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    await files.start()
    began, go_on = threading.Event(), threading.Event()
    make_folder = Path.mkdir

    def slowly(folder: Path, *args: Any, **kwargs: Any) -> None:
        began.set()
        go_on.wait(10)
        make_folder(folder, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", slowly)
    _, writer = begun(files)
    call = asyncio.create_task(writer.write(b"abc"))
    await asyncio.to_thread(began.wait, 10)
    call.cancel()
    abort = asyncio.create_task(writer.abort())
    await asyncio.wait([abort], timeout=0.1)
    go_on.set()
    await abort
    await asyncio.sleep(0.05)
    assert await candidates(files) == set()


def _open_files(folder: Path) -> list[Path]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.append(descriptor.readlink())
    return [path for path in found if path.is_relative_to(folder)]


async def test_a_photo_that_has_ended_holds_no_file_open(files: FilePhotos, tmp_path: Path) -> None:
    _, writer = begun(files)
    await writer.write(b"abc")
    assert len(_open_files(tmp_path)) == 1
    await writer.end("image/jpeg", "0" * 64)
    assert _open_files(tmp_path) == []


async def test_two_writers_cannot_take_the_same_file(files: FilePhotos) -> None:
    photo_id, first = begun(files)
    await first.write(b"first")
    _, second = begun(files, photo_id)
    with pytest.raises(PhotoStoreError):
        await second.write(b"second")


async def test_a_folder_that_cannot_be_written_ends_the_start_in_a_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="Cannot keep photos in"):
        await FilePhotos(tmp_path / "file" / "photos").start()


async def test_a_folder_that_vanished_is_told(files: FilePhotos) -> None:
    await files.start()
    await files.ping()
    files._folder.rmdir()
    with pytest.raises(PhotoStoreError):
        await files.ping()
    with pytest.raises(PhotoStoreError):
        await candidates(files)


async def test_a_disk_that_refuses_is_told_and_the_abort_still_works(files: FilePhotos, tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("in the way of the folder")
    _, writer = begun(files)
    with pytest.raises(PhotoStoreError):
        await writer.write(b"abc")
    await writer.abort()


# ── GridFS ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_photo_of_ours_is_what_the_driver_itself_calls_one(grid: GridFSPhotos, mongo_url: str) -> None:
    data = os.urandom(3 * CHUNK_BYTES + 5)
    photo_id = await put(grid, data)
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        with GridFSBucket(client.get_default_database()).open_download_stream(ObjectId(photo_id)) as stream:
            assert stream.read() == data
            assert stream.filename == "job_obs0_rgb.jpg"
            assert stream.chunk_size == CHUNK_BYTES
            assert stream.metadata == {
                "writtenBy": "home-energy-audit",
                "contentType": "image/jpeg",
                "sha256": "0" * 64,
            }
        GridFSBucket(client.get_default_database()).delete(ObjectId(photo_id))
    assert not await is_there(grid, photo_id)
    assert await candidates(grid) == set()


@pytest.mark.parametrize("chunk_size", [1000, 255 * 1024, 1024 * 1024])
async def test_a_photo_that_the_driver_wrote_is_read_and_never_an_orphan(
    grid: GridFSPhotos, mongo_url: str, chunk_size: int
) -> None:
    data = os.urandom(2 * 1024 * 1024 + 1)
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        bucket = GridFSBucket(client.get_default_database(), chunk_size_bytes=chunk_size)
        photo_id = str(bucket.upload_from_stream("job_obs0_rgb.jpg", data))
    assert b"".join(await chunks_of(grid, photo_id)) == data
    assert await candidates(grid) == set()


async def test_the_indexes_that_the_driver_made_are_taken_over(mongo_url: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        GridFSBucket(client.get_default_database()).upload_from_stream("old", b"abc")
        store = GridFSPhotos(mongo_url)
        await store.start()
        await store.start()
        await store.close()
        database = client.get_default_database()
        assert set(database["fs.files"].index_information()) == {"_id_", "filename_1_uploadDate_1", "uploadDate_1"}
        assert set(database["fs.chunks"].index_information()) == {"_id_", "files_id_1_n_1"}


@pytest.mark.parametrize("missing", [0, 1, 5])
async def test_a_missing_chunk_is_an_error_and_not_a_shorter_photo(grid: GridFSPhotos, missing: int) -> None:
    photo_id = await put(grid, os.urandom(5 * CHUNK_BYTES + 1))
    stored = await grid.open(photo_id)
    await grid.chunks.delete_one({"files_id": ObjectId(photo_id), "n": missing})
    with pytest.raises(PhotoNotFoundError):  # whoever comes now hears of it before a byte is sent
        await grid.open(photo_id)
    read = []
    with pytest.raises(PhotoNotFoundError):  # noqa: PT012 - the loop is what raises
        async for chunk in stored.chunks:
            read.append(chunk)  # noqa: PERF401
    assert len(read) == missing, "nothing from behind the gap may be taken for what lay in it"


async def test_chunks_that_an_interrupted_removal_left_are_found(grid: GridFSPhotos) -> None:
    photo_id = await put(grid, bytes(3 * CHUNK_BYTES))
    await grid.files.delete_one({"_id": ObjectId(photo_id)})
    await grid.chunks.delete_one({"files_id": ObjectId(photo_id), "n": 0})
    assert await candidates(grid) == {photo_id}
    await grid.delete([photo_id])
    assert await grid.chunks.count_documents({}) == 0


async def test_the_search_for_orphans_goes_by_indexes(grid: GridFSPhotos) -> None:
    start, end = datetime.now(UTC) - timedelta(days=7), datetime.now(UTC)
    for command in (
        {"find": "fs.files", "filter": {"uploadDate": {"$gte": start, "$lt": end}, "metadata.writtenBy": "x"}},
        {
            "aggregate": "fs.chunks",
            "pipeline": [
                {"$match": {"files_id": {"$gte": ObjectId.from_datetime(start), "$lt": ObjectId.from_datetime(end)}}},
                {"$group": {"_id": "$files_id"}},
            ],
            "cursor": {},
        },
    ):
        plan = str(await grid.files.database.command("explain", command, verbosity="queryPlanner"))
        assert "COLLSCAN" not in plan
        assert "IXSCAN" in plan or "DISTINCT_SCAN" in plan


async def test_a_reader_that_leaves_early_leaves_no_cursor_behind(grid: GridFSPhotos) -> None:
    photo_id = await put(grid, bytes(20 * CHUNK_BYTES))
    stored = await grid.open(photo_id)
    chunks = stored.chunks
    await anext(chunks)
    status = await grid.files.database.command("serverStatus")
    opened = status["metrics"]["cursor"]["open"]["total"]
    assert opened >= 1
    await chunks.aclose()  # type: ignore[attr-defined]
    status = await grid.files.database.command("serverStatus")
    assert status["metrics"]["cursor"]["open"]["total"] == opened - 1


@pytest.fixture
async def away(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GridFSPhotos]:
    """A store at an address where nobody answers."""
    monkeypatch.setattr(gridfs, "SERVER_SECONDS", 1)
    made = GridFSPhotos("mongodb://127.0.0.1:1/LeakageImages")
    yield made
    await made.close()


async def test_a_store_that_is_away_is_told_by_every_method(away: GridFSPhotos) -> None:
    photo_id, writer = begun(away)
    answers = await asyncio.gather(
        writer.write(bytes(CHUNK_BYTES)),
        away.open(photo_id),
        away.delete([photo_id]),
        candidates(away),
        away.ping(),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers} == {PhotoStoreError}
    await writer.abort()


async def test_a_store_that_is_away_is_told_in_time_to_everybody_who_asks_at_once(
    away: GridFSPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has few threads: those who wait for one must not wait for the others' turns, one after another."""
    monkeypatch.setattr(gridfs, "ANSWER_SECONDS", 2)
    asked = [away.open("0" * 24) for _ in range(200)]
    async with asyncio.timeout(10):  # the last of 200 would have its turn, of 1 s, on one of ten threads after 20 s
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(answer) for answer in answers} == {PhotoStoreError}


async def test_a_store_that_fell_silent_is_told_at_once_until_it_answers_again(
    mongo_server: MongoServer, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gridfs, "ANSWER_SECONDS", 1)
    address = mongo_url.removeprefix("mongodb://").rpartition("@")[2].partition("/")[0]
    host, _, port = address.partition(":")
    async with Proxy(lambda: (host, int(port or 27017))) as proxy:
        store = GridFSPhotos(mongo_url.replace(address, f"127.0.0.1:{proxy.port}") + "&directConnection=true")
        await store.start()
        photo_id = await put(store, b"kept")
        _, writer = begun(store)
        proxy.silence()
        with pytest.raises(PhotoStoreError):
            await writer.write(bytes(CHUNK_BYTES))
        await until(lambda: store.is_away)
        for _ in range(1000):
            with pytest.raises(PhotoStoreError):
                await store.open(photo_id)
        await writer.abort()
        proxy.heal()
        await until(lambda: not store.is_away)
        assert b"".join(await chunks_of(store, photo_id)) == b"kept"
        await store.close()


@pytest.mark.parametrize(
    "url",
    ["http://localhost", "localhost", "", "mongodb://", "mongodb://u:p@h:port/x"],
)
def test_a_wrong_address_ends_the_start_in_a_clear_line(url: str) -> None:
    with pytest.raises(StartupError, match=r"^MONGO_URL: "):
        GridFSPhotos(url)


async def test_a_refused_password_ends_the_start_in_a_clear_line(mongo_url: str) -> None:
    # A server without authorisation lets everybody in, but refuses a user that it does not know, too.
    host, _, path = mongo_url.removeprefix("mongodb://").rpartition("@")[2].partition("/")
    store = GridFSPhotos(f"mongodb://nobody:wrong@{host}/{path}")
    with pytest.raises(StartupError, match="MongoDB refuses this user, password or database"):
        await store.start()
    await store.close()


async def test_a_url_without_a_database_means_the_old_backends(mongo_url: str) -> None:
    server, _, rest = mongo_url.rpartition("/")
    store = GridFSPhotos(f"{server}/?{rest.partition('?')[2]}")
    assert store.files.full_name == "LeakageImages.fs.files"
    await store.close()


# ── how a photo is to be shown ───────────────────────────────────────────────────────────────────────────────────


async def test_a_plan_is_kept_beside_its_photo(store: PhotoStore) -> None:
    photo_id = await put(store, b"photo")
    assert (await store.open(photo_id)).plan is None
    await store.keep_plan(photo_id, b"first")
    await store.keep_plan(photo_id, b"second")
    stored = await store.open(photo_id)
    assert stored.plan == b"second"
    assert b"".join([chunk async for chunk in stored.chunks]) == b"photo"


async def test_a_plan_goes_with_its_photo(store: PhotoStore) -> None:
    photo_id = await put(store, b"photo")
    await store.keep_plan(photo_id, b"plan")
    await store.delete([photo_id])
    await put(store, b"another", photo_id)
    assert (await store.open(photo_id)).plan is None


async def test_a_plan_of_a_photo_that_is_gone_is_not_kept(store: PhotoStore) -> None:
    photo_id = new_photo_id()
    await store.keep_plan(photo_id, b"plan")
    await put(store, b"photo", photo_id)
    assert (await store.open(photo_id)).plan is None


async def test_a_plan_that_outlived_its_photo_is_found_by_the_sweeper(files: FilePhotos) -> None:
    await files.start()
    photo_id = await put(files, b"photo")
    await files.keep_plan(photo_id, b"plan")
    files._path(photo_id).unlink()  # as a crash in the midst of a removal leaves it
    now = datetime.now(UTC)
    found = [
        name
        async for batch in files.written_between(now - timedelta(hours=1), now + timedelta(hours=1))
        for name in batch
    ]
    assert found == [photo_id]
    await files.delete(found)
    assert [path for path in files._folder.rglob("*") if path.is_file()] == []


async def test_a_photo_of_the_old_backend_gets_a_plan_whatever_its_metadata_is(grid: GridFSPhotos) -> None:
    key = ObjectId()
    await grid.files.insert_one(
        {"_id": key, "length": 0, "chunkSize": 255, "uploadDate": datetime.now(UTC), "metadata": None}
    )
    await grid.keep_plan(str(key), b"plan")
    assert (await grid.open(str(key))).plan == b"plan"
