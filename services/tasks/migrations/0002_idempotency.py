"""Idempotency keys, and what a job needs in order to be recognised and announced again.

Only additions, each with a default or NULL: replicas of the version before go on writing while this one starts.
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import columns, create_index, has_table
from services.chassis.database import UtcDateTime, key_string

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if not has_table("tasks_idempotency_key"):
        op.create_table(
            "tasks_idempotency_key",
            sa.Column("userID", key_string(255), primary_key=True),
            sa.Column("key", key_string(255), primary_key=True),
            sa.Column("fingerprint", sa.String(64), nullable=False),
            sa.Column("jobID", key_string(36), nullable=False),
            sa.Column("createdAt", UtcDateTime, nullable=False),
            mysql_charset="utf8mb4",
        )
    create_index("tasks_idempotency_key", "createdAt")
    existing = columns("tasks_job")
    for column in (sa.Column("fingerprint", sa.String(64)), sa.Column("traceparent", sa.String(55))):
        if column.name not in existing:
            op.add_column("tasks_job", column)
    create_index("tasks_job", "userID")
