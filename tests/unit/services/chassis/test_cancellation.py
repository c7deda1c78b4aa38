"""A cancellation that a library lost ends its task all the same."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from contracts.events import AnalysisStarted, Envelope
from services.chassis import background as background_module
from services.chassis.background import background
from services.chassis.cancellation import NobodyCancelledError, cancellation_kept
from services.chassis.circuit import Circuit
from services.chassis.database import Database
from services.chassis.messaging.broker import PublishError
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from services.chassis.startup import wait_for
from tests.waiting import until


class Deaf:
    """Waits; when it is cancelled it fails, as a call does whose library took the cancellation for nothing."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls > 1:
            raise OSError("refused")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("refused") from None


@pytest.fixture
def deaf() -> Deaf:
    return Deaf()


async def ended_by_one_cancellation(task: asyncio.Task[None], waiting: Callable[[], bool]) -> bool:
    await until(waiting)
    task.cancel()
    await asyncio.wait({task}, timeout=2)
    return task.done() and task.cancelled()


async def test_an_error_in_its_place_does_not_hide_it(deaf: Deaf) -> None:
    async def work() -> None:
        with contextlib.suppress(OSError), cancellation_kept():
            await deaf()

    assert await ended_by_one_cancellation(asyncio.create_task(work()), lambda: deaf.calls == 1)


async def test_an_answer_in_its_place_does_not_hide_it(deaf: Deaf) -> None:
    async def work() -> None:
        with cancellation_kept(), contextlib.suppress(OSError):
            await deaf()

    assert await ended_by_one_cancellation(asyncio.create_task(work()), lambda: deaf.calls == 1)


async def test_what_cleans_up_after_a_cancellation_may_do_its_work() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            with cancellation_kept():
                await asyncio.sleep(0)
            cleaned = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert cleaned


async def test_a_timeout_that_was_met_inside_is_no_cancellation() -> None:
    with cancellation_kept(), contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()


async def given_up_by_its_library() -> None:
    """As RabbitMQ's driver does with what waits for a connection that it gives up."""
    raise asyncio.CancelledError


async def test_one_that_nobody_asked_for_is_an_error() -> None:
    with pytest.raises(NobodyCancelledError), cancellation_kept():
        await given_up_by_its_library()


async def test_background_work_that_its_library_gave_up_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_module, "RESTART_SECONDS", 0.01)
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        await given_up_by_its_library()

    async with background(work):
        await until(lambda: begun > 2)


async def test_an_event_that_the_driver_gave_up_is_one_that_was_not_published() -> None:
    class Exchange:
        async def publish(self, *_: object, **__: object) -> None:
            await given_up_by_its_library()

    broker: Any = RabbitBroker("amqp://nobody", Metrics(), "test")
    broker._exchange = Exchange()
    with pytest.raises(PublishError):
        await broker.publish(Envelope.wrap(AnalysisStarted(job_id="job"), traceparent=None))


async def test_errors_pass_as_they_are() -> None:
    with pytest.raises(OSError, match="refused"), cancellation_kept():
        raise OSError("refused")


async def test_a_start_that_waits_for_a_server_ends(deaf: Deaf) -> None:
    task = asyncio.create_task(wait_for("server", deaf, (OSError,)))
    assert await ended_by_one_cancellation(task, lambda: deaf.calls == 1)


async def test_a_circuit_closes(deaf: Deaf) -> None:
    circuit = Circuit("server", deaf)
    circuit.suspect()
    await until(lambda: deaf.calls == 1)
    await asyncio.wait_for(circuit.close(), 2)


async def test_background_work_ends(deaf: Deaf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_module, "RESTART_SECONDS", 0.01)
    async with asyncio.timeout(2), background(deaf):
        await until(lambda: deaf.calls == 1)


async def test_a_call_of_the_database_ends(deaf: Deaf) -> None:
    database = Database("mysql://user:password@127.0.0.1:1/database")

    async def work() -> None:
        with contextlib.suppress(OSError):
            async with database._bounded(30):
                await deaf()

    assert await ended_by_one_cancellation(asyncio.create_task(work()), lambda: deaf.calls == 1)
    await database.close()
