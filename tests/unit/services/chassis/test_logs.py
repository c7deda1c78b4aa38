"""One event, one line, whatever it holds."""

import io
import json
import logging
import sys
import warnings
from typing import Literal

import pytest
import structlog
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from services.chassis import logs
from services.chassis.correlation import correlated
from services.chassis.logs import configure_logs, masked
from tests.tokens import EMAIL, AccessIssuer

# Line ends of all kinds, escapes that drive a terminal, and anything else.
AWKWARD = st.text(st.one_of(st.sampled_from("\n\r\x0b\x0c\x1c\x85\u2028\u2029\x1b\x00"), st.characters()))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    text = capsys.readouterr().out
    assert text.endswith("\n")
    return text[:-1].split("\n")


@given(message=AWKWARD, value=st.one_of(AWKWARD, st.binary(), st.floats(), st.lists(AWKWARD)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_an_event_is_one_line_of_json_whatever_it_holds(
    capsys: pytest.CaptureFixture[str], message: str, value: object
) -> None:
    assume("@" not in message)  # it may make an address, and would be masked
    configure_logs("tasks", "info", "json")
    capsys.readouterr()
    structlog.get_logger("services.tasks.test").warning(message, value=value)
    (line,) = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert entry["event"] == message.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    assert entry["level"] == "warning"
    assert entry["service"] == "tasks"


def test_an_error_is_one_line_with_its_place_but_without_the_values_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("tasks", "info", "json")
    token = "very-" + "secret"
    try:
        raise ValueError("first\nsecond" + token[:0])
    except ValueError:
        structlog.get_logger("services.tasks.test").exception("failed")
    (line,) = lines(capsys)
    assert "very-secret" not in line
    entry = json.loads(line)
    assert entry["exception"][0]["exc_type"] == "ValueError"
    assert entry["exception"][0]["frames"]


def test_the_correlation_id_is_on_every_line_of_a_handling(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("tasks", "info", "json")
    with correlated(None) as trace_id:
        structlog.get_logger("services.tasks.test").info("inside")
    structlog.get_logger("services.tasks.test").info("outside")
    inside, outside = (json.loads(line) for line in lines(capsys))
    assert inside["correlation_id"] == trace_id
    assert "correlation_id" not in outside


def test_libraries_are_heard_from_warnings_upwards_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("tasks", "debug", "json")
    logging.getLogger("aio_pika").info("chatter")
    logging.getLogger("aio_pika").warning("lost %s", "the link")
    (line,) = lines(capsys)
    assert json.loads(line)["event"] == "lost the link"


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("tasks", "warning", "json")
    structlog.get_logger("services.tasks.test").info("quiet")
    structlog.get_logger("services.tasks.test").warning("loud")
    (line,) = lines(capsys)
    assert json.loads(line)["event"] == "loud"


def test_console_lines_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("tasks", "info", "console")
    structlog.get_logger("services.tasks.test").info("ready", port=8000)
    (line,) = lines(capsys)
    assert "ready" in line
    assert "port=8000" in line


class FullDisk(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("output", [FullDisk(), io.TextIOWrapper(io.BytesIO(), "ascii")], ids=["full", "ascii"])
def test_a_line_that_cannot_be_written_fails_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, output: io.TextIOBase
) -> None:
    monkeypatch.setattr(sys, "stdout", output)
    configure_logs("tasks", "info", "console")
    structlog.get_logger("services.tasks.test").info("a façade")
    assert "A line of the log was lost" in capsys.readouterr().err


# ── what never shows ─────────────────────────────────────────────────────────────────────────────────────────────────

TOKEN = AccessIssuer().token(sub=EMAIL)
LOCAL = st.text("abcdefghijklmnopqrstuvwxyz0123456789.+_-é", min_size=1, max_size=20)
DOMAIN = st.from_regex(r"[a-z0-9-]{1,10}(\.[a-z]{2,5}){1,2}", fullmatch=True)


@given(
    before=st.sampled_from(["", "for ", "'", '"', "(1062, \"Duplicate entry '", "uid=", "<"]),
    local=LOCAL,
    domain=DOMAIN,
)
def test_no_address_is_written_out(before: str, local: str, domain: str) -> None:
    assert f"{local}@{domain}" not in masked(f"{before}{local}@{domain}' for key")
    assert f"{local}%40{domain}" not in masked(f"{before}{local}%40{domain}' for key")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Duplicate entry '{EMAIL}' for key 'PRIMARY'", "Duplicate entry '[address]' for key 'PRIMARY'"),
        (f"input_value='{TOKEN}', input_type=str", "input_value='[token]', input_type=str"),
        (f"input_value='{TOKEN[:40]}...", "input_value='[token]..."),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [token]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [token]"),
        ("Bearer 7f3aa91c04e2b6d8", "Bearer [token]"),
        (
            "Cannot connect to amqp://audit:p@ss:w0rd@rabbitmq:5672/",
            "Cannot connect to amqp://[credentials]@rabbitmq:5672/",
        ),
        ("mongodb://u:p@one:27017,two:27017/db", "mongodb://[credentials]@one:27017,two:27017/db"),
        ("a plain line: 3 of 4 jobs, http://tasks:8002/readyz", "a plain line: 3 of 4 jobs, http://tasks:8002/readyz"),
    ],
)
def test_what_is_personal_or_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked({"errors": [(text, 1)]}) == {"errors": [[shown, 1]]}


LETTERS = st.sampled_from([*"@%40:/.eyJaABbcCiIſİırR -x", "bearer ", "Baſic ", "eyJhbGci", "://", "%40", "a@b"])


@given(st.lists(LETTERS | st.characters()).map("".join))
def test_a_value_that_is_not_looked_through_has_nothing_to_mask(text: str) -> None:
    looked_through = text
    for pattern, mask in logs._MASKS:
        looked_through = pattern.sub(mask, looked_through)
    assert masked(text) == looked_through


def test_a_long_value_is_masked_without_delay() -> None:
    for text in ("a" * 1_000_000, "a." * 500_000, "eyJ" * 300_000, "://" * 300_000, "bearer " * 100_000):
        masked(text)  # it would take hours if the search began anew at each letter


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_message_of_an_exception_is_masked_wherever_it_comes_from(
    capsys: pytest.CaptureFixture[str], log_format: Literal["json", "console"]
) -> None:
    configure_logs("tasks", "info", log_format)
    try:
        try:
            raise KeyError(EMAIL)
        except KeyError as error:
            raise ValueError(f"{TOKEN} at mysql://root:hunter2@mysql/") from error
    except ValueError as error:
        structlog.get_logger("services.tasks.test").exception("failed", error=error, reason=str(error))
        logging.getLogger("asyncio").warning("Task exception was never retrieved: %r", error)
        warnings.warn(f"odd: {error}", UserWarning, stacklevel=1)
        sys.excepthook(ValueError, error, error.__traceback__)
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("[token]") >= 6
    for secret in (EMAIL, TOKEN, TOKEN.split(".")[1], "hunter2"):
        assert secret not in said.out
