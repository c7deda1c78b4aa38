"""Users and profiles in the database."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import AccountBound, AccountDeleted, ProfileUpdated, SignedOut
from services.auth.models import names, users
from services.auth.profiles import household
from services.chassis.database import Database, now
from services.chassis.outbox import Outbox
from services.chassis.people import Identity
from services.chassis.pseudonyms import pseudonym
from services.chassis.signouts import SignOuts

PAGE = 200


class UserStore:
    """Reads and writes ``UserData``. User ids are ids of accounts; :mod:`services.auth.accounts` finds them."""

    def __init__(self, database: Database, outbox: Outbox, sign_outs: SignOuts) -> None:
        self._database = database
        self._outbox = outbox
        self._sign_outs = sign_outs

    async def find(self, user_id: str) -> Mapping[str, Any] | None:
        """The user's row."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(users).where(users.c.userID == user_id))).first()
        return None if row is None else row._asdict()

    async def names(self, user_id: str) -> list[str]:
        """Return the names that lead to the account."""
        query = sa.select(names.c.name).where(names.c.account == user_id).order_by(names.c.name)
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

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

    async def sign_out(self, identity: Identity) -> None:
        """Refuse every token of the person that was issued in this second or before, and tell so."""
        async with self._database.write() as connection:
            await self._sign_out(connection, identity)
        self._outbox.poke()

    async def _sign_out(self, connection: AsyncConnection, identity: Identity) -> int:
        """Until when tokens are refused now (Unix time)."""
        until = max(int(time.time()), identity.proved_at)  # the token in hand too, when its issuer's clock is ahead
        await self._sign_outs.record(connection, identity.user_ids, until)
        await self._outbox.add(
            connection, *(SignedOut(user_id=user_id, until=until) for user_id in sorted(identity.user_ids))
        )
        return until

    async def delete_account(self, identity: Identity) -> None:
        """Delete what is kept under each of the person's user ids, sign the person out, and tell so.

        The release before gave people without a binding an account for the address and one for the subject.
        """
        async with self._database.write() as connection:
            deleted_at = (await connection.execute(sa.select(now()))).scalar_one()  # as submissions are dated
            until = await self._sign_out(connection, identity)
            for kind in (ProfileUpdated, AccountBound):
                await self._outbox.withdraw(connection, kind, identity.user_ids)
            for user_id in sorted(identity.user_ids):
                mine = users.c.userID == user_id
                version = await connection.scalar(sa.select(users.c.profileVersion).where(mine).with_for_update())
                await connection.execute(sa.delete(users).where(mine))
                lead_here = names.c.account == user_id
                highest = await connection.scalar(sa.select(sa.func.max(names.c.version)).where(lead_here))
                await connection.execute(sa.delete(names).where(lead_here))
                deleted = AccountDeleted(
                    user_id=user_id,
                    deleted_at=deleted_at,
                    profile_version=version or 0,
                    signed_out_until=until,
                    names_version=highest or 0,
                )
                await self._outbox.add(connection, deleted)
        self._outbox.poke()


async def announce_profiles(database: Database, outbox: Outbox) -> int:
    """Tell again of every profile that has a version, for readers that may have missed it; how many."""
    announced, last = 0, ""
    while True:
        page = sa.select(users).where(users.c.userID > last, users.c.profileVersion > 0).order_by(users.c.userID)
        async with database.write() as connection:
            rows = [row._asdict() for row in await connection.execute(page.limit(PAGE))]
            events = [
                ProfileUpdated(user_id=row["userID"], version=row["profileVersion"], household=household(row))
                for row in rows
            ]
            await outbox.add(connection, *events)
        if not rows:
            return announced
        announced, last = announced + len(rows), rows[-1]["userID"]


async def announce_names(database: Database, outbox: Outbox) -> int:
    """Tell again of every name that leads to an account, for readers that may have missed it; how many."""
    announced, last = 0, ""
    while True:
        page = sa.select(names).where(names.c.name > last).order_by(names.c.name).limit(PAGE)
        async with database.write() as connection:
            rows = (await connection.execute(page)).all()
            events = [AccountBound(user_id=row.account, names=(row.name,), version=row.version) for row in rows]
            await outbox.add(connection, *events)
        if not rows:
            return announced
        announced, last = announced + len(rows), rows[-1].name


async def deleted_before(database: Database, secret: str, deletions: Mapping[str, datetime]) -> list[str]:
    """The user ids whose pseudonyms are in ``deletions``, of accounts that are not newer than their deletion.

    A restored backup has such accounts again. An old backend's account has no time, and is older.
    """
    found: list[str] = []
    last = ""
    while True:
        page = sa.select(users.c.userID, users.c.createdAt).where(users.c.userID > last).order_by(users.c.userID)
        async with database.read() as connection:
            rows = (await connection.execute(page.limit(PAGE))).all()
        if not rows:
            return found
        for row in rows:
            deleted_at = deletions.get(pseudonym(secret, row.userID))
            if deleted_at is not None and (row.createdAt is None or row.createdAt <= deleted_at):
                found.append(row.userID)
        last = rows[-1].userID
