"""The checker finds each kind of broken promise, and nothing where there is none."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from services.analysis.submissions import LOST
from services.tasks.jobs import OVERDUE, REPLACED
from tests.chaos.checker import KINDS, Violation, check, counted, settled, shortest
from tests.chaos.history import Event
from tests.chaos.stores import StoredFile, Stores

GRACE = 100.0
ANN, BOB = "ann@example.com", "bob@example.com"
PHOTOS = [["obs0_thermal.jpg", "cold bytes", "cold"], ["obs0_rgb.jpg", "colour bytes", "colour"]]


class World:
    """A history and the databases that fit it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.stores = Stores()

    def event(self, phase: str, kind: str, **facts: Any) -> Event:
        event = {"t": float(len(self.events)), "phase": phase, "kind": kind, "op": len(self.events), **facts}
        self.events.append(event)
        return event

    def answered(self, kind: str, status: int = 200, **facts: Any) -> Event:
        self.event("ask", kind, **facts)
        return self.event("answer", kind, **{**facts, "op": len(self.events) - 1}, status=status)

    def account(self, user: str, code: str | None = None, version: int = 0) -> None:
        self.answered("login", user=user)
        self.stores.users[user] = {"zipCode": code, "profileVersion": version}
        if version:
            self.stores.households[user] = {"version": version, "household": {"zip_code": code}}

    def submission(self, task: str, job: str, user: str = ANN, photos: list[list[str]] = PHOTOS) -> None:
        """Acknowledged, and stored as the newest of its task."""
        asked = self.event("ask", "submit", user=user, task=task, photos=photos)
        self.event("answer", "submit", user=user, task=task, photos=photos, op=asked["op"], status=200, job=job)
        for row in self.stores.photos.values():
            if row["taskID"] == task:
                row["droppedAt"] = "now"
        self.stores.tasks[task] = {"userID": user, "jobID": job}
        self.stores.jobs[job] = {"taskID": task, "userID": user, "state": "queued", "error": None}
        for name, digest, _ in photos:
            self.stores.photos[f"{job} {name}"] = {"taskID": task, "jobID": job, "name": name, "droppedAt": None}
            self.stores.files[f"{job} {name}"] = StoredFile(digest, 1000)

    def polled(self, job: str, **said: Any) -> Event:
        row = self.stores.jobs[job]
        return self.answered("poll", user=row["userID"], task=row["taskID"], job=job, **said)

    def done(self, job: str) -> Event:
        self.stores.jobs[job]["state"] = "done"
        task = self.stores.jobs[job]["taskID"]
        return self.polled(job, state="done", report_task=task, report="r", image="colour")

    def failed(self, job: str, reason: str) -> Event:
        self.stores.jobs[job] |= {"state": "error", "error": reason}
        return self.polled(job, state="error", reason=reason)

    def found(self) -> list[Violation]:
        return check(self.events, self.stores, grace_seconds=GRACE, constant_image=True)

    def kinds(self) -> set[str]:
        return {violation.kind for violation in self.found()}


@pytest.fixture
def world() -> World:
    """Two accounts, a job of each that is done, and whatever else may rightly happen."""
    world = World()
    world.account(ANN, "00002", version=2)
    world.account(BOB)
    world.answered("profile", user=ANN, zip="00001")
    world.answered("profile", user=ANN, zip="00002")
    world.submission("t1", "j1")
    world.polled("j1", state="queued")
    world.polled("j1", state="processing")
    world.polled("j1", status=503)
    world.done("j1")
    world.done("j1")
    world.submission("t2", "j2", BOB)
    world.done("j2")
    world.answered("pry", 404, user=BOB, pried="t1")
    world.answered("pry", 403, user=BOB, pried="t1")
    world.answered("submit", 503, user=BOB, task="t3", photos=PHOTOS)
    return world


def test_a_history_that_fits_the_databases_is_no_violation(world: World) -> None:
    assert world.found() == []
    assert settled(world.stores)


def test_a_replaced_submission_is_no_violation(world: World) -> None:
    world.submission("t4", "j4")
    world.submission("t4", "j5", photos=[["obs0_rgb.jpg", "other bytes", "other"]])
    world.failed("j4", REPLACED)
    world.stores.jobs["j5"]["state"] = "done"
    world.polled("j5", state="done", report_task="t4", report="r", image="other")
    assert world.found() == []


def test_a_submission_left_unanswered_may_replace_an_acknowledged_one(world: World) -> None:
    world.event("ask", "submit", user=ANN, task="t1", photos=PHOTOS)
    world.stores.tasks["t1"]["jobID"] = "j9"
    world.stores.jobs["j9"] = {"taskID": "t1", "userID": ANN, "state": "done", "error": None}
    assert world.found() == []


def test_a_profile_left_unanswered_may_be_stored_or_not(world: World) -> None:
    world.event("unknown", "profile", user=ANN, zip="00003")
    assert world.found() == []
    world.stores.users[ANN]["zipCode"] = "00003"
    world.stores.households[ANN]["household"]["zip_code"] = "00003"
    assert world.found() == []


def test_an_account_whose_profile_was_never_written_need_not_be_known_to_tasks(world: World) -> None:
    world.stores.users[BOB]["profileVersion"] = 7
    assert world.found() == []


def test_a_dead_letter_is_explained_when_its_job_has_ended(world: World) -> None:
    world.stores.dead_letters.append({"queue": "q", "type": "t", "subject": "j1", "reason": "no"})
    assert world.found() == []


def test_a_young_orphan_may_still_be_swept(world: World) -> None:
    world.stores.files["x"] = StoredFile(None, GRACE - 1)
    assert world.found() == []


def _job_gone(world: World) -> None:
    del world.stores.jobs["j1"]


def _job_not_found_once(world: World) -> None:
    world.polled("j1", status=404)


def _task_gone(world: World) -> None:
    del world.stores.tasks["t1"]


def _older_submission_shown(world: World) -> None:
    world.submission("t1", "j5")
    world.done("j5")
    world.stores.tasks["t1"]["jobID"] = "j1"


def _replaced_by_nobody(world: World) -> None:
    world.submission("t4", "j4")
    world.failed("j4", REPLACED)


def _done_then_error(world: World) -> None:
    world.failed("j1", OVERDUE)


def _unfinished_after_its_end(world: World) -> None:
    world.polled("j1", state="processing")
    world.done("j1")


def _two_reports(world: World) -> None:
    world.polled("j1", state="done", report_task="t1", report="another", image="colour")


def _end_changed_unseen(world: World) -> None:
    world.stores.jobs["j1"]["state"] = "error"


def _never_ends(world: World) -> None:
    world.submission("t4", "j4")


def _task_of_another(world: World) -> None:
    world.stores.tasks["t1"]["userID"] = BOB


def _job_of_another(world: World) -> None:
    world.stores.jobs["j1"]["userID"] = BOB


def _stranger_let_in(world: World) -> None:
    world.answered("pry", 200, user=BOB, pried="t1")


def _report_of_another_task(world: World) -> None:
    world.submission("t4", "j4")
    world.stores.jobs["j4"]["state"] = "done"
    world.polled("j4", state="done", report_task="t1", report="r", image="colour")


def _photo_of_another_submission(world: World) -> None:
    world.submission("t4", "j4")
    world.stores.jobs["j4"]["state"] = "done"
    world.polled("j4", state="done", report_task="t4", report="r", image="another")


def _no_image(world: World) -> None:
    world.submission("t4", "j4")
    world.stores.jobs["j4"]["state"] = "done"
    world.polled("j4", state="done", report_task="t4", report="r", image=None)


def _bytes_gone(world: World) -> None:
    del world.stores.files["j1 obs0_rgb.jpg"]


def _bytes_changed(world: World) -> None:
    world.stores.files["j1 obs0_rgb.jpg"] = StoredFile("other", 1000)


def _photo_not_whole(world: World) -> None:
    world.stores.files["j1 obs0_rgb.jpg"] = StoredFile(None, 1000)


def _photo_dropped(world: World) -> None:
    world.stores.photos["j1 obs0_rgb.jpg"]["droppedAt"] = "now"


def _ended_for_want_of_photos(world: World) -> None:
    world.submission("t4", "j4")
    world.failed("j4", LOST)


def _old_orphan(world: World) -> None:
    world.stores.files["x"] = StoredFile("whole", GRACE + 1)


def _event_waits(world: World) -> None:
    world.stores.outbox.append({"table": "tasks_outbox", "id": 1, "type": "t", "subject": "j1"})


def _letter_about_an_unfinished_job(world: World) -> None:
    world.submission("t4", "j4")
    world.stores.jobs["j4"]["state"] = "processing"
    world.stores.dead_letters.append({"queue": "q", "type": "t", "subject": "j4", "reason": "no"})
    world.failed("j4", OVERDUE)
    world.stores.jobs["j4"]["state"] = "processing"


def _letter_about_nothing(world: World) -> None:
    world.stores.dead_letters.append({"queue": "q", "type": None, "subject": None, "reason": "not an event"})


def _older_profile(world: World) -> None:
    world.stores.users[ANN]["zipCode"] = "00001"
    world.stores.households[ANN]["household"]["zip_code"] = "00001"


def _profile_unknown_to_tasks(world: World) -> None:
    world.stores.households[ANN]["version"] = 1


def _account_gone(world: World) -> None:
    del world.stores.users[BOB]


def _own_fault(world: World) -> None:
    world.answered("submit", 500, user=ANN, task="t1", photos=PHOTOS)


def _good_token_refused(world: World) -> None:
    world.answered("profile", 401, user=ANN, zip="00002")


@pytest.mark.parametrize(
    ("kind", "doctor"),
    [
        ("lost", _job_gone),
        ("lost", _job_not_found_once),
        ("lost", _task_gone),
        ("lost", _older_submission_shown),
        ("lost", _replaced_by_nobody),
        ("two ends", _done_then_error),
        ("two ends", _unfinished_after_its_end),
        ("two ends", _two_reports),
        ("two ends", _end_changed_unseen),
        ("stuck", _never_ends),
        ("wrong owner", _task_of_another),
        ("wrong owner", _job_of_another),
        ("wrong owner", _stranger_let_in),
        ("wrong report", _report_of_another_task),
        ("wrong report", _photo_of_another_submission),
        ("no image", _no_image),
        ("photo lost", _bytes_gone),
        ("photo lost", _bytes_changed),
        ("photo lost", _photo_not_whole),
        ("photo lost", _photo_dropped),
        ("photo lost", _ended_for_want_of_photos),
        ("orphan", _old_orphan),
        ("outbox", _event_waits),
        ("dead letter", _letter_about_an_unfinished_job),
        ("dead letter", _letter_about_nothing),
        ("profile lost", _older_profile),
        ("profile lost", _profile_unknown_to_tasks),
        ("profile lost", _account_gone),
        ("wrong answer", _own_fault),
        ("wrong answer", _good_token_refused),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)
def test_a_broken_promise_is_found(world: World, kind: str, doctor: Callable[[World], None]) -> None:
    doctor(world)
    assert kind in world.kinds()


def test_every_kind_of_violation_is_counted(world: World) -> None:
    _job_gone(world)
    counts = counted(world.found())
    assert tuple(counts) == KINDS
    assert counts["lost"] == 1


def test_a_violation_shows_the_events_of_its_task_alone(world: World) -> None:
    _job_gone(world)
    (violation,) = world.found()
    assert {event["task"] for event in violation.history} == {"t1"}


def test_the_shortest_history_is_chosen(world: World) -> None:
    _job_gone(world)
    _no_image(world)
    violations = world.found()
    chosen = shortest(violations)
    assert chosen is not None
    assert len(chosen.history) == min(len(violation.history) for violation in violations)


def test_checking_changes_nothing(world: World) -> None:
    before = copy.deepcopy((world.events, world.stores))
    world.found()
    assert (world.events, world.stores) == before
