"""The same system in two ways of running it, each in both modes of signing in: every scenario meets all four."""

import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from services.chassis.settings import AuthMode
from services.tasks.photos.files import PLAN
from tests.e2e.app import App
from tests.e2e.issuer import CLIENT_ID, Issuer, issuing
from tests.synthetic import Scene, make_scene

ROOT = Path(__file__).parents[2]
READY_SECONDS = 180.0
PROJECT = "home-energy-audit-e2e"
# All phones of a test run share one address, and some of them are in a hurry.
NO_RATE_LIMITS = {
    **dict.fromkeys(("LIMIT_LOGIN", "LIMIT_SUBMIT", "LIMIT_POLL", "LIMIT_ACCOUNT", "LIMIT_OTHER"), "off"),
    "UPLOADS_PER_PERSON": "1000",
    "WITHOUT_TOKEN_PER_ADDRESS": "1000",
    "CONNECTIONS_PER_ADDRESS": "4096",
    "PUBLIC_NAMES": "door.example",  # what raw requests call it
}
# Inside a container of tasks: a number for each line that it reads.
COUNT_PHOTOS = """
import os, sys, pymongo
fs = pymongo.MongoClient(os.environ["MONGO_URL"]).get_default_database().fs
for _ in sys.stdin:
    print(len({*fs.chunks.distinct("files_id"), *fs.files.distinct("_id")}), flush=True)
"""
SCENE_SEED = 25  # a window with air leaks, radiometric


@dataclass(frozen=True)
class Kept:
    """What a system keeps: every row of its SQL databases as text, and its photos by id, each with its file name."""

    rows: str
    photos: dict[str, str]

    def unknown_photos(self) -> set[str]:
        """Photos that no row knows of."""
        return {photo_id for photo_id in self.photos if photo_id not in self.rows}

    def __contains__(self, text: str) -> bool:
        return text in self.rows or any(text in photo_id or text in name for photo_id, name in self.photos.items())


@dataclass(frozen=True)
class Backend:
    """A running system."""

    url: str
    way: Literal["embedded", "compose"]
    mode: AuthMode
    issuer: Issuer
    inside: "Embedded | Compose"  # what an operator sees of it

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return urlsplit(self.url).port or 80

    def kept(self) -> Kept:
        """What lies in its databases, past all of its services."""
        return self.inside.kept()

    def phone(self, name: str | None = None, *, signed_in: bool | None = None, prefixed: bool = True) -> App:
        """A phone with an account of its own that has logged in.

        It goes on sending a Google token when ``signed_in``; by default only where that is demanded.
        """
        uid = f"{name or 'person'}-{secrets.token_hex(4)}@example.com"
        token = self.issuer.token(uid)
        app = App(self.url, uid, prefixed=prefixed)
        answer = app.login(token)
        assert answer.status == 200, answer.body
        if signed_in if signed_in is not None else self.mode == "required":
            app.bearer = token
        return app


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """An issuer for the whole run."""
    with issuing() as running:
        yield running


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A photo pair with a known leak."""
    return make_scene(SCENE_SEED)


@pytest.fixture(scope="session")
def pair(scene: Scene) -> list[tuple[str, bytes]]:
    """The pair as the app names it."""
    return [("obs0_rgb.jpg", scene.colour), ("obs0_thermal.jpg", scene.thermal)]


@pytest.fixture(scope="session")
def compose() -> Iterator["Compose"]:
    """docker-compose.yml, built once, removed with its volumes at the end."""
    stack = Compose(_free_port())
    try:
        stack.run("build")
        yield stack
    finally:
        stack.remove()


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(("embedded", "legacy"), id="embedded-legacy"),
        pytest.param(("embedded", "required"), id="embedded-required"),
        pytest.param(("compose", "legacy"), id="compose-legacy", marks=pytest.mark.docker),
        pytest.param(("compose", "required"), id="compose-required", marks=pytest.mark.docker),
    ],
)
def backend(
    request: pytest.FixtureRequest, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """A running system, in one of its forms."""
    way, mode = request.param
    if way == "embedded":
        with Embedded(mode, issuer, tmp_path_factory.mktemp("data")) as running:
            yield Backend(running.url, way, mode, issuer, running)
    else:
        stack: Compose = request.getfixturevalue("compose")
        stack.up(mode, issuer)
        yield Backend(stack.url, way, mode, issuer, stack)


class Embedded:
    """The embedded backend in a process of its own, started on entering. ``settings`` come on top of the usual ones."""

    def __init__(self, mode: AuthMode, issuer: Issuer, data: Path, settings: Mapping[str, str] | None = None) -> None:
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._data = data
        self._environment = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "DATA_DIR": str(data / "kept"),
            "AUTH_MODE": mode,
            "GOOGLE_CLIENT_IDS": CLIENT_ID,
            "GOOGLE_CERTS_URL": f"http://127.0.0.1:{issuer.port}/certs",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
            **NO_RATE_LIMITS,
            **(settings or {}),
        }

    def __enter__(self) -> "Embedded":
        self._log = (self._data / "log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded"],
            cwd=ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid
        wait_until_ready(self.url, self._process.poll)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=15)
        self._log.close()

    def logs(self) -> list[str]:
        """Every line that it has written, but for the greeting at the terminal of whoever started it."""
        lines = (self._data / "log").read_text("utf-8").split("\n")
        ready = next(number for number, line in enumerate(lines) if line.startswith("Home energy audit is ready"))
        end = next(number for number in range(ready, len(lines)) if lines[number].startswith("  make demo"))
        return [line for line in lines[:ready] + lines[end + 1 :] if line]

    def kept(self) -> Kept:
        """What it keeps. Its databases are read from copies: it has locked them."""
        folder, rows = self._data / "kept", []
        with tempfile.TemporaryDirectory() as copies:
            for file in folder.glob("*.sqlite3*"):
                if not file.name.endswith("-shm"):
                    shutil.copy(file, copies)
            for copy in sorted(Path(copies).glob("*.sqlite3")):
                with contextlib.closing(sqlite3.connect(copy)) as database:
                    rows.extend(database.iterdump())
        files = {path.stem: path.name for path in (folder / "photos").rglob("*") if path.is_file()}
        return Kept("\n".join(rows), files)

    def photos(self) -> int:
        """How many photos, whole or begun, its photo store holds."""
        return sum(path.is_file() and path.suffix != PLAN for path in (self._data / "kept" / "photos").rglob("*"))

    @property
    def secrets(self) -> dict[str, str]:
        """What nobody may ever read in a log or an answer."""
        kept = self._data / "kept"
        return {path.name: path.read_text().strip() for path in (kept / "access-token.key", kept / "issuer.pem")}

    @property
    def access_token_seed(self) -> bytes:
        """What its access tokens are signed with."""
        return base64.b64decode(self.secrets["access-token.key"])


# Runs in the container of tasks, which reaches both servers and has their drivers.
_LOOK = """
import asyncio, json, os
import pymongo, sqlalchemy as sa
from services.chassis.database import Database

async def rows():
    database = Database(os.environ["SQL_URL"])
    found = []
    async with database.read() as connection:
        for name in await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()):
            found += [f"{name} {row}" for row in await connection.execute(sa.text(f"SELECT * FROM `{name}`"))]
    await database.close()
    return "\\n".join(found)

photos = pymongo.MongoClient(os.environ["MONGO_URL"]).get_default_database("LeakageImages")
names = {str(id): "" for id in photos["fs.chunks"].distinct("files_id")}
names.update({str(file["_id"]): file["filename"] for file in photos["fs.files"].find()})
print(json.dumps([asyncio.run(rows()), names]))
"""


class Compose:
    """The committed docker-compose.yml under a project name of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._counting: subprocess.Popen[str] | None = None
        words = (
            "MYSQL_ROOT_PASSWORD",
            "MYSQL_PASSWORD",
            "MONGO_PASSWORD",
            "RABBITMQ_PASSWORD",
            "RABBITMQ_AUTH_PASSWORD",
            "RABBITMQ_ANALYSIS_PASSWORD",
            "SERVICE_TOKEN",
        )
        self.secrets = {
            **{word: secrets.token_hex(16) for word in words},
            "ACCESS_TOKEN_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        # What `docker compose` reads its files and its project from, for commands that run it in their turn too.
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_FILE": "docker-compose.yml:tests/e2e/compose.issuer.yml",
            "COMPOSE_ENV_FILES": "/dev/null",
            **self.secrets,
            "GOOGLE_CLIENT_IDS": CLIENT_ID,
            "PORT": str(port),
            **NO_RATE_LIMITS,
        }

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``docker compose …``; its output is in the failure's message."""
        done = subprocess.run(  # noqa: S603
            ["docker", "compose", *arguments],  # noqa: S607
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"docker compose {' '.join(arguments)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done

    def kept(self) -> Kept:
        """What its database servers keep."""
        return Kept(*json.loads(self.run("exec", "-T", "tasks", "python", "-c", _LOOK).stdout))

    def up(self, mode: AuthMode, issuer: Issuer) -> None:
        """Start it, scaled, and wait until every container is healthy."""
        self._stop_counting()
        self.environment["AUTH_MODE"] = mode
        self.environment["GOOGLE_CERTS_URL"] = f"http://host.docker.internal:{issuer.port}/certs"
        done = self.run(
            "up",
            "--detach",
            "--wait",
            "--wait-timeout",
            "240",
            "--scale",
            "analysis=2",
            "--scale",
            "tasks=2",
            check=False,
        )
        if done.returncode:
            logs = self.run("logs", "--no-color", "--tail", "40", check=False).stdout
            raise AssertionError(f"docker compose up:\n{done.stderr[-3000:]}\n{logs[-8000:]}")
        wait_until_ready(self.url)

    def restart_with(self, service: str, **settings: str) -> None:
        """Restart one service, and nothing else, with other settings; its dependents keep running."""
        self.environment.update(settings)
        self.run("up", "--detach", "--no-deps", "--no-build", service)
        wait_until_ready(self.url)

    def logs(self) -> list[str]:
        """Every line that our four services have written."""
        lines: list[str] = []
        for container in self.run("ps", "--quiet", "gateway", "auth", "tasks", "analysis").stdout.split():
            # Not with Compose, which writes signs of its own between the lines.
            command = ["docker", "logs", container]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
            lines += (done.stdout + done.stderr).split("\n")
        return [line for line in lines if line]

    def photos(self) -> int:
        """How many photos, whole or begun, its photo store holds."""
        if self._counting is None:  # one process for many counts: to start it takes a second
            self._counting = subprocess.Popen(  # noqa: S603
                ["docker", "compose", "exec", "-T", "tasks", "python", "-c", COUNT_PHOTOS],  # noqa: S607
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._counting.stdin
        assert self._counting.stdout
        self._counting.stdin.write("count\n")
        self._counting.stdin.flush()
        return int(self._counting.stdout.readline())

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.communicate()
            self._counting = None

    def remove(self) -> None:
        """Remove it with all that it holds."""
        self._stop_counting()
        self.run("down", "--volumes", "--timeout", "10")

    @property
    def access_token_seed(self) -> bytes:
        """What its access tokens are signed with."""
        return base64.b64decode(self.secrets["ACCESS_TOKEN_KEYS"])

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """What Docker says of the containers of ``service``."""
        ids = self.run("ps", "--quiet", service).stdout.split()
        done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603, S607
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


def wait_until_ready(url: str, ended: Callable[[], int | None] = lambda: None) -> None:
    """Return when ``/readyz`` is answered 200; ``ended`` tells when there is nothing to wait for any more."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        assert ended() is None, f"the process has ended with {ended()}"
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} is not ready within {READY_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
