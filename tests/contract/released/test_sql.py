"""A migration is applied while the released version still runs: its SQL works before, in between and after.

What is played is the SQL that the released version was seen to run, not its code: the code has gone on since.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from services.auth.app import MIGRATIONS as AUTH
from services.chassis.database import Database
from services.chassis.migrations import migrate
from services.tasks.app import MIGRATIONS as TASKS
from tests.contract.released import recording, scenario

HERE = Path(__file__).parent
RELEASED: dict[str, str] = json.loads((HERE / "revisions.json").read_text())
FOLDERS = {"auth": AUTH, "tasks": TASKS}


def sql_of(database: Database) -> list[recording.Statement]:
    return recording.load(HERE / "sql" / f"{'mysql' if database.is_mysql else 'sqlite'}.json")


def released_folders(target: Path) -> dict[str, Path]:
    """The migrations that the released version had."""
    folders = {}
    for service, folder in FOLDERS.items():
        folders[service] = target / service
        folders[service].mkdir(parents=True)
        for revision in folder.glob("0*.py"):
            if revision.stem[:4] <= RELEASED[service]:
                shutil.copy(revision, folders[service])
    return folders


async def migrated(database: Database, folders: Mapping[str, Path]) -> None:
    for service, folder in folders.items():
        await migrate(database, service, folder)


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75], ids="migrated after {} of it".format)
async def test_the_released_version_runs_on_while_the_newest_migrations_are_applied(
    database: Database, tmp_path: Path, share: float
) -> None:
    statements = sql_of(database)
    before = round(len(statements) * share)
    await migrated(database, released_folders(tmp_path))
    await recording.play(statements[:before], database)
    await migrated(database, FOLDERS)
    await recording.play(statements[before:], database)


async def test_the_recording_reads_and_writes_every_table_of_its_release(database: Database) -> None:
    seen: dict[str, set[str]] = {}
    for statement in sql_of(database):
        verb = statement.sql.split()[0]
        for table in re.findall(r'(?:INTO|FROM|JOIN|(?<!FOR )UPDATE)\s+[`"]?(\w+)', statement.sql):
            seen.setdefault(table, set()).add(verb)
    records = {"UserData", "LeakageTask", "Suggestion", "tasks_job", "tasks_photo", "tasks_household"}
    assert seen.keys() == records | {"auth_outbox", "tasks_outbox"}
    for table, verbs in seen.items():
        assert {"INSERT", "UPDATE" if table != "Suggestion" else "DELETE"} <= verbs, table
        assert "SELECT" in verbs or table == "Suggestion", table  # the old app's table: written for it, read by nobody


async def test_the_next_release_can_be_recorded(database: Database) -> None:
    await migrated(database, FOLDERS)
    with recording.recorded(database) as statements:
        await scenario.play(database)
    assert len(statements) > 100


# ── what would break it is found ─────────────────────────────────────────────────────────────────────────────────────

PLANTED = """
import sqlalchemy as sa
from alembic import op
revision = "9999"
down_revision = "{newest}"
def upgrade():
    with op.batch_alter_table("tasks_job") as table:
        {change}
"""


async def plant(database: Database, folder: Path, change: str) -> None:
    """Make the newest tables, and apply one more migration to them."""
    folders = {service: folder / service for service in FOLDERS}
    for service, revisions in FOLDERS.items():
        shutil.copytree(revisions, folders[service], ignore=shutil.ignore_patterns("__pycache__"))
    newest = max(path.stem[:4] for path in TASKS.glob("0*.py"))
    (folders["tasks"] / "9999_planted.py").write_text(PLANTED.format(newest=newest, change=change))
    await migrated(database, folders)


@pytest.mark.parametrize(
    "change",
    [
        'table.add_column(sa.Column("priority", sa.Integer, nullable=True))',
        'table.add_column(sa.Column("priority", sa.Integer, nullable=False, server_default="0"))',
        'table.create_index("ix_planted", ["endedAt"])',
    ],
    ids=["a column that may be empty", "a column with a default", "an index"],
)
async def test_an_expanding_migration_is_let_through(database: Database, tmp_path: Path, change: str) -> None:
    await plant(database, tmp_path, change)
    await recording.play(sql_of(database), database)


@pytest.mark.parametrize(
    "change",
    [
        'table.add_column(sa.Column("priority", sa.Integer, nullable=False))',
        'table.drop_column("imageID")',
        'table.alter_column("endedAt", existing_type=sa.DateTime(), new_column_name="finishedAt")',
        'table.alter_column("error", existing_type=sa.Text(), nullable=False)',
        'table.create_unique_constraint("uq_planted", ["taskID"])',
    ],
    ids=["a column without a default", "a dropped column", "a renamed column", "a stricter column", "a constraint"],
)
async def test_a_migration_that_breaks_the_released_version_is_found(
    database: Database, tmp_path: Path, change: str
) -> None:
    await plant(database, tmp_path, change)
    with pytest.raises(DBAPIError):
        await recording.play(sql_of(database), database)
