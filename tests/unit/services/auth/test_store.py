"""Users in the database: what the tests over HTTP cannot provoke."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contracts.public import ProfileUpdate
from services.auth.accounts import Accounts
from services.auth.models import metadata, outbox, sign_outs, users
from services.auth.profiles import changes, household, profile
from services.auth.store import UserStore, announce_profiles
from services.chassis.database import Database
from services.chassis.outbox import Outbox
from services.chassis.signouts import SignOuts
from tests.tokens import proved


def users_of(database: Database) -> UserStore:
    return UserStore(database, Outbox(outbox), SignOuts(database, sign_outs, "secret"))


def accounts_of(database: Database) -> Accounts:
    return Accounts(database, Outbox(outbox), SignOuts(database, sign_outs, "secret"))


async def test_a_failing_statement_says_nothing_of_the_person(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'auth.sqlite3'}")
    await database.start()
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    assert (await accounts_of(database).open(proved("someone@example.com"))).action == "created"

    async def insert_again() -> None:
        async with database.write() as connection:
            await connection.execute(sa.insert(users).values(userID="someone@example.com", zipCode="15213"))

    with pytest.raises(IntegrityError) as caught:
        await insert_again()
    await database.close()
    assert "someone@example.com" not in str(caught.value)
    assert "15213" not in str(caught.value)


def test_a_profile_is_called_by_the_tables_and_by_the_events_names() -> None:
    update = ProfileUpdate.model_validate(
        {"userID": "x", "zip": " 15213 ", "electricCompany": "e", "budget": None, "appliances": ["a"], "other": 1}
    )
    assert changes(update) == {"zipCode": "15213", "energyCompany": "e", "appliances": ["a"]}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(None, ()), ([], ()), (["a", 5, None], ("a", "5", "None")), ({"a": 1}, ()), ("a", ()), (7, ())],
)
def test_appliances_of_old_rows_may_be_any_json(stored: object, expected: tuple[str, ...]) -> None:
    row = dict.fromkeys(("zipCode", "ownership", "energyCompany", "retrofitBudget", "createdAt", "updatedAt"))
    row |= {"userID": "x", "appliances": stored}
    assert household(row).appliances == expected
    assert profile(row, "x").appliances == (None if stored is None else expected)


async def test_every_profile_is_announced_again_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.auth.store.PAGE", 2)
    database = Database(f"sqlite:///{tmp_path / 'auth.sqlite3'}")
    await database.start()
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    store = users_of(database)
    for number in range(6):
        await accounts_of(database).open(proved(f"person-{number}@example.com"))
    for number in range(5):
        for _ in range(number + 1):
            await store.change_profile(f"person-{number}@example.com", {"zipCode": f"0000{number}"})
    async with database.write() as connection:
        await connection.execute(sa.delete(outbox))
        found = await connection.execute(sa.select(users.c.userID, users.c.profileVersion))
        versions = {row.userID: row.profileVersion for row in found}

    assert await announce_profiles(database, Outbox(outbox)) == 6
    async with database.read() as connection:
        envelopes = (await connection.scalars(sa.select(outbox.c.envelope).order_by(outbox.c.id))).all()
    await database.close()
    said = [envelope["data"] for envelope in envelopes]
    assert [(data["user_id"], data["version"], data["household"]["zip_code"]) for data in said] == [
        (user_id, versions[user_id], f"0000{number}" if number < 5 else None)
        for number, user_id in enumerate(sorted(versions))
    ]
