"""Tasks, suggestions, jobs, photos, households; the old backend's tables are adopted with every row.

What changes for an adopted ``LeakageTask``: ids are compared byte by byte, user ids may be longer and are in lower
case when they are e-mail addresses, the enumerations become text (the app has learnt more decisions than the old
schema knew), and a task points at the job of its newest submission. The old backend kept jobs in its memory only,
so each task that has a report gets a finished job that holds it; its photos are listed, and stay where they are.
"""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from contracts.reports import Severity, report_image_name
from contracts.user_ids import normalised
from services.chassis.adoption import columns, convert_to_utf8mb4, create_outbox, drop_foreign_keys, has_table
from services.chassis.database import UtcDateTime, key_string

revision = "0001"
down_revision = None

BATCH = 500
_ID = re.compile("[0-9a-f]{24}")
# Ids of jobs made for adopted tasks: the same each time, so that this can be repeated after an interruption.
ADOPTED = uuid.UUID("5f0c2c1e-6d5b-4b57-9d0c-0a1f9a1c7e10")


def upgrade() -> None:
    adopted = has_table("LeakageTask")
    if adopted:
        _adopt_tables()
    else:
        _create_old_tables()
    _create_new_tables()
    create_outbox("tasks_outbox")
    if adopted:
        # From here on one transaction, committed together with the mark that this revision is done.
        _lower_addresses()
        _adopt_rows()


def _lower_addresses() -> None:
    """Lower addresses as auth's migration does: SQL's own LOWER changes more letters than A to Z."""
    bind, user_id = op.get_bind(), sa.column("userID", sa.String)
    tasks = sa.table("LeakageTask", user_id)
    for old in bind.scalars(sa.select(user_id).distinct().select_from(tasks).where(user_id.contains("@"))).all():
        if normalised(old) != old:
            bind.execute(sa.update(tasks).where(user_id == old).values(userID=normalised(old)))


def _adopt_tables() -> None:
    for name in ("LeakageTask", "Suggestion"):
        if has_table(name):
            drop_foreign_keys(name)
            convert_to_utf8mb4(name)
    existing = columns("LeakageTask")
    with op.batch_alter_table("LeakageTask") as table:
        table.alter_column("taskID", existing_type=sa.String(64), type_=key_string(64), nullable=False)
        table.alter_column("userID", existing_type=sa.String(64), type_=key_string(255))
        table.alter_column("type", existing_type=sa.String(32), type_=sa.String(32))
        table.alter_column("state", existing_type=sa.String(32), type_=sa.String(32))
        table.alter_column("decision", existing_type=sa.String(64), type_=sa.String(64))
        for name in ("createdAt", "updatedAt"):  # an old TIMESTAMP has whole seconds and may change by itself
            table.alter_column(name, existing_type=sa.TIMESTAMP(), type_=UtcDateTime(), nullable=True)
        if "jobID" not in existing:
            table.add_column(sa.Column("jobID", key_string(36)))
    _index("LeakageTask", "userID")
    if has_table("Suggestion"):
        with op.batch_alter_table("Suggestion") as table:
            table.alter_column("suggestionID", existing_type=sa.String(64), type_=key_string(64), nullable=False)
            table.alter_column("taskID", existing_type=sa.String(64), type_=key_string(64))
        _index("Suggestion", "taskID")
    else:
        _create_suggestions()


def _index(table: str, *names: str, suffix: str | None = None) -> None:
    """Create an index unless it is there: an interruption may have come between a table and its indexes."""
    name = f"ix_{table}_{suffix or names[0]}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(names))


def _create_old_tables() -> None:
    op.create_table(
        "LeakageTask",
        sa.Column("taskID", key_string(64), primary_key=True),
        sa.Column("userID", key_string(255)),
        sa.Column("title", sa.String(255)),
        sa.Column("type", sa.String(32)),
        sa.Column("state", sa.String(32)),
        sa.Column("decision", sa.String(64)),
        sa.Column("closedResult", sa.String(255)),
        sa.Column("insideTemp", sa.Float),
        sa.Column("outsideTemp", sa.Float),
        sa.Column("RGBphotoIDs", sa.JSON),
        sa.Column("thermalPhotoIDs", sa.JSON),
        sa.Column("leakSeverity", sa.String(255)),
        sa.Column("energyLossValue", sa.Float),
        sa.Column("energyLossCost", sa.Float),
        sa.Column("savingsPercent", sa.Float),
        sa.Column("savingsCost", sa.Float),
        sa.Column("reportPhotoID", sa.String(64)),
        sa.Column("createdAt", UtcDateTime),
        sa.Column("updatedAt", UtcDateTime),
        sa.Column("jobID", key_string(36)),
        mysql_charset="utf8mb4",
    )
    _index("LeakageTask", "userID")
    _create_suggestions()


def _create_suggestions() -> None:
    op.create_table(
        "Suggestion",
        sa.Column("suggestionID", key_string(64), primary_key=True),
        sa.Column("taskID", key_string(64)),
        *(
            sa.Column(name, sa.String(255))
            for name in ("title", "subtitle", "difficulty", "costRange", "estimatedReduction", "lifetime")
        ),
        mysql_charset="utf8mb4",
    )
    _index("Suggestion", "taskID")


def _create_new_tables() -> None:
    if not has_table("tasks_job"):
        op.create_table(
            "tasks_job",
            sa.Column("jobID", key_string(36), primary_key=True),
            sa.Column("taskID", key_string(64), nullable=False),
            sa.Column("userID", key_string(255), nullable=False),
            sa.Column("state", sa.String(16), nullable=False),
            sa.Column("error", sa.Text),
            sa.Column("report", sa.JSON),
            sa.Column("imageID", sa.String(24)),
            sa.Column("submittedAt", UtcDateTime, nullable=False),
            sa.Column("publishedAt", UtcDateTime, nullable=False),
            sa.Column("endedAt", UtcDateTime),
            mysql_charset="utf8mb4",
        )
    _index("tasks_job", "taskID")
    _index("tasks_job", "state", "publishedAt", suffix="unfinished")
    if not has_table("tasks_photo"):
        op.create_table(
            "tasks_photo",
            sa.Column("photoID", key_string(24), primary_key=True),
            sa.Column("taskID", key_string(64), nullable=False),
            sa.Column("jobID", key_string(36), nullable=False),
            sa.Column("kind", sa.String(16), nullable=False),
            sa.Column("observation", sa.Integer, nullable=False),
            sa.Column("position", sa.Integer, nullable=False),
            sa.Column("name", sa.String(255), nullable=False),
            sa.Column("mediaType", sa.String(64)),
            sa.Column("size", sa.BigInteger),
            sa.Column("sha256", sa.String(64)),
            sa.Column("droppedAt", UtcDateTime),
            mysql_charset="utf8mb4",
        )
    _index("tasks_photo", "taskID")
    _index("tasks_photo", "droppedAt")
    if not has_table("tasks_household"):
        op.create_table(
            "tasks_household",
            sa.Column("userID", key_string(255), primary_key=True),
            sa.Column("version", sa.Integer, nullable=False),
            sa.Column("household", sa.JSON, nullable=False),
            mysql_charset="utf8mb4",
        )


_TASKS = sa.table(
    "LeakageTask",
    *(
        sa.column(name)
        for name in (
            "taskID",
            "userID",
            "leakSeverity",
            "energyLossValue",
            "energyLossCost",
            "savingsPercent",
            "savingsCost",
            "reportPhotoID",
            "jobID",
        )
    ),
    sa.column("RGBphotoIDs", sa.JSON),
    sa.column("thermalPhotoIDs", sa.JSON),
    sa.column("createdAt", UtcDateTime),
    sa.column("updatedAt", UtcDateTime),
)
_SUGGESTIONS = sa.table(
    "Suggestion",
    *(
        sa.column(name)
        for name in (
            "suggestionID",
            "taskID",
            "title",
            "subtitle",
            "difficulty",
            "costRange",
            "estimatedReduction",
            "lifetime",
        )
    ),
)
_JOBS = sa.table(
    "tasks_job",
    *(sa.column(name) for name in ("jobID", "taskID", "userID", "state", "imageID")),
    sa.column("report", sa.JSON),
    sa.column("submittedAt", UtcDateTime),
    sa.column("publishedAt", UtcDateTime),
    sa.column("endedAt", UtcDateTime),
)
_PHOTOS = sa.table(
    "tasks_photo",
    *(sa.column(name) for name in ("photoID", "taskID", "jobID", "kind", "observation", "position", "name")),
)


def _adopt_rows() -> None:
    bind = op.get_bind()
    last = ""
    known: set[str] = set()  # two tasks may list one photo; the first one keeps it
    while True:
        page = sa.select(_TASKS).where(_TASKS.c.taskID > last).order_by(_TASKS.c.taskID).limit(BATCH)
        rows = bind.execute(page).all()
        if not rows:
            return
        photos: dict[str, dict[str, Any]] = {}
        for task in rows:
            job_id = str(uuid.uuid5(ADOPTED, task.taskID))
            for photo in _photos_of(task, job_id):
                if photo["photoID"] not in known:
                    photos.setdefault(photo["photoID"], photo)
            if task.leakSeverity is not None:
                bind.execute(sa.insert(_JOBS).values(**_finished_job(bind, task, job_id)))
                bind.execute(sa.update(_TASKS).where(_TASKS.c.taskID == task.taskID).values(jobID=job_id))
        if photos:
            bind.execute(sa.insert(_PHOTOS), list(photos.values()))
            known |= photos.keys()
        last = rows[-1].taskID


def _photos_of(task: Any, job_id: str) -> list[dict[str, Any]]:
    listed = [("rgb", task.RGBphotoIDs), ("thermal", task.thermalPhotoIDs)]
    found = [
        {
            "photoID": photo_id,
            "taskID": task.taskID,
            "jobID": job_id,
            "kind": kind,
            "observation": number,
            "position": number,
            "name": f"obs{number}_{kind}",
        }
        for kind, ids in listed
        for number, photo_id in enumerate(_ids(ids))
    ]
    taken = {photo["photoID"] for photo in found}
    found.extend(
        {
            "photoID": photo_id,
            "taskID": task.taskID,
            "jobID": job_id,
            "kind": "report",
            "observation": 0,
            "position": 0,
            "name": report_image_name(task.taskID),
        }
        for photo_id in _ids([task.reportPhotoID])
        if photo_id not in taken  # the old analysis may have named a submitted photo itself
    )
    return found


def _ids(value: object) -> list[str]:
    """GridFS ids as hex strings; old rows may hold null, a list, or a list written as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return [item for item in value if isinstance(item, str) and _ID.fullmatch(item)] if isinstance(value, list) else []


def _finished_job(bind: sa.Connection, task: Any, job_id: str) -> dict[str, Any]:
    rows = bind.execute(
        sa.select(_SUGGESTIONS).where(_SUGGESTIONS.c.taskID == task.taskID).order_by(_SUGGESTIONS.c.suggestionID)
    )
    image = report_image_name(task.taskID) if _ids([task.reportPhotoID]) else None
    ended = task.updatedAt or task.createdAt or datetime.now(UTC)
    report = {
        "taskID": task.taskID,
        "leakSeverity": task.leakSeverity if task.leakSeverity in list(Severity) else Severity.UNKNOWN,
        "energyLossValue": task.energyLossValue,
        "energyLossCost": task.energyLossCost,
        "savingsPercent": task.savingsPercent,
        "savingsCost": task.savingsCost,
        "imagePath": image,
        "thumbPath": image,
        "suggestions": [
            {name: value or "" for name, value in row._asdict().items() if name != "taskID"} for row in rows
        ],
    }
    return {
        "jobID": job_id,
        "taskID": task.taskID,
        "userID": task.userID or "",
        "state": "done",
        "report": report,
        "imageID": task.reportPhotoID if image else None,
        "submittedAt": task.createdAt or ended,
        "publishedAt": task.createdAt or ended,
        "endedAt": ended,
    }
