"""Whom a service lets in: the identity behind a request, and what that person may use.

``AUTH_MODE=required`` demands a good token. ``legacy`` lets requests without any token in and trusts the user id that
they name, because the published app sends no token; a token that is sent must be good all the same.
"""

from dataclasses import dataclass

import structlog
from starlette.requests import Request

from services.chassis.identity import Bearers, Identity, InvalidTokenError, KeysUnavailableError
from services.chassis.problems import Problem, unavailable
from services.chassis.settings import AuthMode

log = structlog.get_logger(__name__)

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
        """Whether the caller may act as ``user_id``."""
        return self.identity is None or self.identity.may_use(user_id)


@dataclass(frozen=True, slots=True)
class Access:
    """The doorkeeper of a service."""

    bearers: Bearers
    mode: AuthMode

    async def caller(self, request: Request) -> Caller:
        """Who sent ``request``. Raises :class:`Problem`: 400, 401, or 503 while nobody can tell."""
        headers = request.headers.getlist("authorization")
        if len(headers) > 1:
            raise Problem(400, "Send one Authorization header.")
        try:
            identity = await self.bearers.identify(headers[0] if headers else None)
        except InvalidTokenError as error:
            raise Problem(401, f"Invalid token: {error}", BEARER) from error
        except KeysUnavailableError as error:
            raise unavailable("Sign-in cannot be checked right now. Please try again in a few seconds.") from error
        if identity is None and self.mode == "required":
            raise Problem(401, "Please sign in: this needs an Authorization header with a Bearer token.", BEARER)
        return Caller(identity)
