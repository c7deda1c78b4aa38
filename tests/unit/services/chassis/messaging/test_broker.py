"""What becomes of a delivery: exactly one end, whatever its handler does and whenever it is cut off."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import AnalysisStarted, Envelope, EventData
from contracts.topology import Subscription
from services.chassis.messaging import broker as broker_module
from services.chassis.messaging.broker import Consumer, PermanentError
from services.chassis.metrics import Metrics

WORK = Subscription("test.work", (AnalysisStarted,), retry_delays=(1, 2, 3))
BODY = Envelope.wrap(AnalysisStarted(job_id="j"), traceparent=None).model_dump_json().encode()


class Delivery:
    def __init__(self, body: bytes = BODY, failures: int = 0) -> None:
        self.body = body
        self.failures = failures
        self.ends: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def _end(self, end: str) -> None:
        await self.gate.wait()
        self.ends.append(end)

    async def ack(self) -> None:
        await self._end("ack")

    async def retry(self, delay_number: int) -> None:
        await self._end(f"retry {delay_number}")

    async def bury(self, reason: str) -> None:
        await self._end(f"bury {reason}")

    async def requeue(self) -> None:
        await self._end("requeue")


def consumer(
    handler: Callable[[EventData], Awaitable[None]], on_dead: Callable[[EventData], Awaitable[None]] | None = None
) -> Consumer:
    return Consumer(WORK, {AnalysisStarted: handler}, on_dead, Metrics())


async def fine(_: EventData) -> None:
    pass


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10))
def test_bytes_that_are_no_event_are_buried_at_once(body: bytes, failures: int) -> None:
    delivery_ends: list[str] = []

    async def main() -> None:
        delivery = Delivery(body, failures)
        await consumer(fine).take(delivery)
        delivery_ends.extend(delivery.ends)

    asyncio.run(main())
    assert delivery_ends == ["bury not an event"]


@settings(max_examples=30, deadline=None)
@given(failures=st.integers(0, 8), permanent=st.booleans(), message=st.text(max_size=2000))
def test_a_failure_takes_the_next_delay_or_the_end_and_only_then_is_told(
    failures: int, permanent: bool, message: str
) -> None:
    told: list[str] = []

    async def fail(_: EventData) -> None:
        raise PermanentError(message) if permanent else OSError(message)

    async def tell(data: EventData) -> None:
        told.append(data.subject)

    async def main() -> list[str]:
        delivery = Delivery(failures=failures)
        await consumer(fail, tell).take(delivery)
        return delivery.ends

    (end,) = asyncio.run(main())
    if failures < len(WORK.retry_delays) and not permanent:
        assert end == f"retry {failures + 1}"
        assert told == []
    else:
        assert end.startswith("bury ")
        assert len(end) <= len("bury ") + broker_module.LONGEST_REASON
        assert told == ["j"]


async def test_a_cancelled_handler_gives_its_delivery_back() -> None:
    entered = asyncio.Event()

    async def hang(_: EventData) -> None:
        entered.set()
        await asyncio.Event().wait()

    delivery = Delivery()
    task = asyncio.create_task(consumer(hang).take(delivery))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivery.ends == ["requeue"]


async def test_an_end_that_has_been_decided_is_carried_out_although_the_consumer_is_cancelled() -> None:
    delivery = Delivery()
    delivery.gate.clear()
    task = asyncio.create_task(consumer(fine).take(delivery))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    delivery.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivery.ends == ["ack"]


async def test_a_cancellation_from_within_the_handler_is_a_failure_like_any_other() -> None:
    async def wait_for_something_cancelled(_: EventData) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    delivery = Delivery()
    await consumer(wait_for_something_cancelled).take(delivery)
    assert delivery.ends == ["retry 1"]


async def test_a_delivery_is_given_back_even_when_the_pause_before_is_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker_module, "UNSETTLED_PAUSE_SECONDS", 3600.0)
    told = asyncio.Event()

    async def fail(_: EventData) -> None:
        raise PermanentError

    async def cannot_tell(_: EventData) -> None:
        told.set()
        raise OSError

    delivery = Delivery()
    task = asyncio.create_task(consumer(fail, cannot_tell).take(delivery))
    await told.wait()
    await asyncio.sleep(0.01)
    assert delivery.ends == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert delivery.ends == ["requeue"]


@pytest.mark.parametrize(("error", "traceback"), [(ConnectionRefusedError("away"), False), (KeyError("a bug"), True)])
async def test_a_failure_is_logged_with_a_traceback_unless_a_server_is_away(
    error: Exception, traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: EventData) -> None:
        raise error

    await consumer(fail).take(Delivery())
    assert ("Traceback" in caplog.text or "exception" in caplog.text) is traceback
