"""Repeated submissions: what makes two requests the same one, so that a retry starts no second job.

A client that names its request (``Idempotency-Key``) gets the first answer again for KEY_SECONDS. The published app
names nothing; of it, the same bytes for the same task within REPEAT_SECONDS are a retry.

A person with too many unfinished jobs, known by a token, is refused before the body is read unless the key is known: a
retry without one would be recognised only by reading and storing the whole body, which is what the bound spares us.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence

from contracts.events import Household
from services.chassis.problems import Problem
from services.tasks.submissions import Submission
from services.tasks.uploads import UploadedPhoto

KEY_SECONDS = 24 * 3600
# The app gives a request 20 s and a job 45 s; then a person presses the button again, and the photos take 20 s again.
REPEAT_SECONDS = 120

OTHER_BODY = "This Idempotency-Key came with another submission before. Please send a new key with a new submission."

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def read_key(values: Sequence[str]) -> str | None:
    """The key in the ``Idempotency-Key`` headers of a request; None without one. Raises :class:`Problem` 400."""
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise Problem(400, "Send one Idempotency-Key, of 1 to 255 visible ASCII characters.")
    return values[0]


def fingerprint(submission: Submission, photos: Sequence[UploadedPhoto]) -> str:
    """A hash (SHA-256, hexadecimal) of all that was submitted, however the multipart form was put together."""
    return _hash([dataclasses.asdict(submission), [[p.kind, p.observation, p.name, p.sha256] for p in photos]])


def of_analysis(submitted: str, household: Household | None) -> str:
    """A hash of all that an analysis is given: the fingerprint ``submitted``, and what is known of the home."""
    return _hash([submitted, household and household.model_dump(mode="json")])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
