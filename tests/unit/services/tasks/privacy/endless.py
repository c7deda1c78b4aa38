"""A cleaning that goes on until it is told to end."""

import threading
import time
from typing import Any

import pytest

from services.tasks.privacy import photos
from services.tasks.privacy.work import Work


def endless_cleaning(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Put an endless cleaning in place of the real one. Return events that tell when it has begun and ended."""
    begun, ended = threading.Event(), threading.Event()

    def endless(photo: bytes, work: Work) -> Any:
        begun.set()
        try:
            while True:
                work.step(0)
                time.sleep(0.001)
        finally:
            ended.set()

    monkeypatch.setattr(photos, "cleaned", endless)
    return begun, ended
