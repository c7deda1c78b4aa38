"""A migrated database of each kind, made once per module and emptied before each test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from services.chassis.database import Database
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox
from services.tasks.app import MIGRATIONS, SERVICE
from services.tasks.erasure import Erasures
from services.tasks.models import metadata, outbox
from services.tasks.report_pictures import ReportPictures
from services.tasks.store import Bounds, TaskStore
from tests.servers import MySqlServer, run_apart

SECRET = "between services only"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mysql", marks=pytest.mark.docker("mysql"))])
def tasks_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``SQL_URL`` of a database that has the tables of tasks."""
    place: Any = nullcontext(f"sqlite:///{tmp_path_factory.mktemp('sql')}/tasks.sqlite3")
    if request.param == "mysql":
        server: MySqlServer = request.getfixturevalue("mysql_server")
        place = server.fresh_url()
    with place as url:

        async def prepare() -> None:
            database = Database(url)
            await database.start()
            await migrate(database, SERVICE, MIGRATIONS)
            await database.close()

        run_apart(prepare)
        yield url


@pytest.fixture
async def tasks_database(tasks_url: str) -> AsyncIterator[Database]:
    """The database, with empty tables."""
    database = Database(tasks_url)
    async with database.write() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(table.delete())
    yield database
    await database.close()


def task_store(database: Database, waiting: Outbox | None = None, bounds: Bounds | None = None) -> TaskStore:
    """A store as a replica has one."""
    waiting = waiting or Outbox(outbox)
    return TaskStore(database, waiting, Erasures(database, waiting, SECRET), bounds)


@pytest.fixture
def erasures(tasks_database: Database) -> Erasures:
    return Erasures(tasks_database, Outbox(outbox), SECRET)


@pytest.fixture
def report_pictures(tasks_database: Database) -> ReportPictures:
    return ReportPictures(tasks_database)


@pytest.fixture
def store(tasks_database: Database, erasures: Erasures) -> TaskStore:
    return TaskStore(tasks_database, Outbox(outbox), erasures)
