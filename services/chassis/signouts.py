"""Who has signed out, and until when: no token from before that counts any more.

auth records a sign-out with the transaction that makes it, and tells it by event to whoever else checks tokens. Each
service asks a small table of its own, which all its replicas share: one look at an index for a request with a token,
which polls and submissions do within a query that they make anyway.
Rows are only ever added, so that repeated and reordered events need no care; they name people by pseudonyms, because
they outlive a deleted account; and they go once no token from before them can be alive.
"""

import time
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database, key_string
from services.chassis.identity import LONGEST_LIFE_SECONDS
from services.chassis.people import Identity
from services.chassis.pseudonyms import PSEUDONYM_LENGTH, pseudonym

# Nobody can trade a refused token for a new one, so whatever counts against a sign-out was issued before it.
KEPT_SECONDS = LONGEST_LIFE_SECONDS + 3600

_PEOPLE = "signed_out_people"
# In the place of a pseudonym: after a restore no token from before it counts, whoever's it is. The sign-outs of the
# time between are lost.
_EVERYBODY = "everybody"


def sign_out_table(metadata: sa.MetaData, name: str) -> sa.Table:
    """The sign-outs that a service knows of; services that share a database give it different names."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("person", key_string(PSEUDONYM_LENGTH), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False, index=True),  # Unix time in seconds
        sa.Index(f"ix_{name}_person", "person", "until"),
    )


def last_sign_out(table: sa.Table) -> sa.Label[int | None]:
    """A column, ``signedOutUntil``, for a query that is made anyway: when whom :meth:`SignOuts.of` names signed out."""
    of_them = table.c.person.in_(sa.bindparam(_PEOPLE, expanding=True))
    return sa.select(sa.func.max(table.c.until)).where(of_them).scalar_subquery().label("signedOutUntil")


class SignOuts:
    """Remembers sign-outs, and tells which identities they refuse."""

    def __init__(self, database: Database, table: sa.Table, secret: str) -> None:
        self._database = database
        self._table = table
        self._secret = secret
        self._last = sa.select(last_sign_out(table))

    async def record(self, connection: AsyncConnection, user_ids: Collection[str], until: int) -> None:
        """Refuse every token of ``user_ids`` that was issued by ``until`` (Unix time), in the caller's transaction."""
        table = self._table
        rows = [{"person": pseudonym(self._secret, user_id), "until": until} for user_id in sorted(user_ids)]
        await connection.execute(sa.insert(table), rows)
        await connection.execute(sa.delete(table).where(table.c.until < int(time.time()) - KEPT_SECONDS))

    async def note(self, user_id: str, until: int) -> None:
        """The same for one user id, in a transaction of its own."""
        async with self._database.write() as connection:
            await self.record(connection, [user_id], until)

    async def note_everybody(self, until: int) -> None:
        """Refuse every token of anybody that was issued by ``until`` (Unix time)."""
        async with self._database.write() as connection:
            await connection.execute(sa.insert(self._table).values(person=_EVERYBODY, until=until))

    async def refuse(self, identity: Identity) -> bool:
        """Whether the person has been signed out since the token was issued, alone or with everybody."""
        async with self._database.read() as connection:
            return await self.refuse_within(connection, identity)

    async def refuse_within(self, connection: AsyncConnection, identity: Identity) -> bool:
        """The same, as the caller's transaction sees it."""
        last = await connection.scalar(self._last, self.of(identity))
        return last is not None and identity.proved_at <= last

    async def last_of(self, connection: AsyncConnection, user_id: str) -> int | None:
        """Return until when tokens of one user id are refused (Unix time); None when it has not been signed out."""
        last: int | None = await connection.scalar(self._last, {_PEOPLE: [pseudonym(self._secret, user_id)]})
        return last

    def of(self, identity: Identity | None) -> dict[str, list[str]]:
        """The parameters of a query that holds the column :func:`last_sign_out`."""
        if identity is None:
            return {_PEOPLE: []}
        return {_PEOPLE: [*(pseudonym(self._secret, user_id) for user_id in identity.user_ids), _EVERYBODY]}
