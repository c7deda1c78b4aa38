"""One running tasks service for each test module, in each of its modes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.unit.services.tasks.running import Service, tasks_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """As on servers: every request must prove who sends it."""
    async with tasks_service(tmp_path_factory.mktemp("tasks"), auth_mode="required") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def legacy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """As the published app needs it: requests without a token are let in."""
    async with tasks_service(tmp_path_factory.mktemp("tasks"), auth_mode="legacy") as running:
        yield running
