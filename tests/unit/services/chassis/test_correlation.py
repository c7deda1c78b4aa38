"""One id from the request to the last event, whatever a client sends."""

import asyncio
import re

import structlog
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.correlation import correlated, correlation_id, traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
VALID = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_valid_traceparent_is_continued_with_a_span_of_our_own() -> None:
    with correlated(VALID) as trace_id:
        assert trace_id == correlation_id() == TRACE
        sent = traceparent()
    assert sent is not None
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", sent)
    assert sent != VALID


def test_zeros_are_no_id() -> None:
    for bad in (f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{TRACE}-{'0' * 16}-01"):
        with correlated(bad) as trace_id:
            assert trace_id not in (TRACE, "0" * 32)


@given(st.one_of(st.none(), st.text(), st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\n?")))
def test_whatever_is_sent_the_id_is_32_hexadecimal_digits_and_can_be_sent_on(parent: str | None) -> None:
    with correlated(parent) as trace_id:
        assert re.fullmatch("[0-9a-f]{32}", trace_id)
        with correlated(traceparent()) as again:
            assert again == trace_id


def test_outside_of_any_handling_there_is_no_id() -> None:
    assert correlation_id() is None
    assert traceparent() is None
    with correlated(None), correlated(None):
        pass
    assert correlation_id() is None
    assert structlog.contextvars.get_contextvars() == {}


async def test_things_handled_at_once_do_not_mix_their_ids() -> None:
    async def handle() -> tuple[str, str | None, object]:
        with correlated(None) as mine:
            await asyncio.sleep(0)
            return mine, correlation_id(), structlog.contextvars.get_contextvars()["correlation_id"]

    answers = await asyncio.gather(*(handle() for _ in range(20)))
    assert all(mine == seen == logged for mine, seen, logged in answers)
    assert len({mine for mine, _, _ in answers}) == 20
