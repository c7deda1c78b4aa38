"""A plan is read as it was written, or not at all."""

import pytest

from services.tasks.privacy import plans
from services.tasks.privacy.photos import cleaned
from services.tasks.privacy.plans import Plan
from services.tasks.privacy.work import Work
from tests.unit.services.tasks.privacy.rebuilt import built, rebuilt
from tests.unit.services.tasks.privacy.telling import TELLING, large_jpeg, picture

FORMS = ["JPEG", "MPO", "PNG", "WEBP", "HEIF", "AVIF", "TIFF", "GIF", "BMP"]


def planned(photo: bytes) -> bytes:
    return plans.written(Plan(cleaned(photo, Work(len(photo)))), len(photo))


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_is_shown_by_its_plan_as_without_one(form: str) -> None:
    photo = picture(form)
    plan = plans.read(planned(photo), len(photo))
    assert plan is not None
    assert plan.shown is not None
    assert built(plan.shown[1], photo) == rebuilt(photo)


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_tells_nothing_and_breaks_off_for_nothing(form: str) -> None:
    data = planned(picture(form))
    assert TELLING not in data
    assert all(plans.read(data[:end], len(picture(form))) is None for end in range(len(data)))


def test_a_plan_of_a_large_photo_is_small() -> None:
    assert len(planned(large_jpeg())) < 200


def test_a_plan_says_that_a_photo_is_not_shown() -> None:
    assert plans.read(plans.written(Plan(None), 100), 100) == Plan(None)


def test_a_plan_of_another_photo_is_not_followed() -> None:
    data = planned(picture("JPEG"))
    assert plans.read(data, len(picture("JPEG")) + 1) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'{"rules":1,"size":9,"type":"image/jpeg"}',
        b'{"rules":1,"size":9,"type":"image/jpeg","pieces":[[5,4]]}',
        b'{"rules":1,"size":9,"type":"image/jpeg","pieces":[[0,10]]}',
        b'{"rules":1,"size":9,"type":"image/jpeg","pieces":[[0]]}',
        b'{"rules":1,"size":9,"type":"image/jpeg","pieces":[-1]}',
        b'{"rules":1,"size":9,"type":"image/jpeg","pieces":["?"]}',
        b'{"rules":1,"size":9,"type":"image/jpeg","pieces":7}',
    ],
)
def test_what_is_no_plan_is_not_followed(data: bytes) -> None:
    assert plans.read(data, 9) is None
