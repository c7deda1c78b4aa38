"""What makes two requests the same one."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Household, PhotoKind
from services.chassis.problems import Problem
from services.tasks.idempotency import fingerprint, of_analysis, read_key
from services.tasks.submissions import Submission, read_submission
from services.tasks.uploads import UploadedPhoto

PHOTO = UploadedPhoto(
    photo_id="0" * 24,
    kind=PhotoKind.RGB,
    observation=0,
    position=0,
    name="obs0_rgb.jpg",
    media_type="image/jpeg",
    size=3,
    sha256="ab" * 32,
)


def submission(task: str = '{"id": "task", "title": "North", "insideTemp": "71"}', uid: str = "me@a.org") -> Submission:
    return read_submission({"uid": uid, "task_json": task})


def test_no_header_is_no_key() -> None:
    assert read_key([]) is None


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
def test_any_visible_text_is_a_key_as_it_is(text: str) -> None:
    assert read_key([text]) == text


@pytest.mark.parametrize("values", [[""], ["x" * 256], ["a b"], ["a\tb"], ["\x7f"], ["é"], ["a", "a"], ["a", "b"]])
def test_what_can_be_no_key_is_told(values: list[str]) -> None:
    with pytest.raises(Problem) as refusal:
        read_key(values)
    assert refusal.value.status == 400
    assert "Idempotency-Key" in refusal.value.detail


def test_the_ids_of_an_upload_do_not_count() -> None:
    again = dataclasses.replace(PHOTO, photo_id="1" * 24)
    assert fingerprint(submission(), [PHOTO]) == fingerprint(submission(), [again])


def test_the_same_fields_written_otherwise_are_the_same() -> None:
    other = submission('{"insideTemp":71.0,"id":" task ","title":"North ","unknown":1}', " ME@a.org")
    assert fingerprint(submission(), []) == fingerprint(other, [])


@pytest.mark.parametrize(
    "changes", [{"sha256": "cd" * 32}, {"kind": PhotoKind.THERMAL}, {"observation": 1}, {"name": "obs0_rgb.png"}]
)
def test_another_photo_makes_another_submission(changes: dict[str, object]) -> None:
    other = dataclasses.replace(PHOTO, **changes)  # type: ignore[arg-type]
    assert fingerprint(submission(), [PHOTO]) != fingerprint(submission(), [other])
    assert fingerprint(submission(), [PHOTO, other]) != fingerprint(submission(), [other, PHOTO])
    assert fingerprint(submission(), [PHOTO, other]) != fingerprint(submission(), [PHOTO])


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Submission)])
def test_every_field_counts(field: str) -> None:
    before = submission()
    other = dataclasses.replace(before, **{field: 99.5 if field.endswith("_f") else "door"})
    assert fingerprint(before, []) != fingerprint(other, [])


def test_what_is_known_of_the_home_counts_for_an_analysis() -> None:
    homes = [None, Household(), Household(zip_code="15213")]
    assert len({of_analysis("submitted", home) for home in homes}) == 3
    assert of_analysis("submitted", homes[2]) == of_analysis("submitted", Household(zip_code="15213"))
