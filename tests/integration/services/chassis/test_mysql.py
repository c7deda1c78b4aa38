"""MySQL's own dangers: missing databases and rights, lost and silent links, replicas that migrate at once."""

import asyncio
import logging
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from contracts.events import AnalysisStarted
from services.chassis import database as database_module
from services.chassis import outbox as outbox_module
from services.chassis.database import TRANSIENT, Database, DatabaseSilentError
from services.chassis.logs import configure_logs
from services.chassis.metrics import Metrics
from services.chassis.outbox import Outbox, Relay, outbox_table
from services.chassis.startup import StartupError
from tests.brokers import RecordingBroker
from tests.proxy import Proxy
from tests.servers import MySqlServer
from tests.waiting import until


@pytest.fixture
async def proxy(mysql_server: MySqlServer) -> AsyncIterator[Proxy]:
    url = mysql_server.url
    async with Proxy(lambda: (str(url.host), url.port or 3306)) as proxy:
        yield proxy


def through(proxy: Proxy, sql_url: str) -> str:
    return make_url(sql_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)


async def one(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.text("SELECT 1"))).scalar_one())


async def test_a_missing_database_is_created(mysql_server: MySqlServer, sql_url: str) -> None:
    name = f"test_{secrets.token_hex(4)}-with`sign"
    replicas = [Database(make_url(sql_url).set(database=name).render_as_string(hide_password=False)) for _ in range(3)]
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        for replica in replicas:
            assert await one(replica) == 1
            await replica.close()
    finally:
        await asyncio.to_thread(mysql_server.execute, f"DROP DATABASE IF EXISTS `{name.replace('`', '``')}`")


async def test_what_the_user_may_not_do_ends_the_start_with_the_reason(mysql_server: MySqlServer, sql_url: str) -> None:
    user = f"u{secrets.token_hex(4)}"
    existing = str(make_url(sql_url).database)
    await asyncio.to_thread(
        mysql_server.execute,
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'right'",
        f"GRANT ALL ON `{existing}`.* TO '{user}'@'%'",
        f"GRANT SELECT ON `missing_{user}`.* TO '{user}'@'%'",
    )
    url = make_url(sql_url).set(username=user, password="right")
    try:
        allowed = Database(url.render_as_string(hide_password=False))
        await allowed.start()
        await allowed.close()
        for wrong, reason in (
            (url.set(password="wrong"), "refuses this user"),
            (url.set(database="somebody_elses"), "refuses this user, password or database"),
            (url.set(database=f"missing_{user}"), "may not create it"),
        ):
            database = Database(wrong.render_as_string(hide_password=False))
            with pytest.raises(StartupError, match=reason):
                await asyncio.wait_for(database.start(), 30)
            await database.close()
    finally:
        await asyncio.to_thread(mysql_server.execute, f"DROP USER '{user}'@'%'")


async def test_the_start_waits_for_a_server_that_is_not_up_yet(proxy: Proxy, sql_url: str) -> None:
    proxy.cut()
    database = Database(through(proxy, sql_url))
    starting = asyncio.create_task(database.start())
    await until(lambda: proxy.accepted >= 2)
    assert not starting.done()
    proxy.heal()
    await asyncio.wait_for(starting, 30)
    await database.close()


async def test_a_cut_link_is_a_fault_that_passes(proxy: Proxy, sql_url: str) -> None:
    database = Database(through(proxy, sql_url))
    await database.start()
    with pytest.raises(TRANSIENT):  # noqa: PT012 - the block is what raises
        async with database.write() as connection:
            await connection.execute(sa.text("SELECT 1"))
            proxy.cut()
            await until(lambda: proxy.links == 0)
            await connection.execute(sa.text("SELECT 1"))
    with pytest.raises(TRANSIENT):
        await one(database)
    proxy.heal()
    assert await one(database) == 1
    async with database.write() as connection:
        await connection.execute(sa.text("SELECT 1"))
    await database.close()


async def test_connections_that_the_server_dropped_while_they_rested_are_replaced_unnoticed(
    proxy: Proxy, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "REST_SECONDS", 0)
    database = Database(through(proxy, sql_url))
    await database.start()
    await asyncio.gather(*(one(database) for _ in range(5)))
    proxy.cut()
    await until(lambda: proxy.links == 0)
    proxy.heal()
    for _ in range(10):
        assert await one(database) == 1
    await database.close()


async def test_of_busy_connections_that_the_server_dropped_the_first_to_notice_has_all_replaced(
    proxy: Proxy, sql_url: str
) -> None:
    database = Database(through(proxy, sql_url))
    await database.start()
    await asyncio.gather(*(one(database) for _ in range(5)))
    proxy.cut()
    await until(lambda: proxy.links == 0)
    proxy.heal()
    with pytest.raises(TRANSIENT):
        await one(database)
    for _ in range(10):
        assert await one(database) == 1
    await database.close()


async def test_a_silent_server_is_a_fault_that_passes(proxy: Proxy, sql_url: str) -> None:
    database = Database(through(proxy, sql_url))
    await database.start()
    assert await one(database) == 1
    proxy.silence()
    async with asyncio.timeout(20):
        for _ in range(2):
            with pytest.raises(TRANSIENT):
                async with database.read(seconds=0.5) as connection:
                    await connection.execute(sa.text("SELECT 1"))
            with pytest.raises(TRANSIENT):
                async with database.write(seconds=0.5) as connection:
                    await connection.execute(sa.text("SELECT 1"))
    await until(lambda: database.is_away)
    for _ in range(1000):  # nobody waits any more
        with pytest.raises(DatabaseSilentError):
            await one(database)
    proxy.heal()
    await until(lambda: not database.is_away)
    for _ in range(5):
        assert await one(database) == 1
    await asyncio.wait_for(database.close(), 10)


async def test_a_slow_query_of_a_server_that_answers_refuses_nobody_else(sql_url: str) -> None:
    database = Database(sql_url)
    await database.start()
    with pytest.raises(DatabaseSilentError):
        async with database.read(seconds=0.2) as connection:
            await connection.execute(sa.text("SELECT SLEEP(60)"))
    probed = asyncio.create_task(asyncio.sleep(0.5))
    while not probed.done():
        assert not database.is_away
        assert await one(database) == 1
    await database.close()


async def test_a_client_that_is_cut_off_in_a_transaction_does_not_keep_its_locks(
    proxy: Proxy, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server hears nothing of the cut: no byte and no end of the connection reaches it."""
    monkeypatch.setattr(database_module, "IDLE_SECONDS", 2)
    direct, cut_off = Database(sql_url), Database(through(proxy, sql_url))
    async with direct.write() as connection:
        await connection.execute(sa.text("CREATE TABLE held (id INT PRIMARY KEY, n INT)"))
        await connection.execute(sa.text("INSERT INTO held VALUES (1, 0)"))
    with pytest.raises(DatabaseSilentError):  # noqa: PT012 - the block is what raises
        async with cut_off.write(seconds=1) as connection:
            await connection.execute(sa.text("UPDATE held SET n = 1"))
            proxy.silence()
            await connection.execute(sa.text("SELECT 1"))
    async with asyncio.timeout(30):
        while True:
            try:
                async with direct.write() as connection:
                    await connection.execute(sa.text("UPDATE held SET n = n + 10"))
                break
            except TRANSIENT:
                continue
    async with direct.read() as connection:
        assert (await connection.execute(sa.text("SELECT n FROM held"))).scalar_one() == 10
    await cut_off.close()
    await direct.close()


async def test_no_committed_event_is_lost_while_links_to_the_database_are_cut(
    proxy: Proxy, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(outbox_module, "LEASE_SECONDS", 0.5)  # what a cut off relay had claimed is free again so soon
    metadata = sa.MetaData()
    table = outbox_table(metadata, "test_outbox")
    direct = Database(sql_url)
    async with direct.write() as connection:
        await connection.run_sync(metadata.create_all)
    broker, cut_off = RecordingBroker(), Database(through(proxy, sql_url))
    tasks = [asyncio.create_task(Relay(cut_off, Outbox(table), broker, Metrics(), "test").run()) for _ in range(2)]
    committed: set[str] = set()
    outbox = Outbox(table)

    async def write() -> None:
        for n in range(300):
            async with direct.write() as connection:
                await outbox.add(connection, AnalysisStarted(job_id=str(n)))
            committed.add(str(n))
            await asyncio.sleep(0.002)

    writing = asyncio.create_task(write())
    for _ in range(8):
        published = len(broker.published)
        await until(lambda: len(broker.published) > published or writing.done())  # noqa: B023 - awaited here
        proxy.cut()
        await asyncio.sleep(0.02)
        proxy.heal()
    await writing

    def names() -> set[str]:
        return {envelope.subject for envelope in broker.published}

    await until(lambda: committed <= names())
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert names() == committed
    await direct.close()
    await cut_off.close()


async def test_a_read_is_one_statement(mysql_server: MySqlServer, sql_url: str) -> None:
    database = Database(sql_url)
    await one(database)

    async def statements() -> int:
        ((_, number),) = await asyncio.to_thread(mysql_server.execute, "SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(number)

    idle = await statements()
    by_asking = await statements() - idle
    before = await statements()
    for _ in range(100):
        await one(database)
    spent = await statements() - before - by_asking
    assert spent <= 100 + 20  # others may be talking to the server
    await database.close()


async def test_four_replicas_that_start_at_once_migrate_once(sql_url: str) -> None:
    """In processes of their own, as they would be."""
    program = """
import asyncio, sys
from pathlib import Path
from services.chassis.database import Database
from services.chassis.migrations import migrate
async def main():
    database = Database(sys.argv[1])
    await database.start()
    await migrate(database, "sample", Path(sys.argv[2]))
    await database.close()
asyncio.run(main())
"""
    revisions = Path(__file__).parent / "revisions"
    replicas = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, sql_url, str(revisions), stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    errors = [(await replica.communicate())[1].decode() for replica in replicas]
    assert [replica.returncode for replica in replicas] == [0] * 4, errors
    database = Database(sql_url)
    async with database.read() as connection:
        names = (await connection.execute(sa.text("SELECT name FROM sample ORDER BY id"))).scalars().all()
    assert list(names) == ["first", "second"]
    await database.close()


async def test_an_address_that_mysql_quotes_does_not_get_into_the_log(
    sql_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    configure_logs("auth", "info", "json")
    database = Database(sql_url)
    person = sa.table("person", sa.column("address"))

    async def insert() -> None:
        async with database.write() as connection:
            await connection.execute(sa.insert(person).values(address="someone@example.com"))

    async with database.write(seconds=None) as connection:
        await connection.execute(sa.text("CREATE TABLE person (address VARCHAR(255) PRIMARY KEY)"))
    await insert()
    with pytest.raises(IntegrityError) as refused:
        await insert()
    await database.close()
    assert "someone@example.com" in str(refused.value)  # the parameters are hidden, but not what the server says
    structlog.get_logger("services.auth.store").error("failed", exc_info=refused.value)
    logging.captureWarnings(False)
    said = capsys.readouterr().out
    assert "Duplicate entry '[address]'" in said
    assert "someone@example.com" not in said
