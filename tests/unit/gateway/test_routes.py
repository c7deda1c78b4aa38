"""Only the public routes are forwarded, each to its service, and nothing that a client claims in a header."""

import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.routes import PUBLIC_ROUTES, PublicRoute
from tests.unit.gateway.door import Door, opened, told
from tests.unit.gateway.wire import ask, chunked_post, get, post

WAYS = {"behind sockets": False, "in the same process": True}
BOTH_WAYS = pytest.mark.parametrize("same_process", WAYS.values(), ids=WAYS)
PATHS = [(route, path) for route in PUBLIC_ROUTES for path in route.paths]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS.values(), ids=WAYS)
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    """One gateway for the many paths that are only asked for."""
    async with opened(same_process=request.param, auth_mode="legacy") as door:
        yield door


def request(route: PublicRoute, path: str) -> bytes:
    return post(path, b"{}") if route.method == "POST" else get(path).replace(b"GET", route.method.encode(), 1)


@BOTH_WAYS
async def test_every_public_path_reaches_the_path_of_its_service(same_process: bool):
    async with opened(same_process=same_process, auth_mode="legacy") as door:
        for route, path in PATHS:
            answer = await ask(door.port, request(route, re.sub(r"\{\w+\}", "some-id", path)))
            assert answer.status == 200, path
            if route.name != "read_keys":
                reached = told(answer.body)
                expected = [route.service, route.method, re.sub(r"\{\w+\}", "some-id", route.path)]
                assert [reached["service"], reached["method"], reached["path"]] == expected


async def test_the_public_paths_are_the_ones_that_the_app_calls_and_the_ones_that_were_documented():
    assert sorted((route.method, path) for route, path in PATHS) == [
        ("DELETE", "/v1/account"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/detect_leak/{job_id}"),
        ("GET", "/leakage/detect_leak/{job_id}"),
        ("GET", "/v1/account/export"),
        ("GET", "/v1/profile"),
        ("GET", "/v1/sign_in"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tasks/{task_id}"),
        ("GET", "/v1/tasks/{task_id}/photos/{photo_id}"),
        ("POST", "/auth/login"),
        ("POST", "/auth/update_profile"),
        ("POST", "/detect_leak"),
        ("POST", "/leakage/detect_leak"),
        ("POST", "/login"),
        ("POST", "/update_profile"),
        ("POST", "/v1/sign_out"),
    ]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "path",
    [
        "/internal/jobs/1/photos/2",
        "/leakage/internal/jobs/1/photos/2",
        "/metrics",
        "/auth/metrics",
        "/auth/readyz",
        "/leakage/readyz",
        "/v1/tasks/",
        "/v1//tasks",
        "//v1/tasks",
        "/detect_leak/",
        "/detect_leak/..",
        "/detect_leak/.",
        "/detect_leak/%2e%2e",
        "/detect_leak/%2E",
        "/detect_leak/a/b",
        "/detect_leak/a%2Fb",
        "/detect_leak/..%2Finternal",
        "/detect_leak/%2e%2e%2finternal%2fjobs",
        "/v1/tasks/../../internal",
        "/v1/tasks/%2e%2e/photos/x",
        "/v1/tasks/x/photos/%2e%2e",
        "/v1/tasks/x/photos/..",
        "/V1/tasks",
        "/v1/tasks%20",
        "/v1/tasks%00",
        "/docs/oauth2-redirect",
        "//tasks:8002/internal/jobs/1",
        "/v1/tasks/..;",
        "/v1/tasks/..%3Bx",
        "/v1/tasks/..;/internal",
        "/v1/tasks;/../internal",
        "/v1/tasks/../../metrics",
        "/v1/tasks/./x",
        "/./v1/tasks",
        "/v1/../internal/jobs",
        "/v1/tasks/x/photos/y/../../../../internal",
        "/%2e%2e/internal/jobs",
        "/%2f/internal/jobs",
        "/internal%2fjobs",
        "/%69nternal/jobs/1",
        "/INTERNAL/jobs/1",
        "/v1/%74asks/%2e%2e%2f%2e%2e%2fmetrics",
        "/LEAKAGE/detect_leak/1",
        "/detect_leak/%2e%2E",
        "/v1/tasks/%2e%2e;/photos/x",
        "/dev/token",
        "/readyz/tasks",
        "http://tasks:8002/internal/jobs/1",
        "http://tasks:8002/v1/tasks/../../metrics",
        "HTTP://tasks:8002//v1/tasks",
        "*",
    ],
)
async def test_no_other_path_reaches_a_service(path: str, door: Door):
    reached = len(door.auth.paths), len(door.tasks.paths)
    answer = await ask(door.port, get(path))
    assert (len(door.auth.paths), len(door.tasks.paths)) == reached
    assert answer.status == 404
    assert json.loads(answer.body)["detail"] == "Not Found"
    assert answer.header("content-type") == "application/problem+json"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/tasks/%2fx",
        "/v1/tasks/a%3Fb",
        "/v1/tasks/a%23b",
        "/v1/tasks/a%25%32%46b",
        "/v1/tasks/%252e%252e",
        "/v1/tasks/..%5Cinternal",
        "/v1/tasks/...",
        "/v1/tasks/a%0D%0AX-User%3A%20me",
        "/v1/tasks/%00",
    ],
)
async def test_an_id_with_signs_that_mean_something_in_a_path_stays_an_id(path: str, door: Door):
    answer = await ask(door.port, get(path))
    if "%2f" in path:
        assert answer.status == 404
    else:
        reached = told(answer.body)
        assert reached["path"].count("/") == 3
        assert (reached["raw_path"], reached["query"]) == (path.replace("%32%46", "2F"), "")


@BOTH_WAYS
async def test_an_absolute_request_target_does_not_choose_the_server(same_process: bool):
    async with opened(same_process=same_process, auth_mode="legacy") as door:
        answer = await ask(door.port, get("http://127.0.0.1:9/v1/tasks"))
    assert told(answer.body)["path"] == "/v1/tasks"


@pytest.mark.parametrize("route", PUBLIC_ROUTES, ids=lambda route: route.name)
async def test_another_method_is_refused_and_told_which_one_is_allowed(route: PublicRoute):
    async with opened(same_process=True, auth_mode="legacy") as door:
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"} - {route.method}:
            request = get(route.paths[0]).replace(b"GET", method.encode(), 1)
            if method == "HEAD":
                continue  # the answer has no body to read
            answer = await ask(door.port, request)
            assert (answer.status, answer.header("allow")) == (405, route.method)
            assert json.loads(answer.body)["detail"] == "Method Not Allowed"
        assert door.auth.paths == door.tasks.paths == []


@BOTH_WAYS
async def test_a_client_cannot_speak_for_a_proxy_or_a_service(same_process: bool):
    claims = [
        "X-Forwarded-For: 1.2.3.4",
        "x-forwarded-HOST: tasks",
        "X-Forwarded-Prefix: /internal",
        "X-Original-URL: /internal",
        "X-Rewrite-URL: /internal",
        "X-HTTP-Method-Override: DELETE",
        "Forwarded: for=1.2.3.4",
        "FORWARDED: host=tasks",
        "X-Service-Name: analysis",
        "X-User-Id: me",
        "X_User: me",
        "X_Forwarded_For: 1.2.3.4",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
    ]
    async with opened(same_process=same_process, auth_mode="legacy") as door:
        answer = await ask(door.port, get("/v1/tasks", "Accept: x/y", *claims))
    names = {name for name, _ in told(answer.body)["headers"]}
    assert names - {"host"} == {"accept", "traceparent"}


@BOTH_WAYS
async def test_a_request_carries_one_trace_to_its_service_and_back(same_process: bool):
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with opened(same_process=same_process, auth_mode="legacy") as door:
        answer = await ask(door.port, get("/v1/tasks", f"traceparent: 00-{trace}-b7ad6b7169203331-01"))
    (parent,) = (value for name, value in told(answer.body)["headers"] if name == "traceparent")
    assert parent.startswith(f"00-{trace}-")
    assert not parent.startswith(f"00-{trace}-b7ad6b7169203331")
    assert [value for name, value in answer.headers if name == "x-correlation-id"] == [trace]


@BOTH_WAYS
async def test_authorization_and_query_go_on_untouched(same_process: bool):
    async with opened(same_process=same_process) as door:
        token = door.issuer.token()
        answer = await ask(door.port, get("/v1/tasks?limit=2&before=a%2Fb", f"Authorization: bearer  {token}"))
    reached = told(answer.body)
    assert ["authorization", f"bearer  {token}"] in reached["headers"]
    assert reached["query"] == "limit=2&before=a%2Fb"


async def test_a_service_in_the_same_process_sees_nothing_of_the_gateways_own_notes():
    async with opened(same_process=True, auth_mode="legacy") as door:
        answer = await ask(door.port, get("/v1/tasks"))
    assert not {"app", "router", "route", "endpoint", "path_params", "state", "fastapi"} & set(
        told(answer.body)["keys"]
    )


@BOTH_WAYS
async def test_only_submissions_may_be_large(same_process: bool):
    large = b"x" * 100_000
    async with opened(same_process=same_process, auth_mode="legacy", max_upload_bytes=150_000) as door:
        assert (await ask(door.port, post("/leakage/detect_leak", large))).status == 200
        assert (await ask(door.port, chunked_post("/detect_leak", large))).status == 200
        for path in ("/login", "/auth/update_profile"):
            assert (await ask(door.port, post(path, large))).status == 413
            assert (await ask(door.port, chunked_post(path, large))).status == 413
        assert (await ask(door.port, post("/detect_leak", large + large))).status == 413
        assert (await ask(door.port, chunked_post("/leakage/detect_leak", large, large))).status == 413


@pytest.mark.parametrize("mode", ["legacy", "required"])
async def test_no_answer_about_a_person_is_kept_by_a_browser_or_a_proxy(mode: str):
    async with opened(same_process=True, auth_mode=mode) as door:
        bearer = f"Authorization: Bearer {door.issuer.token()}"
        for route, path in PATHS:
            for headers in ([], [bearer], ["Authorization: Bearer nonsense"]):
                sent = request(route, re.sub(r"\{\w+\}", "some-id", path))
                lines = "".join(f"{line}\r\n" for line in headers).encode()
                answer = await ask(door.port, sent.replace(b"Host:", lines + b"Host:", 1))
                expected = "no-store" if route.name not in ("read_keys", "sign_in") else None
                assert answer.header("cache-control") == expected, (path, headers)


async def test_a_refused_body_is_not_kept_either():
    async with opened(same_process=True) as door:
        answer = await ask(door.port, post("/login", b"x" * (65 * 1024)))
        assert (answer.status, answer.header("cache-control")) == (413, "no-store")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/healthz", "/", "/docs/assets/swagger-ui.css"])
async def test_what_is_about_nobody_may_be_kept(path: str):
    async with opened(same_process=True) as door:
        assert (await ask(door.port, get(path))).header("cache-control") != "no-store"
