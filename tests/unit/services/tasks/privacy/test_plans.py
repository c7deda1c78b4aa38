"""A plan is read as it was written, or not at all."""

import hashlib
import struct

import pytest

from services.tasks.privacy import plans
from services.tasks.privacy.photos import cleaned
from services.tasks.privacy.plans import Plan
from services.tasks.privacy.work import Work
from tests.unit.services.tasks.privacy import hostile
from tests.unit.services.tasks.privacy.colours import profile
from tests.unit.services.tasks.privacy.rebuilt import built, rebuilt
from tests.unit.services.tasks.privacy.telling import TELLING, large_jpeg, picture
from tests.unit.services.tasks.privacy.test_heif import box

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


# By the number of the rules: what they leave of the samples below.
LEFT = {1: "786948ae9de1332aea528821f608423e1514e8f5227ec1bddd7657e94570f3d7"}


def samples() -> list[bytes]:
    """Photos of each form whose bytes no library decides."""
    told = profile(TELLING)
    head = b"ICC_PROFILE\0\1\1"
    form = hostile.segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1abc")
    records = [(0x01, hostile.DIRECTORY, 100), (0x20, hostile.DIRECTORY + 100, 1000), (0x2B, hostile.DIRECTORY, 50)]
    measured = hostile.flir(records + [(0, 0, 0)] * 125, bytes(range(256)) * 5)
    exif = hostile.segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0")
    entries = struct.pack(">HHHIIHHII", 2, 34675, 7, len(told), 38, 305, 2, 4, 0) + bytes(4)
    tail = struct.pack("<iiHHII", 4, 4, 1, 24, 0, 48) + bytes(range(1, 67))
    return [
        hostile.jpeg(form, exif, measured, hostile.segment(0xE2, head + told), hostile.segment(0xFE, TELLING)),
        hostile.png(hostile.chunk(b"tEXt", TELLING), hostile.chunk(b"IHDR", b"size")),
        hostile.webp(
            hostile.riff(b"VP8X", b"\x2c" + bytes(9)), hostile.riff(b"ICCP", told), hostile.riff(b"XMP ", told)
        ),
        hostile.heif(box(b"ipco", box(b"colr", b"prof" + told) + box(b"udes", TELLING) + box(b"ispe", b"size"))),
        b"MM\0*" + struct.pack(">I", 8) + entries + told,
        b"GIF89a" + bytes(7) + b"\x21\xfe\3abc\0\x21\xf9\4defg\0;" + TELLING,
        b"BM" + struct.pack("<IIII", 102, 0, 54, 40) + tail,
    ]


def test_what_is_shown_changes_only_with_the_number_of_the_rules() -> None:
    """Or photos that were shown before would go on being shown as they were."""
    left = b"".join(rebuilt(photo) for photo in samples())
    assert (left.count(b"FFF\0"), left.count(b"acsp"), left.count(TELLING)) == (1, 4, 0)
    assert hashlib.sha256(left).hexdigest() == LEFT[plans.RULES]
