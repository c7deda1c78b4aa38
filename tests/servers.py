"""Real servers for the tests: each is started once per run, in a container, when the first test asks for it.

``MYSQL_IMAGE``, ``MONGO_IMAGE`` and ``RABBITMQ_IMAGE`` name other images than the public ones. A server that somebody
already runs is used instead when ``TEST_SQL_URL``, ``TEST_MONGO_URL`` or ``TEST_RABBITMQ_URL`` gives its address; its
user must be allowed to create databases, and the queues named in :mod:`contracts.topology` are deleted on it.
"""

import asyncio
import json
import os
import secrets
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aio_pika
import docker
import docker.errors
import pymongo
import pymongo.errors
import sqlalchemy as sa
from aio_pika.exceptions import AMQPError
from docker.models.containers import Container
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from testcontainers.core.container import DockerContainer

from contracts.topology import SUBSCRIPTIONS, Subscription
from services.chassis.database import Database, database_url

PASSWORD = "only-for-tests"
START_SECONDS = 120.0

# Which server a fixture stands on; a test that uses one needs that server.
NEEDED_BY_FIXTURE = {
    "mysql_server": "mysql",
    "mongo_server": "mongo",
    "rabbitmq_server": "rabbitmq",
    "sql_url": "mysql",
    "mongo_url": "mongo",
    "rabbitmq_url": "rabbitmq",
}
GIVEN_BY = {"mysql": "TEST_SQL_URL", "mongo": "TEST_MONGO_URL", "rabbitmq": "TEST_RABBITMQ_URL"}

T = TypeVar("T")


@cache
def engine_answers() -> bool:
    """Whether a Docker engine can be used."""
    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        return False


def run_apart(make: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine to its end in a thread and loop of its own, whatever loop the caller may be running in."""

    async def main() -> T:
        return await make()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result()


@dataclass
class Server(ABC):
    """A server under test: in ``container``, or somebody else's when that is None."""

    given: str | None
    container: DockerContainer | None
    port: int

    @property
    def host_port(self) -> tuple[str, int]:
        """Where its container listens at present; a restart may change the port."""
        if self.container is None:
            raise RuntimeError("the server was given by its address")
        return self.container.get_container_host_ip(), int(self.container.get_exposed_port(self.port))

    @property
    def wrapped(self) -> Container:
        """The container as the Docker client knows it: to restart, kill, pause."""
        if self.container is None:
            raise RuntimeError("the server was given by its address")
        return self.container.get_wrapped_container()

    def restart(self, *, kill: bool = False) -> None:
        """Stop it (``kill``: with SIGKILL) and start it again on the same data; returns when it is ready."""
        self.wrapped.kill() if kill else self.wrapped.stop(timeout=10)
        self.wrapped.start()
        self.wait()

    @abstractmethod
    def wait(self) -> None:
        """Return when it serves clients."""

    def _wait_until(self, ready: Callable[[], object], errors: tuple[type[Exception], ...]) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                ready()
            except errors as error:
                if self.container is not None:
                    self.wrapped.reload()
                    if self.wrapped.status == "exited":
                        raise RuntimeError(f"{type(self).__name__} ended: {self.wrapped.logs(tail=20)!r}") from error
                if time.monotonic() > end:
                    raise TimeoutError(f"{type(self).__name__} is not ready after {START_SECONDS:.0f} s") from error
                time.sleep(0.2)
            else:
                return


class MySqlServer(Server):
    """MySQL. ``url`` names no database; the user may do anything."""

    @property
    def url(self) -> URL:
        if self.given is not None:
            return database_url(self.given).set(database="")
        host, port = self.host_port
        return database_url(f"mysql://root:{PASSWORD}@{host}:{port}").set(database="")

    def wait(self) -> None:
        self._wait_until(lambda: self.execute("SELECT 1"), (DBAPIError, OSError))

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run ``statements`` as the administrator, each committed; the rows of the last."""

        async def run() -> list[tuple[Any, ...]]:
            engine = create_async_engine(self.url, isolation_level="AUTOCOMMIT")
            try:
                async with engine.connect() as connection:
                    rows: list[tuple[Any, ...]] = []
                    for statement in statements:
                        result = await connection.execute(sa.text(statement))
                        rows = [tuple(row) for row in result.all()] if result.returns_rows else []
                    return rows
            finally:
                await engine.dispose()

        return run_apart(run)

    @contextmanager
    def fresh_url(self) -> Iterator[str]:
        """The URL of an empty database, dropped afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield self.url.set(database=name, drivername="mysql").render_as_string(hide_password=False)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name}")


def stop_clock(database: Database, at: datetime) -> None:
    """Have MySQL's clock stand still at ``at`` on every connection that ``database`` opens for writing."""

    @sa.event.listens_for(database.engine.sync_engine, "connect")
    def set_clock(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET timestamp = {at.timestamp()}")
        cursor.close()


class MongoServer(Server):
    """MongoDB, with authentication."""

    @property
    def url(self) -> str:
        if self.given is not None:
            return self.given
        host, port = self.host_port
        return f"mongodb://root:{PASSWORD}@{host}:{port}/?authSource=admin"

    def wait(self) -> None:
        def ping() -> None:
            with pymongo.MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=500) as client:
                client.admin.command("ping")

        self._wait_until(ping, (pymongo.errors.PyMongoError,))

    @contextmanager
    def fresh_url(self) -> Iterator[str]:
        """The URL of an empty database, dropped afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            with pymongo.MongoClient[dict[str, Any]](self.url) as client:
                client.drop_database(name)


class RabbitMqServer(Server):
    """RabbitMQ; in a container with its management plugin, through which every test gets a virtual host."""

    management_port = 15672

    @property
    def url(self) -> str:
        if self.given is not None:
            return self.given
        host, port = self.host_port
        return f"amqp://tester:{PASSWORD}@{host}:{port}/"

    def wait(self) -> None:
        async def publish() -> None:
            async with asyncio.timeout(5):
                connection = await aio_pika.connect(self.url, timeout=2)
                async with connection:
                    channel = await connection.channel()
                    queue = await channel.declare_queue(exclusive=True)
                    await channel.default_exchange.publish(aio_pika.Message(b"?"), queue.name)

        if self.container is not None:
            # It says itself when it listens; to try before that would have the AMQP library log each failure.
            self._wait_until(lambda: self.manage("GET", f"/health/checks/port-listener/{self.port}"), (OSError,))
        self._wait_until(lambda: run_apart(publish), (AMQPError, OSError))

    def manage(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of the management API; ``path`` begins below ``/api``. Needs the container."""
        assert self.container is not None
        host, port = self.container.get_container_host_ip(), self.container.get_exposed_port(self.management_port)
        request = urllib.request.Request(
            f"http://{host}:{port}/api{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": "Basic " + b64encode(f"tester:{PASSWORD}".encode()).decode(),
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - http, as written above
            answer = response.read()
        return json.loads(answer) if answer else None

    @contextmanager
    def fresh_url(self) -> Iterator[str]:
        """The URL of an empty virtual host; on a server that was given, of its own with our queues deleted."""
        if self.container is None:
            self.delete_queues(SUBSCRIPTIONS)
            yield self.url
            return
        name = f"test_{secrets.token_hex(6)}"
        self.manage("PUT", f"/vhosts/{name}", {})
        try:
            yield f"{self.url}{name}"
        finally:
            self.manage("DELETE", f"/vhosts/{name}")

    def delete_queues(self, subscriptions: tuple[Subscription, ...], url: str | None = None) -> None:
        """Delete every queue of ``subscriptions`` at ``url``, with what is in it."""

        async def delete() -> None:
            connection = await aio_pika.connect(url or self.url, timeout=5)
            async with connection:
                channel = await connection.channel()
                for subscription in subscriptions:
                    for name in subscription.queues:
                        await channel.queue_delete(name)

        run_apart(delete)


S = TypeVar("S", bound=Server)


@contextmanager
def started(server: S) -> Iterator[S]:
    """Run ``server`` while the context lasts; it is ready inside. One that was given is only waited for."""
    try:
        if server.container is not None:
            server.container.start()
        server.wait()
        yield server
    finally:
        if server.container is not None and server.container._container is not None:  # else the start was interrupted
            with suppress(docker.errors.NotFound):
                server.container.stop(force=True, delete_volume=True)


def mysql_server() -> MySqlServer:
    """MySQL, not started. Flushed to the operating system only: it survives a kill, not a power cut."""
    if given := os.environ.get("TEST_SQL_URL"):
        return MySqlServer(given, None, 3306)
    container = (
        DockerContainer(os.environ.get("MYSQL_IMAGE") or "mysql:9.7")
        .with_env("MYSQL_ROOT_PASSWORD", PASSWORD)
        .with_command("mysqld --innodb-flush-log-at-trx-commit=2 --skip-log-bin --innodb-doublewrite=OFF")
        .with_exposed_ports(3306)
    )
    return MySqlServer(None, container, 3306)


def mongo_server() -> MongoServer:
    """MongoDB, not started."""
    if given := os.environ.get("TEST_MONGO_URL"):
        return MongoServer(given, None, 27017)
    container = (
        DockerContainer(os.environ.get("MONGO_IMAGE") or "mongo:8.0")
        .with_env("MONGO_INITDB_ROOT_USERNAME", "root")
        .with_env("MONGO_INITDB_ROOT_PASSWORD", PASSWORD)
        .with_exposed_ports(27017)
    )
    return MongoServer(None, container, 27017)


def rabbitmq_server() -> RabbitMqServer:
    """RabbitMQ, not started."""
    if given := os.environ.get("TEST_RABBITMQ_URL"):
        return RabbitMqServer(given, None, 5672)
    container = (
        DockerContainer(os.environ.get("RABBITMQ_IMAGE") or "rabbitmq:4-management")
        .with_env("RABBITMQ_DEFAULT_USER", "tester")
        .with_env("RABBITMQ_DEFAULT_PASS", PASSWORD)
        .with_exposed_ports(5672, RabbitMqServer.management_port)
        .with_kwargs(hostname="rabbitmq")  # a node's name, and with it the name of its data, must outlive a restart
    )
    return RabbitMqServer(None, container, 5672)
