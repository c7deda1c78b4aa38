"""What a person submits: the fields of the form, read leniently where the old backend was lenient."""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from contracts.events import TaskType
from contracts.user_ids import normalised
from services.chassis.problems import Problem
from services.tasks.temperatures import read_temperature

TASK_ID_LENGTH = 64
TITLE_LENGTH = 255
STATES = ("draft", "open", "closed")

_TASK_ID = re.compile(r"[^\s/\\\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Submission:
    """The form's fields, checked. Temperatures are °F."""

    user_id: str
    task_id: str
    title: str | None
    task_type: TaskType | None
    state: str
    decision: str | None
    closed_result: str | None
    inside_temp_f: float | None
    outside_temp_f: float | None


def read_submission(fields: dict[str, str]) -> Submission:
    """Check the fields ``uid`` and ``task_json``.

    Raises :class:`Problem` 400 without a task id, 422 for anything else that a person or a client must mend. An
    unknown type is stored as none, an unknown state as ``draft``, as the old backend did.
    """
    user_id = normalised(fields.get("uid", ""))
    if not user_id:
        _refuse("The field 'uid' is missing: whose task is this?")
    if len(user_id) > 255:
        _refuse("The field 'uid' is longer than 255 characters.")
    task = _task(fields.get("task_json"))
    task_id = task.get("id")
    if not isinstance(task_id, str) or not task_id.strip():
        raise Problem(400, "The task has no id: 'task_json' needs an 'id'.")
    task_id = task_id.strip()
    if len(task_id) > TASK_ID_LENGTH or not _TASK_ID.fullmatch(task_id):
        _refuse(f"The task's id must have at most {TASK_ID_LENGTH} characters, without spaces and slashes.")
    title = _text(task.get("title"))
    if title is not None and len(title) > TITLE_LENGTH:
        _refuse(f"The title is longer than {TITLE_LENGTH} characters. Please shorten it.")
    state = task.get("state")
    return Submission(
        user_id=user_id,
        task_id=task_id,
        title=title,
        task_type=_task_type(task.get("type")),
        state=state if state in STATES else "draft",
        decision=_short(task.get("decision"), 64),
        closed_result=_short(task.get("closedResult"), 255),
        inside_temp_f=read_temperature(task.get("insideTemp"), "inside"),
        outside_temp_f=read_temperature(task.get("outsideTemp"), "outside"),
    )


def _refuse(detail: str) -> NoReturn:
    raise Problem(422, detail)


def _task(text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        raise Problem(400, "The task is missing: the form needs a field 'task_json' with the task's 'id'.")
    try:
        task = json.loads(text)
        json.dumps(task, ensure_ascii=False).encode()  # a lone surrogate is JSON but no text
    except (ValueError, RecursionError):
        _refuse("The task could not be read: 'task_json' is not valid JSON.")
    if not isinstance(task, dict):
        _refuse("The task could not be read: 'task_json' must be a JSON object.")
    return task


def _task_type(value: object) -> TaskType | None:
    try:
        return TaskType(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return value.replace("\x00", "").strip() or None if isinstance(value, str) else None


def _short(value: object, length: int) -> str | None:
    """Free text that only the app itself writes and reads; what does not fit is nothing that it wrote."""
    text = _text(value)
    return text if text is None or len(text) <= length else None
