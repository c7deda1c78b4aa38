"""What an analyser is given, what it gives back, and how it says that it cannot.

Two are known: :mod:`services.analysis.mock` writes the old backend's constants, and
:mod:`services.analysis.thermography` reads the thermal photo.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.events import Household, PhotoKind, TaskType
from contracts.reports import Report


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """One photo of a submission, its bytes on local disk exactly as they were uploaded."""

    path: Path
    name: str  # as the app named it, for messages to a person: obs0_thermal.jpg
    kind: PhotoKind  # what the name claims
    observation: int  # N of obs<N>: pairs the two photos of one observation


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """A submission, ready to be analysed. Temperatures are °F as the homeowner typed them, None where absent."""

    job_id: str
    task_id: str
    task_type: TaskType | None
    inside_temp_f: float | None
    outside_temp_f: float | None
    household: Household | None
    photos: tuple[PhotoFile, ...]
    scratch: Path  # a folder of this job's own, removed after it; results are written there


@dataclass(frozen=True, slots=True)
class Analysis:
    """The outcome: a report, and the pictures that go with it (files under the request's scratch folder)."""

    report: Report
    image: Path | None
    thumbnail: Path | None = None


class UnusablePhotosError(Exception):
    """The submission cannot be analysed, now or later; the message tells the homeowner why and what to do."""


class Analyser(Protocol):
    """Turns a submission into a report."""

    name: str
    version: str

    async def start(self) -> None:
        """Get ready before the first submission comes, whose person would wait for it."""
        ...

    async def analyse(self, request: AnalysisRequest) -> Analysis:
        """Analyse one submission without blocking the event loop.

        Raises :class:`UnusablePhotosError` when no photo can be used, and :class:`TimeoutError` when it took longer
        than it may: both end the job. Any other exception is a fault of ours and is retried.
        """
        ...

    async def close(self) -> None:
        """Release what the analyser holds (worker processes)."""
        ...
