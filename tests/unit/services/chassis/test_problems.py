"""Errors as a client sees them."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from services.chassis.correlation import correlated
from services.chassis.problems import Problem, install_problems, problem_document, unavailable

SECRET = "a-secret-token"


class ServerAwayError(Exception):
    pass


class Body(BaseModel):
    token: str = Field(max_length=5)
    number: int


app = FastAPI()
install_problems(app, transient=(ServerAwayError,))


@app.get("/problem")
async def problem() -> None:
    raise Problem(409, "Please choose another.", {"X-Hint": "other"})


@app.get("/away")
async def away() -> None:
    raise ServerAwayError(f"mysql://root:{SECRET}@db")


@app.get("/unavailable")
async def not_now() -> None:
    raise unavailable("Later.")


@app.post("/body")
async def body(body: Body) -> None: ...


async def ask(method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers, "root_path": ""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], got, json.loads(b"".join(message.get("body", b"") for message in sent))


async def test_a_problem_has_the_members_of_the_standard_beside_the_detail() -> None:
    with correlated(None) as trace_id:
        status, headers, document = await ask("GET", "/problem")
    assert (status, headers["content-type"], headers["x-hint"]) == (409, "application/problem+json", "other")
    assert document == {
        "detail": "Please choose another.",
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "correlationId": trace_id,
    }


@pytest.mark.parametrize(("status", "title"), [(413, "Content Too Large"), (422, "Unprocessable Content")])
def test_titles_are_the_same_on_every_python(status: int, title: str) -> None:
    assert problem_document(status, "", None).title == title


@pytest.mark.parametrize("path", ["/away", "/unavailable"])
async def test_a_server_that_is_away_is_worth_another_try(path: str) -> None:
    with capture_logs() as logs:
        status, headers, document = await ask("GET", path)
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert SECRET not in json.dumps([document, logs])


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/problem", 405)])
async def test_what_the_framework_refuses_looks_the_same(method: str, path: str, status: int) -> None:
    got, headers, document = await ask(method, path)
    assert (got, document["status"], headers["content-type"]) == (status, status, "application/problem+json")
    assert isinstance(document["detail"], str)


@pytest.mark.parametrize(
    "sent", [{"token": SECRET, "number": 1}, {"token": "x", "number": SECRET}, {"token": {SECRET: SECRET}}, SECRET]
)
async def test_faults_of_form_are_listed_without_what_was_sent(sent: object) -> None:
    status, _, document = await ask("POST", "/body", json.dumps(sent).encode())
    assert status == 422
    assert all(set(fault) == {"loc", "msg", "type"} for fault in document["detail"])
    assert SECRET not in json.dumps(document)
