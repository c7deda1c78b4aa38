"""Who passes the door, in both modes, with both kinds of token."""

import json

import pytest

from gateway.routes import PUBLIC_ROUTES
from tests.unit.gateway.door import Door, opened
from tests.unit.gateway.tokens import Auth
from tests.unit.gateway.wire import Answer, ask, connected, get, post

OPEN = ["/", "/auth/", "/leakage/", "/auth", "/leakage", "/healthz", "/readyz", "/docs", "/.well-known/jwks.json"]


async def tasks(door: Door, *headers: str) -> Answer:
    return await ask(door.port, get("/v1/tasks", *headers))


async def test_required_mode_lets_nobody_in_without_a_token():
    async with opened(auth_mode="required", same_process=True) as door:
        for route in PUBLIC_ROUTES:
            for path in route.paths:
                request = get(path) if route.method == "GET" else post(path, b"{}")
                answer = await ask(door.port, request)
                assert answer.status == (401 if route.needs_token else 200), path
                if route.needs_token:
                    assert answer.header("www-authenticate") == "Bearer"
        assert set(door.auth.paths) == {"/login"}
        assert door.tasks.paths == []


async def test_sign_in_health_and_documentation_are_open_to_everybody():
    async with opened(auth_mode="required", same_process=True) as door:
        for path in OPEN:
            assert (await ask(door.port, get(path))).status == 200, path


async def test_an_access_token_is_let_in():
    async with opened(auth_mode="required") as door:
        assert (await tasks(door, f"Authorization: Bearer {door.issuer.token()}")).status == 200


async def test_a_google_token_is_let_in():
    async with opened(auth_mode="required") as door:
        assert (await tasks(door, f"Authorization: Bearer {door.google.token()}")).status == 200


@pytest.mark.parametrize("mode", ["required", "legacy"])
async def test_a_bad_token_is_refused_in_both_modes(mode: str):
    async with opened(auth_mode=mode) as door:
        good = door.issuer.token()
        head, payload, signature = good.split(".")
        for header in (
            "Bearer nonsense",
            "Bearer",
            "Basic c29tZTpib2R5",
            f"Bearer {head}.{payload}.",
            f"Bearer {head}.{payload}.{'A' * len(signature)}",
            f"Bearer {Auth().token()}",
            f"Bearer {door.issuer.token(exp=1)}",
            f"Bearer {door.issuer.token(aud='other')}",
            f"Bearer {door.google.token(aud='other')}",
            f"Bearer {door.google.token(exp=1)}",
            f"Bearer {door.google.token(email_verified=False)}",
            f"Bearer {door.google.token(iss='https://elsewhere.example')}",
        ):
            answer = await tasks(door, f"Authorization: {header}")
            assert (answer.status, answer.header("www-authenticate")) == (401, "Bearer"), header
            assert json.loads(answer.body)["detail"].startswith("Invalid token: ")
            assert signature not in answer.body.decode()
        assert door.tasks.paths == []


async def test_legacy_mode_lets_requests_without_a_token_in():
    async with opened(auth_mode="legacy") as door:
        assert (await tasks(door)).status == 200


async def test_two_authorization_headers_are_one_too_many():
    async with opened(auth_mode="legacy") as door:
        header = f"Authorization: Bearer {door.issuer.token()}"
        assert (await tasks(door, header, header)).status == 400
        assert door.tasks.paths == []


async def test_when_the_keys_cannot_be_fetched_nobody_is_called_a_liar():
    async with opened(auth_mode="required", keys=False) as door:
        for token in (door.issuer.token(), door.google.token()):
            answer = await tasks(door, f"Authorization: Bearer {token}")
            assert (answer.status, answer.header("retry-after")) == (503, "5")


async def test_nobody_uploads_before_the_token_was_checked():
    async with opened(auth_mode="required", same_process=True) as door, connected(door.port) as connection:
        await connection.send(b"POST /detect_leak HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        assert (await connection.answer()).status == 401
        assert door.tasks.paths == []
