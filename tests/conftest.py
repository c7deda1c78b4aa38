"""Fixtures that every kind of test shares: the real servers, and what becomes of tests when there are none."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests import servers

_LEFT_OUT = pytest.StashKey[list[str]]()


def _needs(item: pytest.Item) -> set[str]:
    """The servers that a test needs; ``engine`` for Docker itself."""
    table = servers.NEEDED_BY_FIXTURE
    needs = {table[name] for name in getattr(item, "fixturenames", ()) if name in table}
    for marker in item.iter_markers("docker"):
        needs.update(marker.args or ("engine",))
    return needs


def _missing(needs: set[str]) -> bool:
    given = {name for name, variable in servers.GIVEN_BY.items() if os.environ.get(variable)}
    return bool(needs - given) and not servers.engine_answers()


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, so that containers are stopped then too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Log through the standard library, where pytest catches it, whatever the test sets up."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.contextvars.clear_contextvars()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests that need servers, let ``-m`` and ``-k`` choose, then leave out those that cannot run."""
    for item in items:
        if _needs(item) and not any(item.iter_markers("docker")):
            item.add_marker(pytest.mark.docker(*sorted(_needs(item))))
    yield
    left_out = [item for item in items if _missing(_needs(item))]
    if left_out and os.environ.get("REQUIRE_DOCKER") == "1":
        raise pytest.UsageError(
            f"REQUIRE_DOCKER=1, but no Docker engine answers, and {len(left_out)} of the tests need real servers. "
            "Start Docker, or name servers by " + ", ".join(servers.GIVEN_BY.values()) + "."
        )
    for item in left_out:
        item.add_marker(pytest.mark.skip(reason="needs a Docker engine"))
    config.stash[_LEFT_OUT] = [item.nodeid for item in left_out]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what was left out."""
    left_out = config.stash.get(_LEFT_OUT, [])
    if not left_out:
        return
    terminalreporter.section("left out: no Docker engine answers")
    files: dict[str, int] = {}
    for nodeid in left_out:
        files[nodeid.split("::")[0]] = files.get(nodeid.split("::")[0], 0) + 1
    for file, count in files.items():
        terminalreporter.line(f"{file}: {count} tests")
    terminalreporter.line(
        f"{len(left_out)} tests need real servers. Start Docker, or name servers by "
        + ", ".join(servers.GIVEN_BY.values())
        + "; REQUIRE_DOCKER=1 makes this a failure."
    )


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[servers.MySqlServer]:
    """One MySQL for the whole run."""
    with servers.started(servers.mysql_server()) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[servers.MongoServer]:
    """One MongoDB for the whole run."""
    with servers.started(servers.mongo_server()) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[servers.RabbitMqServer]:
    """One RabbitMQ for the whole run."""
    with servers.started(servers.rabbitmq_server()) as server:
        yield server


@pytest.fixture
def sql_url(mysql_server: servers.MySqlServer) -> Iterator[str]:
    """``SQL_URL`` of an empty MySQL database, this test's own."""
    with mysql_server.fresh_url() as url:
        yield url


@pytest.fixture
def mongo_url(mongo_server: servers.MongoServer) -> Iterator[str]:
    """``MONGO_URL`` of an empty database, this test's own."""
    with mongo_server.fresh_url() as url:
        yield url


@pytest.fixture
def rabbitmq_url(rabbitmq_server: servers.RabbitMqServer) -> Iterator[str]:
    """``RABBITMQ_URL`` of an empty virtual host, this test's own."""
    with rabbitmq_server.fresh_url() as url:
        yield url
