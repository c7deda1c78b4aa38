"""One event, one line, whatever it holds."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.correlation import correlated
from services.chassis.logs import configure_logs

# Line ends of all kinds, escapes that drive a terminal, and anything else.
AWKWARD = st.text(st.one_of(st.sampled_from("\n\r\x0b\x0c\x1c\x85\u2028\u2029\x1b\x00"), st.characters()))


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    text = capsys.readouterr().out
    assert text.endswith("\n")
    return text[:-1].split("\n")


@given(message=AWKWARD, value=st.one_of(AWKWARD, st.binary(), st.floats(), st.lists(AWKWARD)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_an_event_is_one_line_of_json_whatever_it_holds(
    capsys: pytest.CaptureFixture[str], message: str, value: object
) -> None:
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
