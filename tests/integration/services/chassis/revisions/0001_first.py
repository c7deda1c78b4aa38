"""A table with a row: running this twice without noticing would fail or leave two."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    if not sa.inspect(op.get_bind()).has_table("sample"):
        op.create_table(
            "sample", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20), nullable=False)
        )
    op.execute("INSERT INTO sample (name) VALUES ('first')")
