"""How old the proofs are that submissions came with, and up to which a deletion takes them."""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import columns

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if "provedAt" not in columns("tasks_job"):
        op.add_column("tasks_job", sa.Column("provedAt", sa.BigInteger))
    if "signedOutUntil" not in columns("tasks_erasure"):
        op.add_column("tasks_erasure", sa.Column("signedOutUntil", sa.BigInteger, nullable=False, server_default="0"))
