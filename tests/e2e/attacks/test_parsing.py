"""Text made to mean something to a parser, a database, a template or a log: it is refused or stored as it is."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.app import BOUNDARY, App, multipart, task
from tests.e2e.attacks.conftest import Victim
from tests.e2e.conftest import Backend

JSON = "application/json; charset=utf-8"

ODD_TEXTS = {
    "four bytes": "Fenêtre 窓 🪟 𠀀 👩‍👩‍👧",
    "SQL that ends a string": "'; DROP TABLE LeakageTask; --",
    "SQL that is always true": "' OR '1'='1",
    "SQL with a backslash": "\\' OR 1=1 -- ",
    "SQL wildcards": "%_%",
    "SQL that waits": "1' AND SLEEP(5)#",
    "a Mongo operator": '{"$gt": ""}',
    "a Mongo function": "';return true;var a='",
    "a template": "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> %(x)s {0.__class__}",
    "a log lookup": "${jndi:ldap://127.0.0.1:9/a}",
    "HTML": "<script>alert(1)</script>",
    "a formula": '=HYPERLINK("http://127.0.0.1:9","x")',
    "a forged line of JSON": 'x"}\n{"event":"forged","level":"error"}',
    "a forged line of text": "x\r\n2026-01-01T00:00:00Z [info] forged",
    "escape sequences": "\x1b[2J\x1b]0;owned\x07",
    "a reversal of direction": "safe\u202egpj.exe",
    "separators": "a\u2028b\u2029c\u0085d",
    "a byte order mark": "\ufeffx",
    "a character that is none": "x\ufffey\uffff",
}


@pytest.fixture(autouse=True)
def nobody_else_is_touched(victim: Victim) -> Iterator[None]:
    """What the victim has is as it was."""
    task_before, profile_before = victim.task(), victim.profile()
    yield
    assert victim.task() == task_before
    assert victim.profile() == profile_before


# ── text that means something elsewhere ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_any_text_of_a_profile_comes_back_as_it_was_sent(thief: App, text: str) -> None:
    sent = {"ownership": text, "electricCompany": text, "budget": text, "appliances": [text, text]}
    assert thief.update_profile(**sent).status == 200
    stored = thief.request("GET", f"/v1/profile?userID={thief.uid}").json()
    assert stored["ownership"] == stored["energyCompany"] == stored["retrofitBudget"] == text
    assert stored["appliances"] == [text, text]


@pytest.mark.parametrize("text", ["窓🪟𠀀'\"\\", "' OR 1=1 -- ", '{"$gt":""}'])
def test_any_text_of_a_zip_code_comes_back_as_it_was_sent(thief: App, text: str) -> None:
    assert thief.update_profile(zip=text).status == 200
    assert thief.request("GET", f"/v1/profile?userID={thief.uid}").json()["zipCode"] == text.strip()


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_any_text_of_a_task_comes_back_as_it_was_sent(thief: App, text: str) -> None:
    sent = task(title=text, closedResult=text, decision=text, type=text, state=text, photoPaths=[text])
    answer = thief.submit(sent, [])
    assert answer.status == 200, answer.body
    assert thief.wait(answer.json()["jobId"])["status"] == "done"
    stored = thief.request("GET", f"/v1/tasks/{sent['id']}").json()
    assert stored["title"] == stored["closedResult"] == stored["decision"] == text.strip()
    assert (stored["type"], stored["state"]) == (None, "open")


@pytest.mark.parametrize("task_id", ["' OR '1'='1", "%", "_", '{"$ne":1}', "x';DROP--", "窓🪟", "a\u202eb", "${7*7}"])
def test_an_id_that_means_something_to_a_database_is_an_id(thief: App, task_id: str) -> None:
    own = f"{uuid.uuid4().hex[:8]}{task_id}".replace(" ", "")
    answer = thief.submit(task(own), [])
    assert answer.status == 200, answer.body
    assert thief.wait(answer.json()["jobId"])["report"]["taskID"] == own
    assert thief.request("GET", f"/v1/tasks/{quote(own, safe='')}").json()["taskID"] == own


OPERATORS: list[Any] = [{"$gt": ""}, {"$ne": None}, {"$where": "sleep(5000)"}, ["x"], [["x"]], True, 1, 1.5, {}, []]


@pytest.mark.parametrize("value", OPERATORS, ids=json.dumps)
def test_an_operator_in_place_of_a_text_is_refused_or_ignored(backend: Backend, thief: App, value: Any) -> None:
    token = backend.issuer.token(thief.uid)
    for path, sound in (
        ("/auth/login", {"id_token": token, "uid": thief.uid}),
        ("/auth/update_profile", {"userID": thief.uid, "zip": "1", "ownership": "Own", "electricCompany": "x"}),
    ):
        for field in sound:
            assert thief.post_json(path, {**sound, field: value}).status == 422, (path, field)
    for field in ("id", "insideTemp", "outsideTemp", "title", "type", "state", "decision", "closedResult"):
        expected = {"id": {400}, "insideTemp": {200, 422}, "outsideTemp": {200, 422}}.get(field, {200})
        answer = thief.submit({**task(), field: value}, [])
        assert answer.status in expected, (field, answer.body)


@pytest.mark.parametrize(
    "text", ["' OR 1=1 -- ", "%", '{"$gt":""}', "x\x00", "🪟" * 300, "../../x", "\r\nx: y", "$where"]
)
def test_a_parameter_that_means_something_to_a_database_finds_nothing(thief: App, text: str) -> None:
    odd = quote(text, safe="")
    for path in (f"/detect_leak/{odd}", f"/v1/tasks/{odd}", f"/v1/tasks/{odd}/photos/{odd}"):
        assert thief.request("GET", path).status == 404
    for path in (f"/v1/tasks?userID={odd}", f"/v1/profile?userID={odd}"):
        assert thief.request("GET", path).status in (403, 422)
    own = f"/v1/tasks?userID={thief.uid}"
    for query in (f"before={odd}", f"limit={odd}", "limit[$gt]=0", "before[$ne]=x", "limit=1e9", f"limit={10**400}"):
        assert thief.request("GET", f"{own}&{query}").status in (200, 422), query


@pytest.mark.parametrize(
    "path", ["/v1/tasks?userID[$ne]=x", "/v1/profile?userID[$gt]=", "/v1/tasks?userID=", "/v1/tasks"]
)
def test_a_query_without_its_parameter_is_refused(thief: App, path: str) -> None:
    assert thief.request("GET", path).status == 422


# ── JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────

DEEP = "[" * 100_000 + "]" * 100_000
BAD_JSON = {
    "lists in lists": DEEP[:30_000] + DEEP[-30_000:],
    "objects in objects": '{"a":' * 6000 + "1" + "}" * 6000,
    "never closed": "[" * 60_000,
    "a lone surrogate": '{"id_token":"\\ud800","uid":"\\udfff","userID":"\\ud83e","electricCompany":"\\ud83e"}',
    "not UTF-8": b'{"uid":"\xff\xfe","id_token":"\xc3("}',
    "a huge integer": '{"uid":%s,"id_token":"x","userID":1}' % ("9" * 50_000),
    "a huge exponent": '{"uid":1e400,"id_token":-1e400,"userID":1e999999999}',
    "NaN": '{"uid":NaN,"id_token":Infinity,"userID":-Infinity}',
    "a list": "[1,2,3]",
    "null": "null",
    "a text": '"x"',
    "nothing": "",
    "XML": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
@pytest.mark.parametrize("path", ["/auth/login", "/auth/update_profile"])
def test_no_json_is_more_than_a_refusal(thief: App, path: str, body: str | bytes) -> None:
    answer = thief.request("POST", path, body.encode() if isinstance(body, str) else body, JSON)
    assert answer.status in (400, 422), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.body) < 10_000  # what was sent is not repeated


BAD_TASKS = {
    "lists in lists": '{"id":"x","report":' + DEEP + "}",
    "objects in objects": '{"id":' * 100_000 + "1" + "}" * 100_000,
    "a lone surrogate": '{"id":"x","title":"\\ud83e"}',
    "a huge integer": '{"id":"x","insideTemp":%s}' % ("9" * 50_000),
    "a huge number": '{"id":"x","insideTemp":1e400}',
    "NaN": '{"id":"x","insideTemp":NaN}',
    "NaN as text": '{"id":"x","insideTemp":"nan"}',
    "Infinity": '{"id":"x","outsideTemp":-Infinity}',
    "digits of another script": '{"id":"x","outsideTemp":"1_000_000"}',
    "a byte order mark": '\ufeff{"id":"x"}',
    "a list": "[]",
    "a number": "1",
    "nothing": "",
}


@pytest.mark.parametrize("task_json", BAD_TASKS.values(), ids=BAD_TASKS)
def test_no_task_is_more_than_a_refusal(thief: App, task_json: str) -> None:
    answer = thief.submit_raw(task_json, [])
    assert answer.status in (400, 422), answer.body
    assert isinstance(answer.json()["detail"], str)


def test_of_a_field_that_is_there_twice_one_is_taken_by_all(victim: Victim, thief: App) -> None:
    """The check of who may and the storing look at the same one, so naming two people opens nothing."""
    both = (thief.uid, victim.app.uid), (victim.app.uid, thief.uid)
    for first, second in both:
        body = f'{{"userID":"{first}","zip":"00000","userID":"{second}"}}'
        answer = thief.request("POST", "/auth/update_profile", body.encode(), JSON)
        assert answer.status == (200 if second == thief.uid else 403)
    twice = f'{{"id":"{uuid.uuid4()}","id":"{victim.task_id}"}}'
    assert thief.submit_raw(twice, []).status == 403


def test_of_a_form_with_two_users_one_is_taken_by_all(victim: Victim, thief: App, photo: bytes) -> None:
    for first, second in ((thief.uid, victim.app.uid), (victim.app.uid, thief.uid)):
        sent = task()
        forms = [multipart({"uid": uid, "task_json": json.dumps(sent)}, []) for uid in (first, second)]
        body = forms[0].removesuffix(f"--{BOUNDARY}--\r\n".encode()) + forms[1]
        answer = thief.request("POST", "/detect_leak", body, f"multipart/form-data; boundary={BOUNDARY}")
        assert answer.status == (200 if first == thief.uid else 403)
        assert victim.app.request("GET", f"/v1/tasks/{sent['id']}").status == 404
