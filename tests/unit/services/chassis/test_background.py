"""Work beside the requests: kept up while the app lives, ended with it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from services.chassis import background as module
from services.chassis.background import background


@pytest.fixture(autouse=True)
def restart_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0)


async def test_work_goes_on_until_the_end_of_the_app() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with background(work):
        await begun.wait()
    assert ended.is_set()


async def test_work_that_fails_or_returns_is_logged_and_started_again() -> None:
    starts, third = [0], asyncio.Event()

    async def work() -> None:
        starts[0] += 1
        if starts[0] == 1:
            raise RuntimeError("first")
        if starts[0] == 3:
            third.set()
            await asyncio.sleep(60)

    with capture_logs() as logs:
        async with background(work):
            await third.wait()
    assert [line["log_level"] for line in logs] == ["error"]
    assert "work" in logs[0]["work"]


async def test_failing_work_does_not_end_its_neighbour_or_the_app() -> None:
    async def failing() -> None:
        raise RuntimeError

    steps = 0
    enough = asyncio.Event()

    async def steady() -> None:
        nonlocal steps
        while True:
            steps += 1
            if steps == 100:
                enough.set()
            await asyncio.sleep(0)

    with capture_logs():
        async with background(failing, steady):
            await enough.wait()


async def test_an_error_of_the_app_ends_the_work_too() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def app() -> None:
        async with background(work):
            await asyncio.sleep(0)
            raise ValueError("of the app")

    with pytest.raises(ValueError, match="of the app"):
        await app()
    assert ended.is_set()
