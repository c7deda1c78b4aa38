"""The old backend's database is taken over with every row and photo, whoever comes first and however often."""

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pymongo
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from gridfs import GridFSBucket
from sqlalchemy import event

from contracts.public import JobDone, Task
from services.auth.app import MIGRATIONS as AUTH_MIGRATIONS
from services.chassis.database import Database
from services.chassis.metrics import Metrics
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox
from services.tasks.app import MIGRATIONS
from services.tasks.erasure import Erasures
from services.tasks.models import metadata, outbox
from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.report_pictures import ReportPictures
from services.tasks.store import TaskStore
from services.tasks.sweeper import Sweeper
from tests.brokers import RecordingBroker
from tests.integration.services.tasks import old_backend
from tests.integration.services.tasks.test_sweeper import settings
from tests.unit.services.tasks.forms import photo
from tests.unit.services.tasks.running import tasks_service

OLD_COLUMNS = {
    "UserData": "userID zipCode energyCompany retrofitBudget ownership appliances suggestedBudget createdAt updatedAt",
    "LeakageTask": "taskID userID title type state decision closedResult insideTemp outsideTemp RGBphotoIDs "
    "thermalPhotoIDs leakSeverity energyLossValue energyLossCost savingsPercent savingsCost reportPhotoID "
    "createdAt updatedAt",
    "Suggestion": "suggestionID taskID title subtitle difficulty costRange estimatedReduction lifetime",
}
Contents = dict[str, list[dict[str, Any]]]
IDS = {"rgb": "a" * 24, "thermal": "b" * 24, "picture": "c" * 24}


async def build(database: Database, *, charset: str = "utf8mb4", keys: bool = False, **ids: str) -> Contents:
    """Build the old database; what is in it."""
    async with database.write(seconds=None) as connection:
        for statement in old_backend.tables(charset=charset, keys=keys):
            await connection.execute(sa.text(statement))
        await old_backend.insert(
            connection, "UserData", old_backend.USERS + [old_backend.LATIN_USER] * (charset == "latin1")
        )
        await old_backend.insert(connection, "LeakageTask", old_backend.tasks(**(IDS | ids)))
        await old_backend.insert(connection, "Suggestion", old_backend.SUGGESTIONS)
    return await contents(database)


async def contents(database: Database) -> Contents:
    async with database.read(seconds=None) as connection:
        return {
            table: await old_backend.contents(connection, table, names.split()) for table, names in OLD_COLUMNS.items()
        }


def adopted(old: Contents) -> Contents:
    """What becomes of it: addresses in lower case, and nothing else."""

    def changed(row: Mapping[str, Any]) -> dict[str, Any]:
        user = row.get("userID")
        return {**row, "userID": user.lower()} if user and "@" in user else dict(row)

    return {
        table: sorted((changed(row) for row in rows), key=lambda row: str(next(iter(row.values()))))
        for table, rows in old.items()
    }


async def migrated_by(database: Database, *services: str) -> None:
    folders = {"auth": AUTH_MIGRATIONS, "tasks": MIGRATIONS}
    for service in services:
        await migrate(database, service, folders[service])


@pytest.fixture
async def database(sql_url: str) -> Any:
    made = Database(sql_url)
    yield made
    await made.close()


def differences(connection: sa.Connection) -> list[Any]:
    """How the tables of tasks differ from the models; those of others do not count."""

    def ours(name: str | None, kind: str, _: Any) -> bool:
        return kind != "table" or name in metadata.tables

    options = {"compare_type": True, "include_name": ours, "target_metadata": metadata}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def collations(database: Database) -> dict[str, str]:
    """The collation of each column that identifies something."""
    async with database.read(seconds=None) as connection:
        found = await connection.execute(
            sa.text(
                "SELECT TABLE_NAME, COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS "
                "WHERE TABLE_SCHEMA = DATABASE() "
                "AND COLUMN_NAME IN ('taskID', 'userID', 'jobID', 'suggestionID', 'photoID')"
            )
        )
        return {f"{table}.{column}": collation for table, column, collation in found}


# ── fresh databases ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_fresh_database_is_what_the_models_say(tasks_url: str) -> None:
    database = Database(tasks_url)
    async with database.write(seconds=None) as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_migrating_again_changes_nothing(tasks_url: str) -> None:
    database = Database(tasks_url)
    await migrated_by(database, "tasks", "tasks")
    async with database.write(seconds=None) as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_replicas_that_start_together_migrate_once(database: Database, sql_url: str) -> None:
    replicas = [Database(sql_url) for _ in range(4)]
    await asyncio.gather(*(migrated_by(replica, "tasks") for replica in replicas))
    async with database.write(seconds=None) as connection:
        assert await connection.run_sync(differences) == []
    for replica in replicas:
        await replica.close()


# ── the old backend's ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("charset", "keys", "order"),
    [
        ("utf8mb4", False, ("tasks",)),
        ("latin1", False, ("tasks",)),
        ("utf8mb4", True, ("tasks", "auth")),
        ("utf8mb4", True, ("auth", "tasks")),
        ("latin1", True, ("tasks", "auth")),
        ("latin1", True, ("auth", "tasks")),
    ],
)
async def test_every_row_is_kept(database: Database, charset: str, keys: bool, order: tuple[str, ...]) -> None:
    users = "auth" in order
    before = await build(database, charset=charset, keys=keys)
    await migrated_by(database, *order)
    after, expected = await contents(database), adopted(before)
    if not users:
        expected["UserData"] = before["UserData"]
    assert after["LeakageTask"] == expected["LeakageTask"]
    assert after["Suggestion"] == expected["Suggestion"]
    assert after["UserData"] == expected["UserData"]
    async with database.write(seconds=None) as connection:
        assert await connection.run_sync(differences) == []
    ours = {name: c for name, c in (await collations(database)).items() if users or not name.startswith("UserData")}
    assert set(ours.values()) == {"utf8mb4_bin"}


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", None])
async def test_every_text_can_hold_any_character_afterwards(database: Database, charset: str | None) -> None:
    """``charset``: of the old tables; None: there are none, but a database whose own character set is an old one."""
    name = database.url.database
    async with database.write() as connection:
        await connection.execute(sa.text(f"ALTER DATABASE {name} CHARACTER SET {charset or 'latin1'}"))
    if charset:
        await build(database, charset=charset)
    await migrated_by(database, "auth", "tasks")
    async with database.read() as connection:
        texts = (
            await connection.execute(
                sa.text(
                    "SELECT TABLE_NAME, COLUMN_NAME, CHARACTER_SET_NAME FROM information_schema.COLUMNS "
                    "WHERE TABLE_SCHEMA = DATABASE() AND CHARACTER_SET_NAME IS NOT NULL "
                    "AND COLUMN_NAME != 'version_num'"  # alembic's own, in ASCII
                )
            )
        ).all()
    assert {row.CHARACTER_SET_NAME for row in texts} == {"utf8mb4"}
    assert {row.TABLE_NAME for row in texts} >= {"UserData", "LeakageTask", "Suggestion", "tasks_job", "tasks_photo"}
    async with database.write() as connection:
        for key, name in (("userID", "UserData"), ("taskID", "LeakageTask"), ("suggestionID", "Suggestion")):
            columns = [row.COLUMN_NAME for row in texts if name == row.TABLE_NAME]
            table = sa.table(name, *map(sa.column, columns))
            await connection.execute(sa.delete(table))
            await connection.execute(sa.insert(table).values({key: "one"}))
            await connection.execute(sa.update(table).values(dict.fromkeys(columns, "🪟😀")))
            assert set((await connection.execute(sa.select(table))).one()) == {"🪟😀"}


@pytest.mark.parametrize("old", [True, False])
async def test_an_interrupted_migration_is_repeated_to_the_same_end(
    database: Database, sql_url: str, old: bool
) -> None:
    """The process is killed before its first statement, then before the second, until it gets through."""
    before = await build(database, charset="latin1", keys=True) if old else None

    class Killed(BaseException):
        pass

    allowed, done = 0, False
    while not done:
        attempt, ran = Database(sql_url), 0

        def kill(*_: Any, allowed: int = allowed) -> None:
            nonlocal ran
            ran += 1
            if ran > allowed:
                raise Killed

        event.listen(attempt.engine.sync_engine, "before_cursor_execute", kill)
        try:
            await migrated_by(attempt, "tasks")
            done = True
        except Killed:
            allowed += 1
        finally:
            await attempt.close()
    assert allowed > 20
    async with database.write(seconds=None) as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.scalar(sa.text("SELECT COUNT(*) FROM tasks_job")) == (2 if old else 0)
    if before is not None:
        after, expected = await contents(database), adopted(before)
        assert (after["LeakageTask"], after["Suggestion"]) == (expected["LeakageTask"], expected["Suggestion"])


async def test_auth_and_tasks_can_take_over_one_database_at_the_same_time(database: Database, sql_url: str) -> None:
    before = await build(database, keys=True)
    environment = {
        **os.environ,
        "SQL_URL": sql_url,
        "MONGO_URL": "mongodb://unused",
        "RABBITMQ_URL": "amqp://127.0.0.1",
        "GOOGLE_CLIENT_IDS": "client",
        "AUTH_URL": "http://unused",
        "SERVICE_TOKEN": secrets.token_hex(32),
        "ACCESS_TOKEN_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"services.{service}", "migrate"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for service in ("auth", "tasks")
    ]
    said = [(await process.communicate())[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    assert await contents(database) == adopted(before)


async def test_old_tasks_and_their_photos_are_served(
    database: Database, sql_url: str, mongo_url: str, tmp_path: Path
) -> None:
    rgb, thermal, picture = photo(300_000, 1), photo(1000, 2), photo(600_000, 3)
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        bucket = GridFSBucket(client.get_default_database())
        ids = [
            str(bucket.upload_from_stream(f"job-0001_{name}", data))
            for name, data in (("obs0_rgb.jpg", rgb), ("obs0_thermal.jpg", thermal), ("analysis.jpg", picture))
        ]
    await build(database, charset="latin1", keys=True, rgb=ids[0], thermal=ids[1], picture=ids[2])
    async with tasks_service(
        tmp_path, sql_url=sql_url, make_photos=lambda: GridFSPhotos(mongo_url), auth_mode="required"
    ) as service:
        mine = service.bearer("someone@example.com")
        listed = (await service.get("/v1/tasks?userID=Someone@example.com", headers=mine)).json["tasks"]
        assert [task["taskID"] for task in listed] == ["odd", "whole"]
        whole = Task.model_validate((await service.get("/v1/tasks/whole", headers=mine)).json)
        assert (whole.title, whole.type, whole.decision, whole.insideTemp) == (
            "Fenêtre côté nord",
            "window",
            "todo",
            71.5,
        )
        assert whole.createdAt is not None
        assert whole.createdAt.isoformat() == "2025-08-08T17:12:15+00:00"
        assert whole.report is not None
        assert (whole.report.leakSeverity, whole.report.energyLossValue) == ("Moderate", 15.8)
        assert [suggestion.suggestionID for suggestion in whole.report.suggestions] == ["s0", "s1"]
        served = {}
        for one in whole.photos:
            answer = await service.get(f"/v1/tasks/whole/photos/{one.photoID}", headers=mine)
            assert answer.headers["Content-Type"] == "image/jpeg"
            served[one.kind] = answer.body
        assert served == {"rgb": rgb, "thermal": thermal, "report": picture}
        polled = await service.get(f"/detect_leak/{whole.jobId}", headers=mine)
        done = JobDone.model_validate(polled.json)
        assert done.report == whole.report
        assert done.image is not None
        assert done.image.filename == "whole_analysis_image.jpg"

        odd = Task.model_validate((await service.get("/v1/tasks/odd", headers=mine)).json)
        assert odd.report is not None
        assert (odd.report.leakSeverity, odd.report.imagePath, odd.report.energyLossValue) == ("Unknown", None, None)
        assert (odd.state, odd.photos) == ("closed", ())
        hers = service.bearer("müller@example.com")
        (draft,) = (await service.get("/v1/tasks?userID=müller@example.com", headers=hers)).json["tasks"]
        assert (draft["taskID"], draft["report"], draft["photos"], draft["jobId"]) == ("draft", None, [], None)

        # It lives on: submitted again by its owner, whatever capitals the address had.
        await service.new_job("whole", uid="SOMEONE@example.com", headers=mine)
        assert (
            await service.submit("whole", uid="else@example.com", headers=service.bearer("else@example.com"))
        ).status == 403
        assert (await service.get(f"/detect_leak/{whole.jobId}", headers=mine)).json == polled.json


async def test_photos_of_the_old_backend_are_never_taken_for_orphans(sql_url: str, mongo_url: str) -> None:
    database, photos = Database(sql_url), GridFSPhotos(mongo_url)
    await migrated_by(database, "tasks")
    await photos.start()
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        photo_id = str(GridFSBucket(client.get_default_database()).upload_from_stream("job_obs0_rgb.jpg", photo(10)))
    soon = settings().model_copy(update={"photo_grace_seconds": 0.001})  # less than anybody may set
    waiting = Outbox(outbox)
    erasures = Erasures(database, waiting, "secret")
    store = TaskStore(database, waiting, erasures)
    pictures = ReportPictures(database)
    await Sweeper(store, erasures, waiting, photos, pictures, RecordingBroker(), soon, Metrics()).sweep_orphans()
    assert (await photos.open(photo_id)).size == 10, "this search would have found it, were it ours"
    await photos.close()
    await database.close()
