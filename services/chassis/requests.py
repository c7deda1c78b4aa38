"""What happens around every HTTP request: correlation, one log line, metrics, and the last resort for errors."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

import structlog
from fastapi.telemetry import TelemetryConfig
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.correlation import correlated
from services.chassis.metrics import Metrics
from services.chassis.problems import RETRY_AFTER_SECONDS, problem_response

log = structlog.get_logger(__name__)

T = TypeVar("T")

CLIENT_GONE = 499
LOOK_AFTER_SECONDS = 0.1  # whether a client has left: to look at once would cost each request more than it saves
# For FastAPI, which would look for providers at each request. What we tell of it is below.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
_QUIET = frozenset({"/healthz", "/readyz"})  # asked every few seconds by orchestrators


async def unless_client_leaves(receive: Receive, work: Awaitable[T]) -> T:
    """Return what ``work`` returns. Cancel it when the client leaves, and raise :class:`ClientDisconnect`.

    For work on a request whose body has been read, or that has none. Most work is done before anybody looks.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("only a task can be cancelled")
    before = task.cancelling()
    leaving: asyncio.Task[None] | None = None

    def look() -> None:
        nonlocal leaving
        leaving = asyncio.ensure_future(client_left(receive))
        leaving.add_done_callback(end)

    def end(_: asyncio.Task[None]) -> None:
        task.cancel()

    timer = asyncio.get_running_loop().call_later(LOOK_AFTER_SECONDS, look)
    try:
        return await work
    except asyncio.CancelledError:
        if leaving is not None and leaving.done() and task.uncancel() <= before:
            raise ClientDisconnect from None
        raise
    finally:
        timer.cancel()
        if leaving is not None:
            leaving.remove_done_callback(end)
            leaving.cancel()


async def client_left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class RequestScope:
    """Pure ASGI middleware, the outermost of a service.

    Gives the request its correlation id and answers with it (``X-Correlation-Id``), tells browsers to take the answer
    for nothing but what its type says (``nosniff``), logs one line with the route's
    template (a path may hold ids that act as keys), counts, and turns an error that nobody handled into a problem
    document, so that no traceback ever leaves the process. A client that leaves in the middle is no error.
    """

    def __init__(self, app: ASGIApp, service: str, metrics: Metrics) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        # Finding a metric by its labels takes as long as all the rest of counting.
        self._by_labels: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"traceparent"), None)
        status = 0
        started = time.perf_counter()

        with correlated(parent, service=self._service) as trace_id:

            async def send_with_id(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    own = {b"x-correlation-id": trace_id.encode(), b"x-content-type-options": b"nosniff"}
                    headers = [(k, v) for k, v in message.get("headers", []) if k.lower() not in own]
                    message = {**message, "headers": [*headers, *own.items()]}
                await send(message)

            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                # Nobody's fault, and nobody is left to answer; the status is the one that nginx made customary.
                status = status or CLIENT_GONE
            except asyncio.CancelledError:  # by a stop that waits no longer
                if not status:
                    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
                    response = problem_response(503, "The service is being restarted. Please try again.", headers)
                    await response(scope, receive, send_with_id)
                raise
            except Exception:
                log.exception("a request failed for a reason that nobody foresaw")
                if status:
                    raise  # the answer has begun: only closing the connection can tell the client
                response = problem_response(500, "Something went wrong on our side. Please try again later.")
                await response(scope, receive, send_with_id)
            finally:
                # Starlette notes the route in the scope that we hold; without one the path matched nothing.
                route = getattr(scope.get("route"), "path", "unknown")
                seconds = time.perf_counter() - started
                requests, duration = self._measured(scope["method"], route, status)
                requests.inc()
                duration.observe(seconds)
                if route not in _QUIET:
                    log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1e3, 1))

    def _measured(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        labels = (method, route, status)
        found = self._by_labels.get(labels)
        if found is None:
            requests = self._metrics.http_requests.labels(self._service, method, route, status)
            found = self._by_labels[labels] = requests, self._metrics.http_seconds.labels(self._service, route)
        return found
