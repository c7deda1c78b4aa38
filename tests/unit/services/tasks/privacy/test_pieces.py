"""A new file out of pieces of the old one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.privacy import pieces
from services.tasks.privacy.pieces import Overlay, Pieces
from services.tasks.privacy.work import UnreadableError, Work
from tests.unit.services.tasks.privacy.rebuilt import built

WORK = Work(1_000_000_000)
SOURCE = bytes(range(1, 201))
RANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted), max_size=6)


@given(
    kept=RANGES,
    written=st.dictionaries(st.integers(0, 9).map(lambda n: 20 * n), st.binary(min_size=1, max_size=20), max_size=5),
    cuts=st.lists(st.integers(0, 200), max_size=3).map(sorted),
    chunk=st.integers(1, 300),
)
def test_an_overlay_leaves_what_is_kept_or_written_and_zeros(
    kept: list[list[int]], written: dict[int, bytes], cuts: list[int], chunk: int
) -> None:
    overlay = Overlay(len(SOURCE), WORK)
    wanted = bytearray(len(SOURCE))
    for start, end in kept:
        overlay.keep(start, end)
        wanted[start:end] = SOURCE[start:end]
    for start, data in written.items():
        overlay.write(start, data)
        wanted[start : start + len(data)] = data
    result = Pieces(len(SOURCE))
    bounds = [0, *cuts, len(SOURCE)]
    for start, end in pairwise(bounds):
        overlay.onto(result, start, start, end)
    assert built(result, SOURCE, chunk) == bytes(wanted)


@pytest.mark.parametrize(("start", "end"), [(0, 201), (-1, 5), (7, 6), (300, 400)])
def test_a_part_outside_of_the_file_is_refused(start: int, end: int) -> None:
    for kept in (Pieces(200), Overlay(200, WORK)):
        with pytest.raises(UnreadableError):
            kept.keep(start, end)


def test_no_part_is_shown_twice() -> None:
    result = Pieces(200)
    result.keep(10, 20)
    with pytest.raises(UnreadableError):
        result.keep(19, 30)


def test_what_is_written_does_not_overlap() -> None:
    overlay = Overlay(200, WORK)
    overlay.write(0, b"ab")
    overlay.write(1, b"c")
    with pytest.raises(UnreadableError):
        overlay.onto(Pieces(200))


def test_the_list_of_pieces_stays_small() -> None:
    result = Pieces(10 * pieces.MOST_PIECES)
    for number in range(pieces.MOST_PIECES):
        result.keep(2 * number, 2 * number + 1)
    with pytest.raises(UnreadableError):
        result.put(b"one more")


def test_neighbours_are_one_piece() -> None:
    result = Pieces(200)
    for at in range(200):
        result.keep(at, at + 1)
    assert result.is_same(SOURCE)
