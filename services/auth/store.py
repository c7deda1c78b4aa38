"""Users and profiles in the database."""

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from contracts.events import ProfileUpdated
from services.auth.models import users
from services.auth.profiles import household
from services.chassis.database import Database, now
from services.chassis.outbox import Outbox

PAGE = 200


class UserStore:
    """Reads and writes ``UserData``; user ids are given normalised."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def open_account(self, user_id: str) -> Literal["created", "exists"]:
        """Make sure that the user exists."""
        if await self.find(user_id) is not None:
            return "exists"
        try:
            async with self._database.write() as connection:
                await connection.execute(sa.insert(users).values(userID=user_id, createdAt=now(), updatedAt=now()))
        except IntegrityError:
            return "exists"  # somebody else's request was faster
        return "created"

    async def find(self, user_id: str) -> Mapping[str, Any] | None:
        """The user's row."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(users).where(users.c.userID == user_id))).first()
        return None if row is None else row._asdict()

    async def change_profile(self, user_id: str, changes: Mapping[str, Any]) -> bool:
        """Store ``changes`` and, in the same transaction, the event that tells of them; False for an unknown user."""
        async with self._database.write() as connection:
            # The update locks the row first, so that versions and events of one user never cross.
            changed = await connection.execute(
                sa.update(users)
                .where(users.c.userID == user_id)
                .values(**changes, updatedAt=now(), profileVersion=users.c.profileVersion + 1)
            )
            if changed.rowcount == 0:
                return False
            row = (await connection.execute(sa.select(users).where(users.c.userID == user_id))).one()._asdict()
            await self._outbox.add(
                connection,
                ProfileUpdated(user_id=user_id, version=row["profileVersion"], household=household(row)),
            )
        self._outbox.poke()
        return True

    async def announce_profiles(self) -> int:
        """Tell again of every profile that was ever changed, for readers that may have missed it; how many."""
        announced, last = 0, ""
        while True:
            page = sa.select(users).where(users.c.userID > last, users.c.profileVersion > 0).order_by(users.c.userID)
            async with self._database.write() as connection:
                rows = [row._asdict() for row in await connection.execute(page.limit(PAGE))]
                events = [
                    ProfileUpdated(user_id=row["userID"], version=row["profileVersion"], household=household(row))
                    for row in rows
                ]
                await self._outbox.add(connection, *events)
            if not rows:
                return announced
            announced, last = announced + len(rows), rows[-1]["userID"]
