"""Repeated submissions, on SQLite and on MySQL: one request, one job, however often and at once it is sent."""

import asyncio
import dataclasses

import pytest
import sqlalchemy as sa

from contracts.events import AnalysisFailed, AnalysisStarted, Household, ProfileUpdated
from services.chassis.database import Database, now
from services.chassis.outbox import Backlog, Outbox
from services.chassis.problems import Problem
from services.tasks.idempotency import KEY_SECONDS, REPEAT_SECONDS
from services.tasks.models import idempotency_keys, jobs, leakage_tasks, outbox, photos
from services.tasks.store import Bounds, TaskStore
from services.tasks.uploads import UploadedPhoto
from tests.integration.services.tasks.conftest import task_store
from tests.integration.services.tasks.test_store import (
    ME,
    SOMEBODY_ELSE,
    Events,
    announcements,
    change,
    completed,
    job,
    rows,
    submission,
    uploaded,
)

BOUNDS = Bounds(jobs_of_a_person=3, outbox_rows=10)
TABLES = (leakage_tasks, jobs, photos, idempotency_keys, outbox)


@pytest.fixture
def pictures() -> list[UploadedPhoto]:
    return uploaded()


def again(pictures: list[UploadedPhoto]) -> list[UploadedPhoto]:
    """The same bytes, received once more."""
    return [dataclasses.replace(one, photo_id=new.photo_id) for one, new in zip(pictures, uploaded(), strict=True)]


async def all_rows(database: Database) -> list[object]:
    return [await rows(database, table) for table in TABLES]


async def refused(store: TaskStore, *request: object) -> int:
    with pytest.raises(Problem) as refusal:
        await store.submit(*request)  # type: ignore[arg-type]
    return refusal.value.status


# ── with a key ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_request_that_is_sent_again_with_its_key_gets_its_job_again(
    store: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    assert await store.submit("first", submission(), pictures, "key") == "first"
    before = await all_rows(tasks_database)
    assert await store.submit("second", submission(), again(pictures), "key") == "first"
    assert await all_rows(tasks_database) == before


async def test_it_does_so_however_the_job_ended_and_whatever_came_after_it(
    store: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    await store.submit("first", submission(), pictures, "key")
    await Events(store)(AnalysisFailed(job_id="first", reason="No photo could be read."))
    assert await store.submit("x", submission(), again(pictures), "key") == "first"
    await store.submit("second", submission(), uploaded(), "another")
    before = await all_rows(tasks_database)
    assert await store.submit("y", submission(), again(pictures), "key") == "first"
    assert await all_rows(tasks_database) == before


async def test_a_key_with_another_submission_is_refused_and_changes_nothing(
    store: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    await store.submit("first", submission(), pictures, "key")
    before = await all_rows(tasks_database)
    assert await refused(store, "x", submission(title="Other"), again(pictures), "key") == 409
    assert await refused(store, "y", submission(), uploaded(), "key") == 409
    assert await refused(store, "z", submission("other task"), again(pictures), "key") == 409
    assert await all_rows(tasks_database) == before


async def test_a_new_key_is_a_new_submission_of_the_same_bytes(store: TaskStore, pictures: list[UploadedPhoto]) -> None:
    await store.submit("first", submission(), pictures, "key")
    assert await store.submit("second", submission(), again(pictures), "another") == "second"
    assert (await job(store, "first"))["state"] == "error"


async def test_keys_are_each_persons_own_and_compared_byte_by_byte(store: TaskStore) -> None:
    for number, (user, key) in enumerate([(ME, "key"), (SOMEBODY_ELSE, "key"), (ME, "KEY"), (ME, "k" * 255)]):
        assert await store.submit(str(number), submission(f"task {number}", user), [], key) == str(number)


async def test_a_key_is_free_again_when_its_time_is_over(
    store: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    await store.submit("first", submission(), pictures, "key")
    await change(tasks_database, sa.update(idempotency_keys).values(createdAt=now(60 - KEY_SECONDS)))
    assert await store.submit("x", submission(), again(pictures), "key") == "first"
    await change(tasks_database, sa.update(idempotency_keys).values(createdAt=now(-KEY_SECONDS - 1)))
    assert await store.submit("second", submission(), uploaded(), "key") == "second"
    assert [one["jobID"] for one in await rows(tasks_database, idempotency_keys)] == ["second"]


async def test_keys_whose_time_is_over_are_forgotten(store: TaskStore, tasks_database: Database) -> None:
    for number in range(5):
        await store.submit(f"old {number}", submission(f"old {number}"), [], f"old {number}")
    await change(tasks_database, sa.update(idempotency_keys).values(createdAt=now(-KEY_SECONDS - 1)))
    await store.submit("young", submission("young"), [], "young")
    assert await store.forget_keys(3) == 3
    assert await store.forget_keys(3) == 2
    assert await store.forget_keys(3) == 0
    assert [one["key"] for one in await rows(tasks_database, idempotency_keys)] == ["young"]


@pytest.mark.parametrize("key", ["key", None])
async def test_of_the_same_request_sent_many_times_at_once_one_job_comes(
    tasks_url: str, tasks_database: Database, pictures: list[UploadedPhoto], key: str | None
) -> None:
    databases = [Database(tasks_url) for _ in range(2)]  # as two replicas
    for task in ("new", "known"):
        if task == "known":
            await task_store(tasks_database).submit("earlier", submission(task, f"{task}@example.com"), [])
        answers = await asyncio.gather(
            *(
                task_store(databases[number % 2]).submit(
                    f"{task} {number}",
                    submission(task, f"{task}@example.com"),
                    again(pictures),
                    key and f"{key} {task}",
                )
                for number in range(8)
            )
        )
        assert len(set(answers)) == 1
        started = [one.job_id for one in await announcements(tasks_database) if one.job_id != "earlier"]
        assert [one for one in started if one.startswith(task)] == [answers[0]]
        assert {one["jobID"] for one in await rows(tasks_database, photos)} >= {answers[0]}
    assert len(await rows(tasks_database, photos)) == 2 * len(pictures)
    for database in databases:
        await database.close()


async def test_of_different_requests_with_one_key_at_once_one_is_taken_and_the_others_are_refused(
    store: TaskStore, tasks_database: Database
) -> None:
    answers = await asyncio.gather(
        *(store.submit(f"job {number}", submission(f"task {number}"), [], "key") for number in range(6)),
        return_exceptions=True,
    )
    taken = [answer for answer in answers if isinstance(answer, str)]
    assert [one["jobID"] for one in await rows(tasks_database, jobs)] == taken
    assert [one.status for one in answers if isinstance(one, Problem)] == [409] * 5


# ── without a key ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_bytes_for_the_same_task_soon_after_get_the_same_job(
    store: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    await store.submit("first", submission(), pictures)
    before = await all_rows(tasks_database)
    assert await store.submit("second", submission(), again(pictures)) == "first"
    await Events(store)(AnalysisStarted(job_id="first"))
    assert await store.submit("third", submission(), again(pictures)) == "first"
    await Events(store)(completed("first"))
    assert await store.submit("fourth", submission(), again(pictures)) == "first"
    after = await all_rows(tasks_database)
    assert (after[3], after[4]) == (before[3], before[4])
    assert len(await rows(tasks_database, jobs)) == 1


async def test_they_start_a_new_job_when_the_first_one_failed(store: TaskStore, pictures: list[UploadedPhoto]) -> None:
    await store.submit("first", submission(), pictures)
    await Events(store)(AnalysisFailed(job_id="first", reason="No photo could be read."))
    assert await store.submit("second", submission(), again(pictures)) == "second"


async def test_they_start_a_new_job_when_the_moment_is_over(
    store: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    await store.submit("first", submission(), pictures)
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-REPEAT_SECONDS - 1)))
    assert await store.submit("second", submission(), again(pictures)) == "second"


async def test_anything_else_starts_a_new_job(store: TaskStore, pictures: list[UploadedPhoto]) -> None:
    await store.submit("first", submission(), pictures)
    assert await store.submit("second", submission(title="Other"), again(pictures)) == "second"
    assert await store.submit("third", submission(title="Other"), uploaded()) == "third"
    assert await store.submit("fourth", submission("other task", title="Other"), again(pictures)) == "fourth"
    # What was first submitted is not what is there now.
    assert await store.submit("fifth", submission(), again(pictures)) == "fifth"


async def test_a_changed_home_starts_a_new_job(store: TaskStore, pictures: list[UploadedPhoto]) -> None:
    await store.submit("first", submission(), pictures)
    await store.remember_household(ProfileUpdated(user_id=ME, version=1, household=Household(zip_code="15213")))
    assert await store.submit("second", submission(), again(pictures)) == "second"
    assert await store.submit("third", submission(), again(pictures)) == "second"


async def test_the_bytes_of_somebody_elses_task_are_refused_all_the_same(
    store: TaskStore, pictures: list[UploadedPhoto]
) -> None:
    await store.submit("first", submission(), pictures)
    assert await refused(store, "second", submission(user_id=SOMEBODY_ELSE), again(pictures)) == 403


# ── how much may wait ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def bounded(tasks_database: Database) -> TaskStore:
    return task_store(tasks_database, Outbox(outbox), BOUNDS)


async def admitted(store: TaskStore, *user_ids: str, key: str | None = None) -> Problem | None:
    try:
        store.admit(await store.standing(user_ids, key, {"signed_out_people": []}))
    except Problem as problem:
        return problem
    return None


async def test_a_person_with_too_many_unfinished_jobs_is_told_to_wait(
    bounded: TaskStore, tasks_database: Database, pictures: list[UploadedPhoto]
) -> None:
    for number in range(3):
        assert await admitted(bounded, "subject", ME) is None
        await bounded.submit(f"job {number}", submission(f"task {number}"), pictures if number == 2 else [])
    before = await all_rows(tasks_database)
    assert await refused(bounded, "more", submission("more"), [], "more") == 429
    early = await admitted(bounded, "subject", ME)
    assert early is not None
    assert early.status == 429
    assert int(early.headers["Retry-After"]) > 0
    assert await all_rows(tasks_database) == before

    # Others are not held up; nor, once their body is read, are repetitions and what replaces an unfinished job.
    assert await admitted(bounded, SOMEBODY_ELSE) is None
    assert await admitted(bounded) is None
    assert await bounded.submit("other", submission("other", SOMEBODY_ELSE), []) == "other"
    assert await bounded.submit("x", submission("task 2"), again(pictures)) == "job 2"
    assert await bounded.submit("newer", submission("task 2"), []) == "newer"

    await Events(bounded)(completed("job 0", "task 0"))
    assert await admitted(bounded, "subject", ME) is None
    assert await bounded.submit("more", submission("more"), []) == "more"


async def test_a_repetition_with_a_known_key_is_admitted_at_the_bound(bounded: TaskStore) -> None:
    for number in range(3):
        await bounded.submit(f"job {number}", submission(f"task {number}"), [], f"key {number}")
    assert await admitted(bounded, ME, key="key 1") is None
    assert await bounded.submit("again", submission("task 1"), [], "key 1") == "job 1"
    unknown, foreign = await admitted(bounded, ME, key="key 9"), await admitted(bounded, SOMEBODY_ELSE, key="key 1")
    assert unknown is not None
    assert foreign is None


async def test_while_too_many_events_wait_for_the_broker_everybody_is_told_to_come_again(
    tasks_database: Database,
) -> None:
    waiting = Outbox(outbox)
    store = task_store(tasks_database, waiting, BOUNDS)
    for rows_waiting, expected in ((9, None), (10, 503), (10_000, 503), (0, None)):
        waiting.backlog = Backlog(rows_waiting, 0.0)
        for user_ids in ((), (ME,)):
            problem = await admitted(store, *user_ids)
            assert (problem and problem.status) == expected
            assert problem is None or int(problem.headers["Retry-After"]) > 0
