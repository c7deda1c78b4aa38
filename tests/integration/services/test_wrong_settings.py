"""A service that cannot start with its settings says so in one line, with status 2, and repeats no secret."""

import base64
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SECRET = "hunter2 and a few words behind it"
RABBITMQ = f"amqp://user:{SECRET}@127.0.0.1:1/"
GOOD: dict[str, dict[str, str]] = {
    "services.auth": {
        "SQL_URL": f"mysql://user:{SECRET}@127.0.0.1:1/database",
        "RABBITMQ_URL": RABBITMQ,
        "GOOGLE_CLIENT_IDS": "client",
        "ACCESS_TOKEN_KEYS": base64.b64encode(SECRET[:32].encode()).decode(),
        "SERVICE_TOKEN": SECRET,
    },
    "services.analysis": {
        "RABBITMQ_URL": RABBITMQ,
        "TASKS_URL": "http://127.0.0.1:1",
        "SERVICE_TOKEN": SECRET,
        "ANALYZER": "mock",
    },
}
GOOD["services.tasks"] = {
    "SQL_URL": GOOD["services.auth"]["SQL_URL"],
    "MONGO_URL": f"mongodb://user:{SECRET}@127.0.0.1:1/",
    "RABBITMQ_URL": RABBITMQ,
    "AUTH_URL": "http://127.0.0.1:1",
    "GOOGLE_CLIENT_IDS": "client",
    "SERVICE_TOKEN": SECRET,
}
GOOD["gateway"] = {"AUTH_URL": "http://127.0.0.1:1", "TASKS_URL": "http://127.0.0.1:1", "GOOGLE_CLIENT_IDS": "client"}


def start(module: str, settings: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "METRICS_PORT": "", **settings}
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(module: str, settings: Mapping[str, str], *arguments: str) -> str:
    """The line with which the process ends."""
    process = start(module, settings, *arguments)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2, (out, err)
    assert len(err.splitlines()) == 1, err
    for secret in (SECRET, GOOD["services.auth"]["ACCESS_TOKEN_KEYS"]):
        assert secret not in out + err
    return err


@pytest.mark.parametrize("module", GOOD)
def test_all_that_is_missing_is_named_at_once(module: str) -> None:
    line = refusal(module, {})
    for name in GOOD[module].keys() - {"ANALYZER"}:
        assert f"{name}: is not set" in line


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("services.auth", "ACCESS_TOKEN_KEYS", f"{SECRET}!"),
        ("services.auth", "SQL_URL", f"mysql://user:{SECRET}@host:port/database"),
        ("services.auth", "SQL_URL", "sqlite:////proc/none/auth.sqlite3"),
        ("services.analysis", "RABBITMQ_URL", f"amqp://user:{SECRET}@host:port/"),
        ("services.analysis", "TASKS_URL", "http://tasks:port"),
        # Secrets that are examples, or easy to guess.
        ("services.auth", "ACCESS_TOKEN_KEYS", base64.b64encode(bytes(32)).decode()),
        ("services.auth", "ACCESS_TOKEN_KEYS", base64.b64encode(bytes(range(32))).decode()),
        ("services.auth", "ACCESS_TOKEN_KEYS", base64.b64encode(b"change" * 5 + b"me").decode()),
        ("services.analysis", "SERVICE_TOKEN", "change-me-change-me"),
        ("services.tasks", "SERVICE_TOKEN", "x" * 32),
        ("services.auth", "SQL_URL", "mysql://root:changeme@mysql:3306/"),
        ("services.tasks", "MONGO_URL", "mongodb://root:example@mongo:27017/"),
    ],
)
def test_a_wrong_setting_is_named(module: str, name: str, value: str) -> None:
    line = refusal(module, GOOD[module] | {name: value})
    assert name in line
    assert value not in line


def test_a_taken_port_is_named() -> None:
    module = "services.analysis"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port} on 127.0.0.1 is taken" in refusal(module, GOOD[module] | {"PORT": port})
        with socket.create_server(("127.0.0.1", 0)) as other:
            free = str(other.getsockname()[1])
        line = refusal(module, GOOD[module] | {"PORT": free, "METRICS_PORT": port})
        assert "METRICS_PORT" in line


def test_a_command_refuses_wrong_settings_in_the_same_way() -> None:
    assert "SQL_URL" in refusal("services.auth", GOOD["services.auth"] | {"SQL_URL": "x"}, "migrate")
    settings = GOOD["services.analysis"] | {"RABBITMQ_URL": "x"}
    assert "RABBITMQ_URL" in refusal("services.analysis", settings, "dead-letters", "list")


def test_a_migration_that_was_stopped_does_not_say_that_it_is_done() -> None:
    process = start("services.auth", GOOD["services.auth"], "migrate")
    try:
        assert process.stdout is not None
        assert "waiting for a server" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert "up to date" not in out
    assert process.returncode == 1
