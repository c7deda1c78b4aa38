"""Settings are refused with one clear line, and values are never repeated."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from services.chassis.settings import CommaSeparated, HttpUrl, Secret, ServerUrl, ServiceSettings, is_guessable, load
from services.chassis.startup import StartupError


class Sample(ServiceSettings):
    tasks_url: HttpUrl = "http://tasks:8000"
    service_token: Secret = Field(description="shared")
    google_client_ids: CommaSeparated = ()
    rabbitmq_url: ServerUrl = "in-process"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (
        "HOST",
        "PORT",
        "METRICS_PORT",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "TASKS_URL",
        "GOOGLE_CLIENT_IDS",
        "RABBITMQ_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.setenv("SERVICE_TOKEN", "7f3aa91c04e2b6d8")
    return monkeypatch


def test_the_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TASKS_URL", "https://tasks.example/")
    environment.setenv("GOOGLE_CLIENT_IDS", " one.example , two.example,,")
    settings = load(Sample)
    assert settings.port == 8001
    assert settings.tasks_url == "https://tasks.example"
    assert settings.google_client_ids == ("one.example", "two.example")
    assert settings.service_token.get_secret_value() == "7f3aa91c04e2b6d8"


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
    assert "7f3aa91c04e2b6d8" not in repr(load(Sample))


# ── secrets that are none ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "secret",
    [
        "changeme-changeme-changeme",
        "CHANGE-ME-BEFORE-USE",
        "put your example here",
        "my-Password-is-long",
        "this is my secret!",
        "x" * 64,
        "abcabcabcabcabcabc",
        "hunter2hunter2hunter2",
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789012345678",
        "0" * 63 + "1",
    ],
)
def test_a_secret_that_anybody_would_try_first_is_refused(environment: pytest.MonkeyPatch, secret: str) -> None:
    environment.setenv("SERVICE_TOKEN", secret)
    with pytest.raises(StartupError, match="SERVICE_TOKEN: is an example, or easy to guess; make one with") as refusal:
        load(Sample)
    assert secret not in str(refusal.value)


@given(st.binary(min_size=1, max_size=1), st.integers(2, 64))
def test_a_repetition_is_guessable_however_long(byte: bytes, times: int) -> None:
    assert is_guessable(byte * times)
    assert is_guessable((byte + b"seven words") * times)


def test_random_secrets_are_taken() -> None:
    for _ in range(1000):
        assert not is_guessable(secrets.token_hex(16))
        assert not is_guessable(secrets.token_bytes(32))
        assert not is_guessable(base64.b64encode(secrets.token_bytes(32)).decode())


@pytest.mark.parametrize(
    "url",
    [
        "amqp://audit:changeme@rabbitmq/",
        "mysql://root:change%6de-now@mysql:3306/",
        "mysql+asyncmy://root:CHANGE-ME@[2001:db8::1]:3306/",
        "mongodb://root:my-example-1@one:27017,two:27017/?authSource=admin",
    ],
)
def test_a_password_of_a_server_that_was_meant_to_be_replaced_is_refused(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv("RABBITMQ_URL", url)
    with pytest.raises(StartupError, match="RABBITMQ_URL: has a password out of an example") as refusal:
        load(Sample)
    assert url not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://guest:guest@localhost/",
        "mysql://root:root@mysql/",
        "amqp://audit:9d2f-77ab-more@rabbitmq/",
        "mongodb://mongo:27017/LeakageImages",
        "sqlite:////data/tasks.sqlite3",
        "in-process",
    ],
)
def test_any_other_is_the_servers_affair(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("RABBITMQ_URL", url)
    assert load(Sample).rabbitmq_url == url
