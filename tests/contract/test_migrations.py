"""What migrating promises, on both databases: see :mod:`services.chassis.migrations`."""

import asyncio
import importlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from services.chassis.database import Database
from services.chassis.migrations import migrate, newest_revision

FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    if not sa.inspect(op.get_bind()).has_table("{table}"):
        op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
    op.execute("INSERT INTO {table} (name) VALUES ('first')")
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    columns = {{column["name"] for column in sa.inspect(op.get_bind()).get_columns("{table}")}}
    if "size" not in columns:
        op.add_column("{table}", sa.Column("size", sa.Integer))
    {fault}
    op.execute("INSERT INTO {table} (name) VALUES ('second')")
"""


def revisions(folder: Path, table: str, *, fault: str = "pass") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "0001_first.py").write_text(FIRST.format(table=table))
    (folder / "0002_second.py").write_text(SECOND.format(table=table, fault=fault))
    return folder


async def names(database: Database, table: str) -> list[str]:
    async with database.read() as connection:
        return list(
            (
                await connection.execute(
                    sa.select(sa.column("name")).select_from(sa.table(table)).order_by(sa.column("id"))
                )
            ).scalars()
        )


async def test_tables_are_brought_to_the_newest_revision_once(database: Database, tmp_path: Path) -> None:
    folder = revisions(tmp_path / "revisions", "things")
    await migrate(database, "one", folder)
    await migrate(database, "one", folder)
    assert await names(database, "things") == ["first", "second"]


async def test_the_release_before_starts_on_tables_that_were_brought_further(
    database: Database, tmp_path: Path
) -> None:
    folder = revisions(tmp_path / "revisions", "things")
    await migrate(database, "one", folder)
    (folder / "0002_second.py").unlink()
    await migrate(database, "one", folder)
    assert await names(database, "things") == ["first", "second"]


@pytest.mark.parametrize("service", ["auth", "tasks"])
def test_the_newest_revision_is_the_one_that_alembic_goes_to(service: str) -> None:
    folder = Path(importlib.import_module(f"services.{service}.app").MIGRATIONS)
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "newline")
    assert ScriptDirectory.from_config(config).get_heads() == [newest_revision(folder)]


async def test_services_that_share_a_database_keep_their_progress_apart(database: Database, tmp_path: Path) -> None:
    await migrate(database, "one", revisions(tmp_path / "one", "ones"))
    await migrate(database, "two", revisions(tmp_path / "two", "twos"))
    assert await names(database, "ones") == await names(database, "twos") == ["first", "second"]


async def test_migrations_asked_for_at_once_run_one_after_the_other(
    any_sql_url: str, database: Database, tmp_path: Path
) -> None:
    replicas = [database, *(Database(any_sql_url) for _ in range(3))]
    one, two = revisions(tmp_path / "one", "ones"), revisions(tmp_path / "two", "twos")
    await asyncio.gather(
        *(migrate(replica, "one", one) for replica in replicas), *(migrate(replica, "two", two) for replica in replicas)
    )
    assert await names(database, "ones") == await names(database, "twos") == ["first", "second"]
    for replica in replicas[1:]:
        await replica.close()


async def test_an_interrupted_migration_is_finished_by_the_next_start(database: Database, tmp_path: Path) -> None:
    folder = revisions(tmp_path / "revisions", "things", fault='raise OSError("the power went")')
    with pytest.raises(OSError, match="the power went"):
        await migrate(database, "one", folder)
    await migrate(database, "one", revisions(tmp_path / "revisions", "things"))
    assert await names(database, "things") == ["first", "second"]


async def test_a_cancelled_migration_lets_go_of_its_lock(database: Database, tmp_path: Path) -> None:
    folder = revisions(tmp_path / "revisions", "things")
    for delay in (0.0, 0.005, 0.02):
        task = asyncio.create_task(migrate(database, "one", folder))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(migrate(database, "one", folder), 30)
    assert set(await names(database, "things")) == {"first", "second"}
