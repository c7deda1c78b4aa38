"""The accounts behind ID tokens and names, as tasks finds them: on SQLite and on MySQL, with an auth of the test's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web

from contracts.events import AccountBound, AccountDeleted
from contracts.internal import ACCOUNT_PATH
from services.chassis.database import Database
from services.chassis.identity import InvalidTokenError, KeysUnavailableError
from services.chassis.people import Identity
from services.chassis.problems import Problem
from services.tasks import accounts as module
from services.tasks.accounts import Accounts
from services.tasks.erasure import Erasures
from services.tasks.models import names
from tests.integration.services.tasks.conftest import SECRET
from tests.loopback import served
from tests.tokens import proved

ME, MINE = "me@example.com", "1101"


@dataclass
class Auth:
    """What auth answers, and what it was asked."""

    url: str = ""
    account: str | None = ME
    held: tuple[str, ...] = (ME, MINE)
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json() if request.method == "POST" else dict(request.query))
        held = [{"name": name, "version": 5} for name in self.held]
        return web.json_response({"account": self.account, "names": held}, status=self.status)


@pytest.fixture
async def auth() -> AsyncIterator[Auth]:
    answers, app = Auth(), web.Application()
    app.router.add_route("*", ACCOUNT_PATH, answers.answer)
    async with served(app) as answers.url:
        yield answers


@pytest.fixture
async def accounts(tasks_database: Database, erasures: Erasures, auth: Auth) -> AsyncIterator[Accounts]:
    async with aiohttp.ClientSession() as http:
        yield Accounts(tasks_database, erasures, http, auth.url, SECRET)


@pytest.fixture
async def replica(tasks_database: Database, erasures: Erasures, auth: Auth) -> AsyncIterator[Accounts]:
    """Another process, which has been asked for nobody yet."""
    async with aiohttp.ClientSession() as http:
        yield Accounts(tasks_database, erasures, http, auth.url, SECRET)


async def kept(database: Database) -> dict[str, str]:
    async with database.read() as connection:
        return {row.name: row.account for row in await connection.execute(sa.select(names))}


async def test_a_person_is_asked_for_once_by_all_replicas(accounts: Accounts, replica: Accounts, auth: Auth) -> None:
    person = proved(ME, MINE, at=7)
    for process in (accounts, accounts, replica):
        found = await process.find(person)
        assert (found.account, found.names) == (ME, {ME, MINE})
    assert auth.asked == [{"person": MINE, "email": ME, "proved_at": 7}]


async def test_a_person_who_was_heard_of_is_found_while_auth_is_away(accounts: Accounts, auth: Auth) -> None:
    auth.status = 503
    await accounts.note(AccountBound(user_id=ME, names=(ME, MINE), version=1))
    assert (await accounts.find(proved("renamed@example.com", MINE))).account == ME
    assert auth.asked == []


async def test_a_person_whom_nobody_knows_waits_for_auth(accounts: Accounts, auth: Auth) -> None:
    for status in (500, 503, 404):
        auth.status = status
        with pytest.raises(KeysUnavailableError):
            await accounts.find(proved(ME, MINE))
    auth.status = 200
    assert (await accounts.find(proved(ME, MINE))).account == ME


async def test_a_person_who_has_signed_out_is_not_let_in(accounts: Accounts, auth: Auth) -> None:
    auth.status = 401
    with pytest.raises(InvalidTokenError):
        await accounts.find(proved(ME, MINE))


async def test_a_token_without_an_address_may_use_those_that_the_account_holds(accounts: Accounts) -> None:
    await accounts.note(AccountBound(user_id=ME, names=(ME, MINE), version=1))
    assert (await accounts.find(proved(MINE))).may_use(ME)


async def test_what_is_remembered_of_people_is_bounded(
    accounts: Accounts, auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    for number in range(5):
        auth.account, auth.held = f"{number}@example.com", (f"{number}",)
        await accounts.find(proved(f"{number}@example.com", f"{number}"))
    assert len(accounts._kept) == 2
    assert (await accounts.find(proved("0@example.com", "0"))).account == "0@example.com"
    assert len(auth.asked) == 5


async def test_a_name_is_asked_for_each_time(accounts: Accounts, auth: Auth) -> None:
    assert await accounts.named(ME) == ME
    auth.account = "2202"
    assert await accounts.named(ME) == "2202"
    auth.account = None
    with pytest.raises(Problem) as raised:
        await accounts.named(ME)
    assert raised.value.status == 403


async def test_while_auth_is_away_a_name_leads_where_it_was_heard_to(accounts: Accounts, auth: Auth) -> None:
    auth.status = 503
    assert await accounts.named(ME) == ME, "as before anybody bound it"
    await accounts.note(AccountBound(user_id=ME, names=(ME, MINE), version=1))
    await accounts.note(AccountBound(user_id="2202", names=(ME, "2202"), version=2))
    assert await accounts.named(ME) == "2202"
    assert len(auth.asked) == 1, "nobody waits for it again so soon"
    await accounts._erasures.note(_deleted("2202", 2))
    with pytest.raises(Problem):
        await accounts.named(ME)


async def test_of_two_events_about_a_name_the_higher_version_holds(
    accounts: Accounts, tasks_database: Database
) -> None:
    newer = AccountBound(user_id="2202", names=(ME,), version=2)
    for event in (newer, AccountBound(user_id=ME, names=(ME, MINE), version=1), newer):
        await accounts.note(event)
    assert await kept(tasks_database) == {ME: "2202", MINE: ME}


async def test_replicas_that_hear_of_a_name_at_once_keep_it_once(
    accounts: Accounts, replica: Accounts, tasks_database: Database
) -> None:
    events = [AccountBound(user_id=ME, names=(ME, MINE), version=version) for version in (1, 2, 3, 3)]
    await asyncio.gather(*(process.note(event) for process in (accounts, replica) for event in events))
    assert await kept(tasks_database) == {ME: ME, MINE: ME}


def _deleted(user_id: str, names_version: int) -> AccountDeleted:
    return AccountDeleted(user_id=user_id, deleted_at=datetime.now(UTC), profile_version=0, names_version=names_version)


async def test_a_deletion_takes_the_names_at_once_and_late_events_bring_none_back(
    accounts: Accounts, erasures: Erasures, tasks_database: Database
) -> None:
    bound = AccountBound(user_id=ME, names=(ME, MINE), version=3)
    await accounts.note(bound)
    await erasures.note(_deleted(ME, 3))
    assert await kept(tasks_database) == {}
    await accounts.note(bound)
    assert await kept(tasks_database) == {}
    again = bound.model_copy(update={"version": 4})
    await accounts.note(again)
    await erasures.note(_deleted(ME, 3))
    assert await kept(tasks_database) == {ME: ME, MINE: ME}, "those of the new account stay"


async def test_after_a_deletion_the_person_is_asked_for_anew(
    accounts: Accounts, erasures: Erasures, auth: Auth
) -> None:
    assert (await accounts.find(proved(ME, MINE, at=7))).account == ME
    await erasures.note(_deleted(ME, 5))
    accounts.forget(ME)
    auth.account, auth.held = "another", (MINE,)
    assert (await accounts.find(proved("new@example.com", MINE, at=8))).account == "another"


async def test_a_deletion_takes_no_name_that_leads_elsewhere_by_now(
    accounts: Accounts, erasures: Erasures, tasks_database: Database
) -> None:
    await accounts.note(AccountBound(user_id=ME, names=(ME, MINE), version=3))
    await accounts.note(AccountBound(user_id="2202", names=(ME, "2202"), version=4))
    await erasures.note(_deleted(ME, 3))
    assert await kept(tasks_database) == {ME: "2202", "2202": "2202"}


def test_an_identity_with_an_account_has_its_rows_and_those_of_the_person() -> None:
    assert proved(ME, MINE).with_account(ME).user_ids == {ME, MINE}
    assert Identity(MINE, frozenset(), 1).user_ids == {MINE}
