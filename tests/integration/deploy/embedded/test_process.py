"""``python -m deploy.embedded`` as a person meets it: it starts, refuses, stops, is killed and comes back."""

import contextlib
import fcntl
import io
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.app import App, task

ROOT = Path(__file__).parents[4]
EMAIL = "someone@example.com"
STOP_SECONDS = 10  # what the process promises, far more than it takes


@dataclass
class Process:
    """The embedded backend; its output is read while it runs."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.reading = threading.Thread(target=self.read)
        self.reading.start()

    def read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.popen.poll() is None, "".join(self.lines)
            assert time.monotonic() < end, "".join(self.lines)
            time.sleep(0.02)

    def end(self, number: signal.Signals) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(timeout=STOP_SECONDS)


Start = Callable[..., Process]

# Stops at the first import that takes its time.
IMPORTING = """
import runpy, sys, time

class Slow:
    def find_spec(self, name, path, target=None):
        if name == "deploy.embedded.process":
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
runpy.run_module("deploy.embedded", run_name="__main__")
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    """Start the process with settings; ``ready=False`` does not wait for it."""
    started: list[Process] = []

    def start(*, ready: bool = True, **settings: str) -> Process:
        port = settings.pop("PORT", None) or str(free_port())
        environment = {"PATH": os.environ["PATH"], "PORT": port, "DATA_DIR": str(data), "ANALYZER": "mock"} | settings
        popen = subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process = Process(popen, url=f"http://127.0.0.1:{port}")
        started.append(process)
        if ready:
            process.wait_until(lambda: any("is ready at" in line for line in process.lines))
        return process

    yield start
    for process in started:
        process.popen.kill()
        process.popen.wait()
        process.reading.join()


def refused(process: Process) -> str:
    """The line with which it ends."""
    assert process.popen.wait(timeout=60) == 2, process.lines
    process.reading.join()
    (line,) = process.lines
    return line


def sign_in(process: Process) -> App:
    app = App(process.url, EMAIL)
    token = app.post_json("/dev/token", {"email": EMAIL}).json()["id_token"]
    answer = app.login(token)
    assert answer.status == 200, answer.body
    return app


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 90, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


# ── what ends the start ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_taken_port_is_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port} on 127.0.0.1 is taken" in refused(start(ready=False, PORT=port))


def test_a_data_folder_that_is_in_use_is_one_line(start: Start, data: Path) -> None:
    data.mkdir()
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused(start(ready=False))
    assert "Another backend" in line
    assert "DATA_DIR" in line


@pytest.mark.parametrize("place", ["below a file", "a file", "where nobody can write"])
def test_a_data_folder_that_cannot_be_used_is_one_line(start: Start, tmp_path: Path, place: str) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = {"below a file": file / "data", "a file": file, "where nobody can write": Path("/proc/data")}[place]
    line = refused(start(ready=False, DATA_DIR=str(folder)))
    assert str(folder) in line
    assert "DATA_DIR" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("AUTH_MODE", "off"), ("MAX_PHOTOS", "many"), ("ANALYZER", "magic"), ("MAX_UPLOAD_BYTES", "-1")],
)
def test_a_wrong_setting_of_any_service_is_one_line(start: Start, name: str, value: str) -> None:
    assert f"{name}: " in refused(start(ready=False, **{name: value}))


def test_a_broken_key_is_one_line(start: Start, data: Path) -> None:
    data.mkdir()
    (data / "issuer.pem").write_text("no key")
    line = refused(start(ready=False))
    assert "issuer.pem" in line


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_says_where_it_is_and_what_it_gives_up(start: Start, data: Path) -> None:
    process = start()
    text = "".join(process.lines)
    assert f"ready at {process.url} " in text
    assert str(data) in text
    assert "AUTH_MODE=legacy" in text
    assert App(process.url, EMAIL).request("GET", "/readyz").status == 200


def test_what_it_keeps_is_for_its_owner_alone(start: Start, data: Path) -> None:
    data.mkdir(mode=0o755)
    process = start(MOCK_SECONDS="0")
    app = sign_in(process)
    app.wait(app.submit(task(), [("obs0_rgb.jpg", picture())]).json()["jobId"])
    assert stat.S_IMODE(data.stat().st_mode) == 0o755, "a folder that somebody made keeps its mode"
    kept = list(data.rglob("*"))
    assert {"issuer.pem", "access-token.key", "auth.sqlite3"} <= {path.name for path in kept}
    assert [path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_without_loopback_a_token_is_demanded(start: Start) -> None:
    process = start(HOST="0.0.0.0")  # noqa: S104 - the point of the test
    assert any("AUTH_MODE=required" in line for line in process.lines)
    app = App(process.url, EMAIL)
    assert app.update_profile(zip="15213").status == 401
    app = sign_in(process)
    assert app.update_profile(zip="15213").status == 401, "signed in, but no token sent"


def test_no_personal_data_is_logged(start: Start) -> None:
    process = start(LOG_LEVEL="debug", LOG_FORMAT="json", MOCK_SECONDS="0")
    app = sign_in(process)
    token = app.post_json("/dev/token", {"email": EMAIL}).json()["id_token"]
    app.bearer = token
    app.update_profile(zip="15213-9999", electricCompany="Unlikely Power")
    app.wait(app.submit(task(title="Very own window"), [("obs0_rgb.jpg", picture())]).json()["jobId"])
    app.bearer = token[:-4] + "AAAA"
    app.update_profile(zip="1")
    app.bearer = None
    app.login("x.y.z")
    app.login(token, uid="victim@example.com")
    process.end(signal.SIGTERM)
    process.reading.join()
    events = [json.loads(line) for line in process.lines if line.startswith("{")]
    assert len(events) > 5
    text = "".join(process.lines)
    for secret in (EMAIL, "victim@", token, token.split(".")[1], "15213-9999", "Unlikely Power", "Very own window"):
        assert secret not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_in_good_order_while_a_job_is_processed(start: Start, data: Path, number: signal.Signals) -> None:
    process = start(MOCK_SECONDS="60")
    app = sign_in(process)
    job = app.submit(task(), []).json()["jobId"]
    process.wait_until(lambda: app.poll(job).json()["status"] == "processing")
    assert process.end(number) == 0
    process.reading.join()
    assert not [line for line in process.lines if "Traceback" in line]
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    again = start(MOCK_SECONDS="0", PORT=process.url.rpartition(":")[2])
    assert App(again.url, EMAIL).wait(job)["status"] == "done"


def test_a_ctrl_c_while_modules_are_imported_is_no_traceback() -> None:
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-c", IMPORTING],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_during_the_start_ends_it_without_a_traceback(start: Start, data: Path) -> None:
    process = start(ready=False)
    process.wait_until((data / "lock").exists)
    assert process.end(signal.SIGINT) == 0
    process.reading.join()
    assert process.lines == []


def test_a_kill_while_a_job_is_processed_loses_nothing(start: Start) -> None:
    process = start(MOCK_SECONDS="60")
    app = sign_in(process)
    assert app.update_profile(zip="15213", appliances=["Window AC"]).status == 200
    jobs = [app.submit(task(), [("obs0_rgb.jpg", picture())]).json()["jobId"] for _ in range(3)]
    process.wait_until(lambda: app.poll(jobs[0]).json()["status"] == "processing")
    process.end(signal.SIGKILL)

    again = start(MOCK_SECONDS="0")
    app = App(again.url, EMAIL)
    for job in jobs:
        state = app.wait(job)
        assert state["status"] == "done"
        assert state["report"]["leakSeverity"] == "Moderate"
        assert state["image"]["data"]
    token = app.post_json("/dev/token", {"email": EMAIL}).json()["id_token"]
    assert app.login(token).json()["action"] == "exists"
    app.bearer = token
    kept = app.request("GET", f"/v1/profile?userID={EMAIL}").json()
    assert (kept["zipCode"], kept["appliances"]) == ("15213", ["Window AC"])


def test_a_kill_leaves_no_photo_beyond_the_next_start(start: Start, data: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start(MOCK_SECONDS="60", TMPDIR=str(temporary))
    sign_in(process).submit(task(), [("obs0_rgb.jpg", picture())])
    process.wait_until(lambda: any((data / "scratch").glob("*/photo-*")), seconds=10)
    process.end(signal.SIGKILL)
    left = list((data / "scratch").iterdir())
    start(MOCK_SECONDS="60", TMPDIR=str(temporary))
    assert not [folder for folder in left if folder.exists()]
    assert list(temporary.rglob("photo-*")) == []


def test_dead_letters_are_looked_at_while_it_is_stopped(start: Start, data: Path) -> None:
    def listed() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.embedded", "dead-letters", "list"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DATA_DIR": str(data)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    process = start()
    refusal = listed()
    assert (refusal.returncode, refusal.stdout) == (2, "")
    assert "another process uses it" in refusal.stderr
    process.end(signal.SIGTERM)
    with contextlib.closing(sqlite3.connect(data / "events.sqlite3")) as events, events:
        events.execute("INSERT INTO message (queue, body, reason) VALUES ('tasks.results', x'7b7d', 'it failed')")
    answer = listed()
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["reason"] == "it failed"


def test_tokens_outlive_a_restart(start: Start) -> None:
    process = start()
    app = App(process.url, EMAIL)
    google = app.post_json("/dev/token", {"email": EMAIL}).json()["id_token"]
    access = app.login(google).json()["access_token"]
    process.end(signal.SIGTERM)
    app = App(start(AUTH_MODE="required").url, EMAIL)
    for token in (google, access):
        app.bearer = token
        assert app.update_profile(zip="15213").status == 200


def test_nothing_of_the_inside_is_reached_from_outside(start: Start) -> None:
    process = start()
    app = App(process.url, EMAIL)
    for path in ("/internal/jobs/x/photos/y", "/tasks/", "/tasks/detect_leak/x", "/metrics", "/auth/v1/profile"):
        assert app.request("GET", path).status in (404, 405), path
    assert re.search(r"127\.0\.0\.1:\d+", app.request("GET", "/openapi.json").body.decode()) is None


def test_nobody_fills_the_memory_through_the_development_issuer(start: Start) -> None:
    process = start()
    request = urllib.request.Request(f"{process.url}/dev/token", data=b'"' + b"x" * 100_000, method="POST")  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310
    assert refused.value.code == 413
