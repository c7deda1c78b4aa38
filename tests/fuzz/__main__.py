"""``make fuzz``: a longer run, against an embedded backend of its own or against the one at BASE_URL.

MINUTES (by default 5) or EXAMPLES (requests per operation and phase) say how long; SEED repeats a run. A backend at
BASE_URL needs TOKEN, a Google ID token for one of its client ids; a task is submitted to it in that person's name.
"""

import base64
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.app import App
from tests.e2e.conftest import Embedded
from tests.e2e.issuer import issuing
from tests.fuzz import existing, fuzz
from tests.synthetic import make_scene

LONGEST_SECONDS = 12 * 3600  # of the token of the backend that is started here


@contextmanager
def _signed_in() -> Iterator[App]:
    """Somebody with a Google ID token, at the backend to be fuzzed."""
    url, token = os.environ.get("BASE_URL"), os.environ.get("TOKEN")
    if url and token:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        yield App(url.rstrip("/"), claims["email"], bearer=token)
    elif url:
        raise SystemExit("BASE_URL needs TOKEN, a Google ID token that the backend accepts.")
    else:
        uid = f"fuzz-{secrets.token_hex(4)}@example.com"
        folder = tempfile.TemporaryDirectory()
        with issuing() as issuer, folder, Embedded("required", issuer, Path(folder.name)) as running:
            yield App(running.url, uid, bearer=issuer.token(uid, exp=int(time.time()) + LONGEST_SECONDS))


if __name__ == "__main__":
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**31))
    examples = os.environ.get("EXAMPLES")
    seconds = None if examples else int(float(os.environ.get("MINUTES") or 5) * 60)
    with _signed_in() as app:
        token = app.bearer or ""
        login = app.login(token)
        if login.status != 200:
            raise SystemExit(f"The sign-in failed: {login.body.decode()}")
        known = existing(app, token, make_scene(25).thermal)
        outcome = fuzz(app.url, known, seed=seed, examples=int(examples or 100), seconds=seconds)
    sys.stdout.write(outcome.text)
    raise SystemExit(0 if outcome.clean else 1)
