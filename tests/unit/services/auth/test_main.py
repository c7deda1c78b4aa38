"""What an operator can tell auth to do, as a process on a database of its own."""

import asyncio
import base64
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from contracts.events import AccountDeleted
from services.auth.accounts import Accounts
from services.auth.models import metadata, outbox, sign_outs, users
from services.chassis.database import Database
from services.chassis.outbox import Outbox
from services.chassis.pseudonyms import pseudonym
from services.chassis.signouts import SignOuts
from tests.tokens import proved

TOKEN = secrets.token_hex(32)


def said(folder: Path, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """The command's status, and what it has said."""
    environment = {
        "PATH": os.environ["PATH"],
        "SQL_URL": f"sqlite:///{folder / 'auth.sqlite3'}",
        "RABBITMQ_URL": "amqp://127.0.0.1:9/",
        "GOOGLE_CLIENT_IDS": "x",
        "SERVICE_TOKEN": TOKEN,
        "ACCESS_TOKEN_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "services.auth", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def opened(folder: Path, *user_ids: str) -> None:
    """An auth database in which these accounts have been opened."""
    database = Database(f"sqlite:///{folder / 'auth.sqlite3'}")
    await database.start()
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    accounts = Accounts(database, Outbox(outbox), SignOuts(database, sign_outs, TOKEN))
    for user_id in user_ids:
        await accounts.open(proved(user_id))
    await database.close()


def ids_of(email: str) -> list[str]:
    """Every id that rows of the person may be stored under."""
    return sorted(proved(email).with_account(email).user_ids)


async def kept(folder: Path) -> tuple[set[str], list[str]]:
    """The accounts that there are, and whose deletions wait to be told."""
    database = Database(f"sqlite:///{folder / 'auth.sqlite3'}")
    await database.start()
    async with database.read() as connection:
        there = set(await connection.scalars(sa.select(users.c.userID)))
        waiting = (await connection.scalars(sa.select(outbox.c.envelope).order_by(outbox.c.id))).all()
    await database.close()
    return there, [event["data"]["user_id"] for event in waiting if event["type"] == AccountDeleted.TYPE]


async def test_an_operator_deletes_an_account_as_its_owner_would(tmp_path: Path) -> None:
    await opened(tmp_path, "someone@example.com", "another@example.com")
    status, answer = await asyncio.to_thread(said, tmp_path, "delete-account", " Someone@Example.com")
    assert (status, answer) == (0, "The account is deleted; tasks and photos follow.\n")
    assert await kept(tmp_path) == ({"another@example.com"}, [*ids_of("someone@example.com")])


async def test_an_account_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    await opened(tmp_path, "another@example.com")
    status, answer = await asyncio.to_thread(said, tmp_path, "delete-account", "someone@example.com")
    assert (status, answer.startswith("There is no such account")) == (1, True)
    assert await kept(tmp_path) == ({"another@example.com"}, [])


async def test_deletions_are_repeated_on_accounts_that_are_older_than_them(tmp_path: Path) -> None:
    await opened(tmp_path, "erased@example.com", "back-again@example.com", "stays@example.com")
    later, before = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    deletions = {"erased@example.com": later, "back-again@example.com": before, "unknown@example.com": later}
    listed = "".join(f"{pseudonym(TOKEN, user_id)} {at.isoformat()}\n" for user_id, at in deletions.items())
    status, answer = await asyncio.to_thread(said, tmp_path, "repeat-deletions", stdin=listed)
    assert (status, answer) == (0, "1 of 3 deletions repeated; the other accounts are not here.\n")
    assert await kept(tmp_path) == ({"back-again@example.com", "stays@example.com"}, [*ids_of("erased@example.com")])


@pytest.mark.parametrize("line", ["someone@example.com", "abc 2026-01-01T00:00:00+00:00", f"{'a' * 64} yesterday"])
async def test_what_is_no_list_of_deletions_deletes_nothing(tmp_path: Path, line: str) -> None:
    await opened(tmp_path, "someone@example.com")
    status, answer = await asyncio.to_thread(said, tmp_path, "repeat-deletions", stdin=f"{line}\n")
    assert (status, answer) == (1, "Line 1 is none of a list of deletions; nothing was done.\n")
    assert await kept(tmp_path) == ({"someone@example.com"}, [])
