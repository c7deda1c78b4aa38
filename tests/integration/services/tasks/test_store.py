"""Tasks, jobs and households in the database, whatever arrives in whatever order, on SQLite and on MySQL."""

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from structlog.testing import capture_logs

from contracts.events import (
    AccountDeleted,
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
    Envelope,
    EventData,
    Household,
    PhotoKind,
    ProfileUpdated,
    TaskSubmitted,
    TaskType,
)
from contracts.internal import NewestHousehold
from contracts.reports import Report, Severity, Suggestion
from services.chassis.correlation import correlated
from services.chassis.database import Database, now
from services.chassis.metrics import Metrics
from services.chassis.problems import Problem
from services.tasks.erasure import Erasures
from services.tasks.events import profile_handlers, result_handlers
from services.tasks.jobs import OVERDUE, REPLACED, UNFINISHED, JobState
from services.tasks.models import households, jobs, leakage_tasks, outbox, photos, suggestions
from services.tasks.photos.store import new_photo_id
from services.tasks.store import FOREIGN, TaskStore, Unfinished
from services.tasks.submissions import Submission
from services.tasks.uploads import UploadedPhoto

ME = "someone@example.com"
SOMEBODY_ELSE = "else@example.com"


def submission(task_id: str = "task", user_id: str = ME, **changes: Any) -> Submission:
    fields: dict[str, Any] = {
        "title": "Fenêtre 🪟",
        "task_type": TaskType.WINDOW,
        "state": "draft",
        "decision": "planned",
        "closed_result": None,
        "inside_temp_f": 71.6,
        "outside_temp_f": 35.0,
    }
    return Submission(user_id=user_id, task_id=task_id, **(fields | changes))


def uploaded(count: int = 2) -> list[UploadedPhoto]:
    return [
        UploadedPhoto(
            photo_id=new_photo_id(),
            kind=PhotoKind.THERMAL if number % 2 else PhotoKind.RGB,
            observation=number // 2,
            position=number,
            name=f"obs{number // 2}_{'thermal' if number % 2 else 'rgb'}.jpg",
            media_type="image/jpeg",
            size=1000 + number,
            sha256=secrets.token_hex(32),
        )
        for number in range(count)
    ]


def report(task_id: str = "task", *, severity: Severity = Severity.MODERATE, fixes: int = 2, by: str = "a") -> Report:
    return Report(
        taskID=task_id,
        leakSeverity=severity,
        energyLossValue=15.8,
        energyLossCost=142.0,
        savingsPercent=19.0,
        savingsCost=31.0,
        imagePath=f"{task_id}_analysis_image.jpg",
        thumbPath=f"{task_id}_analysis_image.jpg",
        suggestions=tuple(
            Suggestion(
                suggestionID=f"{task_id} {by} {number}",
                title="Weatherstripping 🪟",
                subtitle="Seal around window frame",
                difficulty="Easy",
                costRange="$10–20",
                estimatedReduction="50–70%",
                lifetime="3–5 years",
                source="typical",
            )
            for number in range(fixes)
        ),
    )


def completed(job_id: str, task_id: str = "task", **how: Any) -> AnalysisCompleted:
    return AnalysisCompleted(
        job_id=job_id, report=report(task_id, **how), image_id=new_photo_id(), thumbnail_id=new_photo_id()
    )


async def rows(database: Database, table: sa.Table) -> list[dict[str, Any]]:
    async with database.read() as connection:
        found = await connection.execute(sa.select(table).order_by(*table.primary_key))
        return [row._asdict() for row in found]


async def row(database: Database, table: sa.Table) -> dict[str, Any]:
    (only,) = await rows(database, table)
    return only


async def change(database: Database, statement: sa.Executable) -> None:
    async with database.write() as connection:
        await connection.execute(statement)


async def announcements(database: Database) -> list[TaskSubmitted]:
    async with database.read() as connection:
        stored = (await connection.scalars(sa.select(outbox.c.envelope).order_by(outbox.c.id))).all()
    envelopes = [Envelope.model_validate(envelope) for envelope in stored]
    assert {envelope.type for envelope in envelopes} <= {TaskSubmitted.TYPE}
    return [TaskSubmitted.model_validate(envelope.data) for envelope in envelopes]


async def job(store: TaskStore, job_id: str) -> Mapping[str, Any]:
    found = await store.find_job(job_id)
    assert found is not None
    return found


class Events:
    """The consumer of analysis' events, with its metrics."""

    def __init__(self, store: TaskStore) -> None:
        self.metrics = Metrics()
        self._handlers = result_handlers(store, self.metrics)

    async def __call__(self, event: EventData) -> None:
        await self._handlers[type(event)](event)

    def ended(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("jobs_ended_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def events(store: TaskStore) -> Events:
    return Events(store)


# ── submissions ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_submission_is_stored_with_its_job_its_photos_and_its_announcement(
    store: TaskStore, tasks_database: Database
) -> None:
    pictures = uploaded(3)
    await store.submit("job", submission(), pictures)

    task = await row(tasks_database, leakage_tasks)
    present = datetime.now(UTC)
    assert abs(task.pop("createdAt") - present) < timedelta(minutes=1)
    assert abs(task.pop("updatedAt") - present) < timedelta(minutes=1)
    assert task.pop("insideTemp") == pytest.approx(71.6, abs=1e-5)
    assert task == {
        "taskID": "task",
        "userID": ME,
        "title": "Fenêtre 🪟",
        "type": "window",
        "state": "draft",
        "decision": "planned",
        "closedResult": None,
        "outsideTemp": 35.0,
        "RGBphotoIDs": [pictures[0].photo_id, pictures[2].photo_id],
        "thermalPhotoIDs": [pictures[1].photo_id],
        "leakSeverity": None,
        "energyLossValue": None,
        "energyLossCost": None,
        "savingsPercent": None,
        "savingsCost": None,
        "reportPhotoID": None,
        "jobID": "job",
    }
    stored = await job(store, "job")
    assert (stored["taskID"], stored["userID"], stored["state"]) == ("task", ME, "queued")
    assert stored["report"] is stored["error"] is stored["imageID"] is stored["endedAt"] is None
    (announced,) = await announcements(tasks_database)
    assert (announced.job_id, announced.task_id, announced.task_type) == ("job", "task", TaskType.WINDOW)
    assert (announced.inside_temp_f, announced.outside_temp_f, announced.household) == (71.6, 35.0, None)
    assert [(p.photo_id, p.kind, p.observation, p.name, p.media_type, p.size) for p in announced.photos] == [
        (p.photo_id, p.kind, p.observation, p.name, p.media_type, p.size) for p in pictures
    ]


async def test_a_submission_without_photos_and_without_anything_else_is_stored(
    store: TaskStore, tasks_database: Database
) -> None:
    nothing = {"title": None, "task_type": None, "decision": None, "inside_temp_f": None, "outside_temp_f": None}
    await store.submit("job", submission(**nothing), [])
    (announced,) = await announcements(tasks_database)
    assert announced == TaskSubmitted(job_id="job", task_id="task")
    task = await store.find_task("task")
    assert task is not None
    assert task["photos"] == []
    assert task["type"] is task["insideTemp"] is None


async def test_the_announcement_carries_what_is_known_of_the_household(
    store: TaskStore, tasks_database: Database
) -> None:
    home = Household(zip_code="15213", ownership="Rent", appliances=("Window AC",))
    await store.remember_household(ProfileUpdated(user_id=ME, version=1, household=home))
    await store.submit("mine", submission(), [])
    await store.submit("other", submission("other task", SOMEBODY_ELSE), [])
    assert [one.household for one in await announcements(tasks_database)] == [home, None]


async def test_a_submission_that_fails_leaves_nothing(store: TaskStore, tasks_database: Database) -> None:
    await store.submit("job", submission(), [])
    with pytest.raises(sa.exc.IntegrityError):
        await store.submit("job", submission("another task"), uploaded())  # a job's id is taken once
    assert len(await rows(tasks_database, leakage_tasks)) == 1
    assert await rows(tasks_database, photos) == []
    assert len(await announcements(tasks_database)) == 1


async def test_submitting_again_replaces_everything_but_when_and_whose_it_was(
    store: TaskStore, events: Events, tasks_database: Database
) -> None:
    first, second = uploaded(), uploaded(1)
    await store.submit("first", submission(state="open"), first)
    await change(tasks_database, sa.update(leakage_tasks).values(createdAt=now(-86400)))
    await events(completed("first"))
    before = await row(tasks_database, leakage_tasks)

    await store.submit("second", submission(title="Other", task_type=None, state="closed", inside_temp_f=None), second)
    task = await row(tasks_database, leakage_tasks)
    assert task["createdAt"] == before["createdAt"]
    assert (task["title"], task["type"], task["state"], task["insideTemp"]) == ("Other", None, "closed", None)
    assert (task["RGBphotoIDs"], task["thermalPhotoIDs"]) == ([second[0].photo_id], [])
    assert task["jobID"] == "second"
    assert task["leakSeverity"] is task["energyLossValue"] is task["reportPhotoID"] is None
    assert await rows(tasks_database, suggestions) == []
    assert [one.job_id for one in await announcements(tasks_database)] == ["first", "second"]
    shown = await store.find_task("task")
    assert shown is not None
    assert shown["report"] is None
    assert [p["photoID"] for p in shown["photos"]] == [second[0].photo_id]


async def test_the_earlier_job_ends_visibly_when_it_is_replaced(store: TaskStore) -> None:
    await store.submit("first", submission(), uploaded())
    await store.submit("second", submission(), uploaded())
    first, second = await job(store, "first"), await job(store, "second")
    assert (first["state"], first["error"]) == ("error", REPLACED)
    assert first["endedAt"] is not None
    assert second["state"] == "queued"


async def test_the_report_of_a_job_that_had_ended_stays_when_it_is_replaced(store: TaskStore, events: Events) -> None:
    await store.submit("first", submission(), uploaded())
    done = completed("first")
    await events(done)
    await store.submit("second", submission(), uploaded())
    first = await job(store, "first")
    assert (first["state"], first["imageID"]) == ("done", done.image_id)
    assert Report.model_validate(first["report"]) == done.report


async def test_replaced_photos_are_dropped_and_pictures_of_reports_are_not(
    store: TaskStore, events: Events, tasks_database: Database
) -> None:
    first = uploaded()
    await store.submit("first", submission(), first)
    await events(completed("first"))
    await store.submit("second", submission(), uploaded())
    await store.submit("third", submission(), uploaded())
    dropped = {r["photoID"] for r in await rows(tasks_database, photos) if r["droppedAt"] is not None}
    assert len(dropped) == 4
    assert dropped >= {one.photo_id for one in first}
    assert await store.dropped_photos(60, 10) == []
    await change(tasks_database, sa.update(photos).where(photos.c.jobID == "first").values(droppedAt=now(-61)))
    # The report's pictures have just been marked too, by force; nothing else of "first" had been left.
    assert len(await store.dropped_photos(60, 10)) == 4
    assert len(await store.dropped_photos(60, 3)) == 3


@pytest.mark.parametrize("other_user", [SOMEBODY_ELSE, "someone@example.co", "sömeone@example.com", ME + "."])
async def test_somebody_elses_task_cannot_be_replaced_and_nothing_changes(
    store: TaskStore, events: Events, tasks_database: Database, other_user: str
) -> None:
    await store.submit("job", submission(), uploaded())
    await events(completed("job"))
    tables = (leakage_tasks, jobs, photos, suggestions, outbox)
    before = [await rows(tasks_database, table) for table in tables]
    with pytest.raises(Problem) as refused:
        await store.submit("other", submission(user_id=other_user), uploaded())
    assert (refused.value.status, refused.value.detail) == (403, FOREIGN)
    assert [await rows(tasks_database, table) for table in tables] == before


async def test_ids_are_compared_byte_by_byte(store: TaskStore) -> None:
    for number, task_id in enumerate(["task", "TASK", "tåsk", "täsk", "🪟", "🚪"]):
        await store.submit(str(number), submission(task_id, f"user {number}"), [])
    assert await store.find_task("Task") is None


async def test_of_first_submissions_at_once_by_one_owner_the_last_one_stands(
    store: TaskStore, tasks_database: Database
) -> None:
    names = [f"job {number}" for number in range(8)]
    await asyncio.gather(*(store.submit(name, submission(), uploaded()) for name in names))
    task = await row(tasks_database, leakage_tasks)
    stored = {r["jobID"]: r for r in await rows(tasks_database, jobs)}
    assert stored.keys() == set(names)
    assert [name for name in names if stored[name]["state"] == "queued"] == [task["jobID"]]
    assert {stored[name]["error"] for name in names if name != task["jobID"]} == {REPLACED}
    live = [r for r in await rows(tasks_database, photos) if r["droppedAt"] is None]
    assert {r["jobID"] for r in live} == {task["jobID"]}


async def test_of_first_submissions_at_once_by_several_people_one_gets_the_task(
    store: TaskStore, tasks_database: Database
) -> None:
    users = [f"user{number}@example.com" for number in range(6)]
    with capture_logs() as logs:
        outcomes = await asyncio.gather(
            *(store.submit(user, submission(user_id=user), uploaded()) for user in users), return_exceptions=True
        )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == len(users) - 1
    assert all(isinstance(outcome, Problem) and outcome.status == 403 for outcome in refused)
    task = await row(tasks_database, leakage_tasks)
    assert [r["userID"] for r in await rows(tasks_database, jobs)] == [task["userID"]] == [task["jobID"]]
    assert "@" not in str(logs)


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_life_of_a_job(store: TaskStore, events: Events, tasks_database: Database) -> None:
    await store.submit("job", submission(state="draft"), uploaded())
    await events(AnalysisStarted(job_id="job"))
    assert (await job(store, "job"))["state"] == "processing"
    done = completed("job")
    await events(done)
    ended = await job(store, "job")
    assert (ended["state"], ended["imageID"], ended["error"]) == ("done", done.image_id, None)
    assert Report.model_validate(ended["report"]) == done.report
    assert ended["endedAt"] >= ended["submittedAt"]

    task = await row(tasks_database, leakage_tasks)
    assert (task["state"], task["leakSeverity"], task["reportPhotoID"]) == ("open", "Moderate", done.image_id)
    figures = [task[name] for name in ("energyLossValue", "energyLossCost", "savingsPercent", "savingsCost")]
    assert figures == pytest.approx([15.8, 142.0, 19.0, 31.0], rel=1e-6)
    assert await rows(tasks_database, suggestions) == [
        {"taskID": "task", **suggestion.model_dump(exclude={"source"})} for suggestion in done.report.suggestions
    ]
    shown = await store.find_task("task")
    assert shown is not None
    assert {(p["kind"], p["photoID"]) for p in shown["photos"] if p["jobID"] == "job" and not p["mediaType"]} == {
        ("report", done.image_id),
        ("thumbnail", done.thumbnail_id),
    }


async def test_a_closed_task_stays_closed(store: TaskStore, events: Events, tasks_database: Database) -> None:
    await store.submit("job", submission(state="closed"), [])
    await events(completed("job"))
    assert (await row(tasks_database, leakage_tasks))["state"] == "closed"


async def test_a_report_without_figures_pictures_and_suggestions_is_a_report(
    store: TaskStore, events: Events, tasks_database: Database
) -> None:
    await store.submit("job", submission(), [])
    nothing = dict.fromkeys(
        ("energyLossValue", "energyLossCost", "savingsPercent", "savingsCost", "imagePath", "thumbPath")
    )
    empty = report(severity=Severity.UNKNOWN, fixes=0).model_copy(update=nothing)
    await events(AnalysisCompleted(job_id="job", report=empty))
    ended = await job(store, "job")
    assert (ended["state"], ended["imageID"]) == ("done", None)
    assert Report.model_validate(ended["report"]) == empty
    assert (await row(tasks_database, leakage_tasks))["leakSeverity"] == "Unknown"


async def test_advice_longer_than_the_old_columns_does_not_keep_a_job_from_its_end(
    store: TaskStore, events: Events, tasks_database: Database
) -> None:
    await store.submit("job", submission(), [])
    wordy = report(fixes=1)
    long = wordy.suggestions[0].model_copy(update={"subtitle": "é🪟" * 1000})
    await events(AnalysisCompleted(job_id="job", report=wordy.model_copy(update={"suggestions": (long,)})))
    assert (await job(store, "job"))["report"]["suggestions"][0]["subtitle"] == long.subtitle
    assert (await row(tasks_database, suggestions))["subtitle"] == long.subtitle[:255]


async def test_a_result_of_an_unknown_job_is_passed_over(events: Events, tasks_database: Database) -> None:
    await events(AnalysisStarted(job_id="nobody"))
    await events(completed("nobody"))
    await events(AnalysisFailed(job_id="nobody", reason="why"))
    assert await rows(tasks_database, jobs) == []
    assert all(row["droppedAt"] for row in await rows(tasks_database, photos)), "they wait for their removal alone"
    assert events.ended("done") == events.ended("error") == 0


async def test_a_report_on_another_task_than_the_jobs_changes_nothing(store: TaskStore, events: Events) -> None:
    await store.submit("job", submission("task"), uploaded())
    await store.submit("other job", submission("other task"), uploaded())
    await events(completed("job", "other task"))
    assert (await job(store, "job"))["state"] == (await job(store, "other job"))["state"] == "queued"
    for task_id in ("task", "other task"):
        task = await store.find_task(task_id)
        assert task is not None
        assert (task["leakSeverity"], task["reportPhotoID"]) == (None, None)


async def test_in_every_order_and_however_often_repeated_the_first_end_is_the_end(
    store: TaskStore, tasks_database: Database
) -> None:
    """Completed, completed by another worker, failed, and a newer submission, in each order; started all the time."""
    for number, order in enumerate(itertools.permutations(["complete", "complete again", "fail", "replace"])):
        events = Events(store)
        task_id, old, new = f"task {number}", f"old {number}", f"new {number}"
        results: dict[str, EventData] = {
            "complete": completed(old, task_id, by="first"),
            "complete again": completed(old, task_id, severity=Severity.HIGH, by="second"),
            "fail": AnalysisFailed(job_id=old, reason="No photo could be read."),
        }
        await store.submit(old, submission(task_id), [])
        for step in order:
            if step == "replace":
                await store.submit(new, submission(task_id, title="Another"), [])
            else:
                await events(results[step])
                await events(results[step])
            await events(AnalysisStarted(job_id=old))
        end = order[0]
        ended = await job(store, old)
        if end in ("complete", "complete again"):
            by = results[end]
            assert isinstance(by, AnalysisCompleted)
            assert (ended["state"], ended["error"], ended["imageID"]) == ("done", None, by.image_id)
            assert Report.model_validate(ended["report"]) == by.report
        else:
            reason = REPLACED if end == "replace" else "No photo could be read."
            assert (ended["state"], ended["error"], ended["report"], ended["imageID"]) == ("error", reason, None, None)
        assert events.ended("done") + events.ended("error") == (0 if end == "replace" else 1)

        # The task shows its newest submission, and that one has not been touched by results of the other.
        task = await store.find_task(task_id)
        assert task is not None
        assert (task["jobID"], task["jobState"], task["leakSeverity"], task["report"]) == (new, "queued", None, None)
        assert task["photos"] == []
        assert (await job(store, new))["state"] == "queued"
    async with tasks_database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(suggestions)) == 0


async def test_results_at_once_make_one_end(store: TaskStore, tasks_database: Database) -> None:
    for number in range(10):
        events = Events(store)
        task_id, name = f"task {number}", f"job {number}"
        await store.submit(name, submission(task_id), uploaded())
        done = [completed(name, task_id, by=str(by)) for by in range(3)]
        await asyncio.gather(
            *(events(one) for one in [*done, *done]),
            events(AnalysisFailed(job_id=name, reason="why")),
            events(AnalysisStarted(job_id=name)),
            store.end_overdue(0),
        )
        ended = await job(store, name)
        task = await store.find_task(task_id)
        assert task is not None
        pictures = [p for p in task["photos"] if p["kind"] in ("report", "thumbnail")]
        if ended["state"] == "done":
            by = next(one for one in done if one.image_id == ended["imageID"])
            assert {p["photoID"] for p in pictures} == {by.image_id, by.thumbnail_id}
            assert Report.model_validate(task["report"]) == by.report
        else:
            assert (ended["state"], pictures, task["report"]) == ("error", [], None)
    assert await rows(tasks_database, leakage_tasks)


async def test_submissions_and_results_that_meet_do_not_harm_each_other(
    store: TaskStore, tasks_database: Database
) -> None:
    """Resubmissions, results, the sweeper: all at once on few tasks. Every job ends once, and the newest is shown."""
    names = [(f"task {number % 3}", f"job {number}") for number in range(30)]
    events = Events(store)

    async def run(task_id: str, name: str) -> None:
        await store.submit(name, submission(task_id), uploaded())
        await asyncio.gather(
            events(AnalysisStarted(job_id=name)),
            events(completed(name, task_id, by=name)),
            store.republish_unfinished(0, 10),
            store.end_overdue(3600),
        )

    await asyncio.gather(*(run(*name) for name in names))
    stored = {r["jobID"]: r for r in await rows(tasks_database, jobs)}
    assert len(stored) == len(names)
    assert {r["state"] for r in stored.values()} <= {"done", "error"}
    for task in await rows(tasks_database, leakage_tasks):
        newest = stored[task["jobID"]]
        assert newest["state"] == "done"
        assert task["reportPhotoID"] == newest["imageID"]
        shown = [r["suggestionID"] for r in await rows(tasks_database, suggestions) if r["taskID"] == task["taskID"]]
        assert shown == [s["suggestionID"] for s in newest["report"]["suggestions"]]


# ── the sweeper's ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_late_job_is_announced_again_with_the_same_content(store: TaskStore, tasks_database: Database) -> None:
    home = Household(zip_code="15213")
    await store.remember_household(ProfileUpdated(user_id=ME, version=1, household=home))
    await store.submit("job", submission(), uploaded(4))
    assert await store.republish_unfinished(120, 10) == 0
    await change(tasks_database, sa.update(jobs).values(publishedAt=now(-121)))
    assert await store.republish_unfinished(120, 10) == 1
    assert await store.republish_unfinished(120, 10) == 0
    first, second = await announcements(tasks_database)
    assert second == first
    assert second.household == home


async def test_a_household_that_auth_told_at_the_submission_is_announced_again_too(
    store: TaskStore, tasks_database: Database
) -> None:
    await store.remember_household(ProfileUpdated(user_id=ME, version=1, household=Household(zip_code="15213")))
    newest = NewestHousehold(version=2, household=Household(zip_code="02134"))
    await store.submit("job", submission(), [], newest=newest)
    await store.remember_household(ProfileUpdated(user_id=ME, version=1, household=Household(zip_code="15213")))
    await change(tasks_database, sa.update(jobs).values(publishedAt=now(-121)))
    assert await store.republish_unfinished(120, 10) == 1
    assert [one.household for one in await announcements(tasks_database)] == [newest.household] * 2


async def test_first_submissions_at_once_that_carry_a_new_household_all_succeed(
    store: TaskStore, tasks_database: Database
) -> None:
    newest = [NewestHousehold(version=v, household=Household(zip_code=str(v))) for v in range(1, 9)]
    await asyncio.gather(
        *(store.submit(f"job {one.version}", submission(f"task {one.version}"), [], newest=one) for one in newest)
    )
    assert [(r["version"], r["household"]["zip_code"]) for r in await rows(tasks_database, households)] == [(8, "8")]
    for _ in newest:  # one job of a person is announced at a time
        await store.fail_job((await announcements(tasks_database))[-1].job_id, "the next one, please")
    announced = await announcements(tasks_database)
    assert all(int(one.household.zip_code or 0) >= int(one.job_id.split()[1]) for one in announced if one.household)
    assert len(announced) == 8


async def test_a_household_of_a_deleted_account_is_not_kept(
    store: TaskStore, erasures: Erasures, tasks_database: Database
) -> None:
    await erasures.note(AccountDeleted(user_id=ME, deleted_at=datetime.now(UTC) - timedelta(days=1), profile_version=7))
    await store.submit("job", submission(), [], newest=NewestHousehold(version=7, household=Household(zip_code="1")))
    assert [row["household"] for row in await rows(tasks_database, households) if row["userID"] == ME] in ([], [None])


async def test_a_job_is_announced_again_under_the_trace_of_its_submission(
    store: TaskStore, tasks_database: Database
) -> None:
    with correlated(None) as trace_id:
        await store.submit("job", submission(), [])
    with correlated(None):  # of whoever sweeps
        await store.republish_unfinished(-60, 10)
    async with tasks_database.read() as connection:
        first, second = (await connection.scalars(sa.select(outbox.c.envelope))).all()
    assert first["traceparent"].split("-")[1] == second["traceparent"].split("-")[1] == trace_id


@pytest.mark.parametrize("state", list(JobState))
async def test_only_unfinished_jobs_are_announced_again_or_given_up(
    store: TaskStore, tasks_database: Database, state: JobState
) -> None:
    await store.submit("job", submission(), [])
    await change(tasks_database, sa.update(jobs).values(state=state, publishedAt=now(-500), submittedAt=now(-1000)))
    expected = 1 if state in UNFINISHED else 0
    assert (await store.unfinished()).jobs == expected
    assert await store.republish_unfinished(120, 10) == expected
    assert await store.end_overdue(900) == expected
    assert await store.end_overdue(900) == 0
    assert (await store.unfinished()).jobs == 0


async def test_the_oldest_are_announced_first_and_no_more_than_asked_for(
    store: TaskStore, tasks_database: Database
) -> None:
    for number in range(5):
        await store.submit(f"job {number}", submission(f"task {number}", f"{number}@example.com"), [])
        ago = now(-1000 + (number * 3) % 5)  # 0, 3, 1, 4, 2
        await change(tasks_database, sa.update(jobs).where(jobs.c.jobID == f"job {number}").values(publishedAt=ago))
    assert await store.republish_unfinished(120, 3) == 3
    assert [one.job_id for one in await announcements(tasks_database)][5:] == ["job 0", "job 2", "job 4"]
    assert await store.republish_unfinished(120, 3) == 2


async def test_two_sweepers_at_once_announce_each_job_once(store: TaskStore, tasks_database: Database) -> None:
    for number in range(20):
        await store.submit(f"job {number}", submission(f"task {number}", f"{number}@example.com"), [])
    await change(tasks_database, sa.update(jobs).values(publishedAt=now(-500)))
    counts = await asyncio.gather(*(store.republish_unfinished(120, 7) for _ in range(4)))
    while more := await store.republish_unfinished(120, 7):
        counts.append(more)
    assert sum(counts) == 20
    assert len(await announcements(tasks_database)) == 40


async def test_an_overdue_job_ends_with_a_reason_and_stays_ended(
    store: TaskStore, events: Events, tasks_database: Database
) -> None:
    await store.submit("old", submission("a"), [])
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-901)))
    await store.submit("young", submission("b"), [])
    assert await store.end_overdue(900) == 1
    old, young = await job(store, "old"), await job(store, "young")
    assert (old["state"], old["error"]) == ("error", OVERDUE)
    assert young["state"] == "queued"
    await events(completed("old", "a"))
    assert (await job(store, "old"))["state"] == "error"


async def test_the_age_of_the_oldest_unfinished_job_is_told(store: TaskStore, tasks_database: Database) -> None:
    assert await store.unfinished() == Unfinished(0, 0, 0.0)
    await store.submit("a", submission("a"), [])
    await change(tasks_database, sa.update(jobs).values(submittedAt=now(-50)))
    await store.submit("b", submission("b"), [])
    unfinished = await store.unfinished()
    count, oldest = unfinished.jobs, unfinished.oldest_seconds
    assert count == 2
    assert oldest == pytest.approx(50, abs=10)


async def test_photos_that_no_row_refers_to_are_told_from_those_that_one_does(store: TaskStore, events: Events) -> None:
    pictures = uploaded()
    await store.submit("job", submission(), pictures)
    done = completed("job")
    await events(done)
    known = [*(p.photo_id for p in pictures), done.image_id or "", done.thumbnail_id or ""]
    assert await store.unknown_photos(["0" * 24, *known, "f" * 24]) == ["0" * 24, "f" * 24]
    assert await store.unknown_photos([]) == []
    await store.forget_photos([pictures[0].photo_id])
    assert await store.unknown_photos(known) == [pictures[0].photo_id]


# ── households ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_of_a_household_the_highest_version_counts_in_whatever_order_they_come(
    store: TaskStore, tasks_database: Database
) -> None:
    handle = profile_handlers(store)[ProfileUpdated]
    for number, order in enumerate(itertools.permutations([1, 2, 3])):
        user = f"user{number}@example.com"
        for version in order:
            home = Household(zip_code=str(version))
            await handle(ProfileUpdated(user_id=user, version=version, household=home))
            await handle(ProfileUpdated(user_id=user, version=version, household=home))
    assert {(r["version"], r["household"]["zip_code"]) for r in await rows(tasks_database, households)} == {(3, "3")}


async def test_versions_that_come_at_once_end_in_the_highest_and_name_nobody_in_the_logs(
    store: TaskStore, tasks_database: Database
) -> None:
    for number in range(5):
        with capture_logs() as logs:
            await asyncio.gather(
                *(
                    store.remember_household(
                        ProfileUpdated(
                            user_id=f"u{number}@example.com", version=v, household=Household(zip_code=str(v))
                        )
                    )
                    for v in range(1, 7)
                )
            )
        assert "@" not in str(logs)
    assert [(r["version"], r["household"]["zip_code"]) for r in await rows(tasks_database, households)] == [
        (6, "6")
    ] * 5


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def walked(store: TaskStore, user_id: str, limit: int) -> list[str]:
    seen: list[str] = []
    before = None
    while page := await store.list_tasks(user_id, before, limit):
        seen += [task["taskID"] for task in page]
        before = (page[-1]["createdAt"], page[-1]["taskID"])
    return seen


async def test_every_task_is_listed_once_the_newest_first_also_those_of_one_moment_and_of_none(
    store: TaskStore, tasks_database: Database
) -> None:
    for number in range(9):
        await store.submit(str(number), submission(f"task {number}"), uploaded(1))
    await store.submit("foreign", submission("foreign", SOMEBODY_ELSE), [])
    for number, ago in enumerate([5, 5, 5, 9, 1, 1]):  # and 6, 7, 8 from an unknown time, as in old rows
        created: Any = sa.literal(
            datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=ago), leakage_tasks.c.createdAt.type
        )
        await change(
            tasks_database,
            sa.update(leakage_tasks).where(leakage_tasks.c.taskID == f"task {number}").values(createdAt=created),
        )
    await change(
        tasks_database,
        sa.update(leakage_tasks)
        .where(leakage_tasks.c.taskID.in_(["task 6", "task 7", "task 8"]))
        .values(createdAt=None),
    )
    newest_first = [f"task {number}" for number in (5, 4, 2, 1, 0, 3, 8, 7, 6)]
    for limit in (1, 2, 3, 4, 100):
        assert await walked(store, ME, limit) == newest_first
    listed = await store.list_tasks(ME, None, 100)
    assert [len(task["photos"]) for task in listed] == [1] * 9
    assert await store.list_tasks("nobody", None, 10) == []


async def test_a_task_shows_only_the_pictures_of_its_newest_report(store: TaskStore, events: Events) -> None:
    await store.submit("first", submission(), uploaded())
    await events(completed("first", by="first"))
    second = uploaded()
    await store.submit("second", submission(), second)
    done = completed("second", by="second")
    await events(done)
    task = await store.find_task("task")
    assert task is not None
    assert {p["photoID"] for p in task["photos"]} == {*(p.photo_id for p in second), done.image_id, done.thumbnail_id}


async def test_an_unknown_job_task_or_photo_is_none(store: TaskStore) -> None:
    await store.submit("job", submission(), pictures := uploaded())
    assert await store.find_job("other") is None
    assert await store.find_task("other") is None
    assert await store.find_job_photo("other", pictures[0].photo_id) is None
    assert await store.find_job_photo("job", "0" * 24) is None
    assert await store.find_job_photo("job", pictures[0].photo_id) is not None


# ── plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _fill(database: Database, count: int) -> None:
    """Enough rows that a full scan would not be the better plan."""
    past = datetime(2026, 1, 1, tzinfo=UTC)
    async with database.write(seconds=None) as connection:
        numbers = range(count)
        await connection.execute(
            sa.insert(leakage_tasks),
            [{"taskID": f"t{n}", "userID": f"u{n % 100}", "jobID": f"j{n}", "createdAt": past} for n in numbers],
        )
        await connection.execute(
            sa.insert(jobs),
            [
                {"jobID": f"j{n}", "taskID": f"t{n}", "userID": f"u{n % 100}", "submittedAt": past, "publishedAt": past}
                | {"state": "queued" if n % 500 == 0 else "done"}
                for n in numbers
            ],
        )
        await connection.execute(
            sa.insert(photos),
            [
                {"photoID": f"{n:024x}", "taskID": f"t{n}", "jobID": f"j{n}", "kind": "rgb", "observation": 0}
                | {"position": 0, "name": "obs0_rgb.jpg", "mediaType": "image/jpeg", "size": 1}
                | {"droppedAt": past if n % 500 == 0 else None}
                for n in numbers
            ],
        )
        await connection.execute(
            sa.insert(suggestions), [{"suggestionID": f"s{n}", "taskID": f"t{n}"} for n in numbers]
        )


NOBODY = {"signed_out_people": ["nobody"]}
TABLE_SCANS = tuple(f"SCAN {table.name}" for table in (leakage_tasks, jobs, photos, suggestions))


async def test_no_query_reads_a_whole_table(store: TaskStore, events: Events, tasks_database: Database) -> None:
    await _fill(tasks_database, 3000)
    if tasks_database.is_mysql:
        async with tasks_database.read() as connection:
            for table in (leakage_tasks, jobs, photos, suggestions):
                await connection.execute(sa.text(f"ANALYZE TABLE {table.name}"))
    ran: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, values: Any, ___: Any, many: bool) -> None:
        if not statement.lstrip().upper().startswith("INSERT"):
            ran.append((statement, values[0] if many else values))

    engines = {tasks_database.engine.sync_engine, tasks_database._reading.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    await store.find_job("j7")
    await store.follow_job("j7", NOBODY)
    await store.standing(["u7"], "key", NOBODY)
    await store.find_task("t7")
    await store.list_tasks("u7", None, 21)
    await store.list_tasks("u7", (datetime(2026, 2, 1, tzinfo=UTC), "t900"), 21)
    await store.list_tasks("u7", (None, "t900"), 21)
    await store.find_job_photo("j7", f"{7:024x}")
    await store.submit("new", submission("t7", "u7"), uploaded())
    await events(AnalysisStarted(job_id="new"))
    await events(completed("new", "t7"))
    await events(AnalysisFailed(job_id="j500", reason="why"))
    await store.republish_unfinished(120, 200)
    await store.unfinished()
    await store.dropped_photos(3600, 200)
    await store.unknown_photos([f"{n:024x}" for n in range(500)])
    await store.forget_photos([f"{7:024x}"])
    await store.end_overdue(900)
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    assert len(ran) > 20

    scans = []
    async with tasks_database.read(seconds=None) as connection:
        for statement, values in ran:
            if tasks_database.is_mysql:
                plan = (await connection.exec_driver_sql(f"EXPLAIN FORMAT=TRADITIONAL {statement}", values)).mappings()
                # A table that the query itself derives (its name begins so) has as many rows as it asks for.
                tables = [step for step in plan.all() if not str(step["table"]).startswith("<")]
                bad = [step for step in tables if step["type"] in ("ALL", "index")]
            else:
                steps = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)).mappings()
                bad = [step for step in steps.all() if step["detail"].startswith(TABLE_SCANS)]
            scans += [(statement, bad)] if bad else []
    assert scans == []
