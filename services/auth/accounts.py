"""Which account a person has: bound to issuer and subject at the first sign-in, and found by the names it holds.

An account is called by its owner's address, and by the person's id (:func:`services.chassis.people.person_id`). An
address leads to the account whose owner proved it last: its holder may change, the account behind a person never does.

The id of a new account is the address, because the release before stores rows under it. An address that is the id of
somebody else's account, or was until a day ago, is no id for another person; then the id is the person's.
See ``docs/adr/0011-accounts-belong-to-issuer-and-subject.md``.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import AccountBound
from contracts.internal import HeldName
from services.auth.models import names, users
from services.chassis.database import Database, now
from services.chassis.identity import SIGNED_OUT, InvalidTokenError
from services.chassis.outbox import Outbox
from services.chassis.people import Identity
from services.chassis.signouts import SignOuts

T = TypeVar("T")
Action = Literal["created", "exists"]

ATTEMPTS = 5
_LOST_RACE = (1205, 1213)  # MySQL: lock wait timeout, deadlock


@dataclass(frozen=True, slots=True)
class Opened:
    """A person with the account, and whether that is new."""

    identity: Identity
    action: Action
    held: Sequence[HeldName]


_OF_PERSON = (
    sa.select(users.c.userID, names.c.name, names.c.version)
    .outerjoin(names, names.c.account == users.c.userID)
    .where(users.c.person == sa.bindparam("person_id"))
)
_HOLDER = sa.select(names.c.account).join(users, users.c.userID == names.c.account)


class Accounts:
    """Binds accounts to people, and finds them."""

    def __init__(self, database: Database, outbox: Outbox, sign_outs: SignOuts) -> None:
        self._database = database
        self._outbox = outbox
        self._sign_outs = sign_outs

    async def open(self, identity: Identity) -> Opened:
        """Return the person with the account; bind or make it first. Raise :class:`InvalidTokenError` after a sign-out.

        The names that the token proves lead to the account from now on, unless somebody has proved them later.
        """
        async with self._database.read() as connection:
            account, held = await self._bound(connection, identity)
            if account is not None and _own_names(identity) <= {name.name for name in held}:
                if await self._sign_outs.refuse_within(connection, identity.with_account(account)):
                    raise InvalidTokenError(SIGNED_OUT)
                return Opened(identity.with_account(account, [name.name for name in held]), "exists", held)
        opened = await self._change(lambda connection: self._bind(connection, identity, create=True))
        if opened is None:
            raise LookupError("an account that was just made is gone")
        return opened

    async def find(self, identity: Identity) -> Identity:
        """Return the person with the account, if there is one. Bind an account that nobody has been bound to yet."""
        async with self._database.read() as connection:
            account, held = await self._bound(connection, identity)
            if account is not None:
                return identity.with_account(account, [name.name for name in held])
            unbound = sa.select(users.c.userID).where(
                users.c.userID.in_(_own_names(identity)), users.c.person.is_(None)
            )
            if (await connection.execute(unbound)).first() is None:
                return identity
        opened = await self._change(lambda connection: self._bind(connection, identity, create=False))
        return identity if opened is None else opened.identity

    async def named(self, name: str) -> str | None:
        """Return the account that a name leads to; None when the name was another account's and nobody holds it now.

        A name that no account is known by is the id of the account that it may become.
        """
        async with self._database.read() as connection:
            holder: str | None = await connection.scalar(_HOLDER.where(names.c.name == name))
            if holder is not None:
                return holder
            is_bound = users.c.person.is_not(None)
            found = await connection.execute(sa.select(users.c.userID).where(users.c.userID == name, is_bound))
            return name if found.first() is None else None

    async def owner(self, account: str) -> Identity | None:
        """Return whoever an account belongs to, as proved now; None without such an account."""
        async with self._database.read() as connection:
            query = sa.select(users.c.userID, users.c.person).where(users.c.userID == account)
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return Identity(row.person or account, frozenset({account}), int(time.time()), account=account)

    async def _bound(self, connection: AsyncConnection, identity: Identity) -> tuple[str | None, list[HeldName]]:
        rows = (await connection.execute(_OF_PERSON, {"person_id": identity.person})).all()
        held = [HeldName(name=row.name, version=row.version) for row in rows if row.name is not None]
        return (rows[0].userID if rows else None), held

    async def _change(self, change: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Commit ``change``. Of two first sign-ins at the same moment, the slower one finds what the other has made."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._database.write() as connection:
                    done = await change(connection)
                break
            except (IntegrityError, OperationalError) as error:
                if attempt == ATTEMPTS or not _lost_a_race(error):
                    raise
        self._outbox.poke()
        return done

    async def _bind(self, connection: AsyncConnection, identity: Identity, *, create: bool) -> Opened | None:
        account, held = await self._bound(connection, identity)
        action: Action = "exists"
        if account is not None:  # a deletion at this moment must find the names that are about to be stored
            lock = sa.select(users.c.userID).where(users.c.userID == account).with_for_update()
            account = await connection.scalar(lock)
        if account is None:
            account = await self._adopt(connection, identity)
        if account is None and create:
            account, action = await self._create(connection, identity), "created"
        if account is None:
            return None
        if await self._sign_outs.refuse_within(connection, identity.with_account(account)):
            raise InvalidTokenError(SIGNED_OUT)  # and nothing of this is kept: a deleted account must not come back
        held += await self._take_names(connection, identity, account)
        return Opened(identity.with_account(account, [name.name for name in held]), action, held)

    async def _adopt(self, connection: AsyncConnection, identity: Identity) -> str | None:
        """Bind an account from before there were bindings: the one of the address, or else the one of the subject."""
        for user_id in _ids(identity):
            unbound = (users.c.userID == user_id, users.c.person.is_(None))
            bound = {"person": identity.person, "updatedAt": users.c.updatedAt}  # an old column may follow any change
            if (await connection.execute(sa.update(users).where(*unbound).values(bound))).rowcount:
                return user_id
        return None

    async def _create(self, connection: AsyncConnection, identity: Identity) -> str:
        """Make the account. Its profile's versions go on from the present time in milliseconds.

        So they are higher than those of an account with the same id that was deleted before.
        """
        account = _ids(identity)[0]
        if account != identity.person and await self._is_taken(connection, account, identity):
            account = identity.person
        new = {"userID": account, "person": identity.person, "profileVersion": _milliseconds()}
        await connection.execute(sa.insert(users).values(**new, createdAt=now(), updatedAt=now()))
        return account

    async def _is_taken(self, connection: AsyncConnection, account: str, identity: Identity) -> bool:
        """Whether somebody else has this account, or had it so lately that a token may still lead there."""
        row = (await connection.execute(sa.select(users.c.userID).where(users.c.userID == account))).first()
        last = await self._sign_outs.last_of(connection, account)
        return row is not None or (
            last is not None and last != await self._sign_outs.last_of(connection, identity.person)
        )

    async def _take_names(self, connection: AsyncConnection, identity: Identity, account: str) -> list[HeldName]:
        """Have the names that were proved lead to ``account``, and tell of those that did not."""
        taken: list[str] = []
        version = _milliseconds()
        for name in sorted(_own_names(identity)):
            row = (await connection.execute(sa.select(names).where(names.c.name == name).with_for_update())).first()
            if row is not None and (row.account == account or await self._is_held(connection, row, identity)):
                continue
            taken.append(name)
            version = max(version, 0 if row is None else row.version + 1)
            values: dict[str, Any] = {"account": account, "provedAt": identity.proved_at}
            if row is None:
                await connection.execute(sa.insert(names).values(name=name, version=version, **values))
            else:
                await connection.execute(sa.update(names).where(names.c.name == name).values(version=version, **values))
        if taken:
            await connection.execute(sa.update(names).where(names.c.name.in_(taken)).values(version=version))
            await self._outbox.add(connection, AccountBound(user_id=account, names=tuple(taken), version=version))
        return [HeldName(name=name, version=version) for name in taken]

    async def _is_held(self, connection: AsyncConnection, row: Any, identity: Identity) -> bool:
        """Whether another account holds the name by a proof that is no older."""
        if identity.proved_at > row.provedAt:
            return False
        holder = sa.select(users.c.userID).where(users.c.userID == row.account)
        return (await connection.execute(holder)).first() is not None  # the release before leaves names behind


def _ids(identity: Identity) -> list[str]:
    """The ids that the person's account may have, the likeliest first."""
    return [identity.person] if identity.email is None else [identity.email, identity.person]


def _own_names(identity: Identity) -> set[str]:
    return set(_ids(identity))


def _milliseconds() -> int:
    return int(time.time() * 1000)


def _lost_a_race(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        return bool(error.orig is not None and error.orig.args and error.orig.args[0] in _LOST_RACE)
    return True
