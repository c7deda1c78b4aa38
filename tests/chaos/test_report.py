"""The report counts what was done, and shows what failed."""

from tests.chaos.checker import KINDS, Violation
from tests.chaos.history import Event
from tests.chaos.report import figures, markdown, recoveries
from tests.chaos.run import Course, Fault

SUBMITTED: Event = {"phase": "answer", "kind": "submit", "status": 200, "job": "j1", "task": "t1"}


def _fault(group: str, recovered: float | None, *, did: str | None = "it", together: bool = False) -> Fault:
    return Fault(group, "name", did, 0.0, 1.0, recovered, together)


def test_recoveries_are_told_by_group_and_only_of_faults_that_struck() -> None:
    faults = [
        _fault("cut", 1.0),
        _fault("cut", 4.0),
        _fault("cut", 2.0),
        _fault("cut", None, together=True),
        _fault("cut", 9.0, did=None),
        _fault("kill", None, together=True),
    ]
    assert recoveries(faults) == [("cut", 3, 1, 2.0, 4.0), ("kill", 0, 1, None, None)]


def test_answers_are_counted_by_status_and_jobs_by_their_end() -> None:
    events: list[Event] = [
        {"phase": "ask", "kind": "submit"},
        SUBMITTED,
        {"phase": "unknown", "kind": "submit", "error": "TimeoutError"},
        {"phase": "answer", "kind": "poll", "status": 200, "job": "j1", "state": "processing"},
        {"phase": "answer", "kind": "poll", "status": 200, "job": "j1", "state": "error", "reason": "why"},
        {"phase": "begin", "kind": "fault", "name": "kill"},
    ]
    assert figures(events) == {
        "answers": {"submit": {"200": 1, "TimeoutError": 1}, "poll": {"200": 2}},
        "jobs acknowledged": 1,
        "ends": {"why": 1},
    }


def test_every_kind_of_violation_has_its_line() -> None:
    text = markdown(Course(7, judged=True), [])
    assert all(f"| {kind} | 0 |" in text for kind in KINDS)
    assert "seed 7" in text
    assert "shortest failing history" not in text


def test_a_violation_is_shown_with_its_history() -> None:
    course = Course(7, judged=True, violations=[Violation("lost", "t1", "job j1 is not in the database", (SUBMITTED,))])
    text = markdown(course, [SUBMITTED])
    assert "**1 violations**" in text
    assert "lost: t1: job j1 is not in the database" in text
    assert '"job": "j1"' in text


def test_a_run_that_was_cut_short_does_not_pass_for_one_without_violations() -> None:
    text = markdown(Course(7), [])
    assert "not checked" in text
    assert "0 violations" not in text
