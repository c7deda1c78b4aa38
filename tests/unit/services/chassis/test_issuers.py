"""ID tokens of any OpenID Connect issuer, one that behaves like Apple's among them, over real HTTP on loopback."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.chassis.documents import DocumentUnavailableError
from services.chassis.identity import (
    EXPIRED,
    LOOKALIKE,
    NOBODY,
    TOO_EARLY,
    TOO_LONG_LIVED,
    UNKNOWN_KEY,
    UNREADABLE,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
    InvalidTokenError,
    KeysUnavailableError,
)
from services.chassis.issuers import DISCOVERY_PATH, IdTokens, id_tokens
from services.chassis.people import Identity, person_id
from services.chassis.settings import Issuer, SignInSettings
from tests.loopback import served
from tests.tokens import AccessIssuer, GoogleIssuer, segment

APP, OTHER_APP = "com.example.audit", "com.example.audit.web"
RELAY = "x7k2m9@privaterelay.appleid.com"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it is to be refused
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
    }.get(next((k for k in (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey) if isinstance(key, k)), object))
    made = (algorithm or jwt.algorithms.OKPAlgorithm).to_jwk(key.public_key())
    return {**json.loads(made), "kid": kid, "use": "sig", **more}


@dataclass
class LocalIssuer:
    """An issuer on this machine: what it publishes may be as wrong as a test wants it."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk(RSA, "one", alg="RS256")])
    discovery: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: list[str] = field(default_factory=list)

    async def configuration(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("discovery")
        body = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.discovery}
        return web.json_response(body, status=self.status)

    async def jwks(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("keys")
        return web.json_response({"keys": self.keys}, status=self.status)

    async def moved(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{self.url}/keys")

    def token(self, key: Any = RSA, algorithm: str = "RS256", kid: Any = "one", **changes: Any) -> str:
        """A good token, with ``changes``; a change to ``...`` leaves the claim out."""
        present = int(time.time())
        claims = {"iss": self.url, "aud": APP, "sub": "001234.abc.0815", "iat": present, "exp": present + 3600}
        said = {name: value for name, value in (claims | changes).items() if value is not ...}
        return jwt.encode(said, key, algorithm, headers={"kid": kid})


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    local, app = LocalIssuer(), web.Application()
    app.router.add_get(DISCOVERY_PATH, local.configuration)
    app.router.add_get("/keys", local.jwks)
    app.router.add_get("/moved", local.moved)
    async with served(app) as local.url:
        yield local


def settings(*issuers: LocalIssuer, google: tuple[str, ...] = ()) -> SignInSettings:
    named = tuple(Issuer(each.url, (APP, OTHER_APP)) for each in issuers)
    return SignInSettings(port=1, oidc_issuers=named, google_client_ids=google)


@pytest.fixture
async def tokens(issuer: LocalIssuer) -> AsyncIterator[IdTokens]:
    async with id_tokens(settings(issuer)) as checks:
        yield checks


async def proved(tokens: IdTokens, token: str) -> Identity:
    return (await tokens.prove(token)).identity


async def refusal(tokens: IdTokens, token: str) -> str:
    with pytest.raises(InvalidTokenError) as raised:
        await tokens.prove(token)
    return str(raised.value)


# ── good tokens ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")], ids=lambda v: str(v)[:5]
)
async def test_a_token_with_an_asymmetric_signature_is_good(
    issuer: LocalIssuer, tokens: IdTokens, key: Any, algorithm: str
) -> None:
    issuer.keys = [jwk(key, "one")]
    person = await proved(tokens, issuer.token(key, algorithm, email="Me@Example.com", email_verified=True))
    assert person.person == person_id(issuer.url, "001234.abc.0815")
    assert (person.email, person.names) == ("me@example.com", {"me@example.com", "001234.abc.0815"})


async def test_an_issuer_like_apples_proves_one_person_with_and_without_the_relay_address(
    issuer: LocalIssuer, tokens: IdTokens
) -> None:
    first = await proved(tokens, issuer.token(email=RELAY, email_verified="true", is_private_email="true"))
    later = await proved(tokens, issuer.token())
    assert (first.email, later.email) == (RELAY, None)
    assert first.person == later.person
    day = int(time.time()) + 86400
    assert await proved(tokens, issuer.token(exp=day)), "Apple's are good for a day"


@pytest.mark.parametrize("verified", [..., False, "false", None, 1, "TRUE", ["true"]])
async def test_an_address_that_is_not_verified_is_no_name(
    issuer: LocalIssuer, tokens: IdTokens, verified: object
) -> None:
    person = await proved(tokens, issuer.token(email="victim@example.com", email_verified=verified))
    assert person.email is None
    assert not person.may_use("victim@example.com")


async def test_the_same_subject_at_two_issuers_is_two_people(issuer: LocalIssuer) -> None:
    other, app = LocalIssuer(), web.Application()
    app.router.add_get(DISCOVERY_PATH, other.configuration)
    app.router.add_get("/keys", other.jwks)
    google = GoogleIssuer()
    async with served(app) as other.url, id_tokens(settings(issuer, other)) as both:
        one, two = await proved(both, issuer.token()), await proved(both, other.token())
        assert one.person != two.person
        assert await refusal(both, google.token()) == WRONG_ISSUER, "Google was not asked for"
        assert await refusal(both, AccessIssuer().token()) == WRONG_ISSUER


@pytest.mark.parametrize("audience", [APP, OTHER_APP, [APP]])
async def test_every_client_id_is_good(issuer: LocalIssuer, tokens: IdTokens, audience: object) -> None:
    assert await proved(tokens, issuer.token(aud=audience))


async def test_of_several_audiences_the_one_that_asked_must_be_ours(issuer: LocalIssuer, tokens: IdTokens) -> None:
    assert await proved(tokens, issuer.token(aud=[APP, "other"], azp=APP))
    for azp in (..., "other", None):
        assert await refusal(tokens, issuer.token(aud=[APP, "other"], azp=azp)) == WRONG_AUDIENCE
    assert await refusal(tokens, issuer.token(azp="other")) == WRONG_AUDIENCE


# ── attacks ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other"}, WRONG_AUDIENCE),
        ({"aud": []}, UNREADABLE),
        ({"aud": ...}, UNREADABLE),
        ({"exp": 1, "iat": 0}, EXPIRED),
        ({"exp": ...}, UNREADABLE),
        ({"iat": ...}, UNREADABLE),
        ({"iat": int(time.time()) + 1000, "exp": int(time.time()) + 2000}, TOO_EARLY),
        ({"nbf": int(time.time()) + 1000}, TOO_EARLY),
        ({"exp": int(time.time()) + 90_000}, TOO_LONG_LIVED),
        ({"exp": float("nan")}, UNREADABLE),
        ({"exp": float("inf")}, UNREADABLE),
        ({"exp": "9999999999"}, UNREADABLE),
        ({"sub": ...}, UNREADABLE),
        ({"sub": " "}, NOBODY),
        ({"sub": "s" * 300}, NOBODY),
        ({"email": "\u212aevin@example.com", "email_verified": True}, LOOKALIKE),
    ],
)
async def test_a_token_that_says_something_wrong_is_refused(
    issuer: LocalIssuer, tokens: IdTokens, changes: dict[str, Any], reason: str
) -> None:
    assert await refusal(tokens, issuer.token(**changes)) == reason


async def test_a_token_that_names_another_issuer_is_not_checked_by_this_one(
    issuer: LocalIssuer, tokens: IdTokens
) -> None:
    for name in (f"{issuer.url}/", issuer.url.upper(), "https://accounts.google.com", "", ...):
        with pytest.raises(InvalidTokenError):
            await tokens.prove(issuer.token(iss=name))


async def test_no_other_algorithm_and_no_key_of_another_kind_signs(issuer: LocalIssuer, tokens: IdTokens) -> None:
    claims = segment({"iss": issuer.url, "aud": APP, "sub": "1", "iat": int(time.time()), "exp": int(time.time()) + 60})
    unsigned = segment({"alg": "none", "kid": "one"}) + "." + claims + "."
    assert await refusal(tokens, unsigned) == UNREADABLE
    for algorithm in ("RS384", "RS512"):
        assert await refusal(tokens, issuer.token(RSA, algorithm)) == UNREADABLE
    assert await refusal(tokens, issuer.token("a shared secret of thirty-two bytes", "HS256")) == UNREADABLE
    assert await refusal(tokens, issuer.token(EC, "ES256")) == UNKNOWN_KEY
    assert await refusal(tokens, issuer.token(RSA, "PS256")) == UNKNOWN_KEY, "the issuer's key says RS256"


@pytest.mark.parametrize(
    "published", [{**jwk(RSA, "one"), "use": "enc"}, jwk(SMALL_RSA, "one"), {"kid": "one", "kty": "oct", "k": "AAAA"}]
)
async def test_a_key_that_is_not_meant_for_this_or_too_small_is_none(
    issuer: LocalIssuer, tokens: IdTokens, published: dict[str, Any]
) -> None:
    issuer.keys = [published, "odd"]  # type: ignore[list-item]
    assert await refusal(tokens, issuer.token(SMALL_RSA)) == UNKNOWN_KEY


async def test_another_key_by_the_same_id_signs_nothing(issuer: LocalIssuer, tokens: IdTokens) -> None:
    thief = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert await refusal(tokens, issuer.token(thief)) == "its signature is wrong"


# ── keys and discovery ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_rotated_key_is_fetched_once_and_made_up_ones_hammer_nobody(
    issuer: LocalIssuer, tokens: IdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await proved(tokens, issuer.token())
    new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer.keys = [jwk(new, "two")]
    monkeypatch.setattr("services.chassis.documents.LEAST_REFETCH_SECONDS", 0.0)
    assert await proved(tokens, issuer.token(new, kid="two"))
    monkeypatch.setattr("services.chassis.documents.LEAST_REFETCH_SECONDS", 10.0)
    before = len(issuer.asked)
    for number in range(20):
        assert await refusal(tokens, issuer.token(new, kid=f"made up {number}")) == UNKNOWN_KEY
    assert len(issuer.asked) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 7},
    ],
)
async def test_a_discovery_document_of_another_issuer_or_with_an_open_door_is_not_believed(
    issuer: LocalIssuer, tokens: IdTokens, wrong: dict[str, Any]
) -> None:
    issuer.discovery = wrong
    with pytest.raises(KeysUnavailableError):
        await tokens.prove(issuer.token())
    with pytest.raises(DocumentUnavailableError):
        await tokens.check()
    assert "keys" not in issuer.asked


async def test_a_redirect_is_not_followed(issuer: LocalIssuer, tokens: IdTokens) -> None:
    issuer.discovery = {"jwks_uri": f"{issuer.url}/moved"}
    with pytest.raises(KeysUnavailableError):
        await tokens.prove(issuer.token())


async def test_a_document_that_does_not_end_is_not_read_to_its_end(issuer: LocalIssuer, tokens: IdTokens) -> None:
    issuer.discovery = {"padding": "x" * 2_000_000}
    with pytest.raises(KeysUnavailableError):
        await tokens.prove(issuer.token())


async def test_keys_that_cannot_be_fetched_are_told_while_the_old_ones_serve(
    issuer: LocalIssuer, tokens: IdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token()
    assert await proved(tokens, token)
    await tokens.check()
    issuer.status = 503
    monkeypatch.setattr("services.chassis.documents.LEAST_REFETCH_SECONDS", 0.0)
    assert await refusal(tokens, issuer.token(kid="unknown")) == UNKNOWN_KEY
    with pytest.raises(DocumentUnavailableError):
        await tokens.check()
    assert await proved(tokens, token)


async def test_keys_are_fetched_through_the_proxy_that_the_environment_names(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def connect(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(f"{request.method} {request.raw_path if hasattr(request, 'raw_path') else request.path}")
        return web.Response(status=502)

    server = web.Server(connect)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    far = LocalIssuer("https://login.example.test")
    try:
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with id_tokens(settings(issuer, far)) as checks:
            with pytest.raises(KeysUnavailableError):
                await checks.prove(far.token())
            assert [line.split()[0] for line in seen] == ["CONNECT"]
            assert await proved(checks, issuer.token()), "what is on this machine is asked directly"
            assert len(seen) == 1
        monkeypatch.setenv("NO_PROXY", "login.example.test")
        monkeypatch.setenv("no_proxy", "login.example.test")
        async with id_tokens(settings(far)) as checks:
            with pytest.raises(KeysUnavailableError):
                await checks.prove(far.token())
        assert len(seen) == 1
    finally:
        await runner.cleanup()
