"""Users in the database: what the tests over HTTP cannot provoke."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contracts.public import ProfileUpdate
from services.auth.models import metadata, outbox, users
from services.auth.profiles import changes, household, profile
from services.auth.store import UserStore
from services.chassis.database import Database
from services.chassis.outbox import Outbox


async def test_a_failing_statement_says_nothing_of_the_person(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'auth.sqlite3'}")
    await database.start()
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    assert await UserStore(database, Outbox(outbox)).open_account("someone@example.com") == "created"

    async def insert_again() -> None:
        async with database.write() as connection:
            await connection.execute(sa.insert(users).values(userID="someone@example.com", zipCode="15213"))

    with pytest.raises(IntegrityError) as caught:
        await insert_again()
    await database.close()
    assert "someone@example.com" not in str(caught.value)
    assert "15213" not in str(caught.value)


async def test_a_login_that_loses_the_race_finds_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{tmp_path / 'auth.sqlite3'}")
    await database.start()
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    store = UserStore(database, Outbox(outbox))
    await store.open_account("someone@example.com")

    async def not_seen_yet(user_id: str) -> None:
        return None

    monkeypatch.setattr(store, "find", not_seen_yet)
    assert await store.open_account("someone@example.com") == "exists"
    await database.close()


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
    assert profile(row).appliances == (None if stored is None else expected)
