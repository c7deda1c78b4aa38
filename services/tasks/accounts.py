"""Whose rows are whose: the account behind an ID token, and behind a name that comes without one.

auth decides both, and tells it by event (``AccountBound``); what tasks has heard lies in a table that its replicas
share. For a person who is not in it tasks asks auth, once. So ID tokens go on working while auth is away, except the
first one of a person. A name without a token (``AUTH_MODE=legacy``) may have changed hands a moment ago, so tasks asks
each time; while auth does not answer, what was heard last decides.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import AccountBound
from contracts.internal import ACCOUNT_PATH, AccountAnswer, HeldName, PersonProved
from services.chassis.correlation import traceparent
from services.chassis.database import Database
from services.chassis.identity import SIGNED_OUT, InvalidTokenError, KeysUnavailableError
from services.chassis.people import Identity
from services.chassis.problems import Problem
from services.tasks.erasure import Erasures
from services.tasks.models import names
from services.tasks.races import again_when_lost

log = structlog.get_logger(__name__)

ASK_SECONDS = 2.0
AWAY_SECONDS = 5.0  # after auth has not answered, nobody waits for it because of a name
KEPT_SECONDS = 60.0  # a deleted account's id is nobody else's for a day
MOST_KEPT = 4096  # people of this process, the latest to ask; well under 1 KB each

NOBODY = "This address belongs to another account now. Please sign in again."

_OF_PERSON = sa.select(names.c.account, names.c.name).where(
    names.c.account.in_(sa.select(names.c.account).where(names.c.name == sa.bindparam("person")))
)
_HOLDER = sa.select(names.c.account).where(names.c.name == sa.bindparam("asked"))
_IS_OTHERS = sa.select(names.c.name).where(names.c.account == sa.bindparam("asked")).limit(1)


class _AuthAwayError(Exception):
    """auth did not answer, or not as agreed."""


class Accounts:
    """Finds accounts, and remembers what auth says of them."""

    def __init__(
        self,
        database: Database,
        erasures: Erasures,
        http: aiohttp.ClientSession,
        auth_url: str,
        service_token: str,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._database = database
        self._erasures = erasures
        self._http = http
        self._url = auth_url + ACCOUNT_PATH
        self._token = service_token
        self._clock = clock or asyncio.get_running_loop().time
        self._kept: OrderedDict[str, tuple[float, str, Sequence[str]]] = OrderedDict()  # by person
        self._ask_from = float("-inf")

    async def find(self, identity: Identity) -> Identity:
        """Return the person with the account, opened at auth if need be.

        Raise :class:`InvalidTokenError` after a sign-out, and :class:`KeysUnavailableError` while auth is away and the
        person is not known here.
        """
        kept = self._kept.get(identity.person)
        if kept is not None and self._clock() < kept[0]:
            return identity.with_account(kept[1], kept[2])
        async with self._database.read() as connection:
            rows = (await connection.execute(_OF_PERSON, {"person": identity.person})).all()
        if rows:
            account, held = rows[0].account, [row.name for row in rows]
        else:
            account, held = await self._opened(identity)
        self._kept[identity.person] = (self._clock() + KEPT_SECONDS, account, held)
        self._kept.move_to_end(identity.person)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return identity.with_account(account, held)

    def forget(self, account: str) -> None:
        """Ask anew for the people of an account that was deleted: they may have another one by now."""
        for person in [person for person, kept in self._kept.items() if kept[1] == account]:
            del self._kept[person]

    async def named(self, name: str) -> str:
        """Return the account that a name leads to, of a request without a token.

        Raise :class:`Problem` 403 when the name was another account's and nobody holds it now.
        """
        try:
            answer = await self._asked_for(name)
            account = answer.account
        except _AuthAwayError:
            account = await self._heard(name)
        if account is None:
            raise Problem(403, NOBODY)
        return account

    async def note(self, event: AccountBound) -> None:
        """Remember the names that lead to an account, unless something newer is known, or it was deleted since."""
        held = [HeldName(name=name, version=event.version) for name in event.names]
        await self._remember(event.user_id, held)

    async def _opened(self, identity: Identity) -> tuple[str, list[str]]:
        proved = PersonProved(person=identity.person, email=identity.email, proved_at=identity.proved_at)
        try:
            answer = await self._ask("POST", json=proved.model_dump())
        except _AuthAwayError as error:
            raise KeysUnavailableError("auth does not say whose account it is") from error
        if answer.account is None:
            raise KeysUnavailableError("auth has opened no account")
        await self._remember(answer.account, answer.names)
        return answer.account, [held.name for held in answer.names]

    async def _asked_for(self, name: str) -> AccountAnswer:
        if self._clock() < self._ask_from:
            raise _AuthAwayError
        try:
            return await self._ask("GET", params={"name": name})
        except _AuthAwayError:
            self._ask_from = self._clock() + AWAY_SECONDS
            raise

    async def _ask(self, method: str, **what: Any) -> AccountAnswer:
        parent = traceparent()
        headers = {"Authorization": f"Bearer {self._token}"} | ({"traceparent": parent} if parent else {})
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with self._http.request(method, self._url, headers=headers, timeout=timeout, **what) as response:
                if response.status == 401 and method == "POST":
                    raise InvalidTokenError(SIGNED_OUT)
                response.raise_for_status()
                return AccountAnswer.model_validate_json(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("auth does not tell accounts", error=type(error).__name__)
            raise _AuthAwayError from error

    async def _heard(self, name: str) -> str | None:
        async with self._database.read() as connection:
            holder: str | None = await connection.scalar(_HOLDER, {"asked": name})
            if holder is None and await connection.scalar(_IS_OTHERS, {"asked": name}) is None:
                return name  # no account is known by it: the id of the one that it may become
            return holder

    async def _remember(self, account: str, held: Sequence[HeldName]) -> None:
        async def change() -> None:
            async with self._database.write() as connection:
                for name in held:
                    if not await self._erasures.outdates_name(connection, account, name.version):
                        await self._upsert(connection, account, name)

        await again_when_lost(change)

    async def _upsert(self, connection: AsyncConnection, account: str, held: HeldName) -> None:
        this = names.c.name == held.name
        known = await connection.scalar(sa.select(names.c.version).where(this).with_for_update())
        values = {"account": account, "version": held.version}
        if known is None:
            await connection.execute(sa.insert(names).values(name=held.name, **values))
        elif known < held.version:
            await connection.execute(sa.update(names).where(this).values(**values))
