"""What tasks needs of the events that it consumes: their first form, and a later one, through a broker to the person.

The messages are written out, as another version of auth or analysis may write them: they must not follow our models.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.events import Envelope, EventData, TaskSubmitted
from contracts.topology import ANALYSIS_SUBMISSIONS
from services.chassis.messaging.local import LocalBroker
from services.chassis.metrics import Metrics
from tests.tokens import EMAIL
from tests.unit.services.tasks.forms import pair
from tests.unit.services.tasks.running import Service, tasks_service
from tests.waiting import until

REPORT = {
    "taskID": "task",
    "leakSeverity": "Moderate",
    "energyLossValue": 15.8,
    "energyLossCost": 142.0,
    "savingsPercent": 19,
    "savingsCost": None,
    "imagePath": None,
    "thumbPath": None,
    "suggestions": [
        {
            "suggestionID": "s1",
            "title": "Weatherstripping",
            "subtitle": "Seal around window frame",
            "difficulty": "Easy",
            "costRange": "$10–20",
            "estimatedReduction": "50–70%",
            "lifetime": "3–5 years",
        }
    ],
}


class Messages:
    """Both ends of the broker, seen from outside of tasks."""

    def __init__(self, broker: LocalBroker) -> None:
        self.broker = broker
        self.submitted: list[TaskSubmitted] = []

    async def take(self, event: EventData) -> None:
        assert isinstance(event, TaskSubmitted)
        self.submitted.append(event)

    async def publish(self, kind: str, data: dict[str, Any], *, later: bool) -> None:
        """A message in its first form, or with everything that a later version might add."""
        message: dict[str, Any] = {
            "specversion": "1.0",
            "id": secrets.token_hex(8),
            "type": kind,
            "source": "/services/another",
            "subject": "whatever",
            "time": "2026-01-02T03:04:05Z",
            "data": data,
        }
        if later:
            message |= {"newextension": {"a": [1]}, "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
            message["data"] = _grown(data)
        await self.broker.publish(Envelope.model_validate_json(json.dumps(message)))


def _grown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _grown(inner) for name, inner in value.items()} | {"learntLater": {"deep": [None]}}
    return [_grown(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
async def messages(tmp_path: Path) -> AsyncIterator[Messages]:
    broker = LocalBroker(tmp_path / "events.sqlite3", Metrics())
    await broker.start()
    made = Messages(broker)
    await broker.subscribe(ANALYSIS_SUBMISSIONS, {TaskSubmitted: made.take}, concurrency=1)
    yield made
    await broker.drain(1)
    await broker.close()


@pytest.fixture
async def service(messages: Messages, tmp_path: Path) -> AsyncIterator[Service]:
    async with tasks_service(tmp_path, make_broker=lambda: messages.broker, auth_mode="legacy") as running:
        yield running


async def answer(service: Service, job_id: str, status: str) -> dict[str, Any]:
    """The job's answer, once it has that status."""
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = (await service.get(f"/detect_leak/{job_id}")).json
            if found["status"] == status:
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("later", [False, True], ids=["first form", "later form"])
async def test_analysis_events_become_what_the_person_sees(service: Service, messages: Messages, later: bool) -> None:
    job_id = await service.new_job("task", pair())
    await until(lambda: bool(messages.submitted))
    assert messages.submitted[0].job_id == job_id
    await messages.publish("home-energy-audit.analysis.started.v1", {"job_id": job_id}, later=later)
    await answer(service, job_id, "processing")
    done = {"job_id": job_id, "report": REPORT}
    for _ in range(2):  # at least once is what brokers promise
        await messages.publish("home-energy-audit.analysis.completed.v1", done, later=later)
    shown = await answer(service, job_id, "done")
    assert REPORT.items() <= (shown["report"] | {"suggestions": REPORT["suggestions"]}).items()
    assert REPORT["suggestions"][0].items() <= shown["report"]["suggestions"][0].items()
    assert shown["image"] is None


@pytest.mark.parametrize("later", [False, True], ids=["first form", "later form"])
async def test_a_failure_becomes_the_sentence_that_the_person_reads(
    service: Service, messages: Messages, later: bool
) -> None:
    job_id = await service.new_job("task")
    why = {"job_id": job_id, "reason": "No photo could be read."}
    await messages.publish("home-energy-audit.analysis.failed.v1", why, later=later)
    assert await answer(service, job_id, "error") == {"status": "error", "error": "No photo could be read."}
    await messages.publish("home-energy-audit.analysis.completed.v1", {"job_id": job_id, "report": REPORT}, later=later)
    await messages.publish("home-energy-audit.analysis.failed.v1", {"job_id": "other", "reason": "x"}, later=later)
    next_job = await service.new_job("next")
    await messages.publish("home-energy-audit.analysis.started.v1", {"job_id": next_job}, later=later)
    await answer(service, next_job, "processing")
    assert (await answer(service, job_id, "error"))["error"] == "No photo could be read."


@pytest.mark.parametrize("later", [False, True], ids=["first form", "later form"])
async def test_a_profile_rides_along_with_the_next_submission(
    service: Service, messages: Messages, later: bool
) -> None:
    kind = "home-energy-audit.profile.updated.v1"
    await messages.publish(kind, {"user_id": EMAIL, "version": 2, "household": {"zip_code": "15213"}}, later=later)
    await messages.publish(kind, {"user_id": EMAIL, "version": 1, "household": {"zip_code": "00000"}}, later=later)

    async with asyncio.timeout(20):
        while not any(event.household and event.household.zip_code == "15213" for event in messages.submitted):
            seen = len(messages.submitted)
            await service.new_job("task")
            await until(lambda seen=seen: len(messages.submitted) > seen)
    household = messages.submitted[-1].household
    assert household is not None
    assert (household.zip_code, household.appliances) == ("15213", ())
