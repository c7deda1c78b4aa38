"""``/healthz``: the process is alive. ``/readyz``: each of its dependencies, by name, answered just now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from services.chassis.cancellation import cancellation_kept

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0

Checks = Mapping[str, Callable[[], Awaitable[object]]]


async def _passes(name: str, check: Callable[[], Awaitable[object]]) -> bool:
    try:
        with cancellation_kept():  # RabbitMQ's driver cancels who asks on a connection that it gives up
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency did not answer
        log.warning("a dependency does not answer", dependency=name, error=type(error).__name__)
        return False
    return True


def health_router() -> APIRouter:
    """Routes for an app whose lifespan state has ``checks``: a name and a coroutine function per dependency."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        checks: Checks = request.state.checks
        answers = await asyncio.gather(*(_passes(name, check) for name, check in checks.items()))
        ready = all(answers)
        return JSONResponse(
            {
                "status": "ready" if ready else "not ready",
                "checks": {name: "ok" if ok else "failed" for name, ok in zip(checks, answers, strict=True)},
            },
            status_code=200 if ready else 503,
        )

    return router
