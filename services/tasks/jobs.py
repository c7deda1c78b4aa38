"""The life of a job: queued → processing → done | error. Ends are final.

Every change is an update that filters on the states it may leave, so a repeated, late or reordered event, and one
about a job that a newer submission has replaced, changes nothing.
"""

import uuid
from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands; the values are the app's."""

    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    ERROR = "error"


def was_adopted(job_id: str) -> bool:
    """Whether the job stands for a report of the old backend: its id was derived from the task's, ours are random."""
    try:
        return uuid.UUID(job_id).version == 5
    except ValueError:
        return False


UNFINISHED = (JobState.QUEUED, JobState.PROCESSING)

REPLACED = "A newer submission of this task has replaced this one."
OVERDUE = "The analysis took too long and was given up. Please submit the photos again."
UNANNOUNCEABLE = "The submission could not be read again when its turn came. Please submit the photos again."
