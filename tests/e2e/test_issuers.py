"""Sign-in without Google: an issuer on this machine that behaves like Apple's, through the gateway of a whole system.

Only embedded: an issuer is believed over https or on loopback, and a container has a loopback of its own.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.e2e.app import App, task
from tests.e2e.conftest import Embedded
from tests.e2e.issuer import Issuer

CLIENT_ID = "com.example.audit"
SUBJECT = "001234.5f6a7b8c.0815"
RELAY = "x7k2m9@privaterelay.appleid.com"


def new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Apple:
    """Publishes its discovery document and its keys; says an address in the first token only, and verified as text."""

    url: str = ""
    keys: dict[str, RSAPrivateKey] = field(default_factory=lambda: {"A1": new_key()})

    def answer(self, path: str) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/auth/keys"}
        if path == "/auth/keys":
            public = jwt.algorithms.RSAAlgorithm.to_jwk
            made = [{**json.loads(public(k.public_key())), "kid": kid, "alg": "RS256"} for kid, k in self.keys.items()]
            return {"keys": made}
        return None

    def token(self, *, first: bool = False, **changes: Any) -> str:
        kid, present = next(reversed(self.keys)), int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "sub": SUBJECT, "iat": present, "exp": present + 86400}
        if first:
            claims |= {"email": RELAY, "email_verified": "true", "is_private_email": "true"}
        return jwt.encode(claims | changes, self.keys[kid], "RS256", headers={"kid": kid})


@contextmanager
def publishing() -> Iterator[Apple]:
    apple = Apple()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = apple.answer(self.path)
            body = json.dumps(said).encode()
            self.send_response(404 if said is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "max-age=0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    apple.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield apple
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def apple() -> Iterator[Apple]:
    with publishing() as running:
        yield running


@pytest.fixture(scope="module", params=["legacy", "required"])
def without_google(
    request: pytest.FixtureRequest, apple: Apple, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Embedded]:
    settings = {"GOOGLE_CLIENT_IDS": "", "GOOGLE_CERTS_URL": "", "OIDC_ISSUERS": f"{apple.url} {CLIENT_ID}"}
    with Embedded(request.param, issuer, tmp_path_factory.mktemp("data"), settings) as running:
        yield running


def test_a_page_learns_whom_one_can_sign_in_with(without_google: Embedded, apple: Apple) -> None:
    answer = App(without_google.url, "").request("GET", "/v1/sign_in")
    discovery = f"{apple.url}/.well-known/openid-configuration"
    expected = {"issuer": apple.url, "clientIds": [CLIENT_ID], "discovery": discovery, "developmentTokenUrl": None}
    assert (answer.status, answer.json()) == (200, {"issuers": [expected]})
    assert App(without_google.url, "").post_json("/dev/token", {"email": "me@example.com"}).status == 404


def test_somebody_with_a_private_relay_address_keeps_the_account(without_google: Embedded, apple: Apple) -> None:
    app = App(without_google.url, RELAY)
    assert app.login(apple.token(first=True)).json()["user_id"] == RELAY
    app.bearer = apple.token()
    assert app.update_profile(zip="15213").status == 200
    sent = task()
    assert app.submit(sent, []).status == 200
    for uid in (RELAY, SUBJECT):
        later = App(without_google.url, uid)
        answer = later.login(apple.token())
        assert (answer.status, answer.json()["action"]) == (200, "exists")
        later.bearer = answer.json()["access_token"]
        assert later.request("GET", f"/v1/profile?userID={uid}").json()["zipCode"] == "15213"
        assert [t["taskID"] for t in later.request("GET", f"/v1/tasks?userID={uid}").json()["tasks"]] == [sent["id"]]
    stranger = App(without_google.url, RELAY)
    assert stranger.login(apple.token(sub="another")).status == 401


def test_a_rotated_key_signs_people_in(without_google: Embedded, apple: Apple) -> None:
    app = App(without_google.url, SUBJECT, bearer=apple.token())
    assert app.login(apple.token()).status == 200
    apple.keys[f"A{time.time_ns()}"] = new_key()
    deadline = time.monotonic() + 30  # a forced look is taken every ten seconds at most
    while app.login(apple.token()).status != 200:
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_google_token_opens_nothing_where_google_is_not_trusted(without_google: Embedded, issuer: Issuer) -> None:
    app = App(without_google.url, "me@example.com")
    assert app.login(issuer.token("me@example.com")).status == 401
    app.bearer = issuer.token("me@example.com")
    assert app.request("GET", "/v1/tasks?userID=me@example.com").status == 401
