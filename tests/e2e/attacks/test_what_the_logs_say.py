"""What is written down while all this goes on: one line per event, nobody's secrets, and nothing that a client wrote.

By its name the last of the attacks, so that the logs hold what all the others have provoked.
"""

import asyncio
import json
import re
import uuid

import pytest

from tests.e2e.app import Answer, App, task
from tests.e2e.attacks.conftest import Victim
from tests.e2e.conftest import Backend, Compose
from tests.unit.gateway.wire import ask, get

MARK = f"mark{uuid.uuid4().hex}"
FORGED = f'{MARK}"}}\r\n{{"event":"{MARK} forged","level":"critical"}}\n\x1b[31m{MARK}\u2028{MARK}'


@pytest.fixture(scope="module")
def provoked(backend: Backend, victim: Victim, thief: App, photo: bytes) -> list[Answer]:
    """A session of use and of attacks that says MARK wherever a client can say anything."""
    app = victim.app
    nobody = App(backend.url, f"{MARK}@example.com", bearer="Bearer." + MARK)
    answers = [
        app.login(backend.issuer.token(app.uid)),
        app.login(app.bearer + MARK if app.bearer else MARK),
        thief.login(backend.issuer.token(thief.uid), uid=f"{MARK}@example.com"),
        nobody.poll(MARK),
        app.update_profile(electricCompany=FORGED, ownership=MARK),
        thief.update_profile(userID=f"{MARK}@example.com"),
        app.submit_raw(json.dumps({"id": MARK, "insideTemp": FORGED}), []),
        app.submit_raw("{" + FORGED, []),
        app.submit(task(title=FORGED), [(f"obs0_rgb-{MARK}.jpg", photo)]),
        app.submit(task(title=FORGED), [(f"obs0_rgb-{MARK}.jpg", FORGED.encode())]),
        app.submit(task(title=FORGED), [(f"obs0_thermal-{MARK}.jpg", photo[:300])]),
        app.request("GET", f"/v1/tasks/{MARK}?x={MARK}"),
        app.request("GET", f"/{MARK}"),
        app.request("GET", f"/v1/tasks?userID={app.uid}&before={MARK}"),
        app.request("POST", "/auth/login", b"{" + MARK.encode(), "application/json"),
        app.request("POST", "/leakage/detect_leak", FORGED.encode(), f"multipart/form-data; boundary={MARK}"),
        app.request("POST", "/leakage/detect_leak", FORGED.encode(), f"text/{MARK}"),
    ]
    for job in [answer.json()["jobId"] for answer in answers if answer.status == 200 and b"jobId" in answer.body]:
        app.wait(job)
    for line in (f"X-Forwarded-For: {MARK}", f"User-Agent: {MARK}", f"traceparent: {MARK}", f"Authorization: {MARK}"):
        asyncio.run(ask(backend.port, get(f"/v1/tasks?userID={MARK}", line)))
    asyncio.run(ask(backend.port, b"BREW /" + MARK.encode() + b" HTTP/1.1\r\n\r\n"))
    return answers


def test_every_line_is_one_event_in_json_whatever_clients_say(backend: Backend, provoked: list[Answer]) -> None:
    lines = backend.inside.logs()
    assert len(lines) > 20
    for line in lines:
        event = json.loads(line)
        assert {"event", "level", "timestamp"} <= event.keys(), line
        assert event["level"] in ("debug", "info", "warning", "error"), line
        assert line.isascii(), line
        assert not re.search(r"[\x00-\x1f\x7f]", line), line


def test_nothing_that_a_client_says_is_written_down(backend: Backend, provoked: list[Answer]) -> None:
    assert [line for line in backend.inside.logs() if MARK in line] == []


def test_no_error_that_nobody_foresaw_was_provoked(backend: Backend, provoked: list[Answer]) -> None:
    assert [line for line in backend.inside.logs() if "exception" in json.loads(line)] == []


def test_no_token_password_key_or_address_is_written_down(
    backend: Backend, victim: Victim, provoked: list[Answer]
) -> None:
    text = "\n".join(backend.inside.logs())
    for name, secret in backend.inside.secrets.items():
        assert secret not in text, name
    assert victim.app.bearer not in text
    assert not re.search(r"eyJ[\w-]{10,}", text)  # how every token begins
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+", text)  # an e-mail address
    assert not re.search(r"\w+://[^/\s\"]+:[^@\s\"]+@", text)  # a password in a URL


def test_no_answer_tells_a_secret_an_inner_address_or_a_traceback(backend: Backend, provoked: list[Answer]) -> None:
    for answer in provoked:
        text = answer.body.decode("utf-8", "replace")
        for name, secret in backend.inside.secrets.items():
            assert secret not in text, name
        if answer.status >= 400:
            assert MARK not in text.replace(f"obs0_rgb-{MARK}.jpg", ""), text  # a photo's name is told to its owner
            assert not re.search(
                r"Traceback|File \"|\.py\b|sqlalchemy|asyncmy|sqlite|SELECT |mongo|rabbit", text, re.IGNORECASE
            )
            assert not re.search(r":800[1-9]\b|:3306|:27017|:5672|\b127\.0\.0\.1", text)
            assert re.fullmatch(r"[0-9a-f]{32}", answer.json()["correlationId"])
            assert answer.headers["x-correlation-id"] == answer.json()["correlationId"]


def test_the_stores_write_down_no_password_of_ours(stack: Compose, provoked: list[Answer]) -> None:
    text = stack.run("logs", "--no-color", "mysql", "mongo", "rabbitmq").stdout
    for name, secret in stack.secrets.items():
        assert secret not in text, name
