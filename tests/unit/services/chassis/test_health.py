"""Alive is not ready: what each probe says, and how soon."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI

from services.chassis import health
from services.chassis.health import Checks, health_router
from services.chassis.serving import running
from tests.unit.gateway.wire import served


async def fine() -> None:
    pass


async def broken() -> None:
    raise OSError("connection refused")


async def hanging() -> None:
    await asyncio.Event().wait()


async def ask(path: str, checks: Checks, dispensable: Collection[str] = ()) -> tuple[int, Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Checks]]:
        yield {"checks": checks}

    app = FastAPI(lifespan=lifespan)
    app.include_router(health_router(dispensable))
    async with (
        running(app) as ready,
        served(ready) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.json()


async def given_up() -> None:
    raise asyncio.CancelledError  # as RabbitMQ's driver does, when it loses its connection


async def test_ready_when_every_dependency_answers() -> None:
    answer = await ask("/readyz", {"sql": fine, "broker": fine})
    assert answer == (200, {"status": "ready", "checks": {"sql": "ok", "broker": "ok"}})


async def test_not_ready_names_what_failed_and_nothing_more() -> None:
    answer = await ask("/readyz", {"sql": broken, "broker": fine})
    assert answer == (503, {"status": "not ready", "checks": {"sql": "failed", "broker": "ok"}})


async def test_a_service_that_serves_without_a_dependency_is_ready_and_says_what_is_away() -> None:
    answer = await ask("/readyz", {"sql": fine, "broker": broken}, ["broker"])
    assert answer == (200, {"status": "degraded", "checks": {"sql": "ok", "broker": "failed"}})


async def test_it_is_not_ready_without_what_it_needs_whatever_else_is_away() -> None:
    for checks in ({"sql": broken, "broker": fine}, {"sql": broken, "broker": broken}):
        status, answer = await ask("/readyz", checks, ["broker"])
        assert (status, answer["status"]) == (503, "not ready")


async def test_a_dependency_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    _, answer = await ask("/readyz", {"sql": hanging, "photos": hanging, "broker": fine})
    assert answer["checks"] == {"sql": "failed", "photos": "failed", "broker": "ok"}


async def test_alive_although_nothing_answers() -> None:
    assert await ask("/healthz", {"sql": broken}) == (200, {"status": "alive"})


async def test_a_dependency_whose_driver_gives_up_has_failed() -> None:
    answer = await ask("/readyz", {"sql": fine, "broker": given_up})
    assert answer == (503, {"status": "not ready", "checks": {"sql": "ok", "broker": "failed"}})
