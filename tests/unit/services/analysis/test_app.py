"""The analysis service as its orchestrator sees it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from services.analysis.app import create_app
from services.analysis.settings import AnalysisSettings
from services.chassis.metrics import Metrics
from services.chassis.serving import running
from tests import loopback
from tests.brokers import RecordingBroker
from tests.unit.gateway.wire import served


@pytest.fixture
async def tasks_url() -> AsyncIterator[str]:
    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    tasks = web.Application()
    tasks.router.add_get("/healthz", alive)
    async with loopback.served(tasks) as url:
        yield url


async def test_it_is_not_ready_without_the_broker_that_all_its_work_comes_from(tasks_url: str) -> None:
    broker = RecordingBroker()
    settings = AnalysisSettings(
        rabbitmq_url="in-process", tasks_url=tasks_url, service_token="between services only", analyzer="mock"
    )
    async with (
        running(create_app(settings, Metrics(), lambda: broker)) as app,
        served(app) as port,
        aiohttp.ClientSession() as http,
    ):
        for away, status, says in ((False, 200, "ready"), (True, 503, "not ready")):
            broker.away = away
            async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                assert (answer.status, (await answer.json())["status"]) == (status, says)
