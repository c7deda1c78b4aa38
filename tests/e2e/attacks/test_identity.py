"""Forged proof of who somebody is: at the door of Google's ID tokens and at that of our own access tokens."""

import base64
import json
import secrets
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest

from services.chassis.documents import LEAST_REFETCH_SECONDS
from tests.e2e.app import App, task
from tests.e2e.attacks.conftest import HOME, Victim
from tests.e2e.conftest import Backend, Compose, Embedded
from tests.e2e.issuer import CLIENT_ID, KEY_ID, Issuer
from tests.tokens import AccessIssuer, GoogleIssuer, segment
from tests.unit.gateway.wire import ask, get

HOUR = 3600


@dataclass(frozen=True)
class Forger:
    """What it takes to write tokens about ``email``, good ones and others."""

    email: str
    google: GoogleIssuer  # the true issuer's key
    access: AccessIssuer  # auth's own key
    certificate: str  # the true issuer's, as anybody can fetch it
    evil: GoogleIssuer  # a key that the thief made

    def google_token(self, **changes: object) -> str:
        """A good ID token, but for ``changes``."""
        headers = changes.pop("headers", None)
        about = {"aud": CLIENT_ID, "email": self.email, "sub": f"subject-of-{self.email}"}
        return self.google.token(headers, **{**about, **changes})  # type: ignore[arg-type]

    def access_token(self, **changes: object) -> str:
        """A good access token, but for ``changes``."""
        headers = changes.pop("headers", None)
        return self.access.token(headers, **{"sub": self.email, **changes})  # type: ignore[arg-type]

    def evil_token(self, kid: str = KEY_ID, **headers: object) -> str:
        """The right claims under the thief's signature."""
        claims = self.google.claims(aud=CLIENT_ID, email=self.email)
        signed = f"{segment({'alg': 'RS256', 'typ': 'JWT', 'kid': kid, **headers})}.{segment(claims)}"
        return self.evil.sign(signed)

    def shared_secret(self, secret: bytes, kid: str, claims: dict[str, object]) -> str:
        """The claims under HS256, as if a published key were a password."""
        head = {"alg": "HS256", "typ": "JWT", "kid": kid}
        signed = f"{segment(head)}.{segment(claims)}"
        algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        return f"{signed}.{segment(algorithm.sign(signed.encode(), secret))}"

    def unsigned(self, good: str, algorithm: str) -> str:
        """``good`` without its signature."""
        _, payload, _ = good.split(".")
        return f"{segment({'alg': algorithm, 'typ': 'JWT', 'kid': jwt.get_unverified_header(good)['kid']})}.{payload}."

    def tampered(self, good: str, **claims: object) -> str:
        """``good`` about somebody else, under its old signature."""
        head, _, signature = good.split(".")
        said = jwt.decode(good, options={"verify_signature": False})
        return f"{head}.{segment({**said, **claims})}.{signature}"


def _thiefs(forger: Forger) -> str:
    return forger.google_token(email="thief@example.com", sub="thief")


Forgery = Callable[[Forger], str]
FORGED_GOOGLE_TOKENS: dict[str, Forgery] = {
    "alg none": lambda f: f.unsigned(f.google_token(), "none"),
    "alg NoNe": lambda f: f.unsigned(f.google_token(), "NoNe"),
    "no signature": lambda f: f.google_token().rpartition(".")[0] + ".",
    "HS256 with the public key": lambda f: f.shared_secret(f.google.public_pem, KEY_ID, _claims(f)),
    "HS256 with the certificate": lambda f: f.shared_secret(f.certificate.encode(), KEY_ID, _claims(f)),
    "another key under the right id": lambda f: f.evil_token(),
    "a key id that nobody published": lambda f: f.evil_token(kid="thiefs-key"),
    "a key id that is a path": lambda f: f.evil_token(kid="../../../../dev/null"),
    "a key id that is SQL": lambda f: f.evil_token(kid="' UNION SELECT 'key' -- "),
    "a key in the header": lambda f: f.evil_token(kid="thiefs-key", jwk={**f.evil.jwk, "kid": "thiefs-key"}),
    "a key in the header under the right id": lambda f: f.evil_token(jwk={**f.evil.jwk, "kid": KEY_ID}),
    "keys at a URL": lambda f: f.evil_token(kid="thiefs-key", jku="http://127.0.0.1:9/keys"),
    "certificates at a URL": lambda f: f.evil_token(kid="thiefs-key", x5u="http://127.0.0.1:9/certificates"),
    "a certificate in the header": lambda f: f.evil_token(kid="thiefs-key", x5c=[_der(f.evil)]),
    "expired": lambda f: f.google_token(iat=int(time.time()) - 2 * HOUR, exp=int(time.time()) - HOUR),
    "not valid yet": lambda f: f.google_token(nbf=int(time.time()) + HOUR),
    "issued in the future": lambda f: f.google_token(iat=int(time.time()) + HOUR, exp=int(time.time()) + 2 * HOUR),
    "without an end": lambda f: f.google_token(exp=...),
    "for another app": lambda f: f.google_token(aud="another.apps.example"),
    "for no app": lambda f: f.google_token(aud=...),
    "of another issuer": lambda f: f.google_token(iss="https://accounts.example.com"),
    "with an address that is not verified": lambda f: f.google_token(email_verified=False),
    "with an address that only says so": lambda f: f.google_token(email_verified="true"),
    "of the thief, about the victim": lambda f: f.tampered(_thiefs(f), email=f.email),
    "our own key, Google's claims": lambda f: f.access.token(**_claims(f)),
    "our own claims, Google's key": lambda f: f.google_token(iss="home-energy-audit", aud="home-energy-audit"),
    "nothing like a token": lambda f: "a.b.c",
    "JSON in place of a token": lambda f: '{"$ne": null}',
}
FORGED_ACCESS_TOKENS: dict[str, Forgery] = {
    "alg none": lambda f: f.unsigned(f.access_token(), "none"),
    "no signature": lambda f: f.access_token().rpartition(".")[0] + ".",
    "HS256 with the public key": lambda f: f.shared_secret(
        f.access.public, f.access.key_id, f.access.claims(sub=f.email)
    ),
    "HS256 with the published document": lambda f: f.shared_secret(
        f.access.jwks(), f.access.key_id, f.access.claims(sub=f.email)
    ),
    "another key under the right id": lambda f: AccessIssuer(b"t" * 32).token({"kid": f.access.key_id}, sub=f.email),
    "a key id that nobody published": lambda f: AccessIssuer(b"t" * 32).token(sub=f.email),
    "a key in the header": lambda f: AccessIssuer(b"t" * 32).token({"jwk": AccessIssuer(b"t" * 32).jwk}, sub=f.email),
    "expired": lambda f: f.access_token(exp=int(time.time()) - HOUR),
    "not valid yet": lambda f: f.access_token(nbf=int(time.time()) + HOUR),
    "without an end": lambda f: f.access_token(exp=...),
    "for another audience": lambda f: f.access_token(aud=CLIENT_ID),
    "about nobody": lambda f: f.access_token(sub=""),
    "of the thief, about the victim": lambda f: f.tampered(f.access_token(sub="thief@example.com"), sub=f.email),
    "signed by Google's key": lambda f: f.google_token(
        iss="home-energy-audit", aud="home-energy-audit", sub=f.email, email=...
    ),
}


def _claims(forger: Forger) -> dict[str, object]:
    return forger.google.claims(aud=CLIENT_ID, email=forger.email)


def _der(issuer: GoogleIssuer) -> str:
    return "".join(line for line in issuer.certificate.splitlines() if "CERTIFICATE" not in line)


@pytest.fixture(scope="session")
def forger(backend: Backend, victim: Victim) -> Forger:
    """Somebody who writes tokens about the victim."""
    with urllib.request.urlopen(f"http://127.0.0.1:{backend.issuer.port}/certs", timeout=5) as answer:
        certificate = json.load(answer)[KEY_ID]
    return Forger(
        victim.app.uid,
        GoogleIssuer(KEY_ID, backend.issuer.key),
        AccessIssuer(backend.inside.access_token_seed),
        certificate,
        GoogleIssuer("thiefs-key"),
    )


def test_what_the_forger_starts_from_is_good(backend: Backend, forger: Forger) -> None:
    """So that a refused forgery is refused for what is forged."""
    assert App(backend.url, forger.email).login(forger.google_token()).status == 200
    for token in (forger.google_token(), forger.access_token()):
        assert App(backend.url, forger.email, bearer=token).request("GET", _profile(forger)).status == 200


@pytest.mark.parametrize("forgery", FORGED_GOOGLE_TOKENS.values(), ids=FORGED_GOOGLE_TOKENS)
def test_a_forged_google_token_does_not_log_in(backend: Backend, forger: Forger, forgery: Forgery) -> None:
    token = forgery(forger)
    answer = App(backend.url, forger.email).login(token)
    assert answer.status == 401, answer.body
    assert "access_token" not in answer.json()
    assert token not in answer.body.decode()


@pytest.mark.parametrize("forgery", FORGED_GOOGLE_TOKENS.values(), ids=FORGED_GOOGLE_TOKENS)
def test_a_forged_google_token_is_no_bearer(backend: Backend, forger: Forger, victim: Victim, forgery: Forgery) -> None:
    _refused_everywhere(backend, victim, forgery(forger))


@pytest.mark.parametrize("forgery", FORGED_ACCESS_TOKENS.values(), ids=FORGED_ACCESS_TOKENS)
def test_a_forged_access_token_is_no_bearer(backend: Backend, forger: Forger, victim: Victim, forgery: Forgery) -> None:
    _refused_everywhere(backend, victim, forgery(forger))


def _refused_everywhere(backend: Backend, victim: Victim, token: str) -> None:
    forged = App(backend.url, victim.app.uid, bearer=token)
    for answer in (
        forged.update_profile(zip="00000"),
        forged.request("GET", f"/v1/profile?userID={victim.app.uid}"),
        forged.request("GET", f"/v1/tasks?userID={victim.app.uid}"),
        forged.poll(victim.job_id),
        forged.submit(task(victim.task_id), []),
    ):
        assert answer.status == 401, answer.body
        assert answer.headers["www-authenticate"] == "Bearer"
        assert token not in answer.body.decode()
    assert victim.profile()["zipCode"] == HOME["zip"]
    assert victim.task()["jobId"] == victim.job_id


def test_an_access_token_does_not_log_in(backend: Backend, forger: Forger) -> None:
    assert App(backend.url, forger.email).login(forger.access_token()).status == 401


def _profile(forger: Forger) -> str:
    return f"/v1/profile?userID={forger.email}"


LOOKALIKES: dict[str, Callable[[str], str]] = {
    "the address itself": lambda uid: uid,
    "in capitals": str.upper,
    "between spaces": lambda uid: f"  {uid} ",
    "with a NUL behind it": lambda uid: uid + "\x00",
    "with a line break behind it": lambda uid: uid + "\n",
    "in full-width letters": lambda uid: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in uid),
    "as a list for SQL": lambda uid: f"thief@example.com','{uid}",
    "as any address for SQL": lambda uid: "%@example.com",
}


@pytest.mark.parametrize("spell", LOOKALIKES.values(), ids=LOOKALIKES)
def test_the_id_of_somebody_else_is_refused_however_it_is_spelt(
    backend: Backend, victim: Victim, thief: App, spell: Callable[[str], str]
) -> None:
    uid = spell(victim.app.uid)
    assert thief.login(backend.issuer.token(thief.uid), uid=uid).status == 401
    assert thief.submit(task(victim.task_id), [], uid=uid).status == 403
    assert thief.post_json("/update_profile", {"userID": uid, "zip": "00000"}).status == 403
    assert victim.profile()["zipCode"] == HOME["zip"]
    assert victim.task()["jobId"] == victim.job_id


@pytest.mark.parametrize(
    "header",
    ["Basic dmljdGltOnBhc3N3b3Jk", "Bearer", "Bearer ", "Token {good}", "{good}", "Bearer {good} {good}",
     "Bearer {good},Bearer {good}", 'Bearer token="{good}"', "Digest username=victim", ""],
)  # fmt: skip
async def test_an_authorization_header_of_another_form_lets_nobody_in(
    backend: Backend, forger: Forger, header: str
) -> None:
    line = "Authorization: " + header.format(good=forger.google_token())
    answer = await ask(backend.port, get(_profile(forger), line))
    assert answer.status == 401, answer.body


async def test_of_two_authorization_headers_none_is_believed(backend: Backend, forger: Forger, thief: App) -> None:
    good, thiefs = f"Authorization: Bearer {forger.google_token()}", f"Authorization: Bearer {thief.bearer}"
    for lines in ((good, thiefs), (thiefs, good), (good, good)):
        assert (await ask(backend.port, get(_profile(forger), *lines))).status == 400


@pytest.mark.parametrize(
    "line",
    ["X-User: {uid}", "X-User-Id: {uid}", "X-Forwarded-User: {uid}", "X-Goog-Authenticated-User-Email: {uid}",
     "X-Remote-User: {uid}", "Remote-User: {uid}", "Forwarded: for=127.0.0.1;by={uid}", "X-Forwarded-For: 127.0.0.1",
     "X-Service-Token: {uid}", "Proxy-Authorization: Bearer {token}", "Cookie: access_token={token}"],
)  # fmt: skip
async def test_no_other_header_says_who_somebody_is(
    backend: Backend, forger: Forger, thief: App, victim: Victim, line: str
) -> None:
    claim = line.format(uid=victim.app.uid, token=forger.access_token())
    answer = await ask(backend.port, get(_profile(forger), f"Authorization: Bearer {thief.bearer}", claim))
    assert answer.status == 403, answer.body
    if backend.mode == "required":
        assert (await ask(backend.port, get(_profile(forger), claim))).status == 401


def test_keys_are_rotated_by_restarts_and_no_token_of_a_live_key_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    old, new = AccessIssuer(secrets.token_bytes(32)), AccessIssuer(secrets.token_bytes(32))
    file = tmp_path / "kept" / "access-token.key"
    file.parent.mkdir(mode=0o700)
    uid = f"{uuid.uuid4().hex}@example.com"
    signed_by = {"old": old.token(sub=uid), "new": new.token(sub=uid)}

    def accepted(keys: tuple[AccessIssuer, ...]) -> tuple[str, set[str]]:
        """The id of the key that signs, and whose tokens are let in, with ``keys`` in ACCESS_TOKEN_KEYS' form."""
        file.write_text(",".join(_base64(key.seed) for key in keys))
        with Embedded("required", issuer, tmp_path) as running:
            fresh = App(running.url, uid).login(issuer.token(uid)).json()["access_token"]
            in_use = jwt.get_unverified_header(fresh)["kid"]
            apps = {name: App(running.url, uid, bearer=token) for name, token in signed_by.items()}
            path = f"/v1/tasks?userID={uid}"
            return in_use, {name for name, app in apps.items() if app.request("GET", path).status == 200}

    assert accepted((old,)) == (old.key_id, {"old"})
    assert accepted((old, new)) == (old.key_id, {"old", "new"})
    assert accepted((new, old)) == (new.key_id, {"old", "new"})
    assert accepted((new,)) == (new.key_id, {"new"})


def _base64(seed: bytes) -> str:
    return base64.b64encode(seed).decode()


def test_a_key_is_rotated_while_the_rest_runs_and_nobody_notices(
    backend: Backend, stack: Compose, victim: Victim
) -> None:
    uid = victim.app.uid
    before = App(backend.url, uid, bearer=victim.app.login(backend.issuer.token(uid)).json()["access_token"])
    first = stack.secrets["ACCESS_TOKEN_KEYS"]
    new = AccessIssuer(secrets.token_bytes(32))
    second = _base64(new.seed)
    refusals: list[int] = []
    asked = 0
    over = threading.Event()

    def go_on_asking() -> None:
        nonlocal asked
        while not over.is_set():
            status = before.request("GET", f"/v1/tasks/{victim.task_id}").status
            asked += 1
            if status != 200:
                refusals.append(status)
            time.sleep(0.05)

    with ThreadPoolExecutor(16) as pool:  # so that every replica has seen the keys: one that has not needs auth
        warm = pool.map(lambda _: before.request("GET", f"/v1/tasks/{victim.task_id}").status, range(64))
        assert set(warm) == {200}
    phone = threading.Thread(target=go_on_asking)
    phone.start()
    try:
        stack.restart_with("auth", ACCESS_TOKEN_KEYS=f"{first},{second}")
        # The runbook waits until every copy of the keys has run out. Until then a key that a copy lacks is looked up,
        # but not again so soon after the last look.
        time.sleep(LEAST_REFETCH_SECONDS)
        stack.restart_with("auth", ACCESS_TOKEN_KEYS=f"{second},{first}")
        after = App(backend.url, uid, bearer=before.login(backend.issuer.token(uid)).json()["access_token"])
        assert jwt.get_unverified_header(after.bearer or "")["kid"] == new.key_id
        assert after.request("GET", f"/v1/tasks/{victim.task_id}").status == 200
    finally:
        over.set()
        phone.join()
        stack.restart_with("auth", ACCESS_TOKEN_KEYS=first)
    assert asked > 20
    assert not refusals
