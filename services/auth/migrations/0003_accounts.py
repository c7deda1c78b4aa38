"""Whose an account is, and what it is called. Accounts are bound to their owners when these sign in next."""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import columns, create_index, has_table
from services.chassis.database import key_string

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if "person" not in columns("UserData"):
        op.add_column("UserData", sa.Column("person", key_string(255)))
    if "ix_UserData_owner" not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("UserData")}:
        op.create_index("ix_UserData_owner", "UserData", ["person"], unique=True)
    if not has_table("auth_name"):
        op.create_table(
            "auth_name",
            sa.Column("name", key_string(255), primary_key=True),
            sa.Column("account", key_string(255), nullable=False),
            sa.Column("provedAt", sa.BigInteger, nullable=False),
            sa.Column("version", sa.BigInteger, nullable=False),
            mysql_charset="utf8mb4",
        )
    create_index("auth_name", "account")
