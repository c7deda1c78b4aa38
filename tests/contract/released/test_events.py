"""Events of the released version are read, and what we write is read by it: see docs/adr/0009.

The events and the schemas here were recorded when that version was released, and do not follow our models.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.events import EVENTS, Envelope
from tests.contract.consumers.test_events import READINGS, Reading, read

HERE = Path(__file__).parent
EVENT_FILES = {path.stem: path.read_text() for path in sorted((HERE / "events").glob("*.json"))}
SCHEMA_FILES = sorted((HERE / "schemas").glob("*.json"))
each_event = pytest.mark.parametrize(("name", "body"), EVENT_FILES.items(), ids=EVENT_FILES)
each_schema = pytest.mark.parametrize("path", SCHEMA_FILES, ids=lambda path: path.stem)

WORDS = {"description", "title", "default"}  # what says nothing about the values that are allowed


def reading_of(name: str) -> Reading:
    (reading,) = [reading for reading in READINGS if name.startswith(f"{reading.event.TYPE}.")]
    return reading


def schema_of(reading: Reading) -> Path:
    return HERE / "schemas" / f"{reading.event.TYPE}.json"


@each_event
async def test_an_event_of_the_released_version_is_read(name: str, body: str) -> None:
    end, calls = await read(reading_of(name), body.encode())
    assert end == "acknowledged"
    assert len(calls) == 1


@each_event
def test_what_it_says_is_kept_by_reading_it(name: str, body: str) -> None:
    released, reading = json.loads(body)["data"], reading_of(name)
    written = reading.event.model_validate(released).model_dump(mode="json")
    assert contains(written, released), "a member that it has was lost or changed by reading it"


def contains(new: Any, old: Any) -> bool:
    """Whether ``new`` is ``old`` with more members at most."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and contains(new[name], old[name]) for name in old)
    if isinstance(old, list):
        return len(new) == len(old) and all(map(contains, new, old))
    return bool(new == old)


# What the released version does not know it does not read: the queues of new events are new.
KNOWN = [reading for reading in READINGS if schema_of(reading).exists()]


@pytest.mark.parametrize("reading", KNOWN, ids=str)
def test_what_we_write_is_what_the_released_version_takes(reading: Reading) -> None:
    path = schema_of(reading)
    for form in (reading.least, reading.full):
        ours = Envelope.wrap(reading.event.model_validate(form), traceparent=None).model_dump(mode="json")
        jsonschema.validate(ours["data"], json.loads(path.read_text()))


@each_schema
def test_within_a_version_members_are_only_added(path: Path) -> None:
    released = json.loads(path.read_text())
    (event,) = [event for event in EVENTS if path.stem == event.TYPE]
    assert list(differences(released, event.model_json_schema())) == []


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What a reader or a writer of the old schema would stumble over in the new one."""
    for name, (before, after) in {
        "": (old, new),
        **{n: (d, new.get("$defs", {}).get(n)) for n, d in old.get("$defs", {}).items()},
    }.items():
        if after is None:
            yield f"{name} is gone"
        elif "properties" not in before:
            if meaning(before) != meaning(after):  # another value of an enumeration is unknown to the old reader
                yield f"{name} has changed"
        else:
            for member, values in before["properties"].items():
                if meaning(after["properties"].get(member)) != meaning(values):
                    yield f"{name}.{member} has changed or is gone"
            for member in {*after.get("required", ())} - {*before.get("required", ())}:
                yield f"{name}.{member} is required now, and old writers may leave it out"
            for member in {*before.get("required", ())} - {*after.get("required", ())}:
                yield f"{name}.{member} may be missing now, and old readers need it"


def meaning(schema: Any) -> Any:
    """A schema without the words for people."""
    if isinstance(schema, dict):
        return {name: meaning(inner) for name, inner in schema.items() if name not in WORDS}
    return [meaning(inner) for inner in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda schema: schema["properties"].update(added={"type": "string"}), []),
        (lambda schema: schema.update(description="Other words."), []),
        (lambda schema: schema["properties"].pop("inside_temp_f"), [".inside_temp_f has changed or is gone"]),
        (lambda schema: schema["properties"]["job_id"].update(type="integer"), [".job_id has changed or is gone"]),
        (
            lambda schema: schema["required"].append("household"),
            [".household is required now, and old writers may leave it out"],
        ),
        (lambda schema: schema["required"].remove("job_id"), [".job_id may be missing now, and old readers need it"]),
        (lambda schema: schema["$defs"]["TaskType"]["enum"].append("roof"), ["TaskType has changed"]),
        (lambda schema: schema["$defs"].pop("Photo"), ["Photo is gone"]),
    ],
)
def test_what_would_break_is_found(change: Any, found: list[str]) -> None:
    released = json.loads((HERE / "schemas" / "home-energy-audit.task.submitted.v1.json").read_text())
    changed = json.loads(json.dumps(released))
    change(changed)
    assert list(differences(released, changed)) == found
