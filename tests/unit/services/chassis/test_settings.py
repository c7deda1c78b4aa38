"""Settings are refused with one clear line, and values are never repeated."""

import pytest
from pydantic import Field

from services.chassis.settings import CommaSeparated, HttpUrl, Secret, ServiceSettings, load
from services.chassis.startup import StartupError


class Sample(ServiceSettings):
    tasks_url: HttpUrl = "http://tasks:8000"
    service_token: Secret = Field(description="shared")
    google_client_ids: CommaSeparated = ()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HOST", "PORT", "METRICS_PORT", "LOG_LEVEL", "LOG_FORMAT", "TASKS_URL", "GOOGLE_CLIENT_IDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.setenv("SERVICE_TOKEN", "0123456789abcdef")
    return monkeypatch


def test_the_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TASKS_URL", "https://tasks.example/")
    environment.setenv("GOOGLE_CLIENT_IDS", " one.example , two.example,,")
    settings = load(Sample)
    assert settings.port == 8001
    assert settings.tasks_url == "https://tasks.example"
    assert settings.google_client_ids == ("one.example", "two.example")
    assert settings.service_token.get_secret_value() == "0123456789abcdef"


def test_what_the_caller_says_wins() -> None:
    assert load(Sample, port=9000).port == 9000


def test_an_empty_variable_is_like_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HOST", "")
    environment.setenv("METRICS_PORT", "")
    settings = load(Sample)
    assert settings.host == "127.0.0.1"
    assert settings.metrics_port is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", None, "PORT: is not set"),
        ("PORT", "http", "PORT: input should be a valid integer"),
        ("PORT", "70000", "PORT: input should be less than or equal to 65535"),
        ("TASKS_URL", "tasks:8000", "TASKS_URL: must start with http:// or https://"),
        ("TASKS_URL", "http://", "TASKS_URL: must name a host"),
        ("TASKS_URL", "http://tasks:port", "TASKS_URL: must name a host, and a port only as a number"),
        ("TASKS_URL", "http://tasks:0", "TASKS_URL: must name a host"),
        ("TASKS_URL", "http://[::1", "TASKS_URL: must name a host"),
        ("SERVICE_TOKEN", "hunter2", "SERVICE_TOKEN: must have at least 16 characters"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(
    environment: pytest.MonkeyPatch, name: str, value: str | None, said: str
) -> None:
    environment.delenv(name, raising=False) if value is None else environment.setenv(name, value)
    with pytest.raises(StartupError) as refusal:
        load(Sample)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_every_fault_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "x")
    environment.setenv("TASKS_URL", "x")
    with pytest.raises(StartupError, match=r"PORT: .*; TASKS_URL: "):
        load(Sample)


def test_a_secret_does_not_show_itself() -> None:
    assert "0123456789abcdef" not in repr(load(Sample))
