"""A rate may be used at once, comes back evenly, and is counted for a bounded number of keys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rates import Rate, RateLimit

SECOND = 10**9


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 5_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/minute", Rate(20, 60)),
        (" 1/second ", Rate(1, 1)),
        ("999999/day", Rate(999_999, 86_400)),
        ("5/hour", Rate(5, 3600)),
    ],
)
def test_a_rate_is_read_as_it_is_written(text: str, rate: Rate):
    assert Rate.parse(text) == rate
    assert str(rate) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "0/minute", "-1/minute", "20", "20/week", "/minute", "1.5/minute", "1000000/day", "20/minute\n20", "٣/day"],
)
def test_anything_else_is_no_rate(text: str):
    with pytest.raises(ValueError, match="must look like 20/minute"):
        Rate.parse(text)


def test_a_rate_may_be_used_at_once_and_then_comes_back_evenly():
    clock = Clock()
    limit = RateLimit(Rate(3, 60), clock)
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 20]
    clock.move(19.5)
    assert limit.wait("a") == 1
    clock.move(0.5)
    assert [limit.wait("a"), limit.wait("a")] == [0, 20]
    clock.move(3600)
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 20]


def test_keys_are_counted_apart():
    limit = RateLimit(Rate(1, 60), Clock())
    assert [limit.wait("a"), limit.wait("b"), limit.wait("a"), limit.wait("b")] == [0, 0, 60, 60]


@settings(deadline=None)
@given(
    st.integers(1, 50),
    st.sampled_from([1, 60, 3600]),
    st.lists(st.tuples(st.integers(0, 120 * SECOND), st.integers(1, 60)), max_size=30),
)
def test_in_no_period_more_than_twice_the_rate_is_let_through(count, seconds, visits):
    clock = Clock()
    limit = RateLimit(Rate(count, seconds), clock)
    let_through: list[int] = []
    for pause, times in visits:
        clock.now += pause
        for _ in range(times):
            wait = limit.wait("a")
            if wait == 0:
                let_through.append(clock.now)
            assert wait <= seconds
    for at in let_through:
        assert sum(at <= other < at + seconds * SECOND for other in let_through) < 2 * count + 1


@settings(deadline=None)
@given(st.integers(1, 1000), st.sampled_from([1, 60, 3600, 86_400]), st.integers(1, 50))
def test_whoever_waits_as_long_as_was_said_is_let_through_however_often_they_were_refused(count, seconds, refusals):
    clock = Clock()
    limit = RateLimit(Rate(count, seconds), clock)
    for _ in range(count):
        assert limit.wait("a") == 0
    said = [limit.wait("a") for _ in range(refusals)]
    assert min(said) >= 1
    clock.move(said[-1])
    assert limit.wait("a") == 0


def test_however_many_keys_come_a_bounded_number_is_remembered():
    limit = RateLimit(Rate(1, 86_400), Clock(), most_keys=100)
    for number in range(10_000):
        assert limit.wait(str(number)) == 0
    assert len(limit._free_at) == 100
    assert limit.wait("9900") > 0
    assert limit.wait("0") == 0


def test_a_key_that_goes_on_asking_is_not_forgotten_for_new_ones():
    limit = RateLimit(Rate(1, 60), Clock(), most_keys=10)
    assert limit.wait("hot") == 0
    for number in range(1000):
        limit.wait(str(number))
        assert limit.wait("hot") == 60


def test_keys_that_have_all_of_their_rate_again_are_forgotten():
    clock = Clock()
    limit = RateLimit(Rate(1, 60), clock)
    for number in range(1000):
        limit.wait(str(number))
    clock.move(61)
    for _ in range(1000):
        limit.wait("a")
    assert len(limit._free_at) == 1
