"""What the databases and the broker hold, read past all links: the other half of what the checker compares."""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pymongo
from bson import ObjectId

from contracts.events import Envelope
from contracts.topology import SUBSCRIPTIONS
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from tests.chaos.system import MONGO_DATABASE, SQL_DATABASE, System

Row: TypeAlias = dict[str, Any]
MOST_LETTERS = 1000


@dataclass(frozen=True)
class StoredFile:
    """A photo in GridFS, or what there is of one."""

    sha256: str | None  # None: not whole, nobody can read it
    age_seconds: float


@dataclass
class Stores:
    """Rows by their keys, photos by their ids."""

    tasks: dict[str, Row] = field(default_factory=dict)  # taskID: userID, jobID
    jobs: dict[str, Row] = field(default_factory=dict)  # jobID: its columns of _TABLES
    photos: dict[str, Row] = field(default_factory=dict)  # photoID: taskID, jobID, kind, name, droppedAt
    users: dict[str, Row] = field(default_factory=dict)  # userID: zipCode, profileVersion
    households: dict[str, Row] = field(default_factory=dict)  # userID: version, household
    files: dict[str, StoredFile] = field(default_factory=dict)
    outbox: list[Row] = field(default_factory=list)  # table, id, type, subject
    dead_letters: list[Row] = field(default_factory=list)  # queue, type, subject, reason


_TABLES = {
    "tasks": ("LeakageTask", "taskID", ("userID", "jobID")),
    "jobs": ("tasks_job", "jobID", ("taskID", "userID", "state", "error", "report", "imageID", "waitingSince")),
    "photos": ("tasks_photo", "photoID", ("taskID", "jobID", "kind", "name", "droppedAt")),
    "users": ("UserData", "userID", ("zipCode", "profileVersion")),
    "households": ("tasks_household", "userID", ("version", "household")),
}


async def read_stores(system: System) -> Stores:
    """Read all of it; the system may run on."""
    stores = Stores()
    await asyncio.to_thread(_read_sql, system, stores)
    stores.files = await asyncio.to_thread(_read_files, system)
    stores.dead_letters = await _read_dead_letters(system)
    return stores


def _read_sql(system: System, stores: Stores) -> None:
    for name, (table, key, columns) in _TABLES.items():
        wanted = ", ".join((key, *columns))
        rows = system.mysql.execute(f"SELECT {wanted} FROM {SQL_DATABASE}.{table}")  # noqa: S608 - our own names
        setattr(stores, name, {row[0]: dict(zip(columns, map(_value, row[1:]), strict=True)) for row in rows})
    for table in ("tasks_outbox", "auth_outbox"):
        for row_id, text in system.mysql.execute(f"SELECT id, envelope FROM {SQL_DATABASE}.{table}"):  # noqa: S608
            envelope = Envelope.model_validate(_value(text))
            stores.outbox.append({"table": table, "id": row_id, "type": envelope.type, "subject": envelope.subject})


def _value(value: Any) -> Any:
    """JSON columns arrive as text."""
    return json.loads(value) if isinstance(value, str) and value[:1] == "{" else value


def _read_files(system: System) -> dict[str, StoredFile]:
    files: dict[str, StoredFile] = {}
    present = datetime.now(UTC)
    with pymongo.MongoClient[dict[str, Any]](system.mongo.url, tz_aware=True) as client:
        database = client[MONGO_DATABASE]
        bytes_of: dict[ObjectId, tuple[Any, int]] = {}
        for chunk in database["fs.chunks"].find({}, sort=[("files_id", 1), ("n", 1)]):
            hasher, size = bytes_of.get(chunk["files_id"], (hashlib.sha256(), 0))
            hasher.update(chunk["data"])
            bytes_of[chunk["files_id"]] = (hasher, size + len(chunk["data"]))
        for document in database["fs.files"].find({}):
            hasher, size = bytes_of.pop(document["_id"], (hashlib.sha256(), 0))
            age = (present - document["uploadDate"]).total_seconds()
            files[str(document["_id"])] = StoredFile(hasher.hexdigest() if size == document["length"] else None, age)
        for key in bytes_of:
            files[str(key)] = StoredFile(None, (present - key.generation_time).total_seconds())
    return files


async def _read_dead_letters(system: System) -> list[Row]:
    broker = RabbitBroker(system.rabbitmq.url, Metrics(), "chaos")
    await broker.start()
    try:
        return [
            {"queue": subscription.queue, "type": letter.type, "subject": letter.subject, "reason": letter.reason}
            for subscription in SUBSCRIPTIONS
            for letter in await broker.dead_letters(subscription, MOST_LETTERS)
        ]
    finally:
        await broker.close()
