"""The gateway as a whole: its own answers, its readiness, what it counts, and that it holds nothing."""

import json
import re

import pytest
from structlog.testing import capture_logs

from gateway import documentation, readiness
from services.chassis.health import KEYS
from tests.unit.gateway.door import Door, opened
from tests.unit.gateway.wire import ask, get, post


def counted(door: Door, **labels: str) -> float | None:
    return door.metrics.registry.get_sample_value("http_requests_total", {"service": "gateway", **labels})


@pytest.mark.parametrize("path", ["/", "/auth", "/auth/", "/leakage", "/leakage/"])
async def test_the_status_routes_answer_with_a_small_object(path: str):
    async with opened(same_process=True) as door:
        answer = await ask(door.port, get(path))
    told = json.loads(answer.body)
    assert (answer.status, set(told), type(told["status"])) == (200, {"status", "service"}, str)


@pytest.mark.parametrize("same_process", [False, True])
async def test_it_is_ready_when_both_services_are(same_process: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0)
    async with opened(same_process=same_process) as door:
        answer = await ask(door.port, get("/readyz"))
        assert (answer.status, json.loads(answer.body)["checks"]) == (200, {"auth": "ok", "tasks": "ok", KEYS: "ok"})
        door.tasks.ready = False
        answer = await ask(door.port, get("/readyz"))
        assert (answer.status, json.loads(answer.body)["checks"]) == (
            503,
            {"auth": "ok", "tasks": "failed", KEYS: "ok"},
        )


async def test_it_is_alive_but_not_ready_while_a_service_is_away():
    async with opened(auth_url="http://127.0.0.1:9") as door:
        assert (await ask(door.port, get("/healthz"))).status == 200
        answer = await ask(door.port, get("/readyz"))
    assert (answer.status, json.loads(answer.body)["checks"]) == (503, {"auth": "failed", "tasks": "ok", KEYS: "ok"})


async def test_requests_are_counted_and_logged_by_route_and_never_by_path():
    with capture_logs() as logs:
        async with opened(auth_mode="legacy", same_process=True) as door:
            await ask(door.port, get("/leakage/detect_leak/secret-id"))
            await ask(door.port, post("/login", b"{}"))
            await ask(door.port, get("/nothing/secret-id"))
            await ask(door.port, get("/"))
    assert counted(door, method="GET", route="/leakage/detect_leak/{job_id}", status="200") == 1
    assert counted(door, method="POST", route="/login", status="200") == 1
    assert counted(door, method="GET", route="unknown", status="404") == 1
    assert counted(door, method="GET", route="/", status="200") == 1
    assert "secret-id" not in repr(logs)


async def test_metrics_are_not_served_to_the_public():
    async with opened(auth_mode="legacy", same_process=True) as door:
        assert (await ask(door.port, get("/metrics"))).status == 404


async def test_the_documentation_is_the_committed_one(tmp_path, monkeypatch):
    committed = tmp_path / "openapi.yaml"
    committed.write_text("openapi: 3.1.0\npaths: {/login: {}}\n")
    monkeypatch.setattr(documentation, "COMMITTED", committed)
    async with opened(same_process=True) as door:
        answer = await ask(door.port, get("/openapi.json"))
        page = await ask(door.port, get("/docs"))
    assert json.loads(answer.body) == {"openapi": "3.1.0", "paths": {"/login": {}}}
    assert answer.header("content-type") == "application/json"
    assert b"/openapi.json" in page.body


async def test_the_page_of_the_documentation_loads_nothing_from_elsewhere():
    async with opened(same_process=True) as door:
        page = await ask(door.port, get("/docs"))
        loaded = re.findall(rb'(?:src|href)="([^"]+)"', page.body)
        assets = [await ask(door.port, get(path.decode())) for path in loaded]
    assert len(loaded) == 3
    assert all(path.startswith(b"/docs/assets/") for path in loaded)
    assert [asset.status for asset in assets] == [200, 200, 200]
    policy = page.header("content-security-policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


@pytest.mark.parametrize(
    "head",
    [
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2 2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\nab",
        b'POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ],
)
async def test_a_request_whose_length_can_be_read_in_two_ways_reaches_no_service(head: bytes):
    async with opened(auth_mode="legacy") as door:
        assert (await ask(door.port, head)).status == 400
        assert door.auth.paths == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAccept: a\r\n X-User: me\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\nHost: x\n\n",
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\nX-User: me\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAccept: a\rX-User: me\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAccept: a\0b\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nX-User : me\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\n: me\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nHost: tasks:8002\r\n\r\n",
        b"GET /v1/tasks\r\n\r\n",
        b"GET /v1/tasks HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET /v1/tasks HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"get /v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET \\v1\\tasks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/tasks\t/x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1 x\r\nHost: x\r\n\r\n",
        b"GET /v1/tasks/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://tasks:8002 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://tasks:99999999/v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT tasks:8002 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_a_head_that_another_server_may_read_in_another_way_reaches_no_service(head: bytes):
    async with opened(auth_mode="legacy") as door:
        answer = await ask(door.port, head)
        assert (door.auth.paths, door.tasks.paths) == ([], [])
    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], answer.header("connection")) == (400, 400, "close")
    assert answer.header("content-type") == "application/problem+json"
    assert problem["correlationId"] == answer.header("x-correlation-id")


async def test_what_follows_a_wish_to_upgrade_is_not_taken_for_a_request():
    async with opened(auth_mode="legacy", same_process=True) as door:
        hidden = get("/v1/tasks/hidden")
        answer = await ask(door.port, get("/v1/tasks", "Connection: Upgrade", "Upgrade: h2c") + hidden)
        assert (answer.status, door.tasks.paths) == (200, ["/v1/tasks"])
