"""Who is asking: bearer tokens and what they prove.

Two kinds are accepted. An **access token** is ours: signed by auth with Ed25519, checked against the JWKS that auth
publishes. A **Google ID token** is what newer builds of the app send: checked by google-auth, with cached
certificates, in a thread. Each is checked only with its own algorithm, keys, issuer and audience; the issuer that an
unchecked token claims merely chooses which check it has to pass.

A phone that waits for its report sends the same token every two seconds, to the gateway and from there to a service.
So a bearer that was good is remembered, with the key that it was checked with and the times between which it is good.
What is remembered counts only while that key is still published and the time is within: anything else is decided by
the whole check, which is also the only one that ever refuses.
"""

import asyncio
import hashlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import google.auth.jwt
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.auth.exceptions import GoogleAuthError

from contracts.user_ids import is_lookalike, normalised
from services.chassis.documents import DocumentUnavailableError
from services.chassis.people import GOOGLE_ISSUER, LONGEST_ID, Identity, person_id

ACCESS_ISSUER = "home-energy-audit"
ACCESS_AUDIENCE = "home-energy-audit"
ACCESS_ALGORITHM = "EdDSA"
GOOGLE_ALGORITHM = "RS256"
GOOGLE_ISSUERS = frozenset({GOOGLE_ISSUER, "accounts.google.com"})
CLOCK_SKEW_SECONDS = 90  # a clock that jumps by a minute must sign nobody out
LONGEST_TOKEN = 8192  # characters; Google's have about 1,200
LONGEST_LIFE_SECONDS = 86_400  # from a token's issue to its end; Google's live an hour, ours as AuthSettings say
FARTHEST_TIME = 253_402_300_799  # the last second of the year 9999, in Unix time
MOST_REMEMBERED = 4096  # good bearers of a process, the latest to be sent; about 1 KB each

# Why a token was refused. The libraries' own messages repeat parts of the token.
EXPIRED = "it has expired"
TOO_EARLY = "it is not valid yet"
WRONG_AUDIENCE = "it was made for another app"
WRONG_ISSUER = "it comes from another issuer"
WRONG_SIGNATURE = "its signature is wrong"
UNKNOWN_KEY = "it is signed with an unknown key"
TOO_LONG_LIVED = "it is good for longer than a token may be"
SIGNED_OUT = "you have signed out since then; please sign in again"
LOOKALIKE = "its e-mail address is written in characters that stand for others"
NO_ADDRESS = "its e-mail address is none"
NOBODY = "it names nobody"
UNREADABLE = "it is no token of ours or of one of the issuers trusted here"
_GOOGLE_REASONS = (
    ("Token expired", EXPIRED),
    ("Token used too early", TOO_EARLY),
    ("Token has wrong audience", WRONG_AUDIENCE),
    ("Could not verify token signature", WRONG_SIGNATURE),
)
_ACCESS_REASONS = (
    (jwt.ExpiredSignatureError, EXPIRED),
    (jwt.ImmatureSignatureError, TOO_EARLY),
    (jwt.InvalidAudienceError, WRONG_AUDIENCE),
    (jwt.InvalidIssuerError, WRONG_ISSUER),
    (jwt.InvalidSignatureError, WRONG_SIGNATURE),
)


class InvalidTokenError(Exception):
    """The token proves nothing; the message says why, without repeating it."""


class KeysUnavailableError(Exception):
    """Nobody can tell now whether the token is good: the issuer's keys cannot be fetched."""


class Keys(Protocol):
    """Where public keys are read from: a :class:`~services.chassis.documents.CachedDocument`, or auth's own."""

    async def get(self) -> bytes:
        """A JSON object: a JWKS, or Google's certificates by key id. Raises :class:`DocumentUnavailableError`."""

    async def refetch(self) -> bytes:
        """The same, after a look whether it has changed."""


class PublishedKeys:
    """The public keys of an issuer, each parsed once for as long as the document stays the same.

    ``parse`` finds a key of the algorithm in a document; None when it has none by that id.
    """

    def __init__(self, source: Keys, parse: Callable[[Mapping[str, Any], str], Any]) -> None:
        self._source = source
        self._parse = parse
        self._document = b"{}"
        self._content: Mapping[str, Any] = {}
        self._keys: dict[str, Any] = {}  # only those that the document has

    async def present(self, key_id: str) -> Any:
        """The key that is published as ``key_id`` now, or None. The same object until the document changes."""
        return self._find(await _fetched(self._source.get), key_id)

    async def get(self, key_id: str) -> Any:
        """The same after another look at an issuer that seems to lack it. Raises :class:`InvalidTokenError`."""
        key = await self.present(key_id)
        if key is None:
            key = self._find(await _fetched(self._source.refetch), key_id)
        if key is None:
            raise InvalidTokenError(UNKNOWN_KEY)
        return key

    def _find(self, document: bytes, key_id: str) -> Any:
        if document != self._document:
            self._document, self._content, self._keys = document, json.loads(document), {}
        key = self._keys.get(key_id)
        if key is None:
            key = self._parse(self._content, key_id)
            if key is not None:
                self._keys[key_id] = key
        return key


async def _fetched(look: Callable[[], Awaitable[bytes]]) -> bytes:
    try:
        return await look()
    except DocumentUnavailableError as error:
        raise KeysUnavailableError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Proof:
    """That a token was good: whom it proves, and for how long it goes on doing so."""

    identity: Identity
    published: PublishedKeys
    key_id: str
    key: Any
    begins: int  # Unix time
    ends: int

    async def holds(self) -> bool:
        """Whether the token is still good for certain. Raises :class:`KeysUnavailableError`."""
        if await self.published.present(self.key_id) is not self.key:
            return False  # it may be the same key, in another document
        present = time.time()
        return self.begins - CLOCK_SKEW_SECONDS <= present < self.ends + CLOCK_SKEW_SECONDS


class Proves(Protocol):
    """Checks ID tokens: of Google, or of every issuer that is trusted."""

    async def prove(self, token: str) -> Proof:
        """The person. Raises :class:`InvalidTokenError` or :class:`KeysUnavailableError`."""


class GoogleTokens:
    """Checks Google ID tokens; ``certificates`` may come from any URL in one of Google's two formats."""

    def __init__(self, certificates: Keys, client_ids: Sequence[str]) -> None:
        self._certificates = PublishedKeys(certificates, _google_key)
        self._client_ids = list(client_ids)

    async def prove(self, token: str) -> Proof:
        """The person that ``token`` proves, its e-mail address and its subject, and for how long.

        Raises :class:`InvalidTokenError` or :class:`KeysUnavailableError`.
        """
        key_id = _key_id(token, GOOGLE_ALGORITHM)
        key = await self._certificates.get(key_id)
        claims = await asyncio.to_thread(self._verify, token, {key_id: key})
        if claims.get("iss") not in GOOGLE_ISSUERS:
            raise InvalidTokenError(WRONG_ISSUER)
        subject, address = subject_of(claims), None
        email = claims.get("email")
        if isinstance(email, str) and email:
            if claims.get("email_verified") is not True:
                raise InvalidTokenError("its e-mail address is not verified")
            address = address_of(email)
        identity = proved_identity(GOOGLE_ISSUER, subject, address, int(claims["iat"]))
        # google-auth counts whole seconds: rounded inwards, what is remembered is never good when the check says no.
        begins, ends = math.ceil(max(claims["iat"], claims.get("nbf", 0))), math.floor(claims["exp"])
        return Proof(identity, self._certificates, key_id, key, begins, ends)

    def _verify(self, token: str, keys: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            claims: Mapping[str, Any] = google.auth.jwt.decode(  # type: ignore[no-untyped-call]
                token, certs=keys, audience=self._client_ids, clock_skew_in_seconds=CLOCK_SKEW_SECONDS
            )
        except (GoogleAuthError, ValueError, TypeError, RecursionError) as error:
            reason = next((reason for start, reason in _GOOGLE_REASONS if str(error).startswith(start)), UNREADABLE)
            raise InvalidTokenError(reason) from None
        raise_if_times_are_wrong(claims)  # google-auth compares any numbers, among them NaN, and does not look at nbf
        return claims


class AccessTokens:
    """Checks our own access tokens against the JWKS of auth."""

    def __init__(self, jwks: Keys) -> None:
        self._jwks = PublishedKeys(jwks, _access_key)

    async def prove(self, token: str) -> Proof:
        """The person that ``token`` proves, and for how long.

        Raises :class:`InvalidTokenError` or :class:`KeysUnavailableError`.
        """
        key_id = _key_id(token, ACCESS_ALGORITHM)
        key = await self._jwks.get(key_id)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ACCESS_ALGORITHM],
                audience=ACCESS_AUDIENCE,
                issuer=ACCESS_ISSUER,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidTokenError(reason_of(error)) from None
        _refuse_long_lived(claims)
        identity = _identity(claims)
        begins = max(int(claims["iat"]), int(claims.get("nbf", 0)))
        return Proof(identity, self._jwks, key_id, key, begins, int(claims["exp"]))


def subject_of(claims: Mapping[str, Any]) -> str:
    """Return whom an ID token is about. Raise :class:`InvalidTokenError` when it names nobody."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or len(subject) > LONGEST_ID:
        raise InvalidTokenError(NOBODY)
    return subject


def proved_identity(issuer: str, subject: str, address: str | None, proved_at: int) -> Identity:
    """Return the person of an ID token, who is called by the address and, unless it looks like one, the subject."""
    names = ({subject.strip()} if "@" not in subject else set()) | ({address} if address is not None else set())
    if not names:
        raise InvalidTokenError(NOBODY)
    return Identity(person_id(issuer, subject), frozenset(names), proved_at, address)


def address_of(email: str) -> str:
    """Return a verified address as a name of the person. Raise :class:`InvalidTokenError` for what can be none."""
    if is_lookalike(email.strip()):
        raise InvalidTokenError(LOOKALIKE)
    address = normalised(email)
    if "@" not in address or len(address) > LONGEST_ID:
        raise InvalidTokenError(NO_ADDRESS)
    return address


def _identity(claims: Mapping[str, Any]) -> Identity:
    """The person of an access token. The release before gave tokens that say no more than one name."""
    account = normalised(claims["sub"])
    if not account:
        raise InvalidTokenError(NOBODY)
    names, person = claims.get("names", [account]), claims.get("person", account)
    if not isinstance(person, str) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise InvalidTokenError(UNREADABLE)
    proved_at = int(claims.get("auth_time", claims["iat"]))
    return Identity(person, frozenset(map(normalised, names)), proved_at, account=account)


class Bearers:
    """Checks an ``Authorization`` header of either kind, and remembers the good ones."""

    def __init__(self, access: AccessTokens, id_tokens: "Proves", most_remembered: int = MOST_REMEMBERED) -> None:
        self._access = access
        self._id_tokens = id_tokens
        self._most_remembered = most_remembered
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()  # by digest: no token lies about in memory

    async def identify(self, authorization: str | None) -> Identity | None:
        """The person, or None without a header. Raises :class:`InvalidTokenError`, :class:`KeysUnavailableError`."""
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise InvalidTokenError("the Authorization header must be 'Bearer <token>'")
        _refuse_odd(token)
        digest = hashlib.sha256(token.encode("ascii")).digest()
        proof = self._proofs.get(digest)
        if proof is None or not await proof.holds():
            self._proofs.pop(digest, None)
            proof = await self._check(token)
        self._remember(digest, proof)
        return proof.identity

    async def _check(self, token: str) -> Proof:
        if claimed_issuer(token) == ACCESS_ISSUER:
            return await self._access.prove(token)
        return await self._id_tokens.prove(token)

    def _remember(self, digest: bytes, proof: Proof) -> None:
        self._proofs[digest] = proof
        self._proofs.move_to_end(digest)
        if len(self._proofs) > self._most_remembered:
            self._proofs.popitem(last=False)


def _refuse_long_lived(claims: Mapping[str, Any]) -> None:
    """A sign-out is remembered for so long as a token from before it may live: no longer than this."""
    if claims["exp"] - claims["iat"] > LONGEST_LIFE_SECONDS:
        raise InvalidTokenError(TOO_LONG_LIVED)


def raise_if_times_are_wrong(claims: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidTokenError` for times that are none, for a beginning to come, and for a life too long."""
    times = [claims["iat"], claims["exp"], claims.get("nbf", 0)]
    if not all(isinstance(at, int | float) and 0 <= at <= FARTHEST_TIME for at in times):
        raise InvalidTokenError(UNREADABLE)
    if times[2] > time.time() + CLOCK_SKEW_SECONDS:
        raise InvalidTokenError(TOO_EARLY)
    _refuse_long_lived(claims)


def reason_of(error: Exception) -> str:
    """Return why PyJWT refused a token, without its own words: they repeat parts of the token."""
    return next((reason for kind, reason in _ACCESS_REASONS if isinstance(error, kind)), UNREADABLE)


def _refuse_odd(token: str) -> None:
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise InvalidTokenError(UNREADABLE)


def header_of(token: str) -> Mapping[str, Any]:
    """Return the header of an unchecked token. Raise :class:`InvalidTokenError` when it has none."""
    _refuse_odd(token)
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise InvalidTokenError(UNREADABLE) from None


def _key_id(token: str, algorithm: str) -> str:
    """The key that ``token`` claims to be signed with. The header is only ever asked which of our keys to try."""
    header = header_of(token)
    key_id = header.get("kid")
    if header.get("alg") != algorithm or not isinstance(key_id, str):
        raise InvalidTokenError(UNREADABLE)
    return key_id


def claimed_issuer(token: str) -> str:
    """Return the issuer that an unchecked token names; empty when that can be none."""
    _refuse_odd(token)
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        raise InvalidTokenError(UNREADABLE) from None
    return issuer if isinstance(issuer, str) else ""


def _google_key(document: Mapping[str, Any], key_id: str) -> str | None:
    """The key in PEM, from either of Google's formats: certificates by key id, or a JWKS. None for any other form."""
    if "keys" not in document:
        certificate = document.get(key_id)
        return certificate if isinstance(certificate, str) and certificate else None
    key = published_key(document, key_id, GOOGLE_ALGORITHM)
    if key is None or not isinstance(key.key, RSAPublicKey):
        return None
    return key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _access_key(document: Mapping[str, Any], key_id: str) -> Any:
    """The public key that ``key_id`` names, or None."""
    key = published_key(document, key_id, ACCESS_ALGORITHM)
    return None if key is None else key.key


def published_key(document: Mapping[str, Any], key_id: str, algorithm: str) -> jwt.PyJWK | None:
    """Return the key of a JWKS that ``key_id`` names, or None when there is none for the algorithm."""
    keys = document.get("keys")
    for key in keys if isinstance(keys, list) else ():
        if isinstance(key, dict) and key.get("kid") == key_id:
            try:
                return jwt.PyJWK(key, algorithm=algorithm)
            except jwt.PyJWTError:
                return None
    return None
