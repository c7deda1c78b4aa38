"""The development issuer: tokens like Google's, for callers on this machine only."""

import json
from typing import Any

import pytest

from deploy.embedded.issuer import CLIENT_ID, create_issuer, new_key
from services.chassis.identity import GoogleTokens
from tests.tokens import Published

ISSUER = create_issuer(new_key())


async def ask(
    method: str,
    path: str,
    body: object = None,
    client: tuple[str, int] | None = ("127.0.0.1", 1),
    host: str = "127.0.0.1:8000",
) -> Any:
    """One request straight to the ASGI app; (status, JSON)."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", host.encode()),
            (b"content-type", b"application/json"),
            (b"x-forwarded-for", b"127.0.0.1"),
        ],
        "client": client,
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await ISSUER(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


async def test_a_token_proves_the_address_as_one_of_googles_would() -> None:
    status, answer = await ask("POST", "/token", {"email": "Me@Example.com"})
    assert (status, answer["expires_in"]) == (200, 3600)
    _, keys = await ask("GET", "/certs")
    checks = GoogleTokens(Published(json.dumps(keys).encode()), [CLIENT_ID])
    person = (await checks.prove(answer["id_token"])).identity
    assert person.may_use("me@example.com")
    assert not person.may_use("you@example.com")


async def test_the_private_key_is_not_published() -> None:
    _, keys = await ask("GET", "/certs")
    assert [set(key) for key in keys["keys"]] == [{"kty", "n", "e", "kid", "use", "alg", "key_ops"}]
    assert keys["keys"][0]["key_ops"] == ["verify"]


@pytest.mark.parametrize("client", [("192.168.1.5", 1), ("10.0.2.2", 1), ("2001:db8::1", 1), ("", 1), None])
async def test_callers_from_elsewhere_get_no_token_whatever_they_claim(client: Any) -> None:
    status, answer = await ask("POST", "/token", {"email": "me@example.com"}, client)
    assert status == 403
    assert "id_token" not in answer


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("127.1.2.3", 1), ("::1", 1)])
async def test_callers_on_this_machine_get_one(client: Any) -> None:
    assert (await ask("POST", "/token", {"email": "me@example.com"}, client))[0] == 200


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST", "0.0.0.0:8000"])
async def test_callers_who_know_that_they_ask_this_machine_get_one(host: str) -> None:
    assert (await ask("POST", "/token", {"email": "me@example.com"}, host=host))[0] == 200


@pytest.mark.parametrize("host", ["rebound.example.com:8000", "127.0.0.1.example.com", "[", "", "192.168.1.5:8000"])
async def test_a_page_whose_name_was_made_to_lead_here_gets_none(host: str) -> None:
    status, answer = await ask("POST", "/token", {"email": "me@example.com"}, host=host)
    assert status == 403
    assert "id_token" not in answer


@pytest.mark.parametrize("body", [None, {}, {"email": "no address"}, {"email": "@" * 255}, {"email": 5}, []])
async def test_a_request_of_the_wrong_form_is_refused(body: object) -> None:
    assert (await ask("POST", "/token", body))[0] == 422
