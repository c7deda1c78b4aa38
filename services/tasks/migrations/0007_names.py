"""Which names lead to which accounts, and up to which version a deletion takes them."""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import columns, create_index, has_table
from services.chassis.database import key_string

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if not has_table("tasks_name"):
        op.create_table(
            "tasks_name",
            sa.Column("name", key_string(255), primary_key=True),
            sa.Column("account", key_string(255), nullable=False),
            sa.Column("version", sa.BigInteger, nullable=False),
            mysql_charset="utf8mb4",
        )
    create_index("tasks_name", "account")
    if "namesVersion" not in columns("tasks_erasure"):
        op.add_column("tasks_erasure", sa.Column("namesVersion", sa.BigInteger, nullable=False, server_default="0"))
