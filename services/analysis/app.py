"""Wiring of the analysis service: nothing happens at import time, everything in the lifespan."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypedDict

import aiohttp
from fastapi import FastAPI

from contracts.public import ServiceStatus
from contracts.topology import ANALYSIS_SUBMISSIONS
from services.analysis.analyser import Analyser
from services.analysis.mock import MockAnalyser
from services.analysis.photos import PhotoExchange
from services.analysis.settings import AnalysisSettings
from services.analysis.submissions import Submissions
from services.chassis.background import background
from services.chassis.health import Checks, health_router
from services.chassis.messaging.broker import Broker, measure_dead_letters
from services.chassis.messaging.connecting import connected
from services.chassis.metrics import Metrics
from services.chassis.problems import install_problems
from services.chassis.requests import NO_TELEMETRY, RequestScope

SERVICE = "analysis"
MOCK_CONCURRENCY = 8  # the mock only waits, but photos lie in its scratch folder meanwhile
DRAIN_SECONDS = 2.0


class State(TypedDict):
    """What lives as long as the app."""

    checks: Checks


def make_analyser(settings: AnalysisSettings) -> tuple[Analyser, int]:
    """The analyser that the settings name, and how many submissions it is given at a time."""
    if settings.analyzer == "mock":
        return MockAnalyser(settings.mock_seconds), MOCK_CONCURRENCY
    # Imported only when used: it brings the numeric libraries.
    from services.analysis.thermography.analyser import ThermographyAnalyser

    workers = settings.analysis_workers or os.cpu_count() or 1
    # Two for each worker: it analyses one, while the photos of the other are fetched or its pictures are stored, which
    # takes about as long. What waits lies in scratch folders, not in this process.
    return ThermographyAnalyser(workers, settings.analysis_seconds), 2 * workers


def create_app(
    settings: AnalysisSettings, metrics: Metrics, make_broker: Callable[[], Broker], scratch: Path | None = None
) -> FastAPI:
    """The analysis service as an ASGI app; its work comes from the broker, HTTP shows its health."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            broker = make_broker()
            stack.push_async_callback(broker.close)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            analyser, concurrency = make_analyser(settings)
            stack.push_async_callback(analyser.close)
            photos = PhotoExchange(http, settings.tasks_url, settings.service_token.get_secret_value())
            await analyser.start()
            submissions = Submissions(broker, photos, analyser, scratch)
            handlers, give_up = submissions.handlers(), submissions.give_up
            subscribe = partial(
                broker.subscribe, ANALYSIS_SUBMISSIONS, handlers, concurrency=concurrency, on_dead=give_up
            )
            stack.push_async_callback(broker.drain, DRAIN_SECONDS)
            await stack.enter_async_context(connected(broker, subscribe))
            measure = partial(measure_dead_letters, broker, (ANALYSIS_SUBMISSIONS,), metrics)
            await stack.enter_async_context(background(measure))

            async def tasks_alive() -> None:
                async with http.get(f"{settings.tasks_url}/healthz") as response:
                    response.raise_for_status()

            yield State(checks={"broker": broker.ping, "tasks": tasks_alive})

    app = FastAPI(
        title="analysis",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
    )

    @app.get("/", include_in_schema=False)
    async def status() -> ServiceStatus:
        return ServiceStatus(status="analysis service is running", service="analysis")

    app.include_router(health_router())
    install_problems(app)
    app.add_middleware(RequestScope, service=SERVICE, metrics=metrics)
    return app
