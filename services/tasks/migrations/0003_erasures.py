"""Deleted accounts and sign-outs; room for profile versions that begin at the present time; an index for retention."""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import create_index, create_sign_outs, has_table
from services.chassis.database import UtcDateTime, key_string

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_sign_outs("tasks_sign_out")
    if not has_table("tasks_erasure"):
        op.create_table(
            "tasks_erasure",
            sa.Column("person", key_string(64), primary_key=True),
            sa.Column("userID", key_string(255)),
            sa.Column("deletedAt", UtcDateTime, nullable=False),
            sa.Column("profileVersion", sa.BigInteger, nullable=False),
            sa.Column("notedAt", UtcDateTime, nullable=False),
            mysql_charset="utf8mb4",
        )
    create_index("tasks_erasure", "userID")
    create_index("tasks_erasure", "notedAt")
    create_index("LeakageTask", "updatedAt")
    with op.batch_alter_table("tasks_household") as table:
        table.alter_column("version", existing_type=sa.Integer(), existing_nullable=False, type_=sa.BigInteger())
