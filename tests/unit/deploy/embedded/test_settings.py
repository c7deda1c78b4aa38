"""Who gets in without a token follows from who can reach the backend at all."""

import pytest

from deploy.embedded.settings import EmbeddedSettings
from services.chassis.settings import AuthMode, is_loopback


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "AUTH_MODE", "GOOGLE_CLIENT_IDS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_on_loopback_the_published_app_is_let_in(host: str) -> None:
    assert is_loopback(host)
    assert EmbeddedSettings(host=host).mode == "legacy"


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104 - the point of the test
        "::",
        "192.168.1.5",
        "10.0.2.2",
        "fe80::1",
        "example.com",
        "localhost.example.com",
        "",
        "127.0.0.1.nip.io",
    ],
)
def test_anywhere_else_a_token_is_demanded(host: str) -> None:
    assert not is_loopback(host)
    assert EmbeddedSettings(host=host).mode == "required"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
@pytest.mark.parametrize("mode", ["required", "legacy"])
def test_what_somebody_says_wins(host: str, mode: AuthMode) -> None:
    assert EmbeddedSettings(host=host, auth_mode=mode).mode == mode
