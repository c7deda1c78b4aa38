"""Waiting for servers that come up in any order."""

import pytest

from services.chassis import startup
from services.chassis.startup import StartupError, wait_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(startup, "LONGEST_PAUSE_SECONDS", 0.004)


async def test_it_tries_until_it_succeeds() -> None:
    attempts = 0

    async def ready() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 20:
            raise ConnectionError

    await wait_for("server", ready, (OSError,))
    assert attempts == 20


@pytest.mark.parametrize("fault", [StartupError("wrong password"), ValueError("a bug")])
async def test_what_will_not_pass_by_itself_is_raised_at_once(fault: Exception) -> None:
    attempts = 0

    async def ready() -> None:
        nonlocal attempts
        attempts += 1
        raise fault

    with pytest.raises(type(fault), match=str(fault)):
        await wait_for("server", ready, (OSError,))
    assert attempts == 1
