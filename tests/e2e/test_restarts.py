"""Killing and restarting any single part of the system while a job is queued loses nothing."""

import pytest

from tests.e2e.app import App, task
from tests.e2e.conftest import Backend, Compose, wait_until_ready

Pair = list[tuple[str, bytes]]

# One stack of containers is enough for this; the embedded backend has its own test.
pytestmark = [
    pytest.mark.docker,
    pytest.mark.parametrize("backend", [("compose", "legacy")], ids=["compose-legacy"], indirect=True),
]


@pytest.fixture
def submitted(backend: Backend, compose: Compose, pair: Pair) -> tuple[Backend, Compose, str, App]:
    """A job that nobody can work on yet: analysis is stopped."""
    compose.run("stop", "--timeout", "10", "analysis")
    app = backend.phone()
    answer = app.submit(task(), pair)
    assert answer.status == 200, answer.body
    return backend, compose, answer.json()["jobId"], app


@pytest.mark.parametrize("part", ["gateway", "auth", "tasks", "analysis", "rabbitmq", "mysql", "mongo"])
def test_a_queued_job_survives_the_kill_of(submitted: tuple[Backend, Compose, str, App], part: str) -> None:
    backend, compose, job, app = submitted
    if part == "analysis":
        compose.run("start", "analysis")
        compose.run("kill", "--signal", "SIGKILL", "analysis")
    else:
        compose.run("kill", "--signal", "SIGKILL", part)
    compose.up(backend.mode, backend.issuer)
    wait_until_ready(backend.url)
    assert app.wait(job, seconds=120)["status"] == "done"
