"""A person's jobs are announced to analysis in turn, and none is forgotten or held up by others."""

import asyncio

import pytest
import sqlalchemy as sa

from services.chassis.database import Database, now
from services.chassis.problems import Problem
from services.tasks.announcing import HOLD_SECONDS
from services.tasks.erasure import Erasures
from services.tasks.jobs import OVERDUE, REPLACED, UNANNOUNCEABLE
from services.tasks.models import jobs, leakage_tasks, people
from services.tasks.store import Bounds, TaskStore
from tests.integration.services.tasks.conftest import task_store
from tests.integration.services.tasks.test_erasure import deleted, settled
from tests.integration.services.tasks.test_store import (
    ME,
    SOMEBODY_ELSE,
    announcements,
    change,
    completed,
    job,
    submission,
    uploaded,
)


async def submit(store: TaskStore, *names: str, user_id: str = ME) -> None:
    for name in names:
        await store.submit(name, submission(f"task of {name}", user_id), uploaded(1))


async def announced(database: Database) -> list[str]:
    return [one.job_id for one in await announcements(database)]


async def test_a_persons_jobs_are_announced_one_at_a_time_first_come_first_served(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a", "b", "c")
    assert await announced(tasks_database) == ["a"]
    await store.fail_job("a", "Nothing to see.")
    assert await announced(tasks_database) == ["a", "b"]
    assert await store.complete_job(completed("b", "task of b"), [])
    assert await announced(tasks_database) == ["a", "b", "c"]


async def test_another_persons_job_does_not_wait(store: TaskStore, tasks_database: Database) -> None:
    await submit(store, *map(str, range(20)))
    await submit(store, "other", user_id=SOMEBODY_ELSE)
    assert await announced(tasks_database) == ["0", "other"]


async def test_a_waiting_job_is_announced_with_the_content_that_was_submitted(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a")
    photos = uploaded(2)
    await store.submit("b", submission("task of b", inside_temp_f=66.5), photos)
    await store.fail_job("a", "Nothing to see.")
    event = (await announcements(tasks_database))[-1]
    assert (event.job_id, event.inside_temp_f) == ("b", 66.5)
    assert [p.photo_id for p in event.photos] == [p.photo_id for p in photos]


async def test_a_new_job_does_not_overtake_one_that_waits(store: TaskStore, tasks_database: Database) -> None:
    await submit(store, "a", "b")
    await store.submit("a2", submission("task of a"), uploaded(1))
    assert (await job(store, "a"))["error"] == REPLACED
    assert await announced(tasks_database) == ["a", "b"]


async def test_a_job_that_is_replaced_while_it_waits_is_never_announced(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a", "b")
    await store.submit("b2", submission("task of b"), uploaded(1))
    await store.fail_job("a", "Nothing to see.")
    assert await announced(tasks_database) == ["a", "b2"]


async def test_a_job_that_analysis_works_on_keeps_its_turn_when_it_is_replaced(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a")
    await store.start_job("a")
    await store.submit("a2", submission("task of a"), uploaded(1))
    assert await store.announce_forgotten(10) == 0
    assert await announced(tasks_database) == ["a"]
    assert not await store.fail_job("a", "It had been replaced.")
    assert await announced(tasks_database) == ["a", "a2"]


async def test_a_turn_whose_end_is_never_told_is_free_after_a_while(store: TaskStore, tasks_database: Database) -> None:
    await submit(store, "a")
    await store.start_job("a")
    await store.submit("a2", submission("task of a"), uploaded(1))
    await change(tasks_database, sa.update(people).values(heldUntil=now(-1)))
    assert await store.announce_forgotten(10) == 1
    assert await announced(tasks_database) == ["a", "a2"]
    assert HOLD_SECONDS < 45, "the app waits for so long"


async def test_the_end_of_an_overdue_job_announces_the_next(store: TaskStore, tasks_database: Database) -> None:
    await submit(store, "a", "b")
    await change(tasks_database, sa.update(jobs).where(jobs.c.jobID == "a").values(submittedAt=now(-901)))
    assert await store.end_overdue(900) == 1
    assert (await job(store, "a"))["error"] == OVERDUE
    assert await announced(tasks_database) == ["a", "b"]


async def test_waiting_does_not_count_towards_the_deadline(store: TaskStore, tasks_database: Database) -> None:
    await submit(store, "a", "b")
    await change(tasks_database, sa.update(jobs).where(jobs.c.jobID == "b").values(submittedAt=now(-10_000)))
    assert await store.end_overdue(900) == 0
    await store.fail_job("a", "Nothing to see.")
    assert await store.end_overdue(900) == 0, "its time has begun just now"
    await change(tasks_database, sa.update(jobs).where(jobs.c.jobID == "b").values(announcedAt=now(-901)))
    assert await store.end_overdue(900) == 1


async def test_a_waiting_job_is_not_announced_as_a_late_one(store: TaskStore, tasks_database: Database) -> None:
    await submit(store, "a", "b")
    await change(tasks_database, sa.update(jobs).values(publishedAt=now(-100), submittedAt=now(-100)))
    assert await store.republish_unfinished(30, 10) == 1
    assert await announced(tasks_database) == ["a", "a"]
    assert (await store.unfinished()).waiting == 1


async def test_a_person_with_waiting_jobs_and_none_announced_is_found(
    store: TaskStore, tasks_database: Database
) -> None:
    """As a release that knows no turns, or an erasure, leaves them."""
    await submit(store, "a", "b", "c")
    await submit(store, "other", user_id=SOMEBODY_ELSE)
    await change(tasks_database, sa.update(jobs).where(jobs.c.jobID == "a").values(state="error", endedAt=now()))
    assert await store.announce_forgotten(10) == 1
    assert await store.announce_forgotten(10) == 0
    assert await announced(tasks_database) == ["a", "other", "b"]


async def test_a_job_that_a_release_without_turns_announced_runs_its_course(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a", "b")
    await store.start_job("b")
    found = await job(store, "b")
    assert (found["state"], found["waitingSince"]) == ("processing", None)
    assert found["announcedAt"] is not None, "its time has begun"
    assert await store.complete_job(completed("b", "task of b"), [])
    assert (await job(store, "b"))["state"] == "done"


async def test_a_job_that_cannot_be_announced_ends_and_does_not_hold_up_the_next(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a", "odd", "c")
    odd = sa.update(leakage_tasks).where(leakage_tasks.c.taskID == "task of odd").values(type="roof")
    await change(tasks_database, odd)
    await store.fail_job("a", "Nothing to see.")
    assert (await job(store, "odd"))["error"] == UNANNOUNCEABLE
    assert await announced(tasks_database) == ["a", "c"]


async def test_a_repeated_submission_is_answered_with_the_job_that_waits(
    store: TaskStore, tasks_database: Database
) -> None:
    await submit(store, "a")
    photos = uploaded(1)
    assert await store.submit("b", submission("task of b"), photos) == "b"
    assert await store.submit("b again", submission("task of b"), photos) == "b"
    await store.fail_job("a", "Nothing to see.")
    assert await announced(tasks_database) == ["a", "b"]


async def test_submissions_and_ends_at_once_announce_each_job_once_and_forget_none(
    tasks_url: str, tasks_database: Database
) -> None:
    databases = [Database(tasks_url) for _ in range(2)]  # as two replicas
    stores = [task_store(database) for database in databases]
    await submit(stores[0], "0")
    for number in range(1, 12):
        before = await announced(tasks_database)
        assert len(before) == number, "no end and no submission overlooked the other"
        await asyncio.gather(
            submit(stores[number % 2], str(number)),
            stores[(number + 1) % 2].fail_job(before[-1], "Nothing to see."),
            stores[number % 2].fail_job(before[-1], "Nothing to see."),
        )
    assert sorted(map(int, await announced(tasks_database))) == list(range(12))
    for database in databases:
        await database.close()


async def test_many_submissions_at_once_take_one_turn(tasks_url: str, tasks_database: Database) -> None:
    databases = [Database(tasks_url) for _ in range(2)]
    stores = [task_store(database) for database in databases]
    await asyncio.gather(*(submit(stores[number % 2], str(number)) for number in range(8)))
    assert len(await announced(tasks_database)) == 1
    for _ in range(7):
        await stores[0].fail_job((await announced(tasks_database))[-1], "Nothing to see.")
    assert len(set(await announced(tasks_database))) == 8
    for database in databases:
        await database.close()


async def test_after_the_erasure_of_an_announced_job_the_next_is_announced(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    """The person deletes the account and opens it again; what is submitted then waits for no job that is gone."""
    await submit(store, "old")
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-60)))
    await submit(store, "new")
    assert await announced(tasks_database) == ["old"]
    await erasures.note(deleted(seconds_ago=30))
    await erasures.erase_deleted_accounts()
    assert await store.announce_forgotten(10) == 1
    assert await announced(tasks_database) == ["new"]
    await settled(tasks_database)
    await erasures.erase_deleted_accounts()
    async with tasks_database.read() as connection:
        assert (await connection.execute(sa.select(people))).first() is None, "the row bears the person's id"


async def test_an_erased_persons_waiting_jobs_are_gone(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await submit(store, "a", "b")
    await erasures.note(deleted(seconds_ago=-5))
    await erasures.erase_deleted_accounts()
    assert await store.announce_forgotten(10) == 0
    assert await announced(tasks_database) == []


async def test_waiting_jobs_count_towards_the_most_jobs_of_a_person(tasks_database: Database) -> None:
    store = task_store(tasks_database, bounds=Bounds(jobs_of_a_person=3))
    await submit(store, "a", "b", "c")
    with pytest.raises(Problem) as refused:
        await submit(store, "d")
    assert refused.value.status == 429
