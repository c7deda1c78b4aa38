"""What each consumer relies on in the events that it reads, proved on the committed schemas and on its own handler.

For every (consumer, event): the schema promises the members that the consumer's code uses; the least event that the
schema allows is taken, which is also one of a writer that knows no newer member; and an event of a newer writer, with
members that nobody knows yet, changes nothing.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.events import (
    AccountBound,
    AccountDeleted,
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
    Envelope,
    EventData,
    ProfileUpdated,
    SignedOut,
    TaskSubmitted,
)
from contracts.topology import SUBSCRIPTIONS
from services.analysis.analyser import Analysis, AnalysisRequest
from services.analysis.mock import MockAnalyser
from services.analysis.submissions import Submissions
from services.chassis.messaging.broker import Consumer
from services.chassis.metrics import Metrics
from services.tasks.events import account_handlers, name_handlers, profile_handlers, result_handlers
from tests.brokers import RecordingBroker

SCHEMAS = Path(__file__).parents[3] / "contracts" / "schemas"

REPORT: dict[str, Any] = {
    "taskID": "task-1",
    "leakSeverity": "High",
    "energyLossValue": 15.8,
    "energyLossCost": None,
    "savingsPercent": 19.0,
    "savingsCost": 31.0,
    "imagePath": "task-1_analysis_image.jpg",
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
PHOTO = {
    "photo_id": "p0",
    "kind": "thermal",
    "observation": 0,
    "name": "obs0_thermal.jpg",
    "media_type": "image/jpeg",
    "size": 3,
}


@dataclass(frozen=True)
class Reading:
    """A consumer, an event, and the members of it (dotted) that the consumer's code uses."""

    consumer: str
    queue: str
    event: type[EventData]
    required: str
    optional: str
    least: Mapping[str, Any]
    full: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.consumer} reads {self.event.__name__}"


READINGS = (
    Reading(
        "analysis",
        "analysis.submissions",
        TaskSubmitted,
        "job_id task_id photos.photo_id photos.kind photos.observation photos.name",
        "task_type inside_temp_f outside_temp_f household photos household.zip_code household.ownership "
        "household.retrofit_budget household.appliances",
        {"job_id": "job-1", "task_id": "task-1"},
        {
            "job_id": "job-1",
            "task_id": "task-1",
            "task_type": "door",
            "inside_temp_f": 71.5,
            "outside_temp_f": -4,
            "household": {"zip_code": "15213", "ownership": "Own", "appliances": ["Window AC"]},
            "photos": [PHOTO],
        },
    ),
    Reading("tasks", "tasks.results", AnalysisStarted, "job_id", "", {"job_id": "job-1"}, {"job_id": "job-1"}),
    Reading(
        "tasks",
        "tasks.results",
        AnalysisCompleted,
        "job_id report report.taskID report.leakSeverity report.energyLossValue report.energyLossCost "
        "report.savingsPercent report.savingsCost report.suggestions report.suggestions.suggestionID",
        "image_id thumbnail_id",
        {"job_id": "job-1", "report": REPORT},
        {"job_id": "job-1", "report": REPORT, "image_id": "i", "thumbnail_id": "t"},
    ),
    Reading(
        "tasks",
        "tasks.results",
        AnalysisFailed,
        "job_id reason",
        "",
        {"job_id": "job-1", "reason": "Why."},
        {"job_id": "job-1", "reason": "Why."},
    ),
    Reading(
        "tasks",
        "tasks.profiles",
        ProfileUpdated,
        "user_id version household",
        "household.zip_code household.ownership household.energy_company household.retrofit_budget "
        "household.appliances",
        {"user_id": "someone@example.com", "version": 1, "household": {}},
        {
            "user_id": "someone@example.com",
            "version": 7,
            "household": {"zip_code": "15213", "energy_company": "Duquesne Light", "appliances": ["Window AC"]},
        },
    ),
    Reading(
        "tasks",
        "tasks.accounts",
        SignedOut,
        "user_id until",
        "",
        {"user_id": "someone@example.com", "until": 1760000000},
        {"user_id": "someone@example.com", "until": 1760000000},
    ),
    Reading(
        "tasks",
        "tasks.accounts",
        AccountDeleted,
        "user_id deleted_at profile_version",
        "signed_out_until names_version",
        {"user_id": "someone@example.com", "deleted_at": "2026-01-02T03:04:05Z", "profile_version": 0},
        {
            "user_id": "someone@example.com",
            "deleted_at": "2026-01-02T03:04:05.678901+01:00",
            "profile_version": 7,
            "signed_out_until": 1760000000,
            "names_version": 8,
        },
    ),
    Reading(
        "tasks",
        "tasks.names",
        AccountBound,
        "user_id names version",
        "",
        {"user_id": "someone@example.com", "names": [], "version": 1},
        {"user_id": "someone@example.com", "names": ["someone@example.com", "1101"], "version": 7},
    ),
)
each_reading = pytest.mark.parametrize("reading", READINGS, ids=str)


def committed(event: type[EventData]) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{event.TYPE}.json").read_text())
    return schema


def parts(schema: Mapping[str, Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The objects along a dotted path, each with the member that is next; lists and optional values are looked into."""
    here: Mapping[str, Any] = schema
    for name in path.split("."):
        yield here, name
        here = here["properties"][name]
        for _ in range(4):
            choices = [choice for choice in here.get("anyOf", ()) if choice.get("type") != "null"]
            here = choices[0] if choices else here
            here = here.get("items", here)
            here = schema["$defs"][here["$ref"].rsplit("/", 1)[1]] if "$ref" in here else here


@each_reading
def test_the_committed_schema_promises_what_the_consumer_uses(reading: Reading) -> None:
    schema = committed(reading.event)
    for path in reading.required.split():
        *_, (place, name) = parts(schema, path)
        assert name in place["properties"], path
        assert name in place["required"], f"{path} may be missing"
    for path in reading.optional.split():
        *_, (place, name) = parts(schema, path)
        assert name in place["properties"], path
        assert name not in place.get("required", ()), f"{path} has become required: old events lack it"


@each_reading
def test_the_examples_are_what_the_schema_allows(reading: Reading) -> None:
    for example in (reading.least, reading.full):
        jsonschema.validate(example, committed(reading.event))


def test_every_reading_of_the_topology_is_held_to_its_contract() -> None:
    routed = {(subscription.queue, event) for subscription in SUBSCRIPTIONS for event in subscription.events}
    assert {(reading.queue, reading.event) for reading in READINGS} == routed


# ── the consumers themselves ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Delivery:
    """A delivery that remembers its end."""

    body: bytes
    failures: int = 0
    end: str = ""

    async def ack(self) -> None:
        self.end = "acknowledged"

    async def retry(self, delay_number: int) -> None:
        self.end = "retried"

    async def bury(self, reason: str) -> None:
        self.end = f"buried: {reason}"

    async def requeue(self) -> None:
        self.end = "requeued"


@dataclass
class Seen:
    """Stands in for the place where a consumer puts what it has read: every call, with its arguments."""

    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> bool:
            self.calls.append((name, arguments))
            return True

        return call


class Photos:
    """tasks, as analysis sees it."""

    async def fetch(self, job_id: str, photo_id: str, target: Path) -> None:
        await asyncio.to_thread(target.write_bytes, f"{job_id} {photo_id}".encode())

    async def store(self, job_id: str, name: str, source: Path) -> str:
        return f"{job_id} {name}"


class Remembering(MockAnalyser):
    """Notes the requests apart from their folders, which are new each time."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(0)
        self._seen = seen

    async def analyse(self, request: AnalysisRequest) -> Analysis:
        said = (request.job_id, request.task_id, request.task_type, request.inside_temp_f, request.outside_temp_f)
        photos = [(photo.name, photo.kind, photo.observation, photo.path.read_bytes()) for photo in request.photos]
        self._seen.calls.append(("analyse", (*said, request.household, photos)))
        return await super().analyse(request)


async def read(reading: Reading, body: bytes) -> tuple[str, list[tuple[str, tuple[Any, ...]]]]:
    """Give a message to the real handlers of the consumer; how the delivery ended, and what they did."""
    seen = Seen()
    if reading.consumer == "analysis":
        handlers = Submissions(RecordingBroker(), Photos(), Remembering(seen)).handlers()  # type: ignore[arg-type]
    elif reading.queue == "tasks.results":
        handlers = result_handlers(seen, Metrics())  # type: ignore[arg-type]
    elif reading.queue == "tasks.accounts":
        handlers = account_handlers(seen, seen, seen)  # type: ignore[arg-type]
    elif reading.queue == "tasks.names":
        handlers = name_handlers(seen)  # type: ignore[arg-type]
    else:
        handlers = profile_handlers(seen)  # type: ignore[arg-type]
    (subscription,) = [s for s in SUBSCRIPTIONS if s.queue == reading.queue]
    delivery = Delivery(body)
    await Consumer(subscription, handlers, None, Metrics()).take(delivery)
    return delivery.end, seen.calls


def message(reading: Reading, data: Mapping[str, Any], **envelope: Any) -> bytes:
    """A message as another writer would put it on the wire."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": "5a9c2d9e-3f0a-4c1b-9d43-1f60bb8c6d0f",
            "type": reading.event.TYPE,
            "source": "/services/other",
            "subject": "x",
            "time": "2025-08-08T17:12:15.011967Z",
            "data": data,
            **envelope,
        }
    ).encode()


def newer(value: Any) -> Any:
    """The same value from a newer writer: each object has a member that nobody knows."""
    if isinstance(value, dict):
        return {**{name: newer(inner) for name, inner in value.items()}, "sinceNextYear": {"a": [1]}}
    return [newer(inner) for inner in value] if isinstance(value, list) else value


@each_reading
async def test_the_least_event_is_taken(reading: Reading) -> None:
    end, calls = await read(reading, message(reading, reading.least))
    assert end == "acknowledged"
    assert len(calls) == 1


@each_reading
async def test_the_full_event_is_taken_as_our_own_writer_puts_it(reading: Reading) -> None:
    ours = Envelope.wrap(reading.event.model_validate(reading.full), traceparent=None).model_dump_json().encode()
    end, calls = await read(reading, ours)
    assert (end, calls) == await read(reading, message(reading, reading.full))
    assert end == "acknowledged"
    assert len(calls) == 1


@each_reading
async def test_members_that_nobody_knows_yet_change_nothing(reading: Reading) -> None:
    later = newer(deepcopy(dict(reading.full)))
    expected = await read(reading, message(reading, reading.full))
    assert await read(reading, message(reading, later, partitionkey="7", dataschema="https://x")) == expected


@each_reading
async def test_an_event_that_lacks_what_the_consumer_needs_is_a_dead_letter_at_once(reading: Reading) -> None:
    for name in {path.split(".")[0] for path in reading.required.split()} & reading.least.keys():
        broken = {key: value for key, value in reading.least.items() if key != name}
        end, calls = await read(reading, message(reading, broken))
        assert end.startswith("buried"), name
        assert calls == []


@each_reading
async def test_another_version_of_the_event_is_not_mistaken_for_this_one(reading: Reading) -> None:
    end, calls = await read(reading, message(reading, reading.full, type=reading.event.TYPE.replace(".v1", ".v2")))
    assert end == "retried", "a newer replica may know it"
    assert calls == []
