"""Wiring of the gateway: nothing happens at import time, connections live as long as the app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict

import aiohttp
from fastapi import Depends, FastAPI, Request
from starlette.types import ASGIApp

from contracts.version import VERSION
from gateway.access import Admission
from gateway.api import router
from gateway.proxy import Upstream, connections
from gateway.readiness import Readiness
from gateway.routes import forwarding_routes
from gateway.settings import GatewaySettings
from services.chassis.access import Access
from services.chassis.documents import CachedDocument
from services.chassis.health import KEYS, Checks, health_router
from services.chassis.identity import AccessTokens, Bearers
from services.chassis.issuers import id_tokens
from services.chassis.metrics import Metrics
from services.chassis.problems import install_problems
from services.chassis.requests import NO_TELEMETRY, RequestScope

SERVICE = "gateway"
JWKS_PATH = "/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class Services:
    """The services behind the gateway, each an ASGI app whose lifespan somebody else looks after."""

    auth: ASGIApp
    tasks: ASGIApp


class State(TypedDict):
    """What lives as long as the app."""

    auth: ASGIApp
    tasks: ASGIApp
    access: Access
    checks: Checks


def create_app(settings: GatewaySettings, metrics: Metrics, services: Services | None = None) -> FastAPI:
    """The gateway as an ASGI app.

    ``services`` are in the same process; without them requests go to AUTH_URL and TASKS_URL.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with connections() as http, aiohttp.ClientSession() as keys, id_tokens(settings) as tokens:
            behind = services or Services(
                Upstream("auth", settings.auth_url, http), Upstream("tasks", settings.tasks_url, http)
            )
            bearers = Bearers(
                AccessTokens(CachedDocument(settings.auth_url + JWKS_PATH, keys)),
                tokens,
            )
            yield State(
                auth=behind.auth,
                tasks=behind.tasks,
                access=Access(bearers, settings.auth_mode),
                checks={
                    "auth": Readiness(behind.auth).check,
                    "tasks": Readiness(behind.tasks).check,
                    KEYS: tokens.check,
                },
            )

    app = FastAPI(
        title="Home energy audit",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    admission = Admission(settings, metrics)

    async def counted(request: Request) -> None:
        admission.count_address("other", request.scope)

    # First: routes are tried in their order.
    app.router.routes.extend(forwarding_routes(settings.max_upload_bytes, admission))
    app.include_router(router, dependencies=[Depends(counted)])
    app.include_router(health_router(dispensable={KEYS}))  # access tokens are checked without them
    install_problems(app)
    app.add_middleware(RequestScope, service=SERVICE, metrics=metrics)
    return app
