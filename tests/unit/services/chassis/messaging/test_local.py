"""What only the broker in a file must do: own the file, and outlive a full disk and a kill."""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

import aiosqlite
import pytest

from contracts.events import AnalysisStarted, Envelope
from contracts.topology import Subscription
from services.chassis.messaging import local
from services.chassis.messaging.broker import PublishError
from services.chassis.messaging.local import LocalBroker
from services.chassis.metrics import Metrics
from services.chassis.startup import StartupError
from tests.waiting import LONGEST_SECONDS, until

WORK = Subscription("test.work", (AnalysisStarted,), retry_delays=())


def broker(folder: Path) -> LocalBroker:
    return LocalBroker(folder / "events.db", Metrics(), (WORK,))


def event(name: str) -> Envelope:
    return Envelope.wrap(AnalysisStarted(job_id=name), traceparent=None)


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_second_owner_of_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = aiosqlite.connect
    monkeypatch.setattr(local.aiosqlite, "connect", lambda path, **kw: connect(path, timeout=0.05, **kw))
    first, second = broker(tmp_path), broker(tmp_path)
    await first.start()
    with pytest.raises(StartupError, match="another process uses it"):
        await second.start()
    await first.close()
    await second.start()
    await second.close()


async def test_what_has_been_handled_is_gone_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_SCHEMA", "PRAGMA secure_delete = OFF;" + local._SCHEMA)  # some have it built in
    mine, handled = broker(tmp_path), asyncio.Event()

    async def handle(data: AnalysisStarted) -> None:
        handled.set()

    await mine.start()
    await mine.publish(event("told to nobody"))
    assert b"told to nobody" in content(tmp_path)
    await mine.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
    async with asyncio.timeout(LONGEST_SECONDS):
        await handled.wait()
    await mine.close()
    assert b"told to nobody" not in content(tmp_path)


async def test_a_file_that_holds_something_else_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("no database " * 1000)
    with pytest.raises(StartupError, match="Cannot keep events in"):
        await broker(tmp_path).start()


async def test_what_a_killed_process_was_handling_is_delivered_again(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from tests.unit.services.chassis.messaging.test_local import WORK, AnalysisStarted, broker, event
async def main():
    async def hang(_):
        print("holding", flush=True)
        await asyncio.Event().wait()
    mine = broker(Path(sys.argv[1]))
    await mine.start()
    await mine.publish(event("held"))
    await mine.publish(event("waiting"))
    await mine.subscribe(WORK, {AnalysisStarted: hang}, concurrency=1)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    root = Path(__file__).parents[5]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=root
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"holding\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()

    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    after = broker(tmp_path)
    await after.start()
    await after.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
    await until(lambda: sorted(seen) == ["held", "waiting"])
    await after.drain(1)
    await after.close()


async def test_a_full_disk_refuses_publishes_and_keeps_deliveries_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "UNREADABLE_PAUSE_SECONDS", 0.02)
    mine = broker(tmp_path)
    await mine.start()
    await mine.publish(event("early"))
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    real = mine.execute
    full = True

    async def execute(statement: str, *values: object) -> list[tuple[object, ...]]:
        if full and not statement.startswith("SELECT min"):
            raise sqlite3.OperationalError("database or disk is full")
        return await real(statement, *values)

    monkeypatch.setattr(mine, "execute", execute)
    with pytest.raises(PublishError, match="full"):
        await mine.publish(event("refused"))
    await mine.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
    await asyncio.sleep(0.1)
    full = False
    await until(lambda: seen == ["early"])

    await mine.drain(1)
    await mine.close()


async def test_an_event_whose_end_cannot_be_written_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "UNREADABLE_PAUSE_SECONDS", 0.02)
    mine = broker(tmp_path)
    await mine.start()
    real = mine.execute
    faults = 2

    async def execute(statement: str, *values: object) -> list[tuple[object, ...]]:
        nonlocal faults
        if statement.startswith("DELETE") and faults:
            faults -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return await real(statement, *values)

    monkeypatch.setattr(mine, "execute", execute)
    seen: list[str] = []

    async def handle(data: AnalysisStarted) -> None:
        seen.append(data.job_id)

    await mine.subscribe(WORK, {AnalysisStarted: handle}, concurrency=1)
    await mine.publish(event("stubborn"))
    await until(lambda: len(seen) == 3)
    await mine.drain(1)
    assert await real("SELECT count(*) FROM message") == [(0,)]
    await mine.close()
