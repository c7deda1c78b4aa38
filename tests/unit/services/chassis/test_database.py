"""Which URLs are accepted, and what a file must be to hold a database."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from services.chassis.database import DEFAULT_DATABASE, TRANSIENT, Database, database_url
from services.chassis.startup import StartupError


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("mysql://u:p@db:3306/app", "app"),
        ("mysql+pymysql://u:p@db/app?charset=latin1", "app"),
        ("mysql+aiomysql://u:p@db:3306/", DEFAULT_DATABASE),
        ("mariadb://u:p@db", DEFAULT_DATABASE),
    ],
)
def test_any_mysql_url_is_read_with_our_driver_and_the_old_default(text: str, database: str) -> None:
    url = database_url(text)
    assert url.drivername == "mysql+asyncmy"
    assert url.database == database
    assert url.query["charset"] == "utf8mb4"
    assert (url.username, url.password, url.host) == ("u", "p", "db")


@pytest.mark.parametrize("text", ["sqlite:////data/app.sqlite3", "sqlite+pysqlite:////data/app.sqlite3"])
def test_any_sqlite_url_is_read_with_our_driver(text: str) -> None:
    assert str(database_url(text)) == "sqlite+aiosqlite:////data/app.sqlite3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "mysql:/db",
        "mysql://u:hunter2@db:port/app",
        "postgresql://u:hunter2@db/app",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_any_other_url_ends_the_start_without_repeating_it(text: str) -> None:
    with pytest.raises(StartupError, match=r"^SQL_URL: ") as refusal:
        database_url(text)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


async def test_an_option_of_another_driver_ends_the_start_with_its_name() -> None:
    database = Database("mysql+pymysql://u:hunter2@127.0.0.1:1/app?ssl_disabled=hunter2")
    with pytest.raises(StartupError, match=r"^SQL_URL: .*ssl_disabled\.$") as refusal:
        await database.start()
    await database.close()
    assert "hunter2" not in str(refusal.value)


async def test_the_folder_of_a_database_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a/b/data.sqlite3")
    await database.start()
    await database.ping()
    await database.close()
    assert (tmp_path / "a" / "b" / "data.sqlite3").exists()


@pytest.mark.parametrize(
    "kind", ["a file in place of its folder", "a folder in its place", "another file in its place"]
)
async def test_a_place_that_cannot_hold_a_database_ends_the_start(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite3"
    if kind == "a file in place of its folder":
        path.write_text("")
        path = path / "data.sqlite3"
    elif kind == "a folder in its place":
        path.mkdir()
    else:
        path.write_text("no database " * 1000)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StartupError, match="cannot keep a database"):
        await database.start()
    await database.close()


async def test_a_connection_that_is_reset_as_soon_as_it_is_made_is_a_fault_that_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connect(**_: object) -> None:
        raise RuntimeError("Transport does not expose socket instance")  # the driver's words, with uvloop

    monkeypatch.setattr("asyncmy.connect", connect)
    database = Database("mysql://u:p@127.0.0.1/app")
    try:
        for use in (database.read, database.write):
            with pytest.raises(TRANSIENT):
                async with use():
                    pass
    finally:
        await database.close()


async def test_what_is_deleted_is_gone_from_the_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/data.sqlite3")

    # Some SQLites delete securely by themselves.
    @event.listens_for(database.engine.sync_engine, "connect", insert=True)
    def leave_what_is_deleted(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA secure_delete = OFF")

    for statement in (
        "CREATE TABLE homes (zip TEXT)",
        "INSERT INTO homes VALUES ('told to nobody'), ('stays')",
        "DELETE FROM homes WHERE zip <> 'stays'",
    ):
        async with database.write() as connection:
            await connection.execute(sa.text(statement))
    await database.close()
    kept = (tmp_path / "data.sqlite3").read_bytes()
    assert b"stays" in kept
    assert b"told to nobody" not in kept
