"""Users and profiles in the database."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import AccountDeleted, ProfileUpdated, SignedOut
from services.auth.models import users
from services.auth.profiles import household
from services.chassis.database import Database, now
from services.chassis.identity import SIGNED_OUT, Identity, InvalidTokenError
from services.chassis.outbox import Outbox
from services.chassis.pseudonyms import pseudonym
from services.chassis.signouts import SignOuts

PAGE = 200


class UserStore:
    """Reads and writes ``UserData``; user ids are given normalised."""

    def __init__(self, database: Database, outbox: Outbox, sign_outs: SignOuts) -> None:
        self._database = database
        self._outbox = outbox
        self._sign_outs = sign_outs

    async def open_account(self, user_id: str, identity: Identity) -> Literal["created", "exists"]:
        """Make sure that the user exists. Raises :class:`InvalidTokenError` after a sign-out.

        The versions of a new account's profiles go on from the present time (Unix time in milliseconds), and so are
        higher than those of an account of the same name that was deleted before.
        """
        if await self._sign_outs.refuse(identity):
            raise InvalidTokenError(SIGNED_OUT)
        if await self.find(user_id) is not None:
            return "exists"
        new = {"userID": user_id, "createdAt": now(), "updatedAt": now(), "profileVersion": int(time.time() * 1000)}
        try:
            async with self._database.write() as connection:
                await connection.execute(sa.insert(users).values(**new))
                # Once more, because the account may have been deleted since: the row must not come back.
                if await self._sign_outs.refuse_within(connection, identity):
                    raise InvalidTokenError(SIGNED_OUT)
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
        """Delete what is kept under each of the person's user ids, sign the person out, and tell so."""
        async with self._database.write() as connection:
            deleted_at = (await connection.execute(sa.select(now()))).scalar_one()  # as submissions are dated
            until = await self._sign_out(connection, identity)
            await self._outbox.withdraw(connection, ProfileUpdated, identity.user_ids)
            for user_id in sorted(identity.user_ids):
                mine = users.c.userID == user_id
                version = await connection.scalar(sa.select(users.c.profileVersion).where(mine).with_for_update())
                await connection.execute(sa.delete(users).where(mine))
                deleted = AccountDeleted(
                    user_id=user_id, deleted_at=deleted_at, profile_version=version or 0, signed_out_until=until
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
