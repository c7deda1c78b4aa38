"""Attacks on the two kinds of tokens, and what good ones prove."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.auth import _helpers as google_helpers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.chassis import identity
from services.chassis.documents import DocumentUnavailableError
from services.chassis.identity import (
    ACCESS_ISSUER,
    CLOCK_SKEW_SECONDS,
    EXPIRED,
    LOOKALIKE,
    TOO_EARLY,
    UNKNOWN_KEY,
    UNREADABLE,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
    WRONG_SIGNATURE,
    AccessTokens,
    Bearers,
    GoogleTokens,
    InvalidTokenError,
    KeysUnavailableError,
    Proof,
)
from tests.tokens import (
    CLIENT_ID,
    EMAIL,
    SUBJECT,
    AccessIssuer,
    GoogleIssuer,
    Published,
    proved,
    proved_by_access_token,
    segment,
)

GOOGLE = GoogleIssuer()
ACCESS = AccessIssuer()
FORMATS = {"certificates": GOOGLE.certificates(), "jwks": GOOGLE.jwks()}


@pytest.fixture(params=FORMATS)
def google(request: pytest.FixtureRequest) -> GoogleTokens:
    """Checks tokens against GOOGLE's keys, once in each of the two formats."""
    return GoogleTokens(Published(FORMATS[request.param]), [CLIENT_ID, "second-client"])


@pytest.fixture
def access() -> AccessTokens:
    return AccessTokens(Published(ACCESS.jwks()))


def both(google: GoogleTokens | None = None) -> Bearers:
    return Bearers(
        AccessTokens(Published(ACCESS.jwks())),
        google or GoogleTokens(Published(FORMATS["certificates"]), [CLIENT_ID]),
    )


async def refusal(checks: GoogleTokens | AccessTokens, token: str) -> str:
    """Why ``token`` is refused; nothing of the token may be in it."""
    with pytest.raises(InvalidTokenError) as caught:
        await checks.prove(token)
    reason = str(caught.value)
    assert EMAIL not in reason
    assert not any(part and part in reason for part in token.split("."))
    return reason


# ── good tokens ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_google_token_proves_its_email_address_and_its_subject(google: GoogleTokens) -> None:
    person = (await google.prove(GOOGLE.token())).identity
    assert (person.names, person.email, person.person) == ({EMAIL, SUBJECT}, EMAIL, SUBJECT)
    assert person.account is None, "only auth knows that"


@pytest.mark.parametrize("issuer", ["accounts.google.com", "https://accounts.google.com"])
@pytest.mark.parametrize("audience", [CLIENT_ID, "second-client"])
async def test_both_spellings_of_google_and_every_client_id_are_good(
    google: GoogleTokens, issuer: str, audience: str
) -> None:
    assert await google.prove(GOOGLE.token(iss=issuer, aud=audience))


async def test_a_google_token_without_an_email_address_proves_its_subject(google: GoogleTokens) -> None:
    person = (await google.prove(GOOGLE.token(email=..., email_verified=...))).identity
    assert (person.names, person.email) == ({SUBJECT}, None)


async def test_a_subject_that_looks_like_an_address_is_no_name(google: GoogleTokens) -> None:
    person = (await google.prove(GOOGLE.token(sub="victim@example.com"))).identity
    assert person.names == {EMAIL}
    other = (await google.prove(GOOGLE.token(sub="Victim@example.com"))).identity
    assert person.person != other.person, "the case of a subject counts"


async def test_an_access_token_proves_its_user(access: AccessTokens) -> None:
    claims = {"sub": "old@example.com", "person": SUBJECT, "names": [EMAIL, SUBJECT]}
    person = (await access.prove(ACCESS.token(**claims))).identity
    assert (person.account, person.person, person.names) == ("old@example.com", SUBJECT, {EMAIL, SUBJECT})
    assert person.user_ids == {"old@example.com", SUBJECT}


async def test_an_access_token_of_the_release_before_proves_its_user(access: AccessTokens) -> None:
    assert (await access.prove(ACCESS.token())).identity.user_ids == {EMAIL}


@pytest.mark.parametrize("odd", [{"person": 7}, {"names": EMAIL}, {"names": [1]}, {"person": None}])
async def test_an_access_token_that_names_a_person_in_another_form_is_refused(access: AccessTokens, odd: Any) -> None:
    assert await refusal(access, ACCESS.token(**odd)) == UNREADABLE


def test_a_person_may_use_the_address_in_any_case_and_no_other() -> None:
    person = proved(EMAIL, SUBJECT)
    assert person.may_use("  SomeOne@Example.COM ")
    assert person.may_use(SUBJECT)
    assert not person.may_use("someone@example.com.evil.example")
    assert not person.may_use("")


@pytest.mark.parametrize("late", [CLOCK_SKEW_SECONDS - 5, 0])
async def test_clocks_may_differ_a_little(google: GoogleTokens, access: AccessTokens, late: int) -> None:
    present = int(time.time())
    assert await google.prove(GOOGLE.token(iat=present + late, exp=present + 3600))
    assert await google.prove(GOOGLE.token(iat=present - 3600, exp=present - late))
    assert await google.prove(GOOGLE.token(nbf=present + late))
    assert await access.prove(ACCESS.token(iat=present + late, nbf=present + late))
    assert await access.prove(ACCESS.token(exp=present - late))


# ── forged and stale ones ────────────────────────────────────────────────────────────────────────────────────────


def unsigned(claims: dict[str, Any], algorithm: str, key_id: str) -> str:
    return segment({"alg": algorithm, "typ": "JWT", "kid": key_id}) + "." + segment(claims) + "."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_an_unsigned_token_is_refused(google: GoogleTokens, access: AccessTokens, algorithm: str) -> None:
    assert await refusal(google, unsigned(GOOGLE.claims(), algorithm, GOOGLE.key_id)) == UNREADABLE
    assert await refusal(access, unsigned(ACCESS.claims(), algorithm, ACCESS.key_id)) == UNREADABLE


async def test_the_signature_cannot_be_left_out(google: GoogleTokens, access: AccessTokens) -> None:
    assert await refusal(google, unsigned(GOOGLE.claims(), "RS256", GOOGLE.key_id)) == WRONG_SIGNATURE
    assert await refusal(access, unsigned(ACCESS.claims(), "EdDSA", ACCESS.key_id)) == WRONG_SIGNATURE


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_the_public_key_is_no_shared_secret(google: GoogleTokens, access: AccessTokens, algorithm: str) -> None:
    hmac = jwt.algorithms.get_default_algorithms()[algorithm]
    for checks, issuer, public in (
        (google, GOOGLE, GOOGLE.public_pem),
        (google, GOOGLE, GOOGLE.certificate.encode()),
        (access, ACCESS, ACCESS.public),
    ):
        signed = segment({"alg": algorithm, "kid": issuer.key_id}) + "." + segment(issuer.claims())
        assert await refusal(checks, f"{signed}.{segment(hmac.sign(signed.encode(), public))}") == UNREADABLE


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "PS256", "RS384", "RS512", "EdDSA", "XX", 5, None, ["RS256"]])
async def test_a_google_token_names_the_one_algorithm(google: GoogleTokens, algorithm: Any) -> None:
    assert await refusal(google, GOOGLE.token(headers={"alg": algorithm})) == UNREADABLE


@pytest.mark.parametrize("key_id", ["another", "", "../google-key-1", "google-key-1\x00", None, 7, ["google-key-1"]])
async def test_a_key_id_that_nobody_published_is_refused(
    google: GoogleTokens, access: AccessTokens, key_id: Any
) -> None:
    expected = UNKNOWN_KEY if isinstance(key_id, str) else UNREADABLE
    assert await refusal(google, GOOGLE.token(headers={"kid": key_id})) == expected
    assert await refusal(access, ACCESS.token(headers={"kid": key_id})) == expected


async def test_a_token_without_a_key_id_is_not_tried_against_every_key(google: GoogleTokens) -> None:
    signed = segment({"alg": "RS256"}) + "." + segment(GOOGLE.claims())
    assert await refusal(google, GOOGLE.sign(signed)) == UNREADABLE


async def test_a_key_in_the_tokens_own_header_is_not_believed(google: GoogleTokens, access: AccessTokens) -> None:
    thief = GoogleIssuer(GOOGLE.key_id)
    injections: list[dict[str, Any]] = [
        {"jwk": thief.jwk},
        {"jku": "https://evil.example/jwks.json"},
        {"x5c": [thief.certificate.replace("\n", "")]},
        {"x5u": "https://evil.example/cert.pem"},
        {"jwk": thief.jwk, "x5c": [thief.certificate], "jku": "https://evil.example/jwks.json"},
    ]
    for injection in injections:
        assert await refusal(google, thief.token(headers=injection)) == WRONG_SIGNATURE
    burglar = AccessIssuer(b"t" * 32)
    head = {"jwk": burglar.jwk, "kid": ACCESS.key_id}
    assert await refusal(access, burglar.token(headers=head)) == WRONG_SIGNATURE


async def test_a_critical_extension_that_is_not_understood_is_refused(google: GoogleTokens) -> None:
    assert await refusal(google, GOOGLE.token(headers={"crit": ["http://example/x"], "http://example/x": 1}))
    assert await refusal(google, GOOGLE.token(headers={"crit": ["b64"], "b64": False}))


@pytest.mark.parametrize(
    "change",
    [{"email": "victim@example.com"}, {"exp": 32503680000}, {"aud": "x"}, {"email_verified": True, "sub": "1"}],
)
async def test_a_changed_payload_breaks_the_signature(
    google: GoogleTokens, access: AccessTokens, change: dict[str, Any]
) -> None:
    for checks, issuer in ((google, GOOGLE), (access, ACCESS)):
        head, _, signature = issuer.token().split(".")
        assert await refusal(checks, f"{head}.{segment(issuer.claims() | change)}.{signature}") == WRONG_SIGNATURE


async def test_a_changed_or_foreign_signature_is_refused(google: GoogleTokens, access: AccessTokens) -> None:
    for checks, issuer in ((google, GOOGLE), (access, ACCESS)):
        head, body, signature = issuer.token().split(".")
        raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
        raw[0] ^= 1
        assert await refusal(checks, f"{head}.{body}.{segment(bytes(raw))}") == WRONG_SIGNATURE
        other = issuer.token(jti="other").split(".")[2]
        assert await refusal(checks, f"{head}.{body}.{other}") == WRONG_SIGNATURE


async def test_a_token_whose_time_is_over_is_refused(google: GoogleTokens, access: AccessTokens) -> None:
    over = int(time.time()) - CLOCK_SKEW_SECONDS - 2
    assert await refusal(google, GOOGLE.token(iat=over - 3600, exp=over)) == EXPIRED
    assert await refusal(access, ACCESS.token(iat=over - 3600, nbf=over - 3600, exp=over)) == EXPIRED


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_token_whose_time_has_not_come_is_refused(
    google: GoogleTokens, access: AccessTokens, claim: str
) -> None:
    later = int(time.time()) + CLOCK_SKEW_SECONDS + 10
    assert await refusal(google, GOOGLE.token(**{claim: later})) == TOO_EARLY
    assert await refusal(access, ACCESS.token(**{claim: later})) == TOO_EARLY


@pytest.mark.parametrize("audience", ["another-client", "", None, 5, [CLIENT_ID], {"a": 1}, ...])
async def test_a_token_for_another_app_is_refused(google: GoogleTokens, audience: Any) -> None:
    assert await refusal(google, GOOGLE.token(aud=audience)) == WRONG_AUDIENCE


@pytest.mark.parametrize("audience", ["another", "", None, 5, ["another"], {"a": 1}, ...])
async def test_an_access_token_for_another_audience_is_refused(access: AccessTokens, audience: Any) -> None:
    assert await refusal(access, ACCESS.token(aud=audience)) in (WRONG_AUDIENCE, UNREADABLE)


@pytest.mark.parametrize("issuer", ["https://accounts.google.com.evil.example", ACCESS_ISSUER, "", None, 5, [], ...])
async def test_a_google_token_of_another_issuer_is_refused(google: GoogleTokens, issuer: Any) -> None:
    if isinstance(issuer, list):
        issuer = "https://ACCOUNTS.google.com"
    assert await refusal(google, GOOGLE.token(iss=issuer)) == WRONG_ISSUER


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "Home-Energy-Audit", "", None, 5, ["x"], ...])
async def test_an_access_token_of_another_issuer_is_refused(access: AccessTokens, issuer: Any) -> None:
    assert await refusal(access, ACCESS.token(iss=issuer)) in (WRONG_ISSUER, UNREADABLE)


@pytest.mark.parametrize("verified", [False, None, "true", "false", 1, ...])
async def test_an_email_address_that_google_has_not_verified_proves_nothing(
    google: GoogleTokens, verified: Any
) -> None:
    assert "not verified" in await refusal(google, GOOGLE.token(email_verified=verified))


@pytest.mark.parametrize(
    "names",
    [
        {"email": ..., "sub": ...},
        {"email": "", "sub": ""},
        {"email": "  ", "sub": " "},
        {"email": 5, "sub": 5},
        {"email": [EMAIL], "sub": {"a": 1}},
        {"email": None, "sub": None},
    ],
)
async def test_a_google_token_that_names_nobody_is_refused(google: GoogleTokens, names: dict[str, Any]) -> None:
    assert await refusal(google, GOOGLE.token(**names)) == "it names nobody"


@pytest.mark.parametrize("subject", ["", "  ", 5, None, [EMAIL], ...])
async def test_an_access_token_that_names_nobody_is_refused(access: AccessTokens, subject: Any) -> None:
    assert await refusal(access, ACCESS.token(sub=subject))


WRONG_TIMES = [float("nan"), float("inf"), float("-inf"), 10**400, -1, -(10**400), "soon", "9999999999", None, [1], {}]


@pytest.mark.parametrize("value", WRONG_TIMES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
async def test_a_google_token_with_times_that_are_none_is_refused(google: GoogleTokens, claim: str, value: Any) -> None:
    """Signed by the issuer, so an error of its own; still it must neither be accepted for ever nor crash us."""
    assert await refusal(google, GOOGLE.token(**{claim: value})) in (UNREADABLE, EXPIRED, TOO_EARLY)


@pytest.mark.parametrize("value", [*WRONG_TIMES[:5], "soon", None, [1], {}], ids=lambda value: repr(value)[:12])
async def test_an_access_token_with_an_end_that_is_none_is_refused(access: AccessTokens, value: Any) -> None:
    if value == 10**400:
        return  # a very late end, but an end
    assert await refusal(access, ACCESS.token(exp=value)) in (UNREADABLE, EXPIRED)


@pytest.mark.parametrize("claim", ["iat", "exp"])
async def test_a_token_must_say_since_when_and_until_when(
    google: GoogleTokens, access: AccessTokens, claim: str
) -> None:
    assert await refusal(google, GOOGLE.token(**{claim: ...})) == UNREADABLE
    assert await refusal(access, ACCESS.token(**{claim: ...})) == UNREADABLE


# ── garbage ──────────────────────────────────────────────────────────────────────────────────────────────────────

HEAD = segment({"alg": "RS256", "kid": GOOGLE.key_id})
DEEP = segment(b"[" * 4000)
NESTED = segment(b'{"iss":' + b"[" * 4000 + b"]" * 4000 + b"}")
GOOGLE_TOKEN = GOOGLE.token()
GARBAGE = [
    "",
    ".",
    "..",
    "...",
    "a.b.c",
    "eyJ",
    "\x00",
    "\ud800",
    "é.é.é",
    "👻" * 10,
    GOOGLE.token() + ".x",
    GOOGLE.token()[:-1] + "!",
    GOOGLE_TOKEN + "\n",
    " " + GOOGLE_TOKEN,
    f"{HEAD}.{segment(b'not json')}.{segment(b'x')}",
    f"{HEAD}.{segment([1, 2])}.{segment(b'x')}",
    f"{HEAD}.{segment(b'null')}.{segment(b'x')}",
    f"{HEAD}.{DEEP}.{segment(b'x')}",
    f"{DEEP}.{DEEP}.{DEEP}",
    f"{HEAD}.{segment(b'9' * 5000)}.{segment(b'x')}",
    f"{segment([1])}.{segment({})}.{segment(b'x')}",
    f"{HEAD}.{segment(GOOGLE.claims())}.{'A' * 7000}",
    "x" * 100_000,
    GOOGLE.token(padding="x" * 8192),
]


@pytest.mark.parametrize("token", GARBAGE, ids=lambda token: repr(token[:20]))
async def test_garbage_is_refused(google: GoogleTokens, access: AccessTokens, token: str) -> None:
    await refusal(google, token)
    await refusal(access, token)
    if token.strip() != GOOGLE_TOKEN:  # blanks around the token belong to the header
        with pytest.raises(InvalidTokenError):
            await both(google).identify(f"Bearer {token}")


async def test_a_deeply_nested_payload_in_front_of_a_good_key_is_refused(google: GoogleTokens) -> None:
    for payload in (DEEP, segment(b'{"a":' * 900 + b"1" + b"}" * 900)):
        token = f"{HEAD}.{payload}.{segment(b'x' * 256)}"
        assert len(token) < identity.LONGEST_TOKEN
        assert await refusal(google, token) in (UNREADABLE, WRONG_SIGNATURE)


ANY_TEXT = st.text(st.characters(), max_size=300)  # with surrogates
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
ANY_HEADER = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "EdDSA", "none", "HS256"]) | ANY_JSON,
        "kid": st.sampled_from([GOOGLE.key_id, ACCESS.key_id]) | ANY_JSON,
        "typ": ANY_JSON,
        "crit": ANY_JSON,
        "b64": ANY_JSON,
    },
)
ANY_CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.sampled_from([ACCESS_ISSUER, "accounts.google.com"]) | ANY_JSON,
        **dict.fromkeys(("aud", "sub", "email", "email_verified", "iat", "exp", "nbf", "jti"), ANY_JSON),
    },
)


async def _refused(authorization: str) -> None:
    with pytest.raises(InvalidTokenError):
        await both().identify(authorization)


@given(ANY_TEXT)
@example("Bearer \ud800.a.b")
async def test_any_text_in_the_header_is_refused_and_nothing_else_goes_wrong(text: str) -> None:
    await _refused(text)
    await _refused(f"Bearer {text}.{text}.{text}")


@given(ANY_HEADER, ANY_CLAIMS | ANY_JSON, st.binary(max_size=300))
async def test_any_token_without_our_signature_is_refused_and_nothing_else_goes_wrong(
    header: object, claims: object, signature: bytes
) -> None:
    await _refused(f"Bearer {segment(header)}.{segment(claims)}.{segment(signature)}")


@given(ANY_CLAIMS)
async def test_any_claims_under_a_good_signature_are_a_person_or_a_refusal(claims: dict[str, Any]) -> None:
    head = segment({"alg": "RS256", "kid": GOOGLE.key_id})
    for form in FORMATS.values():
        try:
            proof = await GoogleTokens(Published(form), [CLIENT_ID]).prove(GOOGLE.sign(f"{head}.{segment(claims)}"))
        except InvalidTokenError:
            continue
        assert all(proof.identity.user_ids)


# ── which check a token has to pass ──────────────────────────────────────────────────────────────────────────────


async def test_either_kind_is_good_as_a_bearer(google: GoogleTokens) -> None:
    bearers, present = both(google), int(time.time())
    assert await bearers.identify(f"Bearer {GOOGLE.token(iat=present)}") == proved(EMAIL, SUBJECT, at=present)
    assert await bearers.identify(f"bearer   {ACCESS.token(iat=present)} ") == proved_by_access_token(EMAIL, at=present)
    assert await bearers.identify(None) is None


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token abc", "Bearer\tabc", "abc"])
async def test_any_other_scheme_is_refused(header: str) -> None:
    with pytest.raises(InvalidTokenError, match="Bearer <token>"):
        await both().identify(header)


async def test_our_key_signs_nothing_in_googles_name_and_the_reverse(google: GoogleTokens) -> None:
    bearers = both(google)
    crossed = [
        ACCESS.token(iss="https://accounts.google.com", aud=CLIENT_ID, email=EMAIL, email_verified=True),
        ACCESS.token(headers={"kid": GOOGLE.key_id}, iss="https://accounts.google.com", aud=CLIENT_ID),
        GOOGLE.token(iss=ACCESS_ISSUER, aud=identity.ACCESS_AUDIENCE, sub=EMAIL),
        GOOGLE.token(headers={"kid": ACCESS.key_id}, iss=ACCESS_ISSUER, aud=identity.ACCESS_AUDIENCE, sub=EMAIL),
        GOOGLE.token(
            headers={"kid": ACCESS.key_id, "alg": "EdDSA"}, iss=ACCESS_ISSUER, aud=identity.ACCESS_AUDIENCE, sub=EMAIL
        ),
    ]
    for token in crossed:
        with pytest.raises(InvalidTokenError):
            await bearers.identify(f"Bearer {token}")


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unknown_key_id_is_looked_for_once_and_no_more_than_that() -> None:
    keys = Published(GOOGLE.jwks())
    checks = GoogleTokens(keys, [CLIENT_ID])
    await refusal(checks, GOOGLE.token(headers={"kid": "unknown"}))
    assert keys.refetched == 1
    await checks.prove(GOOGLE.token())
    assert keys.refetched == 1


async def test_a_token_signed_with_a_key_published_meanwhile_is_good(google: GoogleTokens) -> None:
    new = GoogleIssuer("google-key-2", GOOGLE.key)
    keys = Published(now=new.certificates(), before=GOOGLE.certificates())
    assert await GoogleTokens(keys, [CLIENT_ID]).prove(new.token())
    ours = AccessIssuer(b"n" * 32)
    assert await AccessTokens(Published(now=ours.jwks(), before=ACCESS.jwks())).prove(ours.token())


async def test_while_keys_are_rotated_tokens_of_both_are_good() -> None:
    new = AccessIssuer(b"n" * 32)
    checks = AccessTokens(Published(json.dumps({"keys": [new.jwk, ACCESS.jwk]}).encode()))
    assert await checks.prove(new.token())
    assert await checks.prove(ACCESS.token())


async def test_after_a_rotation_tokens_of_the_old_key_are_refused() -> None:
    new = AccessIssuer(b"n" * 32)
    assert await refusal(AccessTokens(Published(new.jwks())), ACCESS.token()) == UNKNOWN_KEY


async def test_without_any_keys_nobody_can_tell() -> None:
    class Away:
        async def get(self) -> bytes:
            raise DocumentUnavailableError("https://issuer.example/certs")

        refetch = get

    with pytest.raises(KeysUnavailableError):
        await GoogleTokens(Away(), [CLIENT_ID]).prove(GOOGLE.token())
    with pytest.raises(KeysUnavailableError):
        await AccessTokens(Away()).prove(ACCESS.token())


EC = ec.generate_private_key(ec.SECP256R1()).public_key()
ODD_KEYS: list[Any] = [
    {},
    {"keys": None},
    {"keys": {}},
    {"keys": "text"},
    {"keys": [None, 5, "x", []]},
    {"keys": [{"kid": GOOGLE.key_id}]},
    {"keys": [{"kid": [GOOGLE.key_id], "kty": "RSA"}]},
    {"keys": [{"kid": GOOGLE.key_id, "kty": "RSA", "n": 5, "e": "AQAB"}]},
    {"keys": [{**GOOGLE.jwk, "n": "!"}]},
    {"keys": [{**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC)), "kid": GOOGLE.key_id}]},
    {"keys": [{"kty": "oct", "k": "AAAA", "kid": GOOGLE.key_id}]},
    {GOOGLE.key_id: 5},
    {GOOGLE.key_id: None},
    {GOOGLE.key_id: [GOOGLE.certificate]},
    {GOOGLE.key_id: {"pem": GOOGLE.certificate}},
    {GOOGLE.key_id: ""},
    {GOOGLE.key_id: "not a certificate"},
    {GOOGLE.key_id: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
]


@pytest.mark.parametrize("document", ODD_KEYS, ids=lambda document: repr(document)[:40])
async def test_keys_in_an_unknown_form_let_nobody_in(document: Any) -> None:
    body = json.dumps(document).encode()
    await refusal(GoogleTokens(Published(body), [CLIENT_ID]), GOOGLE.token())
    renamed = json.dumps(document).replace(GOOGLE.key_id, ACCESS.key_id).encode()
    await refusal(AccessTokens(Published(renamed)), ACCESS.token())


async def test_one_odd_key_does_not_hide_the_good_ones() -> None:
    body = json.dumps({"keys": [None, {"kid": "odd", "kty": "?"}, GOOGLE.jwk]}).encode()
    assert await GoogleTokens(Published(body), [CLIENT_ID]).prove(GOOGLE.token())


# ── what is remembered ───────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """The time of the whole check: ours, and that of both libraries."""

    def __init__(self) -> None:
        self.present = time.time()

    def now(self, tz: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(self.present, tz)


@contextmanager
def stopped_clock() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "time", SimpleNamespace(time=lambda: clock.present))
        patch.setattr(jwt.api_jwt, "datetime", clock)
        patch.setattr(google_helpers, "utcnow", lambda: clock.now(UTC))
        yield clock


@pytest.fixture
def clock() -> Iterator[Clock]:
    with stopped_clock() as stopped:
        yield stopped


class Counted(AccessTokens):
    """Counts whole checks."""

    checks = 0

    async def prove(self, token: str) -> Proof:
        self.checks += 1
        return await super().prove(token)


def remembering(access: AccessTokens, google: GoogleTokens | None = None, most: int = 10) -> Bearers:
    return Bearers(access, google or GoogleTokens(Published(FORMATS["jwks"]), [CLIENT_ID]), most)


async def verdict(bearers: Bearers, token: str) -> object:
    """The person, or the refusal."""
    try:
        return await bearers.identify(f"Bearer {token}")
    except InvalidTokenError as error:
        return str(error)


async def test_a_bearer_that_was_good_is_not_checked_again() -> None:
    access = Counted(Published(ACCESS.jwks()))
    bearers = remembering(access)
    token = ACCESS.token()
    first = await bearers.identify(f"Bearer {token}")
    assert [await bearers.identify(f"Bearer {token}") for _ in range(3)] == [first] * 3
    assert access.checks == 1


async def test_a_remembered_token_is_refused_once_its_key_is_published_no_more() -> None:
    new, other = AccessIssuer(b"n" * 32), GoogleIssuer("google-key-2", GOOGLE.key)
    jwks, certificates = Published(ACCESS.jwks()), Published(GOOGLE.certificates())
    bearers = remembering(AccessTokens(jwks), GoogleTokens(certificates, [CLIENT_ID]))
    ours, googles = ACCESS.token(), GOOGLE.token()
    for token in (ours, googles):
        assert await bearers.identify(f"Bearer {token}")
    jwks.now, certificates.now = new.jwks(), other.certificates()
    assert await verdict(bearers, ours) == UNKNOWN_KEY
    assert await verdict(bearers, googles) == UNKNOWN_KEY


async def test_a_remembered_token_is_refused_once_its_keys_id_names_another_key() -> None:
    jwks = Published(ACCESS.jwks())
    bearers, token = remembering(AccessTokens(jwks)), ACCESS.token()
    assert await bearers.identify(f"Bearer {token}")
    jwks.now = json.dumps({"keys": [{**AccessIssuer(b"n" * 32).jwk, "kid": ACCESS.key_id}]}).encode()
    assert await verdict(bearers, token) == WRONG_SIGNATURE


async def test_a_remembered_token_stays_good_while_keys_are_rotated_around_its_own() -> None:
    jwks = Published(ACCESS.jwks())
    bearers, token = remembering(AccessTokens(jwks)), ACCESS.token()
    person = await bearers.identify(f"Bearer {token}")
    jwks.now = json.dumps({"keys": [AccessIssuer(b"n" * 32).jwk, ACCESS.jwk]}).encode()
    assert await bearers.identify(f"Bearer {token}") == person


@pytest.mark.parametrize("issuer", [ACCESS, GOOGLE], ids=["ours", "google's"])
async def test_a_remembered_token_is_refused_once_its_time_is_over(
    clock: Clock, issuer: AccessIssuer | GoogleIssuer
) -> None:
    bearers = remembering(AccessTokens(Published(ACCESS.jwks())))
    end = int(clock.present) + 600
    token = issuer.token(exp=end)
    assert await bearers.identify(f"Bearer {token}")
    clock.present = end + CLOCK_SKEW_SECONDS - 0.5
    assert await bearers.identify(f"Bearer {token}")
    clock.present = end + CLOCK_SKEW_SECONDS + 1
    assert await verdict(bearers, token) == EXPIRED
    assert await verdict(bearers, token) == EXPIRED


@pytest.mark.parametrize("issuer", [ACCESS, GOOGLE], ids=["ours", "google's"])
@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_remembered_token_is_refused_when_the_clock_is_set_back_before_its_time(
    clock: Clock, issuer: AccessIssuer | GoogleIssuer, claim: str
) -> None:
    bearers = remembering(AccessTokens(Published(ACCESS.jwks())))
    token = issuer.token(**{claim: int(clock.present)})
    assert await bearers.identify(f"Bearer {token}")
    clock.present -= CLOCK_SKEW_SECONDS + 10
    assert await verdict(bearers, token) == TOO_EARLY


async def test_a_refusal_is_not_remembered(clock: Clock) -> None:
    jwks = Published(now=AccessIssuer(b"n" * 32).jwks())
    bearers = remembering(AccessTokens(jwks))
    later = int(clock.present) + CLOCK_SKEW_SECONDS + 10
    token = ACCESS.token(iat=later, nbf=later, exp=later + 60)
    assert await verdict(bearers, token) == UNKNOWN_KEY
    jwks.now = ACCESS.jwks()
    assert await verdict(bearers, token) == TOO_EARLY
    clock.present += 20
    assert await verdict(bearers, token) == proved_by_access_token(EMAIL, at=later)


async def test_what_looks_like_a_remembered_token_is_checked_for_itself(google: GoogleTokens) -> None:
    bearers = remembering(AccessTokens(Published(ACCESS.jwks())), google)
    for issuer in (ACCESS, GOOGLE):
        token = issuer.token()
        head, body, signature = token.split(".")
        assert await bearers.identify(f"Bearer {token}")
        for changed in (
            f"{head}.{segment(issuer.claims(sub='else', email='else@example.com'))}.{signature}",
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{head}.{body}.",
            f"{head}.{body}.{signature}.",
            token.swapcase(),
        ):
            with pytest.raises(InvalidTokenError):
                await bearers.identify(f"Bearer {changed}")


async def test_a_token_remembered_for_one_app_is_no_token_for_another() -> None:
    token, keys, access = GOOGLE.token(), Published(FORMATS["jwks"]), AccessTokens(Published(ACCESS.jwks()))
    assert await remembering(access, GoogleTokens(keys, [CLIENT_ID])).identify(f"Bearer {token}")
    assert await verdict(remembering(access, GoogleTokens(keys, ["another"])), token) == WRONG_AUDIENCE


async def test_the_tokens_that_were_sent_last_are_remembered_and_no_more_than_the_bound() -> None:
    access = Counted(Published(ACCESS.jwks()))
    bearers = remembering(access, most=2)
    one, two, three = (ACCESS.token(jti=str(number)) for number in range(3))
    for token in (one, two, one, three):  # two has been quiet for longest
        await bearers.identify(f"Bearer {token}")
    assert access.checks == 3
    for token in (one, three, two):
        await bearers.identify(f"Bearer {token}")
    assert access.checks == 4


async def test_while_no_keys_can_be_fetched_a_remembered_token_proves_nothing() -> None:
    class Leaving(Published):
        async def get(self) -> bytes:
            if not self.now:
                raise DocumentUnavailableError("https://issuer.example/certs")
            return self.now

    jwks = Leaving(ACCESS.jwks())
    bearers, token = remembering(AccessTokens(jwks)), ACCESS.token()
    assert await bearers.identify(f"Bearer {token}")
    jwks.now = b""
    with pytest.raises(KeysUnavailableError):
        await bearers.identify(f"Bearer {token}")


OTHERS = (AccessIssuer(b"n" * 32), GoogleIssuer("google-key-2"))
JWKS = [
    ACCESS.jwks(),
    OTHERS[0].jwks(),
    json.dumps({"keys": [ACCESS.jwk, OTHERS[0].jwk]}).encode(),
    json.dumps({"keys": [{**OTHERS[0].jwk, "kid": ACCESS.key_id}]}).encode(),
    b"{}",
]
CERTIFICATES = [*FORMATS.values(), json.dumps({"keys": [GOOGLE.jwk, OTHERS[1].jwk]}).encode(), OTHERS[1].jwks()]
TIMES = st.floats(-5000, 5000)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(TIMES, TIMES | st.none(), st.floats(0, 5000), st.sampled_from([0, 1])), max_size=4),
    st.lists(
        st.tuples(st.integers(0, 5), TIMES, st.sampled_from(JWKS), st.sampled_from(CERTIFICATES)),
        max_size=10,
    ),
)
async def test_whoever_remembers_says_what_a_new_check_says_whatever_time_and_keys_are(
    made: list[tuple[float, float | None, float, int]], asked: list[tuple[int, float, bytes, bytes]]
) -> None:
    with stopped_clock() as clock:
        begun = clock.present
        tokens = [ACCESS.token(), GOOGLE.token()]
        for iat, nbf, life, kind in made:
            if kind:
                at: dict[str, Any] = {"iat": begun + iat, "exp": begun + iat + life, "nbf": begun + (nbf or iat)}
            else:  # ours are whole seconds
                at = {"iat": int(begun + iat), "exp": int(begun + iat + life), "nbf": int(begun + (nbf or iat))}
            tokens.append((ACCESS, GOOGLE)[kind].token(**at))
        jwks, certificates = Published(JWKS[0]), Published(CERTIFICATES[0])
        bearers = remembering(AccessTokens(jwks), GoogleTokens(certificates, [CLIENT_ID]))
        for number, moved, jwks.now, certificates.now in asked:
            clock.present = begun + moved
            for token in (tokens[number % len(tokens)], tokens[-1]):
                new = remembering(AccessTokens(jwks), GoogleTokens(certificates, [CLIENT_ID]))
                assert await verdict(bearers, token) == await verdict(new, token)


@pytest.mark.parametrize("email", ["\u212aevin@example.com", "ｋevin@example.com", "kevin＠example.com"])
async def test_an_address_in_characters_that_stand_for_others_proves_nobody(google: GoogleTokens, email: str) -> None:
    assert await refusal(google, GOOGLE.token(email=email)) == LOOKALIKE


async def test_an_address_of_other_letters_is_no_other_persons(google: GoogleTokens) -> None:
    person = (await google.prove(GOOGLE.token(email="JOSÉ@Example.com"))).identity
    assert person.may_use("josÉ@example.com")
    assert not person.may_use("josé@example.com")
