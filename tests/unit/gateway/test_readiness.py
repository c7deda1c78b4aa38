"""However often the gateway is asked whether it is ready, its services are asked seldom."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from gateway.readiness import KEPT_SECONDS, NotReadyError, Readiness


class Service:
    """Answers with ``status`` as soon as it may, and counts how often it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (scope["method"], scope["path"]) == ("GET", "/readyz")
        self.asked += 1
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Clock:
    """Stands still unless it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_an_answer_is_kept_for_a_moment_and_then_asked_for_again():
    service, clock = Service(), Clock()
    readiness = Readiness(service, clock)
    await readiness.check()
    service.status = 503
    await readiness.check()
    clock.now += KEPT_SECONDS
    for _ in range(2):
        with pytest.raises(NotReadyError):
            await readiness.check()
    service.status = 200
    clock.now += KEPT_SECONDS
    await readiness.check()
    assert service.asked == 3


async def test_many_who_ask_at_the_same_time_ask_the_service_once():
    service = Service()
    service.may_answer.clear()
    readiness = Readiness(service, Clock())
    waiting = [asyncio.create_task(readiness.check()) for _ in range(100)]
    await asyncio.sleep(0)
    service.may_answer.set()
    await asyncio.gather(*waiting)
    assert service.asked == 1


async def test_a_question_that_was_given_up_is_asked_again():
    service = Service()
    service.may_answer.clear()
    readiness = Readiness(service, Clock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await readiness.check()
    service.may_answer.set()
    await readiness.check()
    assert service.asked == 2
