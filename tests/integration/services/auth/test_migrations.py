"""What becomes of a database that is new, old, shared, or left half-way by a migration that was killed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from contracts.events import Envelope, ProfileUpdated
from services.auth import app as auth_app
from services.auth.accounts import Accounts
from services.auth.models import metadata, outbox, sign_outs, users
from services.auth.profiles import household, profile
from services.auth.store import UserStore
from services.chassis.database import Database
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox
from services.chassis.signouts import SignOuts
from services.tasks import app as tasks_app
from tests.tokens import proved

AUTH = (auth_app.SERVICE, auth_app.MIGRATIONS)
TASKS = (tasks_app.SERVICE, tasks_app.MIGRATIONS)

OLD_USERS = """
CREATE TABLE `UserData` (
  `userID` VARCHAR(64) NOT NULL,
  `zipCode` VARCHAR(16),
  `energyCompany` VARCHAR(255),
  `retrofitBudget` VARCHAR(255),
  `ownership` VARCHAR(100),
  `appliances` JSON,
  `suggestedBudget` FLOAT,
  `createdAt` TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  `updatedAt` TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`userID`)
) ENGINE=InnoDB DEFAULT CHARSET={charset}
"""
OLD_TASKS = """
CREATE TABLE `LeakageTask` (
  `taskID` VARCHAR(64) NOT NULL PRIMARY KEY, `userID` VARCHAR(64), `title` VARCHAR(255),
  `type` ENUM('window','door','wall'), `state` ENUM('open','closed','draft'),
  `decision` ENUM('no_decision','archived','todo'), `closedResult` VARCHAR(255),
  `insideTemp` FLOAT, `outsideTemp` FLOAT, `RGBphotoIDs` JSON, `thermalPhotoIDs` JSON, `leakSeverity` VARCHAR(255),
  `energyLossValue` FLOAT, `energyLossCost` FLOAT, `savingsPercent` FLOAT, `savingsCost` FLOAT,
  `reportPhotoID` VARCHAR(64), `createdAt` TIMESTAMP NULL, `updatedAt` TIMESTAMP NULL{key}
) ENGINE=InnoDB DEFAULT CHARSET={charset}
"""
NAMED_KEY = ", CONSTRAINT `task_user` FOREIGN KEY (`userID`) REFERENCES `UserData` (`userID`)"
CASCADING_KEY = ", FOREIGN KEY (`userID`) REFERENCES `UserData` (`userID`) ON DELETE CASCADE ON UPDATE CASCADE"

# Every column, in the ways in which the old backend's rows are uneven. The names are compared without case there.
OLD_ROWS: list[dict[str, Any]] = [
    {
        "userID": "Some.One@Example.com",
        "zipCode": "15213",
        "energyCompany": "Duquesne Light",
        "retrofitBudget": "up to $200",
        "ownership": "Own",
        "appliances": '["Window AC", "Fridge/Freezer"]',
        "suggestedBudget": 199.5,
        "createdAt": "2024-02-29 23:59:59",
        "updatedAt": "2025-01-01 00:00:01",
    },
    {"userID": "nothing@example.com"},
    {"userID": "null@example.com", "appliances": "null", "createdAt": None, "updatedAt": None},
    {"userID": "empty@example.com", "appliances": "[]", "zipCode": "", "ownership": ""},
    {"userID": "object@example.com", "appliances": '{"a": 1}'},
    {"userID": "text@example.com", "appliances": '"Window AC"'},
    {"userID": "mixed@example.com", "appliances": '["Window AC", 5, null, {"a": [1]}]'},
    {"userID": "née@example.com", "energyCompany": "Électricité"},
    {"userID": "110169484474386276334", "ownership": "Rent"},
    {"userID": "CaseOfASubject", "ownership": "Rent"},
    {"userID": "x" * 52 + "@example.com", "energyCompany": "e" * 255, "zipCode": "1" * 16},
]


async def run(database: Database, statement: str, values: Any = None) -> Any:
    async with database.write() as connection:
        return await connection.execute(sa.text(statement), values)


async def insert(database: Database, rows: list[dict[str, Any]]) -> None:
    async with database.write() as connection:
        for row in rows:
            names = ", ".join(f"`{name}`" for name in row)
            marks = ", ".join(f":{name}" for name in row)
            await connection.execute(sa.text(f"INSERT INTO `UserData` ({names}) VALUES ({marks})"), row)  # noqa: S608


async def rows_of(database: Database) -> dict[str, Any]:
    async with database.read() as connection:
        return {row.userID: row._asdict() for row in (await connection.execute(sa.select(users))).all()}


async def announced(database: Database) -> list[ProfileUpdated]:
    async with database.read() as connection:
        envelopes = (await connection.scalars(sa.select(outbox.c.envelope).order_by(outbox.c.id))).all()
    told = [Envelope.model_validate(envelope) for envelope in envelopes]
    return [ProfileUpdated.model_validate(each.data) for each in told if each.type == ProfileUpdated.TYPE]


@pytest.fixture
async def mysql(sql_url: str) -> AsyncIterator[Database]:
    database = Database(sql_url)
    await database.start()
    yield database
    await database.close()


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.docker("mysql"))])
async def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of either kind."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'fresh.sqlite3'}" if sqlite else request.getfixturevalue("sql_url")
    database = Database(url)
    await database.start()
    yield database
    await database.close()


# ── a new database ───────────────────────────────────────────────────────────────────────────────────────────────


def _differences(connection: sa.Connection) -> list[Any]:
    def ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or name in metadata.tables

    context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
    return list(compare_metadata(context, metadata))


def accounts_of(database: Database) -> Accounts:
    return Accounts(database, Outbox(outbox), SignOuts(database, sign_outs, "secret"))


def users_of(database: Database) -> UserStore:
    return UserStore(database, Outbox(outbox), SignOuts(database, sign_outs, "secret"))


async def test_the_migrations_make_the_tables_that_the_models_describe(fresh: Database) -> None:
    await migrate(fresh, *AUTH)
    async with fresh.read() as connection:
        assert await connection.run_sync(_differences) == []
    assert await announced(fresh) == []


async def test_migrating_again_changes_nothing(fresh: Database) -> None:
    await migrate(fresh, *AUTH)
    await accounts_of(fresh).open(proved("someone@example.com"))
    before = await rows_of(fresh)
    await migrate(fresh, *AUTH)
    assert await rows_of(fresh) == before
    assert await announced(fresh) == []


async def test_replicas_that_start_together_migrate_once(fresh: Database) -> None:
    replicas = [Database(fresh.url.render_as_string(hide_password=False)) for _ in range(4)]
    try:
        await asyncio.gather(*(migrate(replica, *AUTH) for replica in replicas))
    finally:
        await asyncio.gather(*(replica.close() for replica in replicas))
    assert await rows_of(fresh) == {}


@pytest.mark.parametrize("order", [(AUTH, TASKS), (TASKS, AUTH)], ids=["auth first", "tasks first"])
async def test_auth_and_tasks_share_a_new_database_in_either_order(fresh: Database, order: Any) -> None:
    for service, folder in order:
        await migrate(fresh, service, folder)
    store = accounts_of(fresh)
    assert (await store.open(proved("someone@example.com"))).action == "created"
    async with fresh.read() as connection:
        for table in ("auth_alembic_version", "tasks_alembic_version"):
            assert await connection.scalar(sa.text(f"SELECT COUNT(*) FROM {table}")) == 1  # noqa: S608


# ── the old backend's database ───────────────────────────────────────────────────────────────────────────────────


async def _check_adopted(database: Database, expected: list[dict[str, Any]]) -> None:
    rows = await rows_of(database)
    assert set(rows) == {row["userID"].lower() if "@" in row["userID"] else row["userID"] for row in expected}
    for old in expected:
        row = rows[old["userID"].lower() if "@" in old["userID"] else old["userID"]]
        for name in ("zipCode", "energyCompany", "retrofitBudget", "ownership", "suggestedBudget"):
            assert row[name] == old.get(name), (old["userID"], name)
        stored = old.get("appliances")
        assert row["appliances"] == (None if stored is None else json.loads(stored))
        for name in ("createdAt", "updatedAt"):
            if name in old:
                found = None if row[name] is None else row[name].strftime("%Y-%m-%d %H:%M:%S")
                assert found == old[name], (old["userID"], name)
        assert row["profileVersion"] == 1
        assert profile(row, row["userID"]).userID == row["userID"], "it can be served"
    events = {event.user_id: event for event in await announced(database)}
    assert len(await announced(database)) == len(events) == len(rows), "each profile once"
    assert events.keys() == rows.keys()
    for user_id, event in events.items():
        assert (event.version, event.household) == (1, household(rows[user_id]))


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "utf8mb3 COLLATE utf8mb3_bin"])
async def test_every_old_row_is_kept_served_and_announced_once(mysql: Database, charset: str) -> None:
    await run(mysql, OLD_USERS.format(charset=charset))
    await insert(mysql, OLD_ROWS)
    await migrate(mysql, *AUTH)
    await _check_adopted(mysql, OLD_ROWS)
    await migrate(mysql, *AUTH)
    await _check_adopted(mysql, OLD_ROWS)


async def test_an_adopted_profile_can_be_changed(mysql: Database) -> None:
    await run(mysql, OLD_USERS.format(charset="latin1"))
    await insert(mysql, OLD_ROWS)
    await migrate(mysql, *AUTH)
    store = users_of(mysql)
    assert (await accounts_of(mysql).open(proved("some.one@example.com"))).action == "exists"
    long = "y" * 242 + "@example.com"
    assert (await accounts_of(mysql).open(proved(long))).action == "created", "an address can be longer now"
    assert await store.change_profile("some.one@example.com", {"energyCompany": "💡", "appliances": ["💡"]})
    row = (await rows_of(mysql))["some.one@example.com"]
    assert (row["energyCompany"], row["profileVersion"]) == ("💡", 2)
    assert (await announced(mysql))[-1].version == 2


async def test_more_rows_than_one_batch_are_announced_once_each(mysql: Database) -> None:
    await run(mysql, OLD_USERS.format(charset="utf8mb4"))
    many = [{"userID": f"Person{n:04}@example.com", "zipCode": f"{n}"} for n in range(1203)]
    await insert(mysql, many)
    await migrate(mysql, *AUTH)
    events = await announced(mysql)
    assert sorted(event.user_id for event in events) == [row["userID"].lower() for row in many]
    assert {event.household.zip_code for event in events} == {row["zipCode"] for row in many}


@pytest.mark.parametrize("key", ["", NAMED_KEY, CASCADING_KEY], ids=["no key", "named key", "cascading key"])
@pytest.mark.parametrize("order", [(AUTH, TASKS), (TASKS, AUTH), (AUTH,)], ids=["auth first", "tasks first", "auth"])
async def test_tasks_that_refer_to_users_keep_doing_so(mysql: Database, key: str, order: Any) -> None:
    await run(mysql, OLD_USERS.format(charset="utf8mb4"))
    await run(mysql, OLD_TASKS.format(charset="utf8mb4", key=key))
    await insert(mysql, OLD_ROWS)
    await run(mysql, "INSERT INTO LeakageTask (taskID, userID) VALUES ('t1', 'Some.One@Example.com'), ('t2', NULL)")
    for service, folder in order:
        await migrate(mysql, service, folder)
    await _check_adopted(mysql, OLD_ROWS)
    found = (await run(mysql, "SELECT taskID, LOWER(userID) FROM LeakageTask ORDER BY taskID")).all()
    assert [tuple(row) for row in found] == [("t1", "some.one@example.com"), ("t2", None)]


async def test_auth_and_tasks_may_adopt_a_shared_database_at_the_same_time(mysql: Database) -> None:
    await run(mysql, OLD_USERS.format(charset="utf8mb4"))
    await run(mysql, OLD_TASKS.format(charset="utf8mb4", key=NAMED_KEY))
    await insert(mysql, OLD_ROWS)
    await run(mysql, "INSERT INTO LeakageTask (taskID, userID) VALUES ('t1', 'Some.One@Example.com')")
    replicas = [Database(mysql.url.render_as_string(hide_password=False)) for _ in range(4)]
    try:
        services = (AUTH, TASKS, AUTH, TASKS)
        await asyncio.gather(*(migrate(db, *service) for db, service in zip(replicas, services, strict=True)))
    finally:
        await asyncio.gather(*(replica.close() for replica in replicas))
    await _check_adopted(mysql, OLD_ROWS)


async def test_addresses_that_differ_in_case_alone_keep_their_rows(mysql: Database) -> None:
    """Possible where the old table compared with case. The row used last goes on; the other one is kept as it is."""
    await run(mysql, OLD_USERS.format(charset="utf8mb4 COLLATE utf8mb4_bin"))
    rows = [
        {"userID": "Twice@example.com", "zipCode": "old", "updatedAt": "2024-01-01 00:00:00"},
        {"userID": "TWICE@example.com", "zipCode": "new", "updatedAt": "2025-01-01 00:00:00"},
        {"userID": "Thrice@example.com", "zipCode": "new", "updatedAt": "2025-01-01 00:00:00"},
        {"userID": "thrice@example.com", "zipCode": "old", "updatedAt": "2024-01-01 00:00:00"},
    ]
    await insert(mysql, rows)
    await migrate(mysql, *AUTH)
    found = await rows_of(mysql)
    assert len(found) == 4
    assert found["twice@example.com"]["zipCode"] == "new"
    assert found["thrice@example.com"]["zipCode"] == "old", "an account that is in use keeps its name"


# ── interruption ─────────────────────────────────────────────────────────────────────────────────────────────────


AUTH_TABLES = ("UserData", "auth_outbox", "auth_name", "auth_sign_out", "auth_alembic_version")


class Killed(Exception):  # noqa: N818 - not an error of ours
    """The process was killed here."""


def _statements(database: Database, stop_before: int | None) -> tuple[list[str], Any]:
    """Count the statements of a migration, and end it before one of them."""
    seen: list[str] = []

    def on_execute(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)
        if len(seen) - 1 == stop_before:
            raise Killed(statement)

    sa.event.listen(database.engine.sync_engine, "before_cursor_execute", on_execute)
    return seen, on_execute


async def _prepare_old(database: Database) -> None:
    for table in ("LeakageTask", *AUTH_TABLES):
        await run(database, f"DROP TABLE IF EXISTS `{table}`")
    await run(database, OLD_USERS.format(charset="latin1"))
    await run(database, OLD_TASKS.format(charset="latin1", key=NAMED_KEY))
    await insert(database, OLD_ROWS)


async def _migrate_until(database: Database, stop_before: int | None) -> list[str]:
    seen, listener = _statements(database, stop_before)
    try:
        await migrate(database, *AUTH)
    finally:
        sa.event.remove(database.engine.sync_engine, "before_cursor_execute", listener)
    return seen


async def _index_names(database: Database) -> set[str | None]:
    async with database.read() as connection:
        return await connection.run_sync(
            lambda c: {index["name"] for index in sa.inspect(c).get_indexes("auth_outbox")}
        )


async def test_a_migration_that_was_killed_anywhere_is_completed_by_the_next(mysql: Database) -> None:
    await _prepare_old(mysql)
    statements = await _migrate_until(mysql, None)
    changing = [
        n for n, statement in enumerate(statements) if statement.split()[0] in ("ALTER", "CREATE", "UPDATE", "INSERT")
    ]
    assert len(changing) > 6
    for stop in changing:
        await _prepare_old(mysql)
        with pytest.raises(Killed):
            await _migrate_until(mysql, stop)
        await migrate(mysql, *AUTH)
        await _check_adopted(mysql, OLD_ROWS)
        assert await _index_names(mysql) == {"ix_auth_outbox_dueAt"}


async def test_a_first_migration_that_was_killed_anywhere_is_completed_by_the_next(mysql: Database) -> None:
    statements = await _migrate_until(mysql, None)
    for stop, statement in enumerate(statements):
        if not statement.startswith(("CREATE", "\nCREATE", "INSERT", "ALTER")):
            continue
        for table in AUTH_TABLES:
            await run(mysql, f"DROP TABLE IF EXISTS `{table}`")
        with pytest.raises(Killed):
            await _migrate_until(mysql, stop)
        await migrate(mysql, *AUTH)
        async with mysql.read() as connection:
            assert await connection.run_sync(_differences) == []


# ── where the tables are ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.docker("mysql")
async def test_a_url_without_a_database_means_the_old_one_and_makes_it(
    mysql_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.database.DEFAULT_DATABASE", "test_no_name_given")
    url = mysql_server.url.set(drivername="mysql+pymysql").render_as_string(hide_password=False)
    database = Database(url)
    try:
        await database.start()
        await migrate(database, *AUTH)
        assert await rows_of(database) == {}
        found = mysql_server.execute(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'test_no_name_given'"
        )
        assert {name for (name,) in found} == set(AUTH_TABLES)
    finally:
        await database.close()
        mysql_server.execute("DROP DATABASE IF EXISTS test_no_name_given")
