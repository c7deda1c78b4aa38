"""Who is asking: bearer tokens and what they prove.

Two kinds are accepted. An **access token** is ours: signed by auth with Ed25519, checked against the JWKS that auth
publishes. A **Google ID token** is what newer builds of the app send: checked by google-auth, with cached
certificates, in a thread. Each is checked only with its own algorithm, keys, issuer and audience; the issuer that an
unchecked token claims merely chooses which check it has to pass.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from google.auth import exceptions as google_exceptions
from google.auth import transport
from google.oauth2 import id_token

from services.chassis.documents import CachedDocument, DocumentUnavailableError

ACCESS_ISSUER = "home-energy-audit"
ACCESS_AUDIENCE = "home-energy-audit"
ACCESS_ALGORITHM = "EdDSA"
GOOGLE_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
CLOCK_SKEW_SECONDS = 30


class InvalidTokenError(Exception):
    """The token proves nothing; the message says why, without repeating it."""


class KeysUnavailableError(Exception):
    """Nobody can tell now whether the token is good: the issuer's keys cannot be fetched."""


def normalised(user_id: str) -> str:
    """How a user id is stored and compared: an e-mail address in lower case, anything else as it is."""
    user_id = user_id.strip()
    return user_id.lower() if "@" in user_id else user_id


@dataclass(frozen=True, slots=True)
class Identity:
    """A person whose token was good, and the user ids that this person may use."""

    user_ids: frozenset[str]

    def may_use(self, user_id: str) -> bool:
        """Whether ``user_id`` is this person."""
        return normalised(user_id) in self.user_ids


class GoogleTokens:
    """Checks Google ID tokens; ``certificates`` may come from any URL in one of Google's two formats."""

    def __init__(self, certificates: CachedDocument, client_ids: Sequence[str]) -> None:
        self._certificates = certificates
        self._client_ids = list(client_ids)

    async def verify(self, token: str) -> Identity:
        """The person that ``token`` proves: its e-mail address, and its subject.

        Raises :class:`InvalidTokenError` or :class:`KeysUnavailableError`.
        """
        header = _unverified_header(token)
        try:
            certificates = await self._certificates.get()
            if header.get("kid") not in _key_ids(certificates):
                certificates = await self._certificates.refetch()
        except DocumentUnavailableError as error:
            raise KeysUnavailableError(str(error)) from error
        claims = await asyncio.to_thread(self._verify, token, certificates)
        if claims.get("iss") not in GOOGLE_ISSUERS:
            raise InvalidTokenError("wrong issuer")
        email, subject = claims.get("email"), claims.get("sub")
        names = {normalised(subject)} if isinstance(subject, str) and subject else set()
        if isinstance(email, str) and email:
            if claims.get("email_verified") is not True:
                raise InvalidTokenError("the e-mail address is not verified")
            names.add(normalised(email))
        if not names:
            raise InvalidTokenError("it names nobody")
        return Identity(frozenset(names))

    def _verify(self, token: str, certificates: bytes) -> Mapping[str, Any]:
        try:
            claims: Mapping[str, Any] = id_token.verify_token(
                token,
                _Known(certificates),
                audience=self._client_ids,
                clock_skew_in_seconds=CLOCK_SKEW_SECONDS,
            )
        except (ValueError, google_exceptions.GoogleAuthError, jwt.PyJWTError) as error:
            raise InvalidTokenError(_without_token(str(error))) from error
        return claims


class _Known(transport.Request):
    """google-auth's transport, answering with certificates that we already have."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __call__(self, *_: Any, **__: Any) -> "_Answer":
        return _Answer(self._body)


class _Answer(transport.Response):
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def data(self) -> bytes:
        return self._data


class Keys(Protocol):
    """Where a JWKS is read from: a :class:`CachedDocument`, or auth's own."""

    async def get(self) -> bytes:
        """The JWKS as JSON."""

    async def refetch(self) -> bytes:
        """The same, after a look whether it has changed."""


class AccessTokens:
    """Checks our own access tokens against the JWKS of auth."""

    def __init__(self, jwks: Keys) -> None:
        self._jwks = jwks

    async def verify(self, token: str) -> Identity:
        """The person that ``token`` proves. Raises :class:`InvalidTokenError` or :class:`KeysUnavailableError`."""
        key_id = _unverified_header(token).get("kid")
        try:
            key = _key(await self._jwks.get(), key_id) or _key(await self._jwks.refetch(), key_id)
        except DocumentUnavailableError as error:
            raise KeysUnavailableError(str(error)) from error
        if key is None:
            raise InvalidTokenError("signed with an unknown key")
        return verify_access_token(token, key)


def verify_access_token(token: str, key: jwt.PyJWK) -> Identity:
    """The person that an access token signed with ``key`` proves, or :class:`InvalidTokenError`."""
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[ACCESS_ALGORITHM],
            audience=ACCESS_AUDIENCE,
            issuer=ACCESS_ISSUER,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except jwt.PyJWTError as error:
        raise InvalidTokenError(_without_token(str(error))) from error
    return Identity(frozenset({normalised(claims["sub"])}))


class Bearers:
    """Checks an ``Authorization`` header of either kind."""

    def __init__(self, access: AccessTokens, google: GoogleTokens) -> None:
        self._access = access
        self._google = google

    async def identify(self, authorization: str | None) -> Identity | None:
        """The person, or None without a header. Raises :class:`InvalidTokenError`, :class:`KeysUnavailableError`."""
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise InvalidTokenError("the Authorization header must be 'Bearer <token>'")
        if _claimed_issuer(token) == ACCESS_ISSUER:
            return await self._access.verify(token)
        return await self._google.verify(token)


def _unverified_header(token: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise InvalidTokenError("it is not a JWT") from error


def _claimed_issuer(token: str) -> object:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise InvalidTokenError("it is not a JWT") from error
    return claims.get("iss")


def _key_ids(certificates: bytes) -> set[str]:
    document = json.loads(certificates)
    keys = document.get("keys")
    return {key.get("kid") for key in keys} if isinstance(keys, list) else set(document)


def _key(jwks: bytes, key_id: object) -> jwt.PyJWK | None:
    for key in json.loads(jwks)["keys"]:
        if key_id is not None and key.get("kid") == key_id:
            return jwt.PyJWK(key, algorithm=ACCESS_ALGORITHM)
    return None


def _without_token(message: str) -> str:
    """google-auth quotes the token in some of its messages; nothing longer than a phrase leaves here."""
    return message.split(": b'")[0].split(": ey")[0][:200]
