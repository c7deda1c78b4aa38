"""The public API against its own document: thousands of requests, sound and unsound, made up from ``/openapi.json``.

Nothing may be answered 5xx, with a status, a content type or headers that are not documented, or with a body that does
not have its documented form. The requests are schemathesis'; :mod:`tests.fuzz.existing` makes every second one speak
of a person, a task, a job and a photo that exist, so that it comes further than the first check.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.e2e.app import App, task

ROOT = Path(__file__).parents[2]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


@dataclass(frozen=True)
class Existing:
    """What the requests speak of. Without a ``bearer`` they are sent without a token, as legacy mode allows.

    ``leaver`` and ``deserter`` are tokens of two more people, who sign out and delete their account meanwhile.
    """

    user_id: str
    task_id: str
    job_id: str
    photo_id: str
    id_token: str
    bearer: str = ""
    leaver: str = ""
    deserter: str = ""


def existing(app: App, id_token: str, photo: bytes, leaver: str = "", deserter: str = "") -> Existing:
    """Submit ``photo`` in the name of ``app``'s person, and wait for the report: what the requests may speak of."""
    sent = task()
    answer = app.submit(sent, [("obs0_thermal.jpg", photo)])
    assert answer.status == 200, answer.body
    job_id = answer.json()["jobId"]
    app.wait(job_id)
    photo_id = app.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"][0]["photoID"]
    return Existing(app.uid, sent["id"], job_id, photo_id, id_token, app.bearer or "", leaver, deserter)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: how many requests were judged, and what schemathesis says of it."""

    clean: bool
    cases: int
    text: str


def fuzz(url: str, existing: Existing, *, seed: int, examples: int, seconds: int | None = None) -> Outcome:
    """Fuzz the backend at ``url``: ``examples`` requests per operation, in each phase, or for so many ``seconds``."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--seed", str(seed)]
    command += ["--max-examples", str(examples), "--checks", ",".join(CHECKS), "--generation-database", "none"]
    command += ["--no-color", "--warnings", "off", "--suppress-health-check", "all", "--request-timeout", "60"]
    # One failure does not hide the next one.
    command += ["--continue-on-failure", "--max-time", str(seconds)] if seconds else ["--continue-on-failure"]
    environment = {
        **os.environ,
        **{f"FUZZ_{name.upper()}": value for name, value in asdict(existing).items()},
        "SCHEMATHESIS_HOOKS": "tests.fuzz.existing",
        "PYTHONPATH": str(ROOT),
    }
    with tempfile.TemporaryDirectory() as folder:  # it leaves files where it runs
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    text = done.stdout + done.stderr
    judged = re.search(r"^\s*([\d,]+) generated", text, re.MULTILINE)
    return Outcome(done.returncode == 0, int(judged.group(1).replace(",", "")) if judged else 0, text)
