"""Makes every second request of a fuzz run speak of what exists: loaded by schemathesis, told by the environment."""

import itertools
import json
import os
import uuid
from typing import Any

import schemathesis
from schemathesis.core import NotSet

_NAMES = ("user_id", "task_id", "job_id", "photo_id", "id_token", "bearer", "leaver", "deserter")
_REAL = {name: os.environ[f"FUZZ_{name.upper()}"] for name in _NAMES}
# Whose token is sent: to end one's tokens or account takes somebody else, and to take everything along takes a token.
_SENT = {"/v1/sign_out": "leaver", "/v1/account": "deserter", "/v1/account/export": "id_token"}
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + bytes(16)
_TEXTS = ("title", "type", "state", "decision", "closedResult", "insideTemp", "outsideTemp")
_numbers = itertools.count()


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Put what exists into every second request; the rest of it stays as it was made up."""
    number = next(_numbers)
    # Now and then a request keeps what was made up for a token, or goes without any.
    if number % 8 != 7:
        case.headers.pop("Authorization", None)
        if token := _REAL[_SENT.get(case.path, "bearer")]:
            case.headers["Authorization"] = f"Bearer {token}"
    if number % 2:
        return
    for name in ("task_id", "job_id", "photo_id"):
        if name in case.path_parameters:
            case.path_parameters[name] = _REAL[name]
    if case.query and "userID" in case.query:
        # Some without what else was made up: a page has to be a sound one for the list to be looked at.
        case.query = {**(case.query if number % 4 else {}), "userID": _REAL["user_id"]}
    if not isinstance(case.body, NotSet) and isinstance(case.body, dict):
        case.body = _spoken(case.body, number)


def _spoken(body: dict[str, Any], number: int) -> dict[str, Any]:
    real = {"userID": _REAL["user_id"], "uid": _REAL["user_id"], "id_token": _REAL["id_token"]}
    body = {**body, **{name: value for name, value in real.items() if name in body}}
    if "task_json" in body:
        # The text that was made up goes into one of the task's own fields; now and then the task exists already.
        task_id = _REAL["task_id"] if number % 16 == 0 else str(uuid.UUID(int=number))
        body["task_json"] = json.dumps({"id": task_id, _TEXTS[number // 2 % len(_TEXTS)]: str(body["task_json"])})
        for name in ("media0", "media1"):
            if isinstance(body.get(name), bytes) and number % 4 == 0:
                body[name] = _JPEG + body[name]
    return body
