"""Cleaning a photo is work in proportion to its size, whatever the photo says of itself.

Time would depend on the machine, so the tests count: the lines that the cleaners run, and the bytes that they copy.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.tasks import privacy
from services.tasks.privacy.photos import cleaned
from services.tasks.privacy.work import LEAST_BYTES, LOOKS, StoppedError, UnreadableError, Work
from tests.unit.services.tasks.privacy import hostile
from tests.unit.services.tasks.privacy.telling import large_jpeg, picture

FOLDER = str(Path(privacy.__file__).parent)
# A line takes some 60 ns: 400 thousand of them are 25 ms of the 50 ms that a MB may take. The rest is for searching and
# copying, which is faster than 100 MB/s.
LEAST_LINES, LINES_PER_BYTE = 40_000, 0.4


class Counted(bytes):
    """Bytes that know how many were copied out of them."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(part, bytes):
            self.copied += len(part)
        return part


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of the cleaners ``work`` runs."""
    lines = 0

    def count(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if event == "call" and not frame.f_code.co_filename.startswith(FOLDER):
            return None
        lines += event == "line"
        return count

    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(None)
    return lines


def is_cheap(photo: bytes) -> None:
    counted, work = Counted(photo), Work(len(photo))

    def clean() -> None:
        with contextlib.suppress(UnreadableError):
            cleaned(counted, work)

    lines = lines_of(clean)
    assert lines <= LEAST_LINES + LINES_PER_BYTE * len(photo)
    assert counted.copied <= LEAST_BYTES + LOOKS * len(photo)
    assert work.bytes <= LEAST_BYTES + 2 * LOOKS * len(photo)  # the last look may have been one too many


@pytest.mark.parametrize("make", hostile.ALL.values(), ids=hostile.ALL)
@pytest.mark.parametrize("size", [38_000, 400_000])
def test_no_structure_is_worth_more_work_than_its_bytes(make: Callable[[int], bytes], size: int) -> None:
    is_cheap(make(size))


@given(
    make=st.sampled_from(list(hostile.ALL.values())),
    size=st.integers(10_000, 60_000),
    wrong=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    share=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_mixture_of_structures_is_worth_more_work_than_its_bytes(
    make: Callable[[int], bytes], size: int, wrong: list[tuple[float, int]], share: float
) -> None:
    data = bytearray(make(size))
    for where, value in wrong:
        data[int(where * min(len(data), 3000))] = value
    at = int(share * len(data))
    is_cheap(bytes(data[:at] + data[at // 2 :]))


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "WEBP", "HEIF", "AVIF", "TIFF", "GIF", "BMP"])
def test_a_usual_photo_takes_a_small_part_of_what_it_may(form: str) -> None:
    data = picture(form)
    work = Work(len(data))
    cleaned(data, work)
    assert work.steps < work.most_steps / 4
    assert work.bytes < work.most_bytes / 4


def test_a_large_photo_is_looked_at_once() -> None:
    data = large_jpeg()
    work = Work(len(data))
    cleaned(data, work)
    assert work.bytes < 1.1 * len(data)


@pytest.mark.parametrize("make", hostile.ALL.values(), ids=hostile.ALL)
def test_work_that_was_stopped_ends_at_its_next_step(make: Callable[[int], bytes]) -> None:
    work = Work(10_000_000)
    work.stop()

    def clean() -> None:
        with pytest.raises((StoppedError, UnreadableError)):
            cleaned(make(38_000), work)

    assert lines_of(clean) < 200
