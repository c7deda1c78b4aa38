"""The system under measurement: each service a process of its own with production settings, the servers in containers.

Unlike the servers of the tests, MySQL here keeps its production settings: each commit reaches the disk.
"""

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from testcontainers.core.container import DockerContainer

from services.chassis.database import database_url
from tests.e2e.issuer import CLIENT_ID, Issuer, issuing
from tests.servers import PASSWORD, MongoServer, MySqlServer, RabbitMqServer, mongo_server, rabbitmq_server, started

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass
class Process:
    """A running service."""

    name: str
    port: int
    popen: subprocess.Popen[bytes]
    start_seconds: float  # until /readyz said so

    def rss(self, peak: bool = False) -> float:
        """Resident memory in MB of the process and its children, at present or at its peak."""
        key = "VmHWM:" if peak else "VmRSS:"
        return sum(_status_kb(pid, key) for pid in (self.popen.pid, *_children(self.popen.pid))) / 1024

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU time so far of the process, and of its children that are alive."""
        return _cpu_seconds(self.popen.pid), sum(map(_cpu_seconds, _children(self.popen.pid)))

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@dataclass
class System:
    """The servers' addresses, and the services that run at present, by name (``tasks``, ``tasks-2``)."""

    mysql: MySqlServer
    mongo: MongoServer
    rabbitmq: RabbitMqServer
    sql_url: str
    mongo_url: str
    rabbitmq_url: str
    issuer: Issuer
    logs: Path
    service_token: str = field(default_factory=lambda: secrets.token_hex(32))
    access_token_seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    running: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def port(self, name: str) -> int:
        """Where a service listens: the same across restarts."""
        return self.ports.setdefault(name, free_port())

    def start(self, name: str, **environment: str) -> Process:
        """Start a service (``tasks-2`` is a second replica of tasks), and wait until it is ready."""
        service = name.split("-")[0]
        module = "gateway" if service == "gateway" else f"services.{service}"
        metrics = str(self.port(f"{name} metrics"))  # replicas on one machine cannot share the usual one
        return self._launch(name, module, {**self._environment(), "METRICS_PORT": metrics, **environment})

    def start_embedded(self, data: Path) -> Process:
        """Start the embedded backend on a data folder, and wait until it is ready."""
        unset = dict.fromkeys(("METRICS_PORT", "AUTH_MODE", "GOOGLE_CLIENT_IDS"), "")
        return self._launch("embedded", "deploy.embedded", {"HOST": "127.0.0.1", "DATA_DIR": str(data), **unset})

    def _launch(self, name: str, module: str, environment: Mapping[str, str]) -> Process:
        began = time.perf_counter()
        with (self.logs / f"{name}.log").open("ab") as log:
            popen = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", module],
                cwd=ROOT,
                # Bytecode is kept, whatever this shell says: images hold it.
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environment, "PORT": str(self.port(name))},
                stdout=log,
                stderr=log,
            )
        self.running[name] = process = Process(name, self.port(name), popen, 0.0)
        _wait_until_ready(process)
        process.start_seconds = time.perf_counter() - began
        return process

    def stop(self, name: str) -> None:
        """Stop a service, if it runs."""
        process = self.running.pop(name, None)
        if process is not None:
            process.stop()

    def stop_all(self) -> None:
        """Stop every service."""
        for name in list(self.running):
            self.stop(name)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far of each service, of its workers, and of each server."""
        seconds: dict[str, float] = {}
        for name, process in self.running.items():
            own, of_children = process.cpu_seconds()
            seconds[name] = own
            if of_children:
                seconds[f"{name}'s workers"] = of_children
        for name, server in (("MySQL", self.mysql), ("MongoDB", self.mongo), ("RabbitMQ", self.rabbitmq)):
            usage = server.wrapped.stats(stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]
            seconds[name] = usage["total_usage"] / 1e9
        return seconds

    def forget_jobs(self) -> None:
        """End the jobs that wait, as if they had been given up: a measure leaves no work to the next."""
        database = database_url(self.sql_url).database
        find = f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{database}'"  # noqa: S608 - ours
        if ("tasks_job",) not in self.mysql.execute(find):
            return  # nothing has run yet
        self.mysql.execute(
            f"UPDATE {database}.tasks_job SET state = 'error' WHERE state IN ('queued', 'processing')",  # noqa: S608
            f"DELETE FROM {database}.tasks_outbox",  # noqa: S608
        )
        host = quote(urlsplit(self.rabbitmq_url).path.removeprefix("/"), safe="")
        for queue in self.rabbitmq.manage("GET", f"/queues/{host}"):
            self.rabbitmq.manage("DELETE", f"/queues/{host}/{queue['name']}/contents")

    def _environment(self) -> Mapping[str, str]:
        return {
            "HOST": "127.0.0.1",
            "SQL_URL": self.sql_url,
            "MONGO_URL": self.mongo_url,
            "RABBITMQ_URL": self.rabbitmq_url,
            "AUTH_URL": f"http://127.0.0.1:{self.port('auth')}",
            "TASKS_URL": f"http://127.0.0.1:{self.port('tasks')}",
            "AUTH_MODE": "required",
            "GOOGLE_CLIENT_IDS": CLIENT_ID,
            "GOOGLE_CERTS_URL": f"http://127.0.0.1:{self.issuer.port}/certs",
            "SERVICE_TOKEN": self.service_token,
            "ACCESS_TOKEN_KEYS": base64.b64encode(self.access_token_seed).decode(),
            # All phones are behind one address here. Each person has the production limits, and stays within them.
            "PEOPLE_PER_ADDRESS": "100000",
            "WITHOUT_TOKEN_PER_ADDRESS": "512",
            "CONNECTIONS_PER_ADDRESS": "4096",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
        }


@contextmanager
def system(logs: Path) -> Iterator[System]:
    """Run the servers while the context lasts; services are started by whoever measures."""
    mysql = MySqlServer(
        None,
        DockerContainer(os.environ.get("MYSQL_IMAGE") or "mysql:9.7")
        .with_env("MYSQL_ROOT_PASSWORD", PASSWORD)
        .with_exposed_ports(3306),
        3306,
    )
    with ExitStack() as stack:
        for server in (mysql, mongo := mongo_server(), rabbitmq := rabbitmq_server()):
            stack.enter_context(started(server))
        logs.mkdir(parents=True, exist_ok=True)
        ready = System(
            mysql,
            mongo,
            rabbitmq,
            stack.enter_context(mysql.fresh_url()),
            stack.enter_context(mongo.fresh_url()),
            stack.enter_context(rabbitmq.fresh_url()),
            stack.enter_context(issuing()),
            logs,
        )
        stack.callback(ready.stop_all)
        yield ready


def _wait_until_ready(process: Process) -> None:
    end = time.monotonic() + READY_SECONDS
    while True:
        if process.popen.poll() is not None:
            raise RuntimeError(f"{process.name} ended at its start; see its log")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise TimeoutError(f"{process.name} is not ready") from None
            time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """All descendants."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")  # user and system, see proc(5)


def _status_kb(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


def free_port() -> int:
    """A port that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
