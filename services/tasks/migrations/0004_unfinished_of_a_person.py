"""An index by which a person's unfinished jobs are counted, however many have ended.

It also answers what the index on the person alone did, which goes; the version before works with either.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("tasks_job")}
    if "ix_tasks_job_person" not in existing:
        op.create_index("ix_tasks_job_person", "tasks_job", ["userID", "state"])
    if "ix_tasks_job_userID" in existing:
        op.drop_index("ix_tasks_job_userID", "tasks_job")
