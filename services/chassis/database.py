"""The SQL database of a service: MySQL on servers, SQLite embedded, one code for both.

Reads run in autocommit mode (one statement, one round trip); writes run in one READ COMMITTED transaction each.
A connection whose query is cancelled is thrown away (SQLAlchemy sees to that): MySQL's driver would be out of step
with its server.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.functions import FunctionElement

from services.chassis.cancellation import cancellation_kept
from services.chassis.circuit import Circuit
from services.chassis.startup import StartupError, wait_for

log = structlog.get_logger(__name__)

DEFAULT_DATABASE = "home_energy_audit_app_database"  # what the old backend called it
POOL_SIZE = 10
POOL_WAIT_SECONDS = 3
REST_SECONDS = 1.0  # a connection that has rested for so long is asked whether it lives, before it is used
CONNECT_SECONDS = 3
# For everything between getting a connection and giving it back, and as long again for getting it; migrations excepted.
# A database answers in milliseconds, or is in trouble.
BLOCK_SECONDS = 5.0
# After them a wait whose cancellation was swallowed on the way (as wait_for may do) is cancelled again.
AGAIN_SECONDS = 1.0
# MySQL's own patience. A client that was cut off in the middle of a transaction must not keep its locks for hours.
LOCK_SECONDS = 3
IDLE_SECONDS = 30

_UNKNOWN_DATABASE = 1049  # MySQL's error numbers
_CANNOT_CONNECT = 2003
_ACCESS_DENIED = (1044, 1045)
_LOST_CONNECTION = 2013


class DatabaseSilentError(Exception):
    """The database did not answer in time; what was asked may have happened or not."""


# Faults that pass when the server is back. Others of the same base classes are answers about our own SQL.
TRANSIENT: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError, DatabaseSilentError)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware datetime in UTC, to the microsecond; the database stores it without a zone."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """MySQL keeps microseconds only when told to."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Drop the zone, after making sure that it is UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Add the zone."""
        return None if value is None else value.replace(tzinfo=UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function that it is
    """The database's clock, ``now(seconds)`` later. Leases compare only its times: replicas' clocks differ."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | str = 0) -> None:
        """``seconds``, or the name of a parameter that says how many, as :func:`microseconds` gives them."""
        if isinstance(seconds, str):
            super().__init__(sa.bindparam(seconds, type_=sa.BigInteger))
        else:
            # A bound value, so that the statement around it is compiled once and not for every number of seconds.
            super().__init__(*[sa.literal(microseconds(seconds), sa.BigInteger)] if seconds else [])


def microseconds(seconds: float) -> int:
    """The value of a parameter of :class:`now`."""
    return round(seconds * 1e6)


@compiles(now, "mysql")
def _now_mysql(element: now, compiler: Any, **kw: Any) -> str:
    if not len(element.clauses):
        return "UTC_TIMESTAMP(6)"
    return f"(UTC_TIMESTAMP(6) + INTERVAL {compiler.process(element.clauses, **kw)} MICROSECOND)"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    shift = ""
    if len(element.clauses):
        shift = f", printf('%+.3f seconds', {compiler.process(element.clauses, **kw)} / 1e6)"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now'{shift}) || '000')"


def database_url(text: str) -> URL:
    """Read a ``SQL_URL``: any driver named in it is replaced by ours, a missing database name by the old one.

    Raises :class:`StartupError` for what is neither MySQL nor SQLite.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise StartupError("SQL_URL: not a database URL; write mysql://user:password@host:3306/database.") from None
    backend = url.get_backend_name()
    if backend in ("mysql", "mariadb"):
        return url.set(
            drivername="mysql+asyncmy",
            database=url.database or DEFAULT_DATABASE,
            query={**url.query, "charset": "utf8mb4"},
        )
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise StartupError("SQL_URL: name a file, as in sqlite:////var/lib/app/data.sqlite3.")
        return url.set(drivername="sqlite+aiosqlite")
    raise StartupError(f"SQL_URL: {backend} is not supported; use mysql:// or sqlite:///path.")


class _SqliteConnection(sqlite3.Connection):
    """Rolls back before it closes.

    SQLite only marks a connection for closing while a statement of it is half read, as after a cancellation, and
    keeps its write lock until the statement is collected as garbage.
    """

    def close(self) -> None:
        """Give up the transaction, if there is one, and close."""
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        super().close()


class Database:
    """A pool of connections to one database."""

    def __init__(self, sql_url: str) -> None:
        self.url = database_url(sql_url)
        self._circuit: Circuit | None = None
        if self.is_mysql:
            self.engine = self._mysql_engine(
                f"innodb_lock_wait_timeout = {LOCK_SECONDS}, wait_timeout = {IDLE_SECONDS}",
                isolation_level="READ COMMITTED",
            )
            # A pool of its own: telling a connection to change its mode and back would cost five round trips.
            self._reading = self._mysql_engine(isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
            self._circuit = Circuit("mysql", self._answer)
        else:
            self.engine = self._sqlite_engine()
            self._reading = self.engine.execution_options(reads_only=True)
        # The pools let newcomers overtake, so that under load somebody waits without an end; these do not. SQLite has
        # one writer at a time.
        self._reads = asyncio.Semaphore(POOL_SIZE)
        self._writes = asyncio.Semaphore(POOL_SIZE if self.is_mysql else 1)

    @property
    def is_mysql(self) -> bool:
        """Whether it is a server, with other clients, rather than a file of ours."""
        return self.url.get_backend_name() == "mysql"

    @property
    def is_away(self) -> bool:
        """Whether the server has fallen silent, so that everybody is refused at once."""
        return self._circuit is not None and self._circuit.is_open

    def _mysql_engine(self, *session: str, **options: Any) -> AsyncEngine:
        engine = create_async_engine(
            self.url,
            hide_parameters=True,  # errors are logged, and parameters are personal data
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_recycle=1800,
            pool_reset_on_return=None,  # every block here ends its transaction itself
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "init_command": "SET " + ", ".join(["time_zone = '+00:00'", *session]),
            },
            **options,
        )

        @event.listens_for(engine.sync_engine, "do_connect")
        def connect(dialect: Dialect, record: Any, args: list[Any], options: dict[str, Any]) -> Any:  # noqa: ARG001
            try:
                return dialect.connect(*args, **options)
            except RuntimeError as error:  # how the driver reports a connection that was reset as soon as it was made
                raise dialect.loaded_dbapi.OperationalError(_LOST_CONNECTION, str(error)) from error

        @event.listens_for(engine.sync_engine, "checkin")
        def rest(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ARG001
            record.info["resting_since"] = time.monotonic()

        # What the pool's own pre_ping does, without a round trip more for every statement of a busy service.
        @event.listens_for(engine.sync_engine, "checkout")
        def wake(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:  # noqa: ARG001
            since = record.info.pop("resting_since", None)
            if since is None or time.monotonic() - since < REST_SECONDS:
                return
            dialect = engine.sync_engine.dialect
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error

        return engine

    async def _answer(self) -> None:
        """A sign of life, over a connection of its own: the pools' may all be waiting."""
        engine = create_async_engine(self.url, poolclass=sa.NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))

    def _sqlite_engine(self) -> AsyncEngine:
        engine = create_async_engine(
            self.url,
            hide_parameters=True,
            connect_args={"timeout": POOL_WAIT_SECONDS, "isolation_level": None, "factory": _SqliteConnection},
            pool_timeout=POOL_WAIT_SECONDS,
        )

        @event.listens_for(engine.sync_engine, "connect")
        def on_connect(connection: Any, record: Any) -> None:  # noqa: ARG001
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA secure_delete = ON")  # what was erased must not stay in the file's free places
            cursor.close()

        # Reads take no transaction; a write takes the lock at its start, so that it never has to upgrade one.
        @event.listens_for(engine.sync_engine, "begin")
        def on_begin(connection: sa.Connection) -> None:
            if not connection.get_execution_options().get("reads_only"):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @asynccontextmanager
    async def read(self, *, seconds: float | None = BLOCK_SECONDS) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements that need no transaction; all of them within ``seconds``."""
        async with self._turn(self._reads, seconds), self._bounded(seconds), self._reading.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, seconds: float | None = BLOCK_SECONDS) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises or lasts over ``seconds``."""
        async with self._turn(self._writes, seconds), self._bounded(seconds), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore, seconds: float | None) -> AsyncIterator[None]:
        """Wait for one of our connections to be free: too long only says that we are busy, not that the server is."""
        self._refuse_while_away()
        if turns.locked():
            try:
                async with asyncio.timeout(seconds):
                    await turns.acquire()
            except TimeoutError as error:
                raise PoolTimeoutError(f"no connection was free within {seconds} s") from error
        else:  # without the cost of a timer
            await turns.acquire()
        try:
            yield
        finally:
            turns.release()

    def _refuse_while_away(self) -> None:
        if self.is_away:
            raise DatabaseSilentError("the database is silent")

    @asynccontextmanager
    async def _bounded(self, seconds: float | None) -> AsyncIterator[None]:
        """The drivers wait for a silent server without an end."""
        self._refuse_while_away()
        later = None if seconds is None else seconds + AGAIN_SECONDS
        try:
            with cancellation_kept():
                async with asyncio.timeout(later) as last, asyncio.timeout(seconds) as bound:
                    yield
        except OperationalError as error:
            if self._circuit and _error_number(error) == _CANNOT_CONNECT:
                self._circuit.suspect()
            raise
        except TimeoutError as error:
            if not (bound.expired() or last.expired()):
                raise
            if self._circuit:
                self._circuit.suspect()
            raise DatabaseSilentError(f"the database did not answer within {seconds} s") from error

    async def ping(self) -> None:
        """One round trip."""
        async with self.read() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def start(self) -> None:
        """Wait until the database answers; create it when it is missing and we may."""
        if self.is_mysql:
            await wait_for("mysql", self._reach_server, (*TRANSIENT, OSError))
        else:
            folder = Path(self.url.database or "").parent
            try:
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
                await self.ping()
            except (OSError, DBAPIError):  # the latter also for a file that is no database
                raise StartupError(f"SQL_URL: cannot keep a database in {self.url.database}.") from None

    async def _reach_server(self) -> None:
        try:
            await self.ping()
        except TypeError:  # of the driver's connect(): options of other drivers
            raise StartupError(
                f"SQL_URL: the driver does not know one of its options: {', '.join(sorted(self.url.query))}."
            ) from None
        except OperationalError as error:
            number = _error_number(error)
            if number == _UNKNOWN_DATABASE:
                await self._create_database()
                await self.ping()
            elif number in _ACCESS_DENIED:
                raise StartupError("SQL_URL: MySQL refuses this user, password or database.") from None
            else:
                raise

    async def _create_database(self) -> None:
        name = self.url.database or DEFAULT_DATABASE
        server = create_async_engine(
            self.url.set(database=""),
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )
        try:
            async with asyncio.timeout(BLOCK_SECONDS), server.connect() as connection:
                quoted = connection.dialect.identifier_preparer.quote_identifier(name)
                await connection.execute(sa.text(f"CREATE DATABASE IF NOT EXISTS {quoted} CHARACTER SET utf8mb4"))
            log.info("created the database", database=name)
        except OperationalError as error:
            if _error_number(error) not in _ACCESS_DENIED:
                raise
            raise StartupError(
                f"SQL_URL: the database {name} does not exist, and this user may not create it."
            ) from None
        finally:
            await server.dispose()

    async def close(self) -> None:
        """Close every connection."""
        if self._circuit:
            await self._circuit.close()
        await self.engine.dispose()
        await self._reading.dispose()


def _error_number(error: DBAPIError) -> object:
    return error.orig.args[0] if error.orig and error.orig.args else None


def key_string(length: int) -> sa.types.TypeEngine[str]:
    """A string that identifies something: compared byte by byte, unlike MySQL's default, for which é equals e."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
