"""``/healthz``: the process is alive. ``/readyz``: whether it can serve, and which of its dependencies answered now.

A balancer sends nobody to a service that is not ready. So one that serves without a dependency is ready while that is
away, and says that it is ``degraded``: when all replicas miss it, sending people elsewhere helps nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from services.chassis.cancellation import cancellation_kept

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0
KEYS = "sign-in keys"  # of the issuers of ID tokens: without them people who are signed in go on

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


def health_router(dispensable: Collection[str] = ()) -> APIRouter:
    """Routes for an app whose lifespan state has ``checks``: a name and a coroutine function per dependency.

    ``dispensable`` are those without which the service still serves.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        checks: Checks = request.state.checks
        answers = await asyncio.gather(*(_passes(name, check) for name, check in checks.items()))
        away = {name for name, ok in zip(checks, answers, strict=True) if not ok}
        ready = away.issubset(dispensable)
        return JSONResponse(
            {
                "status": "not ready" if not ready else "degraded" if away else "ready",
                "checks": {name: "failed" if name in away else "ok" for name in checks},
            },
            status_code=200 if ready else 503,
        )

    return router
