"""Who may prove people to us: Google, through google-auth, and any OpenID Connect issuers that OIDC_ISSUERS names.

Of an issuer only its address is known. Where its keys are is read from its discovery document (OpenID Connect
Discovery 1.0), which must name the same issuer. Keys may be rotated at any time: a token with an unknown key makes us
look again, at most every ten seconds.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.chassis.documents import CachedDocument, DocumentUnavailableError
from services.chassis.identity import (
    CLOCK_SKEW_SECONDS,
    UNREADABLE,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
    GoogleTokens,
    InvalidTokenError,
    Keys,
    Proof,
    PublishedKeys,
    address_of,
    claimed_issuer,
    header_of,
    proved_identity,
    published_key,
    raise_if_times_are_wrong,
    reason_of,
    subject_of,
)
from services.chassis.settings import Issuer, SignInSettings, is_loopback, is_safe_url

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
DISCOVERY_PATH = "/.well-known/openid-configuration"
LEAST_RSA_BITS = 2048


class IssuerKeys:
    """The keys of an issuer, where its discovery document says that they are. Both are fetched when needed."""

    def __init__(self, issuer: str, http: "Http") -> None:
        self._issuer = issuer
        self._http = http
        self._discovery = http.document(issuer.rstrip("/") + DISCOVERY_PATH)
        self._jwks_uri = ""
        self._jwks: CachedDocument | None = None

    async def get(self) -> bytes:
        """Return the JWKS. Raise :class:`DocumentUnavailableError` when either document cannot be had."""
        return await (await self._found()).get()

    async def refetch(self) -> bytes:
        """Return the same after a look whether it has changed."""
        return await (await self._found()).refetch()

    async def check(self) -> None:
        """Raise :class:`DocumentUnavailableError` when the last look at either document has failed."""
        await self._discovery.check()
        await (await self._found()).check()

    async def _found(self) -> CachedDocument:
        said = json.loads(await self._discovery.get())
        uri = said.get("jwks_uri")
        if said.get("issuer") != self._issuer or not isinstance(uri, str) or not is_safe_url(uri):
            raise DocumentUnavailableError(f"the discovery document of {self._issuer} is none of this issuer")
        if self._jwks is None or uri != self._jwks_uri:
            self._jwks_uri, self._jwks = uri, self._http.document(uri)
        return self._jwks


class OidcTokens:
    """Checks the ID tokens of one issuer."""

    def __init__(self, issuer: Issuer, keys: Keys) -> None:
        self._issuer = issuer
        self._keys = PublishedKeys(keys, _key)

    async def prove(self, token: str) -> Proof:
        """Return the person that ``token`` proves, and for how long.

        An address counts only when the issuer says that it is verified; some write that as a text. Raise
        :class:`InvalidTokenError` or :class:`~services.chassis.identity.KeysUnavailableError`.
        """
        key_id = _signed_with(token)
        key = await self._keys.get(key_id)
        claims = await asyncio.to_thread(self._verify, token, key)
        subject, email, address = subject_of(claims), claims.get("email"), None
        verified = claims.get("email_verified")
        if isinstance(email, str) and email and (verified is True or verified == "true"):
            address = address_of(email)
        identity = proved_identity(self._issuer.url, subject, address, int(claims["iat"]))
        begins = math.ceil(max(claims["iat"], claims.get("nbf", 0)))
        return Proof(identity, self._keys, key_id, key, begins, math.floor(claims["exp"]))

    def _verify(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        audiences = self._issuer.audiences
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=audiences,
                issuer=self._issuer.url,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidTokenError(reason_of(error)) from None
        raise_if_times_are_wrong(claims)
        party = claims.get("azp")
        if party is None and isinstance(claims["aud"], list) and len(claims["aud"]) > 1:
            raise InvalidTokenError(WRONG_AUDIENCE)
        if party is not None and party not in audiences:
            raise InvalidTokenError(WRONG_AUDIENCE)
        return claims


def _signed_with(token: str) -> str:
    """The algorithm and the key that ``token`` claims to be signed with: what :func:`_key` finds a key by."""
    header = header_of(token)
    key_id, algorithm = header.get("kid"), header.get("alg")
    if algorithm not in ALGORITHMS or not isinstance(key_id, str):
        raise InvalidTokenError(UNREADABLE)
    return f"{algorithm} {key_id}"


def _key(document: Mapping[str, Any], signed_with: str) -> jwt.PyJWK | None:
    algorithm, _, key_id = signed_with.partition(" ")
    keys = document.get("keys")
    is_for = [each for each in keys if _may_sign(each, algorithm)] if isinstance(keys, list) else []
    key = published_key({"keys": is_for}, key_id, algorithm)
    if key is not None and isinstance(key.key, RSAPublicKey) and key.key.key_size < LEAST_RSA_BITS:
        return None
    return key


def _may_sign(jwk: Any, algorithm: str) -> bool:
    """Whether the issuer has made this key to sign with this algorithm."""
    is_key = isinstance(jwk, dict)
    return is_key and jwk.get("use", "sig") == "sig" and jwk.get("alg", algorithm) == algorithm


class IdTokens:
    """Checks the ID tokens of every issuer that is trusted. What a token claims only chooses its check."""

    def __init__(self, google: GoogleTokens | None, others: Mapping[str, OidcTokens], *sources: Any) -> None:
        self._google = google
        self._others = others
        self._sources = sources

    async def prove(self, token: str) -> Proof:
        """Return the person that ``token`` proves, and for how long.

        Raise :class:`InvalidTokenError` or :class:`~services.chassis.identity.KeysUnavailableError`.
        """
        checks = self._others.get(claimed_issuer(token)) or self._google
        if checks is None:
            raise InvalidTokenError(WRONG_ISSUER)
        return await checks.prove(token)

    async def check(self) -> None:
        """Raise :class:`DocumentUnavailableError` when the keys of an issuer cannot be fetched."""
        await asyncio.gather(*(source.check() for source in self._sources))


class Http:
    """Fetches documents: through the proxy that the environment names (HTTPS_PROXY, NO_PROXY), but here directly."""

    def __init__(self, direct: aiohttp.ClientSession, proxied: aiohttp.ClientSession) -> None:
        self._direct = direct
        self._proxied = proxied

    def document(self, url: str) -> CachedDocument:
        """Return the document at ``url``, which is not fetched yet."""
        return CachedDocument(url, self._direct if is_loopback(urlsplit(url).hostname or "") else self._proxied)


@asynccontextmanager
async def id_tokens(settings: SignInSettings) -> AsyncIterator[IdTokens]:
    """Check the tokens of the issuers in ``settings`` while the context lasts."""
    async with aiohttp.ClientSession() as direct, aiohttp.ClientSession(trust_env=True) as proxied:
        http, google, sources = Http(direct, proxied), None, []
        if settings.google_client_ids:
            certificates = http.document(settings.google_certs_url)
            google = GoogleTokens(certificates, settings.google_client_ids)
            sources.append(certificates)
        keys = {issuer: IssuerKeys(issuer.url, http) for issuer in settings.oidc_issuers}
        others = {issuer.url: OidcTokens(issuer, source) for issuer, source in keys.items()}
        yield IdTokens(google, others, *sources, *keys.values())
