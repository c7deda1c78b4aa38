"""For migrations that take over tables of the old backend: each step is safe to repeat after an interruption."""

import sqlalchemy as sa
from alembic import op

from services.chassis.database import UtcDateTime, key_string


def columns(table: str) -> set[str]:
    """The names of a table's columns; empty when there is no such table."""
    inspector = sa.inspect(op.get_bind())
    return {column["name"] for column in inspector.get_columns(table)} if inspector.has_table(table) else set()


def has_table(table: str) -> bool:
    """Whether the table exists."""
    return bool(sa.inspect(op.get_bind()).has_table(table))


def drop_foreign_keys(table: str) -> None:
    """Drop the foreign keys from and to ``table`` (MySQL).

    Keys between tables of two services would tie their schemas together, and MySQL refuses to change the type of a
    column while a key uses it.
    """
    bind = op.get_bind()
    if bind.dialect.name != "mysql":
        return
    rows = bind.execute(
        sa.text(
            "SELECT DISTINCT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.KEY_COLUMN_USAGE "
            "WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL "
            "AND (TABLE_NAME = :name OR REFERENCED_TABLE_NAME = :name)"
        ),
        {"name": table},
    ).all()
    for child, constraint in rows:
        op.drop_constraint(constraint, child, type_="foreignkey")


def convert_to_utf8mb4(table: str) -> None:
    """Let every text of ``table`` hold any character, and be compared byte by byte (MySQL).

    With another collation two keys that were different may become equal, and the conversion would fail.
    """
    bind = op.get_bind()
    if bind.dialect.name == "mysql":
        quoted = bind.dialect.identifier_preparer.quote_identifier(table)
        bind.execute(sa.text(f"ALTER TABLE {quoted} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))


def create_outbox(name: str) -> None:
    """Create an outbox as :func:`services.chassis.outbox.outbox_table` describes it, as of this revision."""
    if not has_table(name):
        op.create_table(
            name,
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
            sa.Column("envelope", sa.JSON, nullable=False),
            sa.Column("createdAt", UtcDateTime, nullable=False),
            sa.Column("dueAt", UtcDateTime, nullable=False),
            sa.Column("failures", sa.Integer, nullable=False),
            sa.Column("leaseToken", sa.String(32)),
            mysql_charset="utf8mb4",
        )
    create_index(name, "dueAt")


def create_sign_outs(name: str) -> None:
    """Create the table of :func:`services.chassis.signouts.sign_out_table` as of this revision."""
    if not has_table(name):
        op.create_table(
            name,
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
            sa.Column("person", key_string(64), nullable=False),
            sa.Column("until", sa.BigInteger, nullable=False),
            mysql_charset="utf8mb4",
        )
    create_index(name, "until")
    create_index(name, "person", "until")


def create_index(table: str, *names: str) -> None:
    """Create an index named after its first column, unless it is there: an interruption may have left it out."""
    name = f"ix_{table}_{names[0]}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(names))
