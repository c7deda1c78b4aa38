"""The system under test: services as processes, servers in containers, and a link of its own between any two of them.

Everything listens on 127.0.0.1. A process that ends is started again after a moment, as the container engine does it
(``restart: unless-stopped``). The servers' data lie in memory, in volumes of a bounded size that outlive their
containers' end: a server may be killed, and its disk may be filled.
"""

# ruff: noqa: S311 - chance must follow from the seed

import asyncio
import base64
import contextlib
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import docker
import docker.errors
import pymongo
from docker.models.containers import Container
from docker.types import Mount
from pymongo.errors import PyMongoError
from testcontainers.core.container import DockerContainer

from tests.chaos.links import Address, Link
from tests.e2e.issuer import CLIENT_ID, Issuer
from tests.servers import PASSWORD, MongoServer, MySqlServer, RabbitMqServer, Server

ROOT = Path(__file__).parents[2]
READY_SECONDS = 120.0
RESTART_SECONDS = 0.5  # after which a process that ended is started again
LOWEST_PORT, HIGHEST_PORT = 20000, 32000  # below those that the kernel gives to outgoing connections
VOLUME_BYTES = 1 << 30
COMPILER = shutil.which("cc")  # without one, clocks do not jump
CLOCK_SOURCE = Path(__file__).with_name("clock.c")
SQL_DATABASE = "home_energy_audit_app_database"
MONGO_DATABASE = "LeakageImages"


@dataclass(frozen=True)
class Pace:
    """Times that are settings of the services, shortened so that a run meets them."""

    mock_seconds: float = 0.2
    republish_seconds: float = 20.0
    deadline_seconds: float = 90.0
    grace_seconds: float = 600.0  # the least that is allowed


def free_port() -> int:
    """A port to listen on that nothing else is given by itself."""
    while True:
        port = random.randint(LOWEST_PORT, HIGHEST_PORT)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@dataclass
class Process:
    """A service's process, named after the service and its replica."""

    name: str
    module: str
    port: int
    environment: dict[str, str]
    folder: Path
    wanted: bool = True  # otherwise it is left down
    ended_by_itself: int = 0
    _popen: subprocess.Popen[bytes] | None = None
    _asked_to_end: bool = False
    _clock: Path = field(init=False)

    def __post_init__(self) -> None:
        self._clock = self.folder / f"{self.name}.clock"
        if COMPILER is not None:
            self.jump(0)
            self.environment |= {"LD_PRELOAD": str(self.folder / "clock.so"), "CLOCK_FILE": str(self._clock)}

    @property
    def address(self) -> Address:
        """Where it listens."""
        return ("127.0.0.1", self.port)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._popen is not None and self._popen.poll() is None:
            return
        self._asked_to_end = False
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env={**os.environ, **self.environment, "PORT": str(self.port)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, now."""
        if self._popen is not None:
            self._asked_to_end = True
            self._popen.kill()

    def terminate(self) -> None:
        """SIGTERM: a stop in good order."""
        if self._popen is not None:
            self._asked_to_end = True
            self._popen.terminate()

    def jump(self, seconds: int) -> None:
        """Let its clock be so many seconds ahead from now on."""
        self._clock.touch()
        with self._clock.open("r+b") as file:  # the process sees the very bytes
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))

    async def ended(self) -> None:
        """Return when it has ended."""
        while self._popen is not None and self._popen.poll() is None:
            await asyncio.sleep(0.05)

    async def supervise(self) -> None:
        """Start it whenever it is down and wanted, until cancelled."""
        while True:
            if self.wanted and (self._popen is None or self._popen.poll() is not None):
                if self._popen is not None and not self._asked_to_end:
                    self.ended_by_itself += 1
                await asyncio.sleep(RESTART_SECONDS if self._popen else 0)
                if self.wanted:
                    self.start()
            await asyncio.sleep(0.05)

    def remove(self) -> None:
        """Kill it, with what it started."""
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, 9)
            self._popen.wait()


class ReplicaSet(MongoServer):
    """MongoDB as a replica set of one, without authentication: it can step down, and it repeats lost writes."""

    @property
    def url(self) -> str:
        host, port = self.host_port
        return f"mongodb://{host}:{port}/?directConnection=true"

    def wait(self) -> None:
        def primary() -> None:
            with pymongo.MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=500) as client:
                hello = client.admin.command("hello")
                if not hello.get("setName"):
                    members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
                    client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
                if not hello.get("isWritablePrimary"):
                    raise PyMongoError("there is no primary yet")

        self._wait_until(primary, (PyMongoError,))

    def step_down(self, seconds: int) -> None:
        """Be no primary for so long."""
        with pymongo.MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=5000) as client:
            client.admin.command({"replSetStepDown": seconds, "force": True})


class Host:
    """A server in its container, on a bounded volume in memory."""

    def __init__(self, server: Server, folder: str) -> None:
        self.server = server
        self._folder = folder
        self._client = docker.from_env()
        self._name = f"chaos-{secrets.token_hex(6)}"
        self._holder: Container | None = None
        self.lock = asyncio.Lock()  # of those who stop and start it
        self.port = free_port()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return ("127.0.0.1", self.port)

    def start(self) -> None:
        """Make its volume and start it; returns when it serves."""
        container = self.server.container
        assert isinstance(container, _Container)
        size = f"size={VOLUME_BYTES}"
        self._client.volumes.create(self._name, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": size})
        # A volume in memory is emptied when the last container that uses it ends: this one never does.
        self._holder = self._client.containers.run(
            container.image,
            ["infinity"],
            entrypoint="sleep",
            detach=True,
            network_mode="none",
            mounts=[Mount(self._folder, self._name)],
        )
        container.publish(self.server.port, on=self.port)
        container.with_kwargs(mounts=[Mount(self._folder, self._name)], **container._kwargs)
        container.start()
        self.server.wait()

    def stop(self, *, kill: bool) -> None:
        """SIGKILL, or a stop in good order."""
        self.server.wrapped.reload()
        if self.server.wrapped.status == "running":
            self.server.wrapped.kill() if kill else self.server.wrapped.stop(timeout=20)

    def run(self) -> None:
        """Start it again, if it is down; returns when it serves."""
        self.server.wrapped.reload()
        if self.server.wrapped.status != "running":
            self.server.wrapped.start()
        self.server.wait()

    def fill_disk(self) -> None:
        """Leave no byte free on its disk."""
        self._execute(f"rm -f {self._ballast}; head -c {VOLUME_BYTES} /dev/zero > {self._ballast} 2>/dev/null; true")

    def free_disk(self) -> None:
        """Undo :meth:`fill_disk`."""
        self._execute(f"rm -f {self._ballast}")

    @property
    def _ballast(self) -> str:
        return f"{self._folder}/ballast"

    def _execute(self, command: str) -> None:
        assert self._holder is not None
        self._holder.exec_run(["sh", "-c", command])

    def remove(self) -> None:
        """Remove it and its data, whatever of it there is."""
        container = self.server.container
        if container is not None and container._container is not None:
            with contextlib.suppress(docker.errors.APIError):
                container._container.remove(force=True, v=True)
        if self._holder is not None:
            with contextlib.suppress(docker.errors.APIError):
                self._holder.remove(force=True, v=True)
        with contextlib.suppress(docker.errors.APIError):
            self._client.volumes.get(self._name).remove(force=True)
        self._client.close()


class _Container(DockerContainer):
    """Published on the loopback address alone."""

    def __init__(self, variable: str, image: str) -> None:
        super().__init__(os.environ.get(variable) or image)

    def publish(self, port: int, on: int) -> None:
        """Let ``port`` be reached on port ``on`` of this machine."""
        self.ports[f"{port}/tcp"] = ("127.0.0.1", on)  # type: ignore[assignment]

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"


class System:
    """All of it, running while :func:`running` lasts."""

    def __init__(self, folder: Path, issuer: Issuer, pace: Pace, analyzer: str, rng: random.Random) -> None:
        self.folder = folder
        if COMPILER is not None:
            library = str(folder / "clock.so")
            subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-o", library, str(CLOCK_SOURCE)], check=True)  # noqa: S603
        self.issuer = issuer
        self.pace = pace
        self._analyzer = analyzer
        self._rng = rng
        self._token = secrets.token_hex(16)
        # With the defaults of their makers: a binary log, and a flush to disk for each commit.
        mysql = _Container("MYSQL_IMAGE", "mysql:9.7").with_env("MYSQL_ROOT_PASSWORD", PASSWORD)
        mongo = _Container("MONGO_IMAGE", "mongo:8.0").with_command(
            "mongod --replSet rs0 --oplogSize 64 --wiredTigerCacheSizeGB 0.5"
        )
        rabbitmq = (
            _Container("RABBITMQ_IMAGE", "rabbitmq:4-management")
            .with_env("RABBITMQ_DEFAULT_USER", "tester")
            .with_env("RABBITMQ_DEFAULT_PASS", PASSWORD)
            .with_kwargs(hostname="rabbitmq")  # a node's name, and the name of its data, must outlive a restart
        )
        rabbitmq.publish(RabbitMqServer.management_port, on=free_port())
        self.mysql = MySqlServer(None, mysql, 3306)
        self.mongo = ReplicaSet(None, mongo, 27017)
        self.rabbitmq = RabbitMqServer(None, rabbitmq, 5672)
        self.hosts: Mapping[str, Host] = {
            "mysql": Host(self.mysql, "/var/lib/mysql"),
            "mongo": Host(self.mongo, "/data/db"),
            "rabbitmq": Host(self.rabbitmq, "/var/lib/rabbitmq"),
        }
        self.processes: dict[str, Process] = {}
        self.links: dict[str, Link] = {}

    @property
    def url(self) -> str:
        """Where phones reach the gateway: through a link too."""
        return f"http://127.0.0.1:{self.links['phones → gateway'].port}"

    @property
    def sql_url(self) -> str:
        """MySQL, past all links."""
        return f"mysql://root:{PASSWORD}@127.0.0.1:{self.hosts['mysql'].port}/"

    @property
    def mongo_url(self) -> str:
        """MongoDB, past all links."""
        return f"mongodb://127.0.0.1:{self.hosts['mongo'].port}/{MONGO_DATABASE}?directConnection=true"

    def replicas(self, service: str) -> list[Process]:
        """The processes of a service."""
        return [process for process in self.processes.values() if process.name.split("-")[0] == service]

    def links_of(self, process: str) -> list[Link]:
        """The links that a process asks others through."""
        return [link for name, link in self.links.items() if name.startswith(f"{process} → ")]

    def _add_process(self, name: str, module: str, environment: dict[str, str]) -> None:
        common = {
            "HOST": "127.0.0.1",
            "METRICS_PORT": str(free_port()),
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
            "AUTH_MODE": "required",
            "GOOGLE_CLIENT_IDS": CLIENT_ID,
            "GOOGLE_CERTS_URL": f"http://127.0.0.1:{self.issuer.port}/certs",
            "SERVICE_TOKEN": self._token,
        }
        self.processes[name] = Process(name, module, free_port(), common | environment, self.folder)

    async def _add_link(self, stack: AsyncExitStack, source: str, target: str) -> int:
        """Open the link and tell its port."""

        def targets() -> list[Address]:
            if target in self.hosts:
                return [self.hosts[target].address]
            return [process.address for process in self.replicas(target)]

        name = f"{source} → {target}"
        self.links[name] = await stack.enter_async_context(Link(name, targets, random.Random(self._rng.random())))
        return self.links[name].port

    async def _wire(self, stack: AsyncExitStack) -> None:
        async def ports(source: str, *targets: str) -> dict[str, int]:
            return {target: await self._add_link(stack, source, target) for target in targets}

        def sql(port: int) -> str:
            return f"mysql://root:{PASSWORD}@127.0.0.1:{port}/"

        def amqp(port: int) -> str:
            return f"amqp://tester:{PASSWORD}@127.0.0.1:{port}/"

        await self._add_link(stack, "phones", "gateway")
        at = await ports("gateway", "auth", "tasks")
        gateway = {"AUTH_URL": f"http://127.0.0.1:{at['auth']}", "TASKS_URL": f"http://127.0.0.1:{at['tasks']}"}
        # How often a person may ask is another promise; these ask often, and all from one address.
        gateway |= dict.fromkeys(("LIMIT_LOGIN", "LIMIT_SUBMIT", "LIMIT_POLL", "LIMIT_ACCOUNT", "LIMIT_OTHER"), "off")
        self._add_process("gateway", "gateway", gateway)
        at = await ports("auth", "mysql", "rabbitmq")
        auth = {
            "SQL_URL": sql(at["mysql"]),
            "RABBITMQ_URL": amqp(at["rabbitmq"]),
            "ACCESS_TOKEN_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        self._add_process("auth", "services.auth", auth)
        for name in ("tasks-1", "tasks-2"):
            at = await ports(name, "mysql", "mongo", "rabbitmq", "auth")
            tasks = {
                "SQL_URL": sql(at["mysql"]),
                "MONGO_URL": f"mongodb://127.0.0.1:{at['mongo']}/{MONGO_DATABASE}?directConnection=true",
                "RABBITMQ_URL": amqp(at["rabbitmq"]),
                "AUTH_URL": f"http://127.0.0.1:{at['auth']}",
                "JOB_REPUBLISH_SECONDS": str(self.pace.republish_seconds),
                "JOB_DEADLINE_SECONDS": str(self.pace.deadline_seconds),
                "PHOTO_GRACE_SECONDS": str(self.pace.grace_seconds),
            }
            self._add_process(name, "services.tasks", tasks)
        for name in ("analysis-1", "analysis-2"):
            at = await ports(name, "rabbitmq", "tasks")
            analysis = {
                "RABBITMQ_URL": amqp(at["rabbitmq"]),
                "TASKS_URL": f"http://127.0.0.1:{at['tasks']}",
                "ANALYZER": self._analyzer,
                "MOCK_SECONDS": str(self.pace.mock_seconds),
                "ANALYSIS_WORKERS": "2",
            }
            self._add_process(name, "services.analysis", analysis)

    def write_sql(self) -> None:
        """Commit something in MySQL; blocks for as long as it does."""
        table = f"{SQL_DATABASE}.chaos_written"
        self.mysql.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY)",
            f"REPLACE INTO {table} VALUES (1)",  # noqa: S608 - our own name
        )

    def heal(self) -> None:
        """Make every link whole and every process wanted; servers are their nemesis' own to start again."""
        for link in self.links.values():
            link.heal()
            for watch in list(link.watches):
                link.forget(watch)
        for process in self.processes.values():
            process.wanted = True

    async def ready(self, *processes: Process) -> None:
        """Return when these processes, or all, say that they are ready; raises TimeoutError after READY_SECONDS."""
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as http:
            for process in processes or self.processes.values():
                while not await _is_ready(http, process.port):
                    await asyncio.sleep(0.1)


async def _is_ready(http: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with http.get(f"http://127.0.0.1:{port}/readyz", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


@contextmanager
def _removed(hosts: Mapping[str, Host]) -> Iterator[None]:
    try:
        yield
    finally:
        for host in hosts.values():
            host.remove()


@asynccontextmanager
async def running(
    folder: Path, issuer: Issuer, *, pace: Pace, analyzer: str, rng: random.Random
) -> AsyncIterator[System]:
    """Start the system, keep it up, and remove all of it at the end. ``folder`` takes its logs."""
    system = System(folder, issuer, pace, analyzer, rng)
    async with AsyncExitStack() as stack:
        stack.enter_context(_removed(system.hosts))
        await asyncio.gather(*(asyncio.to_thread(host.start) for host in system.hosts.values()))
        await system._wire(stack)
        supervisors = [asyncio.create_task(process.supervise()) for process in system.processes.values()]
        try:
            await system.ready()
            yield system
        finally:
            for supervisor in supervisors:
                supervisor.cancel()
            await asyncio.gather(*supervisors, return_exceptions=True)
            for process in system.processes.values():
                process.remove()
