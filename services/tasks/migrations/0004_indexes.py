"""Indexes for what is asked of one person: jobs that have not ended, and the newest tasks.

They also answer what the indexes on the person alone did, which go; the version before works with either.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _replace("tasks_job", "userID", "state")
    _replace("LeakageTask", "userID", "createdAt", "taskID")


def _replace(table: str, *columns: str) -> None:
    """An index on ``columns``, named after the person, for one on the first of them."""
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    new, old = f"ix_{table}_person", f"ix_{table}_{columns[0]}"
    if new not in existing:
        op.create_index(new, table, list(columns))
    if old in existing:
        op.drop_index(old, table)
