"""Jobs that wait for their turn, what is counted of a person, and pictures that no report refers to yet.

Only additions, each NULL or with a default: to replicas of the version before, no job waits. The new index on a
person's jobs answers what the old one did.
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import columns, create_index, has_table
from services.chassis.database import UtcDateTime, key_string

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    existing = columns("tasks_job")
    for name in ("waitingSince", "announcedAt"):
        if name not in existing:
            op.add_column("tasks_job", sa.Column(name, UtcDateTime))
    if "household" not in existing:
        op.add_column("tasks_job", sa.Column("household", sa.JSON(none_as_null=True)))
    _index("tasks_job", "turn", "userID", "state", "waitingSince")
    if "ix_tasks_job_person" in _indexes("tasks_job"):
        op.drop_index("ix_tasks_job_person", "tasks_job")
    create_index("tasks_photo", "size")
    if not has_table("tasks_person"):
        op.create_table(
            "tasks_person",
            sa.Column("userID", key_string(255), primary_key=True),
            sa.Column("heldBy", key_string(36)),
            sa.Column("heldUntil", UtcDateTime),
            sa.Column("photoBytes", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("replacedBytes", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("tasks", sa.Integer, nullable=False, server_default="0"),
            sa.Column("countedAt", UtcDateTime),
            mysql_charset="utf8mb4",
        )
    if not has_table("tasks_unclaimed_picture"):
        op.create_table(
            "tasks_unclaimed_picture",
            sa.Column("photoID", key_string(24), primary_key=True),
            sa.Column("jobID", key_string(36), nullable=False),
            sa.Column("size", sa.BigInteger),
            mysql_charset="utf8mb4",
        )


def _indexes(table: str) -> set[str | None]:
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}


def _index(table: str, suffix: str, *names: str) -> None:
    if f"ix_{table}_{suffix}" not in _indexes(table):
        op.create_index(f"ix_{table}_{suffix}", table, list(names))
