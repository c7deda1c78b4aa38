"""Who passes the door, in both modes, with both kinds of token; how often, and with how many requests at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from gateway import routes
from gateway.access import Admission, Admitted
from gateway.routes import PUBLIC_ROUTES
from gateway.settings import GatewaySettings
from services.chassis.metrics import Metrics
from tests.unit.gateway.door import Door, opened
from tests.unit.gateway.tokens import Auth
from tests.unit.gateway.wire import PATIENCE, Answer, Connection, ask, chunked_post, connected, get, post

OPEN = ["/", "/auth/", "/leakage/", "/auth", "/leakage", "/healthz", "/readyz", "/docs", "/.well-known/jwks.json"]


async def tasks(door: Door, *headers: str) -> Answer:
    return await ask(door.port, get("/v1/tasks", *headers))


async def test_required_mode_lets_nobody_in_without_a_token():
    async with opened(auth_mode="required", same_process=True) as door:
        for route in PUBLIC_ROUTES:
            for path in route.paths:
                request = post(path, b"{}").replace(b"POST", route.method.encode(), 1)
                answer = await ask(door.port, request)
                assert answer.status == (401 if route.needs_token else 200), path
                if route.needs_token:
                    assert answer.header("www-authenticate") == "Bearer"
        assert set(door.auth.paths) == {"/login", "/v1/sign_in"}
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


# How often


def login(*headers: str) -> bytes:
    return post("/auth/login", b'{"id_token": "x", "uid": "y"}', *headers)


def refused(door: Door, limit: str, by: str) -> float | None:
    return door.metrics.registry.get_sample_value("requests_refused_total", {"limit": limit, "by": by})


async def statuses(door: Door, *requests: bytes) -> list[int]:
    return [(await ask(door.port, request)).status for request in requests]


async def test_sign_ins_are_counted_by_address_on_all_paths_together():
    async with opened(limit_login="2/day", people_per_address=1, same_process=True) as door:
        assert await statuses(door, login(), post("/login", b"{}")) == [200, 200]
        answer = await ask(door.port, login())
        assert door.auth.paths == ["/login", "/login"]
    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["title"]) == (429, 429, "Too Many Requests")
    assert answer.header("content-type") == "application/problem+json"
    assert problem["detail"] == "Too many sign-ins came from your network. Please try again in 720 minutes."
    assert problem["correlationId"] == answer.header("x-correlation-id")
    assert 43_190 <= int(answer.header("retry-after") or 0) <= 43_200
    assert refused(door, "login", "address") == 1


async def test_a_request_is_refused_before_a_byte_of_its_body_is_read():
    async with opened(limit_login="1/day", people_per_address=1) as door, connected(door.port) as connection:
        assert await statuses(door, login()) == [200]
        await connection.send(
            b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await connection.answer()).status == 429  # and no 100 before it


@pytest.mark.parametrize("mode", ["required", "legacy"])
async def test_wrong_tokens_are_counted_by_address_before_they_are_looked_at(mode: str):
    async with opened(auth_mode=mode, limit_other="3/day", people_per_address=1, keys=False) as door:
        wrong = get("/v1/tasks", "Authorization: Bearer nonsense")
        assert await statuses(door, wrong, wrong, wrong, wrong) == [401, 401, 401, 429]
        assert refused(door, "other", "address") == 1


async def test_a_person_is_counted_whatever_address_and_token_they_use():
    settings = {"limit_submit": "3/day", "people_per_address": 100, "trusted_proxies": "127.0.0.0/8"}
    async with opened(same_process=True, **settings) as door:
        tokens = [door.issuer.token(), door.google.token(), door.issuer.token(sub="Someone@Example.com")]
        for number, token in enumerate(tokens):
            headers = (f"Authorization: Bearer {token}", f"X-Forwarded-For: 203.0.113.{number}")
            assert await statuses(door, post("/detect_leak", b"x", *headers)) == [200]
        bearer, elsewhere = (
            f"Authorization: Bearer {door.google.token(email='renamed@example.com')}",
            "X-Forwarded-For: 203.0.113.9",
        )
        answer = await ask(door.port, post("/leakage/detect_leak", b"x", bearer, elsewhere))
        other = f"Authorization: Bearer {door.issuer.token(sub='other@example.com')}"
        assert await statuses(door, post("/detect_leak", b"x", other, elsewhere)) == [200]
    assert answer.status == 429
    assert json.loads(answer.body)["detail"].startswith("You have sent too many submissions. Please try again in ")
    assert refused(door, "submit", "person") == 1


async def test_an_address_may_do_for_several_people_what_one_may():
    async with opened(limit_submit="1/day", people_per_address=2, same_process=True) as door:
        for name, expected in (("a", 200), ("b", 200), ("c", 429)):
            bearer = f"Authorization: Bearer {door.issuer.token(sub=f'{name}@example.com')}"
            assert await statuses(door, post("/detect_leak", b"x", bearer)) == [expected]
        assert refused(door, "submit", "address") == 1


async def test_without_a_token_only_the_address_is_counted():
    async with opened(auth_mode="legacy", limit_submit="1/day", people_per_address=2, same_process=True) as door:
        submission = post("/detect_leak", b"x")
        assert await statuses(door, submission, submission, submission) == [200, 200, 429]


async def test_a_claimed_address_changes_nothing_when_the_peer_is_no_trusted_proxy():
    async with opened(limit_login="1/day", people_per_address=1) as door:
        for number, expected in ((1, 200), (2, 429), (3, 429)):
            claims = (
                f"X-Forwarded-For: 203.0.113.{number}",
                f"Forwarded: for=203.0.113.{number}",
                f"X-Real-IP: ::{number}",
            )
            assert await statuses(door, login(*claims)) == [expected]


async def test_behind_a_trusted_proxy_clients_are_told_apart_and_cannot_invent_others():
    settings = {"limit_login": "1/day", "people_per_address": 1, "trusted_proxies": "127.0.0.1/32"}
    async with opened(**settings) as door:
        first = login("X-Forwarded-For: 203.0.113.1")
        assert await statuses(door, first, login("X-Forwarded-For: 203.0.113.2"), first) == [200, 200, 429]
        assert await statuses(door, login("X-Forwarded-For: 198.51.100.5, 203.0.113.1")) == [429]
        assert await statuses(door, login("X-Forwarded-For: 198.51.100.5", "X-Forwarded-For: 203.0.113.1")) == [429]


async def test_kinds_of_requests_are_counted_apart():
    limits = {"limit_login": "1/day", "limit_submit": "1/day", "limit_poll": "1/day", "limit_other": "1/day"}
    async with opened(auth_mode="legacy", people_per_address=1, same_process=True, **limits) as door:
        kinds = (login(), post("/detect_leak", b"x"), get("/detect_leak/1"), get("/v1/tasks"))
        assert await statuses(door, *kinds) == [200, 200, 200, 200]
        assert await statuses(door, *kinds) == [429, 429, 429, 429]


async def test_the_gateways_own_answers_are_counted_and_signs_of_health_are_not():
    async with opened(limit_other="1/day", people_per_address=1, same_process=True) as door:
        assert await statuses(door, get("/"), get("/docs"), get("/openapi.json"), get("/auth/")) == [200, 429, 429, 429]
        assert await statuses(door, *[get("/healthz"), get("/readyz")] * 3) == [200] * 6


async def test_a_limit_that_is_off_counts_nobody():
    off = {"limit_login": "off", "limit_submit": "off", "limit_poll": "off", "limit_other": "off"}
    async with opened(auth_mode="legacy", people_per_address=1, same_process=True, **off) as door:
        for _ in range(200):
            assert await statuses(door, get("/detect_leak/1")) == [200]


async def test_a_household_of_phones_behind_one_address_is_not_limited_by_default():
    async with opened(auth_mode="legacy", same_process=True) as door:
        for _ in range(5):  # phones, each of which signs in, submits twice, and polls both jobs for as long as it does
            assert await statuses(door, login(), *[post("/detect_leak", b"x")] * 2) == [200] * 3
            assert await statuses(door, *[get("/detect_leak/1")] * 46) == [200] * 46


async def test_no_log_tells_whose_request_was_refused():
    with capture_logs() as logs:
        async with opened(limit_other="1/day", people_per_address=1, trusted_proxies="127.0.0.1/32") as door:
            bearer = f"Authorization: Bearer {door.issuer.token(sub='secret@example.com')}"
            requests = [get("/v1/tasks", bearer, "X-Forwarded-For: 203.0.113.77")] * 2
            assert await statuses(door, *requests) == [200, 429]
    assert "secret" not in repr(logs)
    assert "203.0.113" not in repr(logs)


# How many at a time


@asynccontextmanager
async def uploading(door: Door, *headers: str) -> AsyncIterator[Connection]:
    """A submission that has passed the door, and of whose body nothing has come."""
    async with connected(door.port) as connection:
        lines = ["POST /detect_leak HTTP/1.1", "Host: x", "Content-Length: 4", "Expect: 100-continue", *headers, "", ""]
        await connection.send("\r\n".join(lines).encode())
        assert (await connection.head()).status == 100  # the service has asked for the body
        yield connection


async def eventually(door: Door, status: int, request: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await ask(door.port, request)).status != status:
            await asyncio.sleep(0.01)


async def test_uploads_at_a_time_are_limited_by_person():
    async with opened(uploads_per_person=1, same_process=True) as door:
        mine = f"Authorization: Bearer {door.issuer.token()}"
        mine_too = f"Authorization: Bearer {door.google.token()}"
        other = f"Authorization: Bearer {door.issuer.token(sub='other@example.com')}"
        async with uploading(door, mine) as upload:
            answer = await ask(door.port, post("/leakage/detect_leak", b"x", mine_too))
            assert (answer.status, answer.header("retry-after")) == (429, "5")
            assert refused(door, "uploads", "person") == 1
            assert await statuses(door, post("/detect_leak", b"x", other), get("/v1/tasks", mine)) == [200, 200]
            await upload.send(b"done")
            assert (await upload.answer()).status == 200
        assert await statuses(door, post("/detect_leak", b"x", mine)) == [200]


async def test_uploads_at_a_time_without_a_token_are_limited_by_address():
    settings = {"without_token_per_address": 2, "trusted_proxies": "127.0.0.1/32"}
    async with opened(auth_mode="legacy", same_process=True, **settings) as door:
        here, elsewhere = "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.2"
        async with uploading(door, here), uploading(door, here):
            assert await statuses(door, post("/detect_leak", b"x", here)) == [429]
            assert refused(door, "uploads_without_token", "address") == 1
            assert await statuses(door, post("/detect_leak", b"x", elsewhere)) == [200]


async def test_uploads_at_a_time_are_limited_for_everybody_together():
    async with opened(uploads_at_once=2, same_process=True) as door:
        a, b, c = (f"Authorization: Bearer {door.issuer.token(sub=f'{name}@example.com')}" for name in "abc")
        async with uploading(door, a), uploading(door, b):
            answer = await ask(door.port, post("/detect_leak", b"x", c))
            assert (answer.status, answer.header("retry-after")) == (503, "5")
            assert json.loads(answer.body)["detail"].startswith("Very many people are here right now.")
            assert refused(door, "uploads", "all") == 1
            assert await statuses(door, get("/detect_leak/1", c), login()) == [200, 200]


async def test_uploads_without_a_token_keep_nobody_from_signing_in_or_from_uploading_with_one():
    async with opened(auth_mode="legacy", without_token_at_once=2, same_process=True) as door:
        mine = f"Authorization: Bearer {door.issuer.token()}"
        async with uploading(door), uploading(door):
            assert await statuses(door, post("/detect_leak", b"x")) == [503]
            assert refused(door, "uploads_without_token", "all") == 1
            requests = (login(), get("/detect_leak/1"), post("/detect_leak", b"x", mine))
            assert await statuses(door, *requests) == [200, 200, 200]


@asynccontextmanager
async def signing_in_slowly(door: Door, address: str) -> AsyncIterator[Connection]:
    """A sign-in that has passed the door, and of whose body nothing has come."""
    async with connected(door.port) as connection:
        await connection.send(
            b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
            b"X-Forwarded-For: " + address.encode() + b"\r\n\r\n"
        )
        assert (await connection.head()).status == 100
        yield connection


async def test_slow_sign_ins_are_limited_by_address():
    settings = {"without_token_per_address": 1, "trusted_proxies": "127.0.0.1/32"}
    async with opened(same_process=True, **settings) as door, signing_in_slowly(door, "203.0.113.1"):
        assert await statuses(door, login("X-Forwarded-For: 203.0.113.1")) == [429]
        assert refused(door, "sign_ins_without_token", "address") == 1
        assert await statuses(door, login("X-Forwarded-For: 203.0.113.2")) == [200]


@pytest.mark.parametrize("mode", ["required", "legacy"])
async def test_slow_sign_ins_that_hold_every_place_keep_nobody_from_submitting(mode: str):
    async with opened(auth_mode=mode, without_token_at_once=1, uploads_at_once=1, same_process=True) as door:
        mine = f"Authorization: Bearer {door.issuer.token()}"
        async with signing_in_slowly(door, "203.0.113.1"):
            assert await statuses(door, login()) == [503]
            assert await statuses(door, post("/detect_leak", b"x", mine), get("/detect_leak/1", mine)) == [200, 200]
            if mode == "legacy":
                assert await statuses(door, post("/detect_leak", b"x"), get("/detect_leak/1")) == [200, 200]


@pytest.mark.usefixtures("short_linger")
async def test_a_sign_in_that_is_not_sent_within_seconds_is_refused_and_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch,
):
    assert routes.JSON_SECONDS <= 10
    monkeypatch.setattr(routes, "JSON_SECONDS", 0.1)
    async with opened(without_token_at_once=1, same_process=True) as door:
        async with signing_in_slowly(door, "203.0.113.1") as slow:
            assert (await slow.answer()).status == 408
        assert await statuses(door, login()) == [200]


async def test_answers_that_are_taken_slowly_are_limited_by_client():
    taken = asyncio.Event()

    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        await taken.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = Admitted(service, admission(without_token_per_address=2), "other", needs_token=False)

    async def status(address: str) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await app(scope(address), never_called, send)
        code: int = sent[0]["status"]
        return code

    slow = [asyncio.create_task(status("203.0.113.1")) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        assert await status("203.0.113.1") == 429
    taken.set()
    assert await status("203.0.113.2") == 200
    assert await asyncio.gather(*slow) == [200, 200]
    assert await status("203.0.113.1") == 200


@pytest.mark.parametrize("same_process", [False, True], ids=["behind sockets", "in the same process"])
async def test_an_upload_that_is_abandoned_gives_its_place_back(same_process: bool):
    async with opened(auth_mode="legacy", without_token_at_once=1, same_process=same_process) as door:
        async with uploading(door):
            assert await statuses(door, post("/detect_leak", b"x")) == [503]
        await eventually(door, 200, post("/detect_leak", b"x"))


@pytest.mark.usefixtures("short_linger")
@pytest.mark.parametrize(
    ("begun", "status"),
    [
        pytest.param(post("/detect_leak", b"x" * 2000), 413, id="too large by its length"),
        pytest.param(chunked_post("/detect_leak", b"x" * 2000), 413, id="too large"),
        pytest.param(chunked_post("/detect_leak", b"x", end=False), 408, id="too slow"),
    ],
)
async def test_an_upload_that_is_refused_gives_its_place_back(
    begun: bytes, status: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(routes, "IDLE_SECONDS", 0.1)
    async with opened(auth_mode="legacy", without_token_at_once=1, max_upload_bytes=1000) as door:
        for _ in range(3):
            assert await statuses(door, begun) == [status]
        assert await statuses(door, post("/detect_leak", b"x")) == [200]


@pytest.mark.parametrize("ending", [RuntimeError, asyncio.CancelledError])
async def test_an_upload_gives_its_place_back_when_the_service_fails_or_the_task_is_cancelled(
    ending: type[BaseException],
):
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ending

    app = Admitted(failing, admission(without_token_at_once=1), "submit", needs_token=False)
    for _ in range(3):
        with pytest.raises(ending):
            await app(scope("203.0.113.1", (b"content-length", b"5")), never_called, never_called)


def admission(**settings: Any) -> Admission:
    environment = {"auth_url": "http://a", "tasks_url": "http://t", "google_client_ids": ("x",)}
    return Admission(GatewaySettings(**environment, **settings), Metrics())


def scope(address: str, *headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "method": "GET", "client": (address, 1), "headers": list(headers)}


async def never_called(*_: object) -> Any:
    raise AssertionError
