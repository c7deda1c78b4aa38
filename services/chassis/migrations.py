"""Schema migrations (alembic), run at start under a lock, so that replicas that start together do it once.

A service keeps its revisions in ``<service>/migrations`` and its progress in a table of its own name, so
that services may share one database.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database
from services.chassis.startup import StartupError

log = structlog.get_logger(__name__)

LOCK_SECONDS = 300  # a replica waits this long for another one's migration

_ALEMBIC = threading.Lock()


async def migrate(database: Database, service: str, folder: Path) -> None:
    """Bring the tables of ``service`` to the newest revision in ``folder``.

    Tables that a later release has brought further are left so: each release runs on those of the next one (expand,
    migrate, contract), while the two stand side by side and when somebody goes back.

    MySQL commits each DDL statement by itself, so every revision must be safe to run again after it was interrupted.
    """
    if await _is_migrated(database, service, folder):
        return  # as at almost every start
    # Alembic keeps what it works on in its modules, so that two upgrades in one process would mix. Its turn is waited
    # for before the database's: SQLite lets nobody wait for long.
    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110 - not a lock of one loop: of the process
        await asyncio.sleep(0.02)
    try:
        async with _locked(database) as connection:
            await connection.run_sync(_upgrade, service, folder)
    finally:
        _ALEMBIC.release()


def _version_table(service: str) -> str:
    return f"{service}_alembic_version"


def newest_revision(folder: Path) -> str:
    """The revision that all others lead to: files are named after their revisions, which are numbered."""
    return max(path.name.partition("_")[0] for path in folder.glob("[0-9]*_*.py"))


async def _is_migrated(database: Database, service: str, folder: Path) -> bool:
    """Whether the newest revision, or a later release's, has been run to its end, which is when it is noted."""
    noted = sa.select(sa.column("version_num", sa.String)).select_from(sa.table(_version_table(service)))
    try:
        async with database.read(seconds=None) as connection:
            versions = (await connection.scalars(noted)).all()
    except DBAPIError:
        return False  # there is no such table yet; whatever else it is, the migration meets it too
    newest = newest_revision(folder)
    if versions and max(versions) > newest:
        log.warning("the tables are those of a later release", service=service, noted=max(versions), known=newest)
    return bool(versions) and max(versions) >= newest


def _upgrade(connection: sa.Connection, service: str, folder: Path) -> None:
    # Alembic takes a tenth of the time of a start, and there is seldom anything to do for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic_environment"))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, version_table=_version_table(service))
    command.upgrade(config, "head")


@asynccontextmanager
async def _locked(database: Database) -> AsyncIterator[AsyncConnection]:
    if not database.is_mysql:
        async with database.write(seconds=None) as connection:  # the one writer, and DDL is transactional
            yield connection
        return
    # One lock for the whole database: services that share it take over tables that refer to each other. It belongs
    # to a connection of its own: a commit of the migration must not let go of it.
    name = f"{database.url.database}.migrations"[-64:]
    async with database.read(seconds=None) as holder:
        got = await holder.scalar(sa.text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": LOCK_SECONDS})
        if got != 1:
            raise StartupError(f"Another process has been migrating this database for {LOCK_SECONDS} s.")
        try:
            async with database.write(seconds=None) as connection:
                yield connection
        finally:
            await holder.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": name})


async def migrate_alone(sql_url: str, service: str, folder: Path) -> None:
    """The same for a process that does nothing else: wait for the database, migrate, disconnect."""
    database = Database(sql_url)
    try:
        await database.start()
        await migrate(database, service, folder)
    finally:
        await database.close()
