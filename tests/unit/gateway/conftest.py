import pytest

from gateway import limits


@pytest.fixture
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests whose client stays silent and waits for the connection to be closed."""
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.05)
