"""What a person submits: which slips are forgiven, and which are told."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import TaskType
from services.chassis.problems import Problem
from services.tasks.submissions import STATES, Submission, read_submission

# As the published app writes it.
TASK = {
    "id": "824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11",
    "title": "North window",
    "type": "window",
    "photoPaths": ["media/824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11/obs0_rgb.jpg"],
    "createdAt": "2025-08-08T17:12:15.011967",
    "state": "open",
    "decision": "no_decision",
    "closedResult": None,
    "analysisSummary": None,
    "recommendations": None,
    "insideTemp": "71",
    "outsideTemp": "35.5",
    "report": None,
}


def submitted(**changes: Any) -> Submission:
    return read_submission({"uid": "someone@example.com", "task_json": json.dumps(TASK | changes)})


def refusal(fields: dict[str, str]) -> Problem:
    with pytest.raises(Problem) as caught:
        read_submission(fields)
    return caught.value


def refused(**changes: Any) -> Problem:
    return refusal({"uid": "someone@example.com", "task_json": json.dumps(TASK | changes)})


def test_what_the_app_sends_is_read_whole() -> None:
    assert submitted() == Submission(
        user_id="someone@example.com",
        task_id="824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11",
        title="North window",
        task_type=TaskType.WINDOW,
        state="open",
        decision="no_decision",
        closed_result=None,
        inside_temp_f=71.0,
        outside_temp_f=35.5,
    )


def test_a_task_that_names_nothing_but_its_id_is_accepted() -> None:
    read = read_submission({"uid": "u", "task_json": '{"id": "t"}'})
    assert read == Submission("u", "t", None, None, "draft", None, None, None, None)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("Someone@Example.COM", "someone@example.com"),
        ("  someone@example.com\n", "someone@example.com"),
        ("112233445566778899", "112233445566778899"),
        ("AbC", "AbC"),  # not an e-mail address: case may matter
    ],
)
def test_the_user_id_is_normalised(sent: str, stored: str) -> None:
    assert read_submission({"uid": sent, "task_json": json.dumps(TASK)}).user_id == stored


@pytest.mark.parametrize("uid", [None, "", " \t"])
def test_a_missing_user_is_told(uid: str | None) -> None:
    fields = {"task_json": json.dumps(TASK)} | ({} if uid is None else {"uid": uid})
    problem = refusal(fields)
    assert problem.status == 422
    assert "'uid'" in problem.detail


def test_a_user_id_longer_than_the_database_holds_is_refused() -> None:
    assert read_submission({"uid": "u" * 255, "task_json": json.dumps(TASK)}).user_id == "u" * 255
    assert refusal({"uid": "u" * 256, "task_json": json.dumps(TASK)}).status == 422


@pytest.mark.parametrize("task_json", [None, "", " \n", "{}", '{"id": null}', '{"id": ""}', '{"id": " "}', '{"id": 7}'])
def test_a_submission_without_a_task_id_is_answered_400(task_json: str | None) -> None:
    problem = refusal({"uid": "u"} | ({} if task_json is None else {"task_json": task_json}))
    assert problem.status == 400
    assert "id" in problem.detail


@pytest.mark.parametrize(
    "task_json",
    [
        "{",
        "not json",
        '{"id": "t",}',
        '["id", "t"]',
        '"t"',
        "null",
        "NaN",
        "[" * 200_000,
        '{"id": "t", "x": ' + "[" * 200_000 + "]" * 200_000 + "}",
        '{"id": "t", "insideTemp": ' + "9" * 5000 + "}",  # longer than Python reads as an integer
        '{"id": "t", "title": "\\ud800"}',  # a lone surrogate: JSON, but not text
        '{"id": "\\udfff"}',
        "\ufeff{}",
    ],
)
def test_what_is_no_task_is_answered_422(task_json: str) -> None:
    problem = refusal({"uid": "u", "task_json": task_json})
    assert problem.status == 422
    assert problem.detail.startswith("The task could not be read")


@pytest.mark.parametrize("task_id", ["a b", "a/b", "a\\b", "a\x00b", "a\nb", "\x7f", "a\u2028b", "x" * 65])
def test_an_id_that_cannot_stand_in_a_path_is_refused(task_id: str) -> None:
    assert refused(id=task_id).status == 422


@pytest.mark.parametrize("task_id", ["824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11", "x" * 64, "fenêtre", "🪟" * 64, "~", "."])
def test_other_ids_are_taken_as_they_are(task_id: str) -> None:
    assert submitted(id=f" {task_id}\t").task_id == task_id


@pytest.mark.parametrize("kind", ["", "roof", "win dow", None, 3, [], {"a": 1}, True])
def test_an_unknown_type_is_stored_as_none(kind: Any) -> None:
    assert submitted(type=kind).task_type is None


@pytest.mark.parametrize("kind", list(TaskType))
def test_known_types_are_kept(kind: TaskType) -> None:
    assert submitted(type=kind.value).task_type is kind


@pytest.mark.parametrize("written", [str.title, str.upper, " {}".format, "{} \n".format, "\u00a0{}\u00a0".format])
@pytest.mark.parametrize("kind", list(TaskType))
def test_a_type_is_known_whatever_its_capitals_and_the_spaces_around_it(
    kind: TaskType, written: Callable[[str], str]
) -> None:
    assert submitted(type=written(kind.value)).task_type is kind


@pytest.mark.parametrize("state", ["", "archived", "OPEN", None, 1, [], {}])
def test_an_unknown_state_is_stored_as_draft(state: Any) -> None:
    assert submitted(state=state).state == "draft"


@pytest.mark.parametrize("state", STATES)
def test_known_states_are_kept(state: str) -> None:
    assert submitted(state=state).state == state


@pytest.mark.parametrize(
    ("decision", "stored"),
    [
        ("planned", "planned"),
        ("wont_fix", "wont_fix"),
        ("learnt later", "learnt later"),
        ("", None),
        (None, None),
        (7, None),
        ([], None),
        ("x" * 65, None),
    ],
)
def test_decisions_that_the_app_has_learnt_since_are_kept(decision: Any, stored: str | None) -> None:
    assert submitted(decision=decision).decision == stored


def test_a_title_may_hold_any_character() -> None:
    assert submitted(title=" Fenêtre 🪟 نافذة ").title == "Fenêtre 🪟 نافذة"
    assert submitted(title="🪟" * 255).title == "🪟" * 255
    assert submitted(title="a\x00b").title == "ab"


@pytest.mark.parametrize("title", [None, "", "  ", "\x00", 5, [], {}])
def test_a_title_that_says_nothing_is_stored_as_none(title: Any) -> None:
    assert submitted(title=title).title is None


def test_a_title_longer_than_the_database_holds_is_told() -> None:
    problem = refused(title="x" * 256)
    assert problem.status == 422
    assert "title" in problem.detail


@pytest.mark.parametrize("sent", ["21,5 °C", 70.7, "70.7"])
def test_both_temperatures_are_read_as_people_type_them(sent: Any) -> None:
    read = submitted(insideTemp=sent, outsideTemp=sent)
    assert (read.inside_temp_f, read.outside_temp_f) == (70.7, 70.7)


def test_an_absent_temperature_is_none() -> None:
    assert read_submission({"uid": "u", "task_json": '{"id": "t"}'}).inside_temp_f is None


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_a_refused_temperature_is_named(where: str) -> None:
    assert f"{where} temperature" in refused(**{f"{where}Temp": "warm"}).detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_know_are_no_temperatures(number: str) -> None:
    assert refusal({"uid": "u", "task_json": f'{{"id": "t", "insideTemp": {number}}}'}).status == 422


@pytest.mark.parametrize("depth", [100, 500, 900, 940, 960, 980, 5000])
def test_no_depth_of_nesting_is_more_than_a_refusal(depth: int) -> None:
    text = '{"id": "t", "insideTemp": ' + "[" * depth + "]" * depth + "}"
    assert refusal({"uid": "u", "task_json": text}).status == 422


# An alphabet of its own: Hypothesis would spend seconds on listing all of Unicode.
_TEXT = st.text(st.sampled_from('aZ07.-°F ~@/\\"{}[]:,\x00\n\x7f\u0085é\u2028\ufeff\uffff🪟'), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.sampled_from(["\ud800", "71.5", "window"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


def _is_a_submission_or_a_refusal(fields: dict[str, str]) -> None:
    try:
        read = read_submission(fields)
    except Problem as problem:
        assert (problem.status in (400, 422), bool(problem.detail)) == (True, True)  # noqa: PT017 - no error is right too
    else:
        assert read.user_id == read.user_id.strip() != ""
        assert 0 < len(read.task_id) <= 64
        assert read.state in STATES
        for text in (read.user_id, read.task_id, read.title, read.decision, read.closed_result):
            (text or "").encode()  # it can be stored and sent


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TASK, _JSON)))
def test_any_task_is_a_submission_or_a_clear_refusal(task: dict[str, Any]) -> None:
    _is_a_submission_or_a_refusal({"uid": "u", "task_json": json.dumps(TASK | task)})


@given(_JSON)
def test_any_json_is_a_submission_or_a_clear_refusal(value: Any) -> None:
    _is_a_submission_or_a_refusal({"uid": "u", "task_json": json.dumps(value)})


@given(st.dictionaries(st.sampled_from(["uid", "task_json", "override_detected_count"]), _TEXT))
def test_any_text_is_a_submission_or_a_clear_refusal(fields: dict[str, str]) -> None:
    _is_a_submission_or_a_refusal(fields)
