"""What happens around every request."""

import asyncio
import json

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from services.chassis.metrics import Metrics
from services.chassis.requests import RequestScope, unless_client_leaves


async def handled(app) -> tuple[list[Message], Metrics]:
    sent: list[Message] = []
    metrics = Metrics()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await RequestScope(app, "some", metrics)({"type": "http", "method": "GET", "headers": []}, receive, send)
    return sent, metrics


def counted(metrics: Metrics, status: int) -> float | None:
    labels = {"service": "some", "method": "GET", "route": "unknown", "status": str(status)}
    return metrics.registry.get_sample_value("http_requests_total", labels)


async def test_a_client_that_leaves_in_the_middle_is_no_error():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    with capture_logs() as logs:
        sent, metrics = await handled(app)
    assert sent == []
    assert [line["log_level"] for line in logs] == ["info"]
    assert counted(metrics, 499) == 1


async def test_an_error_that_nobody_foresaw_is_logged_and_answered_without_its_reason():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the reason")

    with capture_logs() as logs:
        sent, metrics = await handled(app)
    assert sent[0]["status"] == 500
    told = json.loads(sent[1]["body"])
    assert "the reason" not in told["detail"]
    assert (b"x-correlation-id", told["correlationId"].encode()) in sent[0]["headers"]
    assert "error" in [line["log_level"] for line in logs]
    assert counted(metrics, 500) == 1


async def test_browsers_are_told_once_not_to_guess_the_type_of_any_answer():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"x-content-type-options", b"nosniff"), (b"x-correlation-id", b"a service's own")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    sent, _ = await handled(app)
    names = [name for name, _ in sent[0]["headers"]]
    assert (b"x-content-type-options", b"nosniff") in sent[0]["headers"]
    assert len(names) == len(set(names))


async def test_an_error_after_the_answer_has_begun_cuts_the_connection():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await handled(app)


async def test_a_request_that_a_stop_cuts_off_is_answered_that_it_may_be_repeated():
    sent: list[Message] = []
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": []}
    request = asyncio.create_task(RequestScope(app, "some", Metrics())(scope, receive, send))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert sent[0]["status"] == 503
    assert b"retry-after" in dict(sent[0]["headers"])
    assert json.loads(sent[1]["body"])["status"] == 503


class Client:
    """Has sent a request without a body, and leaves when told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self._sent = False

    async def receive(self) -> Message:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def test_work_for_a_client_that_stays_is_done() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await unless_client_leaves(Client().receive, work()) == "done"


async def test_an_error_of_work_for_a_client_reaches_the_route() -> None:
    async def work() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await unless_client_leaves(Client().receive, work())


async def test_work_for_a_client_that_leaves_is_cancelled() -> None:
    client, cancelled = Client(), asyncio.Event()

    async def work() -> None:
        client.leaves.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(5):
        with pytest.raises(ClientDisconnect):
            await unless_client_leaves(client.receive, work())
    assert cancelled.is_set()


async def test_work_for_a_client_is_cancelled_with_its_request() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    request = asyncio.create_task(unless_client_leaves(Client().receive, work()))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert cancelled.is_set()
