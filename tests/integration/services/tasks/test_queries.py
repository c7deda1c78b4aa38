"""Every query of tasks and auth finds its rows by an index, however large the tables have grown.

A run of everything that the two stores, the sweeper, the relay and the export do is watched on real MySQL, each
statement where and when it is sent: MySQL is asked for its plan (``EXPLAIN``), and for how many rows it has then read.
The tables hold thousands of rows, and the person that it is done for has a third of them, so that a walk through all
rows, or through all of a person's, shows. So does one through all jobs that wait, unless it is the sweeper's, whose
work they are.
"""

import asyncio
import inspect
import re
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from contracts.events import AccountBound, AnalysisStarted, Envelope, Household, ProfileUpdated, TaskSubmitted
from contracts.internal import NewestHousehold
from services.auth.accounts import Accounts
from services.auth.app import MIGRATIONS as AUTH_MIGRATIONS
from services.auth.models import metadata as auth_metadata
from services.auth.models import outbox as auth_outbox
from services.auth.models import sign_outs as auth_sign_outs
from services.auth.models import users
from services.auth.store import UserStore, announce_profiles
from services.chassis.database import Database, now
from services.chassis.metrics import Metrics
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox, Relay
from services.chassis.problems import Problem
from services.chassis.pseudonyms import pseudonym
from services.chassis.signouts import SignOuts
from services.tasks.accounts import Accounts as PeoplesAccounts
from services.tasks.announcing import Turns
from services.tasks.app import MIGRATIONS
from services.tasks.erasure import Erasures
from services.tasks.export import Export
from services.tasks.models import (
    erasures,
    households,
    idempotency_keys,
    jobs,
    leakage_tasks,
    metadata,
    outbox,
    sign_outs,
    suggestions,
)
from services.tasks.photos.archive import remove_orphans
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import new_photo_id
from services.tasks.privacy.photos import ShownPhotos
from services.tasks.quota import Quota
from services.tasks.report_pictures import ReportPictures
from services.tasks.store import Bounds, StoredPicture, TaskStore
from services.tasks.sweeper import Sweeper
from tests.benchmarks.growth import grow, person
from tests.brokers import RecordingBroker
from tests.integration.services.tasks.conftest import SECRET
from tests.integration.services.tasks.test_erasure import deleted, settled
from tests.integration.services.tasks.test_store import NOBODY, change, completed, submission, uploaded
from tests.integration.services.tasks.test_sweeper import settings
from tests.tokens import proved

TASKS = 6_000
PEOPLE = 3  # who own the tasks
ROWS = 6_000  # in every other table
WAITING = 2_000  # jobs of other people
MOST_ROWS = 600  # that a statement may read: more than the largest batch, less than what one person has
ME = person(1)
FOR_EVER = {"Relay.run", "Relay.measure_forever"}
AT_A_COMMAND = {"Erasures.deletions"}  # lists, for an operator, all that was deleted in thirty days
# Submissions are refused while so many events wait that it matters (MAX_OUTBOX_ROWS): it may be counted and searched.
WHOLE_OUTBOX = re.compile(r"SELECT (?!.*\sLIMIT\s).*\sFROM \w+_outbox\b", re.DOTALL)
# What one person keeps is counted at most once an hour (services.tasks.quota): all of that person's rows, by indexes.
ALL_OF_A_PERSON = re.compile(r"SELECT coalesce\(sum\(CASE WHEN \(tasks_photo\.", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """A statement that would become slower with every row."""

    statement: str
    rows: int
    what: str

    def __str__(self) -> str:
        return f"{self.what}:\n    {' '.join(self.statement.split())}"


class Watch:
    """Looks over the shoulder of a database's connections, and keeps what it finds wrong."""

    def __init__(self, database: Database) -> None:
        self.faults: dict[str, Fault] = {}  # by statement: the worst
        self.seen: set[str] = set()
        for engine in (database.engine, database._reading):
            event.listen(engine.sync_engine, "before_cursor_execute", self._before)
            event.listen(engine.sync_engine, "after_cursor_execute", self._after)

    def _before(self, connection: sa.Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if connection.info.get("looking") or not statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            return
        connection.info["looking"] = True
        plan = connection.exec_driver_sql(f"EXPLAIN FORMAT=TRADITIONAL {statement}", parameters).mappings().all()
        for step in plan:
            if (step["rows"] or 0) <= MOST_ROWS:
                continue  # a table that has been emptied meanwhile
            if step["type"] == "ALL":
                self._note(statement, step["rows"], f"reads all of {step['table']}")
            elif step["type"] == "index" and "LIMIT" not in statement:
                self._note(statement, step["rows"], f"reads all of the index {step['key']} of {step['table']}")
        first, second = self._read(connection), self._read(connection)
        connection.info["looking"] = False
        # Asking is reading too: what one question costs is taken off again.
        connection.info["before"] = second + (second - first)

    def _after(self, connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        before = connection.info.pop("before", None)
        if connection.info.get("looking") or before is None:
            return
        connection.info["looking"] = True
        read = self._read(connection) - before
        connection.info["looking"] = False
        self.seen.add(statement)
        if read > MOST_ROWS:
            self._note(statement, read, f"has read {read} rows")

    @staticmethod
    def _read(connection: sa.Connection) -> int:
        rows = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'", ()).all()
        return sum(int(value) for _, value in rows)

    def _note(self, statement: str, rows: int, what: str) -> None:
        if WHOLE_OUTBOX.match(statement) or (ALL_OF_A_PERSON.match(statement) and what.startswith("has read")):
            return
        known = self.faults.get(statement)
        if known is None or known.rows < rows:
            self.faults[statement] = Fault(statement, rows, what)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The driver logs what MySQL notes beside each plan."""
    caplog.set_level("ERROR", "asyncmy")


@pytest.fixture
async def tasks(sql_url: str) -> AsyncIterator[Database]:
    """The database of tasks, full."""
    async with _migrated(sql_url, "tasks", MIGRATIONS) as database:
        await grow(sql_url, TASKS, PEOPLE)
        await _fill_tasks(database)
        await _analyse(database, metadata)
        yield database


@pytest.fixture
async def unwatched(tasks: Database, sql_url: str) -> AsyncIterator[Database]:
    """The same, for what the test does itself."""
    database = Database(sql_url)
    yield database
    await database.close()


@pytest.fixture
async def auth(mysql_server: Any) -> AsyncIterator[Database]:
    """The database of auth, full."""
    with mysql_server.fresh_url() as url:
        async with _migrated(url, "auth", AUTH_MIGRATIONS) as database:
            await _fill_auth(database)
            await _analyse(database, auth_metadata)
            yield database


@asynccontextmanager
async def _migrated(url: str, service: str, migrations: Path) -> AsyncIterator[Database]:
    database = Database(url)
    await database.start()
    try:
        await migrate(database, service, migrations)
        yield database
    finally:
        await database.close()


async def _fill_tasks(database: Database) -> None:
    some = range(ROWS)
    async with database.write(seconds=60) as connection:
        ids = list((await connection.scalars(sa.select(leakage_tasks.c.taskID))).all())
        texts = dict.fromkeys(("title", "subtitle", "difficulty", "costRange", "estimatedReduction", "lifetime"), "")
        for table, rows in (
            (suggestions, [{"suggestionID": f"grown {n}", "taskID": ids[n], **texts} for n in some]),
            (
                idempotency_keys,
                [
                    {
                        "userID": person(n % 200),
                        "key": f"key {n}",
                        "fingerprint": "",
                        "jobID": ids[n],
                        "createdAt": _ago(n),
                    }
                    for n in some
                ],
            ),
            (households, [{"userID": person(n), "version": 1, "household": {}} for n in some]),
            (
                erasures,
                [
                    {
                        "person": pseudonym(SECRET, f"gone {n}"),
                        "userID": None,
                        "deletedAt": _ago(n),
                        "profileVersion": 1,
                        "notedAt": _ago(n),
                    }
                    for n in some
                ],
            ),
            (sign_outs, _signed_out(some)),
            (outbox, _events(ROWS // 2)),
        ):
            await connection.execute(sa.insert(table), rows)
        others = (await connection.scalars(sa.select(jobs.c.jobID).where(jobs.c.userID != ME).limit(WAITING))).all()
        await connection.execute(
            sa.update(jobs).where(jobs.c.jobID.in_(others)).values(state="queued", publishedAt=now(-60))
        )


async def _fill_auth(database: Database) -> None:
    some = range(ROWS)
    async with database.write(seconds=60) as connection:
        await connection.execute(
            sa.insert(users), [{"userID": person(n), "profileVersion": 1, "createdAt": _ago(n)} for n in some]
        )
        await connection.execute(sa.insert(auth_sign_outs), _signed_out(some))
        await connection.execute(sa.insert(auth_outbox), _events(ROWS // 2))


def _ago(minutes: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def _signed_out(some: range) -> list[dict[str, Any]]:
    present = int(time.time())
    return [{"person": pseudonym(SECRET, person(n % 100)), "until": present - n} for n in some]


def _events(count: int) -> list[dict[str, Any]]:
    def envelope(number: int) -> dict[str, Any]:
        submitted = TaskSubmitted(
            job_id=f"waiting {number}",
            task_id="task",
            task_type=None,
            inside_temp_f=None,
            outside_temp_f=None,
            household=None,
            photos=(),
        )
        return Envelope.wrap(submitted, traceparent=None).model_dump(mode="json")

    present = datetime.now(UTC)
    return [{"envelope": envelope(n), "createdAt": present, "dueAt": present, "failures": 0} for n in range(count)]


async def _analyse(database: Database, tables: sa.MetaData) -> None:
    async with database.read(seconds=60) as connection:
        for table in tables.sorted_tables:
            await connection.execute(sa.text(f"ANALYZE TABLE `{table.name}`"))


class Called:
    """Notes which public coroutines of classes are called while a test runs."""

    def __init__(self, patch: pytest.MonkeyPatch, *classes: type) -> None:
        self.missing: set[str] = set()
        for cls in classes:
            for name, function in inspect.getmembers(cls, inspect.iscoroutinefunction):
                if not name.startswith("_"):
                    self.missing.add(f"{cls.__name__}.{name}")
                    patch.setattr(cls, name, self._noting(f"{cls.__name__}.{name}", function))

    def _noting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.missing.discard(name)
            return await function(*args, **kwargs)

        return call


async def test_every_query_of_tasks_finds_its_rows_by_an_index(
    tasks: Database, unwatched: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = Called(monkeypatch, TaskStore, Erasures, PeoplesAccounts, SignOuts, Relay, Sweeper, ReportPictures, Turns)
    watch = Watch(tasks)
    waiting = Outbox(outbox)
    erasing = Erasures(tasks, waiting, SECRET)
    quota = Quota(tasks=2 * TASKS)
    store = TaskStore(tasks, waiting, erasing, Bounds(quota=quota))
    await _submissions(store)
    await _reading(store, tmp_path)
    await _signing_out(tasks, SignOuts(tasks, sign_outs, SECRET))
    await _naming(tasks, erasing)
    await _ended(unwatched)
    pictures = ReportPictures(tasks)
    await _sweeping(store, erasing, waiting, pictures, tmp_path)
    await _erasing(tasks, unwatched, store, erasing)
    await _relaying(tasks, unwatched, waiting)
    assert called.missing <= FOR_EVER | AT_A_COMMAND | {"Sweeper.run"}, "these do the others for ever"
    assert len(watch.seen) > 60
    _refuse(watch.faults.values())


async def test_every_query_of_auth_finds_its_rows_by_an_index(auth: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    called = Called(monkeypatch, UserStore, Accounts, SignOuts, Relay)
    watch = Watch(auth)
    waiting = Outbox(auth_outbox)
    signed_out = SignOuts(auth, auth_sign_outs, SECRET)
    accounts = UserStore(auth, waiting, signed_out)
    await _opening(Accounts(auth, waiting, signed_out))
    me = proved(ME, at=int(time.time()) + 60).with_account(ME)
    assert await accounts.change_profile(ME, {"zipCode": "15213"})
    assert await accounts.find(ME)
    assert ME not in await accounts.names(ME), "its address leads to another account"
    await signed_out.note(ME, 1)
    await signed_out.note_everybody(1)
    assert not await signed_out.refuse(me)
    await accounts.sign_out(me)
    await accounts.delete_account(me)
    unwatched = Database(auth.url.render_as_string(hide_password=False))
    await _relaying(auth, unwatched, waiting)
    await unwatched.close()
    await announce_profiles(auth, waiting)
    assert called.missing <= FOR_EVER, "these do the others for ever"
    assert len(watch.seen) > 15
    _refuse(watch.faults.values())


async def _opening(accounts: Accounts) -> None:
    """Open accounts, rename one, recycle an address, and find them."""
    opened = await accounts.open(proved(ME, "1"))
    assert opened.identity.account == ME
    await accounts.open(proved("new@example.com", "1", at=int(time.time()) + 1))
    await accounts.open(proved(ME, "2", at=int(time.time()) + 2))
    await accounts.find(proved(ME, "1"))
    await accounts.find(proved("nobody@example.com", "3"))
    await accounts.named(ME)
    await accounts.named("nobody@example.com")
    await accounts.owner(ME)


def _refuse(faults: Collection[Fault]) -> None:
    assert not faults, "\n" + "\n".join(map(str, faults))


async def _submissions(store: TaskStore) -> None:
    """Submit, repeat, replace, and end jobs in each way."""
    mine = submission("new task", ME)
    for key in (None, "a key"):
        store.admit(await store.standing([ME, "subject of me"], key, NOBODY))
    first = uploaded()
    await store.submit("job 1", mine, first)
    assert await store.submit("job 2", mine, first) == "job 1"
    await store.submit("job 3", mine, uploaded(), "a key")
    assert await store.submit("job 4", mine, uploaded(0), "another key") == "job 4"
    with pytest.raises(Problem):
        await store.submit("job 5", mine, uploaded(), "a key")
    await store.start_job("job 4")
    done = completed("job 4", "new task")
    pictures = [StoredPicture(done.image_id or "", "report", "image.jpg")]
    assert await store.complete_job(done, pictures)
    assert not await store.complete_job(completed("no job"), pictures)
    moved = NewestHousehold(version=4, household=Household(zip_code="02134"))
    await store.submit("job 6", submission("another task", ME), uploaded(), newest=moved)
    await store.submit("waiting", submission("new task", ME), uploaded())
    await store.start_job("job 6")
    await store.submit("replacing", submission("another task", ME), uploaded())
    assert not await store.fail_job("job 6", "it had been replaced")
    for name in ("waiting", "replacing"):
        assert await store.fail_job(name, "it failed")
    await store.remember_household(ProfileUpdated(user_id=ME, version=5, household=Household(zip_code="15213")))


async def _reading(store: TaskStore, folder: Path) -> None:
    """What people ask for."""
    await store.find_job("job 4")
    await store.follow_job("job 4", {"signed_out_people": [pseudonym(SECRET, ME), pseudonym(SECRET, "subject of me")]})
    await store.find_job_photo("job 4", new_photo_id())
    await store.find_task("new task")
    page = await store.list_tasks(ME, None, 21)
    assert len(page) == 21
    await store.list_tasks(ME, (page[-1]["createdAt"], page[-1]["taskID"]), 21)
    await store.list_tasks(ME, (None, "zzz"), 21)
    export = Export(store, ShownPhotos(FilePhotos(folder / "none"), 1000))
    assert len([piece async for piece in export.archive([ME, "subject of me"], [])]) > TASKS // PEOPLE


async def _naming(tasks: Database, erasing: Erasures) -> None:
    """Hear of names, and find the accounts that they lead to while auth is away."""
    async with aiohttp.ClientSession() as http:
        accounts = PeoplesAccounts(tasks, erasing, http, "http://127.0.0.1:1", SECRET)
        for version in (1, 2):
            await accounts.note(AccountBound(user_id=ME, names=(ME, "subject of me"), version=version))
        assert (await accounts.find(proved(ME, "subject of me"))).account == ME
        assert await accounts.named(ME) == ME
        assert await accounts.named("nobody@example.com") == "nobody@example.com"


async def _signing_out(database: Database, signed_out: SignOuts) -> None:
    me = proved(ME, "subject of me", at=1).with_account(ME)
    await signed_out.note(ME, int(time.time()))
    assert await signed_out.refuse(me)
    async with database.read() as connection:
        assert await signed_out.last_of(connection, ME)
    await signed_out.note_everybody(1)


async def _relaying(database: Database, unwatched: Database, waiting: Outbox) -> None:
    broker = RecordingBroker()
    relay = Relay(database, waiting, broker, Metrics(), "test")
    await relay.measure()
    async with database.write() as connection:
        leased = await waiting.add_leased(connection, AnalysisStarted(job_id="handed over"))
    waiting.publish(leased)
    assert await relay.relay_handed() == 1
    broker.away = True
    assert await relay.relay_batch()
    broker.away = False
    await change(unwatched, sa.update(waiting.table).values(dueAt=now()))
    while await relay.relay_batch():
        pass
    assert broker.published


async def _ended(unwatched: Database) -> None:
    """Few jobs wait any more."""
    async with unwatched.write() as connection:
        waiting = (await connection.scalars(sa.select(jobs.c.jobID).where(jobs.c.state == "queued"))).all()
        await connection.execute(sa.update(jobs).where(jobs.c.jobID.in_(waiting[100:])).values(state="done"))
    await _analyse(unwatched, metadata)


async def _sweeping(
    store: TaskStore, erasing: Erasures, waiting: Outbox, pictures: ReportPictures, folder: Path
) -> None:
    """All that the sweeper does, when there is something to do and when there is nothing."""
    files = FilePhotos(folder / "photos")
    await files.start()
    await store.submit("job 7", submission("new task", ME), uploaded())
    dropped = (await store.unknown_photos([new_photo_id()]))[0]
    kept = settings(retention_days=100_000)
    sweeper = Sweeper(store, erasing, waiting, files, pictures, RecordingBroker(), kept, Metrics())
    await sweeper.sweep_jobs()
    await store.announce_forgotten(100)
    await pictures.begin(picture := new_photo_id(), "job 7")
    await pictures.finish(picture, "job 7", 1000)
    await store.fail_job("job 7", "it failed")
    await sweeper.sweep_report_pictures()
    await sweeper.sweep_sizes()
    for seconds in (30, 1):
        await store.republish_unfinished(seconds, 100)
    await store.end_overdue(100 * 86400)
    await store.dropped_photos(0, 200)
    await store.forget_photos([dropped])
    await sweeper.sweep_dropped_photos()
    await sweeper.sweep_keys()
    await sweeper.sweep_old_submissions()
    await sweeper.sweep_deleted_accounts()
    await sweeper.sweep_orphans()
    await remove_orphans(files, store, await store.clock())
    assert await store.unfinished()


async def _erasing(database: Database, unwatched: Database, store: TaskStore, erasing: Erasures) -> None:
    """A person with thousands of tasks goes, and a few old submissions."""
    await erasing.note(deleted(ME, seconds_ago=0))
    await erasing.note(deleted(ME, seconds_ago=0))
    with pytest.raises(Problem):
        await store.submit("late", submission("late task", ME), [], begun=asyncio.get_running_loop().time() - 60)
    async with database.write() as connection:
        assert await erasing.outdate(connection, ME, 1)
    assert await erasing.erase_deleted_accounts() >= TASKS // PEOPLE
    await settled(unwatched)
    await erasing.erase_deleted_accounts()
    while await erasing.erase_older(1):
        pass
    await erasing.forget_erasures()
