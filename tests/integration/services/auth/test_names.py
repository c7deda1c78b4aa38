"""Accounts and the people they belong to: renamed and recycled addresses, over HTTP, on SQLite and on MySQL."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.events import AccountBound, AccountDeleted, SignedOut
from contracts.internal import ACCOUNT_PATH, PROFILE_PATH
from services.auth.accounts import Accounts
from services.auth.models import names, outbox, sign_outs, users
from services.chassis.outbox import Outbox
from services.chassis.signouts import SignOuts
from tests.integration.services.auth.conftest import SERVICE_TOKEN, Auth, new_email
from tests.tokens import proved
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one service for all of them


@dataclass
class Person:
    """Somebody at Google: the subject stays, the address may change."""

    auth: Auth
    subject: str
    email: str
    issued: int = field(default_factory=lambda: int(time.time()) - 100)

    def id_token(self, **claims: Any) -> str:
        self.issued += 1
        return self.auth.google.token(**{"email": self.email, "sub": self.subject, "iat": self.issued, **claims})

    async def sign_in(self, uid: str | None = None, **claims: Any) -> tuple[int, Any]:
        body = {"id_token": self.id_token(**claims), "uid": uid or self.email}
        return await self.auth.post("/login", body)

    async def access(self) -> str:
        status, answer = await self.sign_in()
        assert status == 200, answer
        return str(answer["access_token"])

    async def zip_code(self, token: str | None = None) -> Any:
        status, answer = await self.auth.get("/v1/profile", token or await self.access(), userID=self.email)
        return answer["zipCode"] if status == 200 else status

    async def store_zip(self, zip_code: str) -> None:
        status, answer = await self.auth.post(
            "/update_profile", {"userID": self.email, "zip": zip_code}, await self.access()
        )
        assert (status, answer["userID"]) == (200, self.email)


def person(auth: Auth, email: str | None = None) -> Person:
    return Person(auth, f"11{time.time_ns()}", email or new_email())


def accounts_of(auth: Auth) -> Accounts:
    return Accounts(auth.database, Outbox(outbox), SignOuts(auth.database, sign_outs, SERVICE_TOKEN))


async def account_of(someone: Person) -> str | None:
    async with someone.auth.database.read() as connection:
        query = sa.select(users.c.userID).where(users.c.person == someone.subject)
        found: str | None = await connection.scalar(query)
        return found


async def asked(auth: Auth, name: str) -> Any:
    status, answer = await auth.get(ACCOUNT_PATH, SERVICE_TOKEN, name=name)
    assert status == 200
    return answer["account"]


# ── an address changes, a person does not ────────────────────────────────────────────────────────────────────────


async def test_a_renamed_address_signs_in_to_the_same_account(auth: Auth) -> None:
    someone = person(auth)
    await someone.store_zip("15213")
    account, someone.email = await account_of(someone), new_email()
    status, answer = await someone.sign_in()
    assert (status, answer["action"], answer["user_id"]) == (200, "exists", someone.email)
    assert await someone.zip_code() == "15213"
    assert await someone.zip_code(someone.id_token()) == "15213", "a Google token leads there too"
    assert await account_of(someone) == account


async def test_a_recycled_address_gets_a_new_and_empty_account(auth: Auth) -> None:
    first = person(auth)
    await first.store_zip("15213")
    second = person(auth, first.email)
    status, answer = await second.sign_in()
    assert (status, answer["action"], answer["user_id"]) == (200, "created", first.email)
    assert await second.zip_code() is None
    await second.store_zip("90210")
    first.email = new_email()
    assert await first.zip_code() == "15213"
    assert await second.zip_code() == "90210"


async def test_the_first_owner_keeps_the_account_without_having_signed_in_since(auth: Auth) -> None:
    first = person(auth)
    await first.store_zip("15213")
    old = await first.access()
    second = person(auth, first.email)
    await second.store_zip("90210")
    assert await first.zip_code(old) == "15213"
    assert await first.zip_code(first.id_token()) == "15213"


async def test_a_subject_that_signs_in_by_address_and_by_subject_has_one_account(auth: Auth) -> None:
    someone = person(auth)
    await someone.store_zip("15213")
    status, answer = await someone.sign_in(someone.subject)
    assert (status, answer["action"], answer["user_id"]) == (200, "exists", someone.subject)
    status, profile = await auth.get("/v1/profile", answer["access_token"], userID=someone.subject)
    assert (status, profile["userID"], profile["zipCode"]) == (200, someone.subject, "15213")


async def test_a_token_without_an_address_opens_the_account_by_an_address_that_it_holds(auth: Auth) -> None:
    someone = person(auth)
    await someone.store_zip("15213")
    status, answer = await someone.sign_in(email=..., email_verified=...)
    assert (status, answer["action"]) == (200, "exists")
    assert await someone.zip_code(answer["access_token"]) == "15213"
    bare = someone.id_token(email=..., email_verified=...)
    assert await someone.zip_code(bare) == "15213"
    stranger = person(auth, someone.email)
    assert (await stranger.sign_in(email=..., email_verified=...))[0] == 401


# ── accounts from before ─────────────────────────────────────────────────────────────────────────────────────────


async def adopted(auth: Auth, *user_ids: str) -> None:
    async with auth.database.write() as connection:
        for user_id in user_ids:
            values = {"userID": user_id, "zipCode": "00001", "profileVersion": 1}
            await connection.execute(sa.insert(users).values(values))


async def test_an_adopted_account_is_bound_at_the_next_sign_in(auth: Auth) -> None:
    someone = person(auth)
    await adopted(auth, someone.email)
    status, answer = await someone.sign_in()
    assert (status, answer["action"]) == (200, "exists")
    assert await account_of(someone) == someone.email
    assert await person(auth, someone.email).zip_code() is None, "it has an owner now"


async def test_an_adopted_account_is_bound_by_a_bearer_that_has_not_logged_in(auth: Auth) -> None:
    someone = person(auth)
    await adopted(auth, someone.email)
    assert await someone.zip_code(someone.id_token()) == "00001"
    assert await account_of(someone) == someone.email


async def test_an_adopted_account_that_was_opened_by_subject_is_bound_by_it(auth: Auth) -> None:
    someone = person(auth)
    await adopted(auth, someone.subject)
    assert await someone.zip_code() == "00001"
    assert await account_of(someone) == someone.subject


async def test_of_two_people_who_sign_in_to_an_adopted_account_at_once_one_gets_it(auth: Auth) -> None:
    email = new_email()
    await adopted(auth, email)
    people = [person(auth, email) for _ in range(6)]
    answers = await asyncio.gather(*(someone.sign_in() for someone in people))
    assert [status for status, _ in answers] == [200] * 6
    assert sorted(answer["action"] for _, answer in answers) == ["created"] * 5 + ["exists"]
    assert len({await account_of(someone) for someone in people}) == 6, "no two share an account"


async def test_of_two_first_sign_ins_with_one_address_each_gets_an_account_of_its_own(auth: Auth) -> None:
    people = [person(auth, auth.email) for _ in range(6)]
    answers = await asyncio.gather(*(someone.sign_in() for someone in people))
    assert [(status, answer["action"]) for status, answer in answers] == [(200, "created")] * 6
    assert len({await account_of(someone) for someone in people}) == 6


# ── whom a name leads to without a token ─────────────────────────────────────────────────────────────────────────


async def test_a_name_leads_to_the_account_that_proved_it_last(auth: Auth) -> None:
    first = person(auth)
    await first.access()
    assert await asked(auth, first.email) == first.email
    second = person(auth, first.email)
    second.issued = first.issued + 10
    await second.access()
    assert await asked(auth, first.email) == await account_of(second)
    await first.sign_in(iat=second.issued - 5)
    assert await asked(auth, first.email) == await account_of(second), "an older proof takes nothing back"
    first.issued = second.issued + 5
    await first.access()
    assert await asked(auth, first.email) == await account_of(first)


async def test_a_name_that_nobody_holds_leads_to_no_account_of_others(auth: Auth) -> None:
    first = person(auth)
    await first.access()
    second = person(auth, first.email)
    second.issued = first.issued + 10
    async with auth.http.delete(
        auth.url + "/v1/account", headers={"Authorization": f"Bearer {await second.access()}"}
    ) as answer:
        assert answer.status == 202
    assert await asked(auth, first.email) is None
    assert await asked(auth, "never-heard-of@example.com") == "never-heard-of@example.com"


async def test_in_legacy_mode_an_address_leads_to_the_account_that_holds_it(start_auth: Callable[..., Any]) -> None:
    async with start_auth(auth_mode="legacy") as legacy:
        first = person(legacy)
        await first.store_zip("15213")
        second = person(legacy, first.email)
        second.issued = first.issued + 10
        await second.store_zip("90210")
        status, profile = await legacy.get("/v1/profile", userID=first.email)
        assert (status, profile["zipCode"], profile["userID"]) == (200, "90210", first.email)
        await legacy.post("/update_profile", {"userID": first.email, "zip": "10001"})
        assert await second.zip_code() == "10001"
        assert await first.zip_code(first.id_token()) == "15213"


async def test_what_tasks_is_told_of_names(auth: Auth) -> None:
    first = person(auth)
    await first.access()
    second = person(auth, first.email)
    second.issued = first.issued + 10
    await second.access()

    def told() -> list[AccountBound]:
        return [event for event in auth.broker.events(AccountBound) if first.email in event.names]

    await until(lambda: len(told()) >= 2)
    mine, others = told()
    assert (mine.user_id, others.user_id) == (first.email, second.subject)
    assert set(mine.names) == {first.email, first.subject}
    assert others.version > mine.version


# ── leaving ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def left(someone: Person, method: str = "DELETE", path: str = "/v1/account") -> None:
    headers = {"Authorization": f"Bearer {await someone.access()}"}
    async with someone.auth.http.request(method, someone.auth.url + path, headers=headers) as answer:
        assert answer.status in (200, 202)
    someone.issued = int(time.time()) + 1


async def test_a_sign_out_ends_the_tokens_of_the_account_under_every_address(auth: Auth) -> None:
    someone = person(auth)
    before = await someone.access()
    old_google, someone.email = someone.id_token(), new_email()
    await left(someone, "POST", "/v1/sign_out")
    for token in (before, old_google):
        assert (await auth.get("/v1/profile", token, userID=someone.email))[0] in (401, 403)
    assert (await auth.post("/login", {"id_token": old_google, "uid": someone.subject}))[0] == 401


async def test_a_sign_out_under_a_recycled_address_leaves_its_first_owner_signed_in(auth: Auth) -> None:
    first = person(auth)
    token = await first.access()
    await left(person(auth, first.email), "POST", "/v1/sign_out")
    assert await first.zip_code(token) is None
    told = [event.user_id for event in auth.broker.events(SignedOut)]
    assert first.email not in told


async def test_a_deletion_under_a_recycled_address_leaves_the_account_of_its_first_owner(auth: Auth) -> None:
    first = person(auth)
    await first.store_zip("15213")
    second = person(auth, first.email)
    await second.store_zip("90210")
    await left(second)
    assert await first.zip_code(first.id_token()) == "15213"
    assert await account_of(second) is None
    assert first.email not in [event.user_id for event in auth.broker.events(AccountDeleted)]


async def test_a_deletion_leaves_no_name_and_a_new_account_of_the_same_person_is_empty(auth: Auth) -> None:
    someone = person(auth)
    await someone.store_zip("15213")
    await left(someone)
    async with auth.database.read() as connection:
        kept = (await connection.execute(sa.select(names))).all()
    assert not [row for row in kept if someone.subject in row or someone.email in row]
    status, answer = await someone.sign_in()
    assert (status, answer["action"]) == (200, "created")
    assert await someone.zip_code() is None


async def test_the_id_of_an_account_that_was_just_deleted_becomes_nobody_elses(auth: Auth) -> None:
    """An ID token of the person who left may lead there until every service has heard of it."""
    first = person(auth)
    await first.access()
    await left(first)
    second = person(auth, first.email)
    second.issued = first.issued
    await second.access()
    assert await account_of(second) == second.subject
    await first.access()
    assert await account_of(first) != await account_of(second)


async def test_a_first_sign_in_and_a_deletion_at_once_leave_all_of_it_or_nothing(auth: Auth) -> None:
    someone = person(auth)
    await asyncio.gather(left(someone), *(someone.sign_in() for _ in range(4)), return_exceptions=True)
    async with auth.database.read() as connection:
        held = (await connection.scalars(sa.select(names.c.account).where(names.c.name == someone.email))).all()
        there = (await connection.scalars(sa.select(users.c.userID).where(users.c.userID.in_(held)))).all()
    assert sorted(held) == sorted(there)


# ── what only tasks may ask ──────────────────────────────────────────────────────────────────────────────────────


async def test_accounts_are_told_to_services_only(auth: Auth) -> None:
    token = await auth.login()
    body = {"person": "1", "email": None, "proved_at": 1}
    for wrong in (None, token, SERVICE_TOKEN[:-1]):
        assert (await auth.post(ACCOUNT_PATH, body, wrong))[0] == 401
        assert (await auth.get(ACCOUNT_PATH, wrong, name=auth.email))[0] == 401


async def test_the_account_of_a_person_who_is_new_is_opened_for_tasks(auth: Auth) -> None:
    someone = person(auth)
    body = {"person": someone.subject, "email": someone.email, "proved_at": someone.issued}
    status, answer = await auth.post(ACCOUNT_PATH, body, SERVICE_TOKEN)
    assert (status, answer["account"]) == (200, someone.email)
    assert {held["name"] for held in answer["names"]} == {someone.email, someone.subject}
    await left(someone)
    assert (await auth.post(ACCOUNT_PATH, body, SERVICE_TOKEN))[0] == 401


async def test_the_export_is_told_what_leads_to_an_account(auth: Auth) -> None:
    someone = person(auth)
    await someone.access()
    account, someone.email = someone.email, new_email()
    await someone.access()
    status, kept = await auth.get(PROFILE_PATH, SERVICE_TOKEN, userID=account)
    assert (status, kept["person"]) == (200, someone.subject)
    assert set(kept["names"]) == {account, someone.email, someone.subject}


async def test_a_person_who_was_never_signed_in_is_found_without_an_account(auth: Auth) -> None:
    accounts = accounts_of(auth)
    stranger = proved(new_email())
    assert await accounts.find(stranger) == stranger
    assert await accounts.owner("nobody") is None
