"""Bugs planted into a system that is whole, one of each kind that the checker is for: it must find every one."""

# ruff: noqa: S608 - statements about ids that the system itself made

import secrets
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pymongo
from bson import ObjectId

from contracts.events import AnalysisFailed, Envelope
from contracts.topology import TASKS_RESULTS
from tests.chaos.stores import Stores
from tests.chaos.system import MONGO_DATABASE, SQL_DATABASE, System
from tests.servers import run_apart

YEAR = "UTC_TIMESTAMP() + INTERVAL 1 YEAR"


def _sql(system: System, statement: str) -> None:
    system.mysql.execute(f"USE {SQL_DATABASE}", statement.replace(":", "\\:"))  # a colon begins a parameter


def _done(stores: Stores, acknowledged: Collection[str]) -> dict[str, str]:
    """An acknowledged job that is done and that its task shows, the last of them all (ids are random)."""
    found = max(
        (job_id, row["taskID"])
        for job_id, row in stores.jobs.items()
        if job_id in acknowledged
        and row["state"] == "done"
        and row["imageID"]
        and stores.tasks[row["taskID"]]["jobID"] == job_id
    )
    return {"job": found[0], "task": found[1]}


def lost(system: System, job: str, task: str) -> None:
    """A job's row is gone."""
    _sql(system, f"DELETE FROM tasks_job WHERE jobID = '{job}'")


def two_ends(system: System, job: str, task: str) -> None:
    """A job that was done fails afterwards."""
    _sql(system, f"UPDATE tasks_job SET state = 'error', error = 'no' WHERE jobID = '{job}'")


def stuck(system: System, job: str, task: str) -> None:
    """A job waits for ever."""
    _sql(
        system,
        f"UPDATE tasks_job SET state = 'queued', submittedAt = {YEAR}, publishedAt = {YEAR}, announcedAt = NULL "
        f"WHERE jobID = '{job}'",
    )


def wrong_owner(system: System, job: str, task: str) -> None:
    """A task belongs to somebody else."""
    _sql(system, f"UPDATE LeakageTask SET userID = 'thief@example.com' WHERE taskID = '{task}'")


def wrong_report(system: System, job: str, task: str) -> None:
    """A job shows the report of another task."""
    _sql(system, f"UPDATE tasks_job SET report = JSON_SET(report, '$.taskID', 'another') WHERE jobID = '{job}'")


def no_image(system: System, job: str, task: str) -> None:
    """A done job has lost its image."""
    _sql(system, f"UPDATE tasks_job SET imageID = NULL WHERE jobID = '{job}'")


def _files(system: System) -> Any:
    return pymongo.MongoClient[dict[str, Any]](system.mongo.url)[MONGO_DATABASE]


def photo_lost(system: System, job: str, task: str) -> None:
    """The chunks of a task's photos are gone."""
    rows = system.mysql.execute(
        f"SELECT photoID FROM {SQL_DATABASE}.tasks_photo WHERE jobID = '{job}' AND kind = 'rgb'"
    )
    _files(system)["fs.chunks"].delete_many({"files_id": {"$in": [ObjectId(row[0]) for row in rows]}})


def orphan(system: System, job: str, task: str) -> None:
    """A photo that nothing refers to has outlived the grace period."""
    old = datetime.now(UTC) - timedelta(days=1)
    key = ObjectId(f"{int(old.timestamp()):08x}{secrets.token_hex(8)}")
    _files(system)["fs.chunks"].insert_one({"files_id": key, "n": 0, "data": b"?"})


def outbox(system: System, job: str, task: str) -> None:
    """An event is never published."""
    envelope = Envelope.wrap(AnalysisFailed(job_id=job, reason="no"), traceparent=None).model_dump_json()
    columns = "envelope, createdAt, dueAt, failures"
    _sql(system, f"INSERT INTO tasks_outbox ({columns}) VALUES ('{envelope}', UTC_TIMESTAMP(), {YEAR}, 0)")


def dead_letter(system: System, job: str, task: str) -> None:
    """A dead letter tells of a job that nobody knows."""
    body = Envelope.wrap(AnalysisFailed(job_id="unknown", reason="no"), traceparent=None).model_dump_json()

    async def publish() -> None:
        async with await aio_pika.connect(system.rabbitmq.url, timeout=5) as connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(body.encode()), TASKS_RESULTS.dead_queue)

    run_apart(publish)


def profile_lost(system: System, job: str, task: str) -> None:
    """A profile has an old value again."""
    _sql(system, "UPDATE UserData SET zipCode = '99999' ORDER BY userID LIMIT 1")


PLANTS: dict[str, Callable[..., None]] = {
    plant.__name__.replace("_", " "): plant
    for plant in (
        lost,
        two_ends,
        stuck,
        wrong_owner,
        wrong_report,
        no_image,
        photo_lost,
        orphan,
        outbox,
        dead_letter,
        profile_lost,
    )
}


def plant(kind: str, system: System, stores: Stores, acknowledged: Collection[str]) -> None:
    """Break a system that holds ``stores`` in one way, where something was ``acknowledged``; blocking."""
    PLANTS[kind](system, **_done(stores, acknowledged))
