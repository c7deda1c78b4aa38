"""Signing out, and deleting an account: over HTTP, the same on SQLite and on MySQL."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.events import AccountDeleted, ProfileUpdated, SignedOut
from contracts.internal import HOUSEHOLD_PATH, PROFILE_PATH, NewestHousehold
from services.auth.accounts import Accounts
from services.auth.app import MIGRATIONS, SERVICE
from services.auth.models import metadata, outbox, sign_outs
from services.auth.store import UserStore
from services.chassis.database import Database
from services.chassis.identity import InvalidTokenError
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox
from services.chassis.signouts import KEPT_SECONDS, SignOuts
from tests.integration.services.auth.conftest import SERVICE_TOKEN, Auth
from tests.servers import stop_clock
from tests.tokens import proved
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one service for all of them


async def ask(auth: Auth, method: str, path: str, token: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with auth.http.request(method, auth.url + path, headers=headers) as response:
        return response.status, json.loads(await response.read())


async def may_read(auth: Auth, token: str) -> int:
    status, _ = await auth.get("/v1/profile", token, userID=auth.email)
    return status


async def everything(auth: Auth) -> str:
    async with auth.database.read() as connection:
        return "\n".join([str((await connection.execute(sa.select(t))).all()) for t in metadata.sorted_tables])


async def heard(auth: Auth, kind: Any) -> list[Any]:
    """The events of one kind about the person, after waiting for the first."""

    def found() -> list[Any]:
        return [event for event in auth.broker.events(kind) if event.user_id == auth.email]

    await until(lambda: bool(found()))
    return found()


LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
LEAVING = pytest.mark.parametrize(("method", "path"), [("POST", "/v1/sign_out"), ("DELETE", "/v1/account")])


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@LEAVING
async def test_no_token_from_before_counts_any_more(auth: Auth, method: str, path: str) -> None:
    google = auth.id_token()
    access, other = await auth.login(), await auth.login()
    assert [await may_read(auth, token) for token in (google, access, other)] == [200] * 3
    assert (await ask(auth, method, path, access))[0] in (200, 202)
    assert [await may_read(auth, token) for token in (google, access, other)] == [401] * 3
    status, answer = await auth.post("/login", {"id_token": google, "uid": auth.email})
    assert status == 401
    assert answer["detail"].startswith("Invalid token: you have signed out")
    assert (await ask(auth, method, path, access))[0] == 401


@LEAVING
async def test_a_token_that_is_issued_right_after_the_answer_is_good(auth: Auth, method: str, path: str) -> None:
    await ask(auth, method, path, await auth.login())
    assert await may_read(auth, await auth.login()) == 200
    assert await may_read(auth, auth.id_token()) == 200


@LEAVING
async def test_it_takes_a_good_token_in_either_mode(
    auth: Auth, start_auth: Callable[..., Any], method: str, path: str
) -> None:
    await auth.login()
    assert (await ask(auth, method, path))[0] == 401
    assert (await ask(auth, method, path, auth.id_token(exp=1)))[0] == 401
    async with start_auth(auth_mode="legacy") as legacy:
        status, answer = await ask(legacy, method, path)
        assert (status, answer["detail"].startswith("Please sign in")) == (401, True)
    assert await auth.row() is not None


@LEAVING
async def test_others_stay_signed_in(auth: Auth, method: str, path: str) -> None:
    other = f"other-{auth.email}"
    token = await auth.login(other)
    assert (await ask(auth, method, path, await auth.login()))[0] in (200, 202)
    assert (await auth.get("/v1/profile", token, userID=other))[0] == 200


async def test_signing_out_is_told_with_the_time(auth: Auth) -> None:
    before = int(time.time())
    assert await ask(auth, "POST", "/v1/sign_out", await auth.login()) == (200, {"status": "signed out"})
    (event,) = await heard(auth, SignedOut)
    assert before <= event.until < time.time()
    assert await auth.row() is not None, "the account stays"


async def test_a_token_from_an_issuer_whose_clock_is_ahead_is_refused_too(auth: Auth) -> None:
    ahead = auth.id_token(iat=int(time.time()) + 20)
    assert (await ask(auth, "POST", "/v1/sign_out", ahead))[0] == 200
    assert (await ask(auth, "POST", "/v1/sign_out", ahead))[0] == 401


async def test_an_access_token_is_as_old_as_the_google_token_that_it_was_given_for(auth: Auth) -> None:
    """A sign-in that overlaps a sign-out gives nothing that outlives it."""
    old = auth.id_token(iat=int(time.time()) - 100)
    _, answer = await auth.post("/login", {"id_token": old, "uid": auth.email})
    records = SignOuts(auth.database, sign_outs, SERVICE_TOKEN)
    await records.note(auth.email, int(time.time()) - 50)
    assert await may_read(auth, answer["access_token"]) == 401


async def test_sign_outs_name_nobody_and_go_when_no_token_can_be_older(auth: Auth) -> None:
    records = SignOuts(auth.database, sign_outs, SERVICE_TOKEN)
    long_ago = int(time.time()) - KEPT_SECONDS - 10
    await records.note("long-ago@example.com", long_ago)
    await records.note(auth.email, int(time.time()))
    async with auth.database.read() as connection:
        rows = (await connection.execute(sa.select(sign_outs))).all()
    assert min(row.until for row in rows) > long_ago
    assert not [row for row in rows if "@" in row.person]


# ── deleting ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_deleted_account_leaves_no_row(auth: Auth) -> None:
    token = await auth.login()
    await auth.post("/update_profile", {"userID": auth.email, "zip": "15213"}, token)
    version = (await auth.row() or {})["profileVersion"]
    status, answer = await ask(auth, "DELETE", "/v1/account", token)
    assert (status, answer["status"]) == (202, "account deleted")
    (event,) = await heard(auth, AccountDeleted)
    assert event.profile_version == version
    async with auth.database.read() as connection:
        waiting = (await connection.scalars(sa.select(outbox.c.envelope))).all()
    assert [envelope for envelope in waiting if envelope["subject"] == auth.email] == []
    assert auth.email not in await everything(auth)


async def test_a_deletion_says_which_tokens_are_from_before_it(auth: Auth) -> None:
    await ask(auth, "DELETE", "/v1/account", await auth.login())
    (signed_out,), (deleted,) = await heard(auth, SignedOut), await heard(auth, AccountDeleted)
    assert deleted.signed_out_until == signed_out.until


async def test_a_deletion_is_dated_by_the_databases_clock_as_submissions_are(sql_url: str) -> None:
    """The clock of the process may be another, and what was submitted before the deletion would stay."""
    database = Database(sql_url)

    stop_clock(database, LONG_AGO)
    await migrate(database, SERVICE, MIGRATIONS)
    store = UserStore(database, Outbox(outbox), SignOuts(database, sign_outs, SERVICE_TOKEN))
    await store.delete_account(proved("someone@example.com", "1101"))
    async with database.read() as connection:
        envelopes = (await connection.scalars(sa.select(outbox.c.envelope))).all()
    await database.close()
    (deleted,) = [envelope["data"] for envelope in envelopes if envelope["type"] == AccountDeleted.TYPE]
    assert datetime.fromisoformat(deleted["deleted_at"]) == LONG_AGO


async def test_a_profile_that_still_waits_for_the_broker_is_not_sent(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.outbox.FIRST_RETRY_SECONDS", 0.05)
    token = await auth.login()
    auth.broker.away = True
    await auth.post("/update_profile", {"userID": auth.email, "zip": "15213"}, token)
    await ask(auth, "DELETE", "/v1/account", token)
    auth.broker.away = False
    await heard(auth, AccountDeleted)
    assert [e for e in auth.broker.events(ProfileUpdated) if e.user_id == auth.email] == []


async def test_the_profiles_of_a_new_account_are_newer_than_those_of_the_deleted_one(auth: Auth) -> None:
    token = await auth.login()
    for zip_code in "12345":
        await auth.post("/update_profile", {"userID": auth.email, "zip": zip_code}, token)
    await auth.events(5)  # the deletion withdraws those that still wait
    await ask(auth, "DELETE", "/v1/account", token)
    (event,) = await heard(auth, AccountDeleted)
    new = await auth.login()
    row = await auth.row()
    assert row is not None
    assert row["zipCode"] is None
    await auth.post("/update_profile", {"userID": auth.email, "zip": "6"}, new)
    profiles = await auth.events(6)
    assert profiles[-1].version > event.profile_version


async def test_an_account_that_was_never_opened_can_be_deleted_so_that_its_tasks_go(auth: Auth) -> None:
    status, _ = await ask(auth, "DELETE", "/v1/account", auth.id_token())
    assert status == 202
    assert len(await heard(auth, AccountDeleted)) == 1
    assert await auth.row() is None


async def test_a_sign_in_that_overlaps_the_deletion_does_not_bring_the_row_back(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = SignOuts(auth.database, sign_outs, SERVICE_TOKEN)
    accounts, person = Accounts(auth.database, Outbox(outbox), records), proved(auth.email)
    change = accounts._change

    async def too_late(*what: Any) -> Any:
        await UserStore(auth.database, Outbox(outbox), records).delete_account(person.with_account(auth.email))
        return await change(*what)

    monkeypatch.setattr(accounts, "_change", too_late)
    with pytest.raises(InvalidTokenError):
        await accounts.open(person)
    assert await auth.row() is None


# ── what only tasks may ask ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_profile_is_told_to_services_only(auth: Auth) -> None:
    token = await auth.login()
    path = f"{PROFILE_PATH}?userID={auth.email}"
    assert (await ask(auth, "GET", path, SERVICE_TOKEN))[1]["userID"] == auth.email
    assert (await ask(auth, "GET", f"{PROFILE_PATH}?userID=nobody", SERVICE_TOKEN))[0] == 404
    for wrong in (None, token, "", SERVICE_TOKEN[:-1]):
        assert (await ask(auth, "GET", path, wrong))[0] == 401


async def test_the_newest_household_is_told_to_services_only(auth: Auth) -> None:
    token = await auth.login()
    path = f"{HOUSEHOLD_PATH}?userID={auth.email}"
    status, first = await ask(auth, "GET", path, SERVICE_TOKEN)
    assert (status, first["household"]["zip_code"]) == (200, None)
    await auth.post("/update_profile", {"userID": auth.email, "zip": "02134"}, token)
    (event,) = await auth.events(1)
    told = NewestHousehold.model_validate((await ask(auth, "GET", path, SERVICE_TOKEN))[1])
    assert (told.version, told.household) == (event.version, event.household)
    assert told.version > first["version"]
    for wrong in (None, token, "", SERVICE_TOKEN[:-1]):
        assert (await ask(auth, "GET", path, wrong))[0] == 401


async def test_without_an_account_there_is_no_newest_household(auth: Auth) -> None:
    status, told = await ask(auth, "GET", f"{HOUSEHOLD_PATH}?userID=nobody", SERVICE_TOKEN)
    assert (status, told) == (200, {"version": 0, "household": None})
