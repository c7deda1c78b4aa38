"""The public API holds to its own document whatever is sent: a bounded run with a fixed seed; ``make fuzz`` goes on."""

from tests.e2e.conftest import Backend
from tests.fuzz import existing, fuzz

SEED = 20_261
EXAMPLES = 5  # per operation and phase


def test_nothing_is_answered_that_the_document_does_not_say(backend: Backend, photo: bytes) -> None:
    """With a token where one is demanded; without any in legacy mode, as the published app asks."""
    app = backend.phone("fuzz")
    known = existing(app, backend.issuer.token(app.uid), photo)
    outcome = fuzz(backend.url, known, seed=SEED, examples=EXAMPLES)
    assert outcome.clean, outcome.text[-15_000:]
    assert outcome.cases > 400
