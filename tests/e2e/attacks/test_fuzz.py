"""The public API holds to its own document whatever is sent: a bounded run with a fixed seed; ``make fuzz`` goes on."""

import json

from gateway.routes import PUBLIC_ROUTES
from tests.e2e.conftest import Backend
from tests.fuzz import existing, fuzz

SEED = 20_261
EXAMPLES = 5  # per operation and phase


def test_nothing_is_answered_that_the_document_does_not_say(backend: Backend, photo: bytes) -> None:
    """With a token where one is demanded; without any in legacy mode, as the published app asks."""
    app = backend.phone("fuzz")
    leaver, deserter = (backend.phone(name, signed_in=True).bearer or "" for name in ("leaver", "deserter"))
    known = existing(app, backend.issuer.token(app.uid), photo, leaver, deserter)
    before = len(_answered(backend))
    outcome = fuzz(backend.url, known, seed=SEED, examples=EXAMPLES)
    assert outcome.clean, outcome.text[-15_000:]
    assert outcome.cases > 400
    # A run that only ever meets refusals would be clean too.
    succeeded = {(method, route) for method, route, status in _answered(backend)[before:] if status < 300}
    refused = [route for route in PUBLIC_ROUTES if not succeeded & {(route.method, path) for path in route.paths}]
    assert [route.name for route in refused] == []


def _answered(backend: Backend) -> list[tuple[str, str, int]]:
    """Method, route and status of every request that the gateway has logged."""
    events = [json.loads(line) for line in backend.inside.logs()]
    return [
        (event["method"], event["route"], event["status"])
        for event in events
        if event["event"] == "request" and event["service"] == "gateway"
    ]
