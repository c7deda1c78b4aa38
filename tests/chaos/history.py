"""What the phones did and were told: one JSON object a line, in the order in which it happened.

Each request is written twice: an ``ask`` when it is sent, and an ``answer`` or ``unknown`` (timeout, lost connection,
end of the run) with the same ``op``. After an ``unknown`` the effect may still come, for ever.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO, TypeAlias

Event: TypeAlias = dict[str, Any]


class History:
    """Keeps events in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self._started = time.monotonic()
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._ops = 0
        self.events: list[Event] = []

    def write(self, phase: str, kind: str, **facts: Any) -> Event:
        """Add an event, with the time: ``t`` in seconds since the start, ``at`` of the wall clock."""
        event = {
            "t": round(time.monotonic() - self._started, 3),
            "at": round(time.time(), 3),
            "phase": phase,
            "kind": kind,
            **facts,
        }
        self.events.append(event)
        self._file.write(json.dumps(event, ensure_ascii=False) + "\n")
        return event

    def next_op(self) -> int:
        """A number for a request."""
        self._ops += 1
        return self._ops

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()


def of_task(events: Iterable[Event], task: str) -> list[Event]:
    """The events about one task."""
    return [event for event in events if event.get("task") == task]


def of_user(events: Iterable[Event], user: str, kind: str) -> list[Event]:
    """The events of one kind that one user caused."""
    return [event for event in events if event.get("user") == user and event["kind"] == kind]
