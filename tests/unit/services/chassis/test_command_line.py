"""What an operator's commands print, and how they end."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
import typer
from typer.testing import CliRunner

from contracts.events import AnalysisStarted, Envelope
from contracts.topology import TASKS_RESULTS
from services.chassis.command_line import Commands, command_line
from services.chassis.messaging.broker import PermanentError
from services.chassis.messaging.local import LocalBroker
from services.chassis.metrics import Metrics
from services.chassis.serving import Stop
from tests.brokers import RecordingBroker


async def serve(_: Stop) -> None: ...


def commands(broker: Callable[[], RecordingBroker | LocalBroker]) -> typer.Typer:
    return command_line(Commands("tasks", serve, broker=broker, queues=(TASKS_RESULTS,)))  # type: ignore[arg-type]


class Away(RecordingBroker):
    """A broker that is not there, as the real one waits for it."""

    async def start(self) -> None:
        structlog.get_logger("services.tasks.test").warning("waiting for a server")
        await asyncio.sleep(3600)


@pytest.mark.parametrize("arguments", [("list",), ("replay", "tasks.results")])
def test_a_broker_that_is_away_ends_a_command_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("services.chassis.command_line.BROKER_SECONDS", 0.05)
    with pytest.raises(SystemExit) as ended:
        commands(Away)(["dead-letters", *arguments])
    assert ended.value.code == 2
    out, errors = capfd.readouterr()
    assert out == ""
    assert errors.splitlines()[-1] == "The broker does not answer."
    assert "waiting for a server" in errors


async def bury(path: Path) -> None:
    """Leave a dead letter of tasks.results."""
    broker = LocalBroker(path, Metrics())
    await broker.start()

    async def fails(_: object) -> None:
        raise PermanentError("no")

    await broker.subscribe(TASKS_RESULTS, dict.fromkeys(TASKS_RESULTS.events, fails), concurrency=1)
    await broker.publish(Envelope.wrap(AnalysisStarted(job_id="job"), traceparent=None))

    while not (await broker.depth(TASKS_RESULTS)).dead:
        await asyncio.sleep(0.01)
    await broker.close()


def test_dead_letters_are_listed_as_lines_of_json_and_put_back(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite3"
    asyncio.run(bury(path))
    app = commands(lambda: LocalBroker(path, Metrics()))
    listed = CliRunner().invoke(app, ["dead-letters", "list"])
    (line,) = listed.stdout.splitlines()
    assert json.loads(line)["queue"] == "tasks.results"
    assert "body" not in json.loads(line)
    put_back = CliRunner().invoke(app, ["dead-letters", "replay", "tasks.results"])
    assert put_back.stdout == "1 put back into tasks.results.\n"
    assert CliRunner().invoke(app, ["dead-letters", "list"]).stdout == ""
