"""What belongs to somebody else looks like what does not exist, and nobody writes what only we may write."""

import json
import time
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import SignedOut
from services.tasks.models import jobs, leakage_tasks
from services.tasks.submissions import read_submission
from tests.tokens import EMAIL
from tests.unit.services.tasks.forms import pair
from tests.unit.services.tasks.running import Answer, Service

one_service = pytest.mark.asyncio(loop_scope="module")

STRANGER = "stranger@example.com"
# Columns and members that no form may set.
OURS = (
    "userID", "taskID", "jobID", "jobId", "leakSeverity", "energyLossValue", "energyLossCost", "savingsPercent",
    "savingsCost", "reportPhotoID", "RGBphotoIDs", "thermalPhotoIDs", "updatedAt", "createdAt", "photos", "report",
    "suggestions", "submittedAt", "imageID", "error", "household", "profileVersion", "user_id", "job_id", "$set",
)  # fmt: skip


def told(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What a stranger sees, but for what differs between any two answers."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body = json.loads(answer.body)
    body.pop("correlationId")
    return answer.status, {k: v for k, v in headers.items() if k not in ("date", "x-correlation-id")}, body


@one_service
async def test_a_foreign_id_is_answered_like_a_missing_one(service: Service) -> None:
    job_id = await service.new_job("owned", pair(), headers=service.bearer(EMAIL))
    task = await service.get("/v1/tasks/owned", headers=service.bearer(EMAIL))
    photo_id = task.json["photos"][0]["photoID"]
    await service.new_job("own", pair(), uid=STRANGER, headers=service.bearer(STRANGER))
    pairs = [
        (f"/detect_leak/{job_id}", "/detect_leak/0b9c5f0e-6a53-4c1e-8d0e-7f1f5c9f2a11"),
        ("/v1/tasks/owned", "/v1/tasks/wrong"),
        (f"/v1/tasks/owned/photos/{photo_id}", f"/v1/tasks/wrong/photos/{photo_id}"),
        (f"/v1/tasks/own/photos/{photo_id}", f"/v1/tasks/own/photos/{'0' * 24}"),
        (f"/v1/tasks?userID={EMAIL}", "/v1/tasks?userID=nobody@example.com"),
    ]
    for foreign, missing in pairs:
        answers = [await service.get(path, headers=service.bearer(STRANGER)) for path in (foreign, missing)]
        assert told(answers[0]) == told(answers[1]), foreign
        assert answers[0].status in (403, 404)
        assert (await service.get(foreign.replace("/own/", "/owned/"), headers=service.bearer(EMAIL))).status == 200


@one_service
async def test_a_form_sets_nothing_that_is_ours_to_set(service: Service) -> None:
    mine = service.bearer(EMAIL)
    values = dict.fromkeys(OURS, "hacked") | {"energyLossValue": 1.5, "createdAt": "1999-01-01T00:00:00"}
    job_id = await service.new_job("assigned", pair(), headers=mine, **values)
    async with service.database.read() as connection:
        task = (await connection.execute(sa.select(leakage_tasks).where(leakage_tasks.c.taskID == "assigned"))).one()
        job = (await connection.execute(sa.select(jobs).where(jobs.c.jobID == job_id))).one()
    assert "hacked" not in str(task) + str(job)
    assert (task.userID, task.jobID, job.userID, job.report) == (EMAIL, job_id, EMAIL, None)
    assert (task.leakSeverity, task.energyLossValue, task.reportPhotoID) == (None, None, None)
    assert task.createdAt.year > 2000
    assert len(task.RGBphotoIDs) == len(task.thermalPhotoIDs) == 1


SUBMITTED = {"id": "task", "title": "North window", "type": "window", "state": "open", "insideTemp": "71"}
READ = ("id", "title", "type", "state", "decision", "closedResult", "insideTemp", "outsideTemp")
anything = st.sampled_from([None, True, -1, 71.5, "", "hacked", [], ["window", {}], {}, {"id": "other", "state": None}])
names = st.text(st.characters(codec="utf-8"), max_size=10).filter(lambda name: name not in READ)


@settings(max_examples=50)
@given(anything, st.dictionaries(names, anything, max_size=3))
def test_members_that_are_not_read_change_nothing(of_ours: Any, others: dict[str, Any]) -> None:
    extra = {**dict.fromkeys(OURS, of_ours), **others}
    plain = read_submission({"uid": EMAIL, "task_json": json.dumps(SUBMITTED)})
    given_too = {"uid": EMAIL, "task_json": json.dumps({**extra, **SUBMITTED})}
    assert read_submission(given_too) == plain
    assert read_submission({**given_too, **dict.fromkeys(OURS, "hacked")}) == plain


# ── signed out ───────────────────────────────────────────────────────────────────────────────────────────────────


@one_service
async def test_after_a_sign_out_older_tokens_are_refused_everywhere_and_newer_ones_are_not(service: Service) -> None:
    person, present = "leaving@example.com", int(time.time())
    job_id = await service.new_job("left", pair(), uid=person, headers=service.bearer(person))

    def bearer(**claims: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {service.access.token(sub=person, **claims)}"}

    await service.hear(SignedOut(user_id=person, until=present - 10))
    await service.hear(SignedOut(user_id=person, until=present - 100))  # repeated and late: the latest counts
    paths = (f"/detect_leak/{job_id}", f"/v1/tasks?userID={person}", "/v1/tasks/left", "/v1/account/export")
    for path in paths:
        for old in (bearer(iat=present - 10), bearer(auth_time=present - 11)):
            answer = await service.get(path, headers=old)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), path
            assert "signed out" in answer.json["detail"]
        assert (await service.get(path, headers=bearer(iat=present - 9))).status == 200, path
    assert (await service.submit("left", uid=person, headers=bearer(iat=present - 10))).status == 401


@one_service
async def test_a_poll_asks_the_database_once(service: Service) -> None:
    job_id = await service.new_job("polled", headers=service.bearer(EMAIL))
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert (await service.get(f"/detect_leak/{job_id}", headers=service.bearer(EMAIL))).status == 200
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    ours = [statement for statement in asked if "tasks_sign_out" in statement or '"jobID" = ?' in statement]
    assert len(ours) == 1, asked


@one_service
async def test_a_sign_out_costs_a_request_one_look_at_an_index(service: Service) -> None:
    await service.hear(SignedOut(user_id="somebody@example.com", until=1))
    query = "EXPLAIN QUERY PLAN SELECT MAX(until) FROM tasks_sign_out WHERE person IN ('a', 'b')"
    async with service.database.read() as connection:
        plan = str((await connection.execute(sa.text(query))).all())
    assert "SEARCH tasks_sign_out USING COVERING INDEX ix_tasks_sign_out_person (person=?)" in plan
