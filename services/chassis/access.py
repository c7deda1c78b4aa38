"""Whom a service lets in: the identity behind a request, and what that person may use.

``AUTH_MODE=required`` demands a good token. ``legacy`` lets requests without any token in and trusts the user id that
they name, because the published app sends no token; a token that is sent must be good all the same.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from starlette.requests import Request

from contracts.user_ids import is_lookalike
from services.chassis.identity import SIGNED_OUT, Bearers, InvalidTokenError, KeysUnavailableError
from services.chassis.people import Identity
from services.chassis.problems import Problem, unavailable
from services.chassis.settings import AuthMode

log = structlog.get_logger(__name__)

LOOKALIKE = "This e-mail address is written in characters that stand for others. Please type it in plain letters."
PLEASE_SIGN_IN = "Please sign in: this needs an Authorization header with a Bearer token."
BEARER = {"WWW-Authenticate": "Bearer"}


def warn_of_legacy(mode: AuthMode) -> None:
    """Say at the start of a process what its mode gives up."""
    if mode == "legacy":
        log.warning("AUTH_MODE=legacy: requests without a token are let in, and the user id they name is trusted")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. ``identity`` is None for a request without a token, which only legacy mode lets in."""

    identity: Identity | None

    def may_use(self, user_id: str) -> bool:
        """Return whether the caller may act as ``user_id``. Raise :class:`Problem` 422 when that may mean two people.

        Without a token only the name tells one person from another.
        """
        if self.identity is not None:
            return self.identity.may_use(user_id)
        if is_lookalike(user_id.strip()):
            raise Problem(422, LOOKALIKE)
        return True

    def owns(self, user_id: str | None) -> bool:
        """Return whether what is stored under ``user_id`` is the caller's."""
        return self.identity is None or user_id in self.identity.user_ids

    def refuse_signed_out(self, until: int | None) -> None:
        """Raise :class:`Problem` 401 when the caller was signed out for tokens that were issued ``until`` then."""
        if self.identity is not None and until is not None and self.identity.proved_at <= until:
            raise Problem(401, f"Invalid token: {SIGNED_OUT}", BEARER)


@dataclass(frozen=True, slots=True)
class Access:
    """The doorkeeper of a service.

    ``accounts`` finds the account of a person whose token does not name it. ``signed_out`` tells whether a person has
    signed out since the token was issued. The gateway has no database to ask, and leaves both to the services.
    """

    bearers: Bearers
    mode: AuthMode
    accounts: Callable[[Identity], Awaitable[Identity]] | None = None
    signed_out: Callable[[Identity], Awaitable[bool]] | None = None

    async def caller(self, request: Request) -> Caller:
        """Who sent ``request``. Raises :class:`Problem`: 400, 401, or 503 while nobody can tell."""
        caller = await self.bearer(request)
        if caller.identity is not None and self.signed_out is not None and await self.signed_out(caller.identity):
            raise Problem(401, f"Invalid token: {SIGNED_OUT}", BEARER)
        return caller

    async def bearer(self, request: Request) -> Caller:
        """The same without a look at sign-outs, for a route that has its own query look at them."""
        headers = request.headers.getlist("authorization")
        if len(headers) > 1:
            raise Problem(400, "Send one Authorization header.")
        try:
            identity = await self.bearers.identify(headers[0] if headers else None)
            if identity is not None and identity.account is None and self.accounts is not None:
                identity = await self.accounts(identity)
        except InvalidTokenError as error:
            raise Problem(401, f"Invalid token: {error}", BEARER) from error
        except KeysUnavailableError as error:
            raise unavailable("Sign-in cannot be checked right now. Please try again in a few seconds.") from error
        if identity is None and self.mode == "required":
            raise Problem(401, PLEASE_SIGN_IN, BEARER)
        return Caller(identity)

    async def person(self, request: Request) -> Identity:
        """Who sent ``request``, proved by a token in either mode. Raises :class:`Problem` as :meth:`caller` does."""
        identity = (await self.caller(request)).identity
        if identity is None:
            raise Problem(401, PLEASE_SIGN_IN, BEARER)
        return identity


async def only_services(request: Request) -> None:
    """Let only requests pass that carry the ``service_token`` of the lifespan state; a dependency of internal APIs."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    expected: str = request.state.service_token
    if scheme.lower() != "bearer" or not secrets.compare_digest(token.encode(), expected.encode()):
        raise Problem(401, "This is for services only.")
