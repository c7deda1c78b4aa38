"""A backup that is made while people submit, put into an empty system, serves everything that was done."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.app import App, task
from tests.e2e.conftest import PROJECT, ROOT, Backend, Compose, wait_until_ready

Pair = list[tuple[str, bytes]]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.parametrize("backend", [("compose", "legacy")], ids=["compose-legacy"], indirect=True),
]


def make(environment: Mapping[str, str], target: str, **values: str) -> subprocess.CompletedProcess[str]:
    """``make`` as the runbook says it, on the stack under test."""
    return subprocess.run(  # noqa: S603
        ["make", "--silent", target, *(f"{name}={value}" for name, value in values.items())],  # noqa: S607
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@contextmanager
def submitting(app: App, pair: Pair) -> Iterator[list[str]]:
    """Somebody who submits without a pause; the jobs that were accepted."""
    jobs: list[str] = []
    over = threading.Event()

    def submit() -> None:
        while not over.is_set():
            answer = app.submit(task(), pair)
            if answer.status == 200:
                jobs.append(answer.json()["jobId"])

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield jobs
    finally:
        over.set()
        thread.join(timeout=60)


def test_a_restored_system_serves_every_job_that_was_done(
    backend: Backend, compose: Compose, pair: Pair, tmp_path: Path
) -> None:
    app = backend.phone()
    assert app.update_profile(zip="15213", ownership="Own").status == 200
    before = app.request("GET", f"/v1/profile?userID={app.uid}")
    done = [app.submit(task(), pair).json()["jobId"] for _ in range(3)]
    answers = {}
    for job in done:
        assert app.wait(job, seconds=120)["status"] == "done"
        answers[job] = app.poll(job).body
    compose.run("stop", "--timeout", "10", "analysis")
    waiting = app.submit(task(), pair).json()["jobId"]

    with submitting(backend.phone(), pair) as others:
        made = make(compose.environment, "backup", TO=str(tmp_path / "backup"))
    assert made.returncode == 0, made.stdout + made.stderr
    assert others, "nobody submitted during the backup"
    assert {entry.stat().st_mode & 0o077 for entry in (tmp_path / "backup").iterdir()} == {0}
    again = make(compose.environment, "backup", TO=str(tmp_path / "backup"))
    assert again.returncode != 0
    assert "exists already" in again.stderr

    refused = make(compose.environment, "restore", FROM=str(tmp_path / "backup"))
    assert refused.returncode != 0
    assert "OVERWRITE=1" in refused.stderr
    assert app.poll(done[0]).body == answers[done[0]], "a refusal must change nothing"

    compose.run("down", "--volumes", "--timeout", "10")
    restored = make(compose.environment, "restore", FROM=str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stdout + restored.stderr
    wait_until_ready(backend.url)
    assert {job: app.poll(job).body for job in done} == answers
    assert app.request("GET", f"/v1/profile?userID={app.uid}").body == before.body
    # No broker knows of it any more: the sweeper announces it again after JOB_REPUBLISH_SECONDS.
    assert app.wait(waiting, seconds=240)["status"] == "done"
    for job in others:
        answer = app.poll(job)
        assert answer.status == 404 or app.wait(job, seconds=240)["status"] == "done"

    # A system that has gone on since is put back to what it was.
    later = app.submit(task(), pair).json()["jobId"]
    assert app.wait(later, seconds=120)["status"] == "done"
    over = make(compose.environment, "restore", FROM=str(tmp_path / "backup"), OVERWRITE="1")
    assert over.returncode == 0, over.stdout + over.stderr
    wait_until_ready(backend.url)
    assert app.poll(later).status == 404
    assert {job: app.poll(job).body for job in done} == answers


def test_a_backup_that_fails_leaves_nothing_that_could_be_taken_for_one(
    backend: Backend, compose: Compose, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    elsewhere = {**compose.environment, "COMPOSE_PROJECT_NAME": f"{PROJECT}-not-started"}
    no_records = make(elsewhere, "backup", TO=str(target))
    assert no_records.returncode != 0
    late = {**compose.environment, "PATH": f"{tmp_path}:{compose.environment['PATH']}"}
    (tmp_path / "date").write_text("#!/bin/sh\necho 0\n")  # as if the records had been read very long ago
    (tmp_path / "date").chmod(0o700)
    no_photos = make(late, "backup", TO=str(target))
    assert no_photos.returncode != 0
    assert "PHOTO_GRACE_SECONDS" in no_photos.stderr
    assert not target.exists()


def test_a_damaged_backup_is_refused_before_anything_is_changed(
    backend: Backend, compose: Compose, tmp_path: Path
) -> None:
    made = make(compose.environment, "backup", TO=str(tmp_path / "backup"))
    assert made.returncode == 0, made.stdout + made.stderr
    photos = tmp_path / "backup" / "photos.bson"
    os.truncate(photos, photos.stat().st_size - 1)
    refused = make(compose.environment, "restore", FROM=str(tmp_path / "backup"), OVERWRITE="1")
    assert refused.returncode != 0
    wait_until_ready(backend.url)


def test_deletions_since_the_backup_are_repeated_after_a_restore(
    backend: Backend, compose: Compose, pair: Pair, tmp_path: Path
) -> None:
    leaving, staying = backend.phone("leaving", signed_in=True), backend.phone("staying")
    jobs = [app.submit(task(), pair).json()["jobId"] for app in (leaving, staying)]
    for job in jobs:
        assert staying.wait(job, seconds=120)["status"] == "done"
    made = make(compose.environment, "backup", TO=str(tmp_path / "backup"))
    assert made.returncode == 0, made.stdout + made.stderr
    assert leaving.request("DELETE", "/v1/account").status == 202
    deadline = time.monotonic() + 60
    while not (deletions := compose.run("exec", "-T", "tasks", "python", "-m", "services.tasks", "deletions").stdout):
        assert time.monotonic() < deadline
    assert leaving.uid not in deletions

    restored = make(compose.environment, "restore", FROM=str(tmp_path / "backup"), OVERWRITE="1")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    wait_until_ready(backend.url)
    assert [staying.poll(job).status for job in jobs] == [200, 200]
    repeated = subprocess.run(
        ["docker", "compose", "exec", "-T", "auth", "python", "-m", "services.auth", "repeat-deletions"],  # noqa: S607
        cwd=ROOT,
        env=compose.environment,
        input=deletions,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert repeated.stdout.startswith("1 of "), repeated.stdout + repeated.stderr
    while staying.poll(jobs[0]).status != 404:
        assert time.monotonic() < deadline + 240
        time.sleep(0.5)
    assert staying.poll(jobs[1]).status == 200


def test_tokens_from_before_a_restore_are_refused_and_new_ones_are_good(
    backend: Backend, compose: Compose, tmp_path: Path
) -> None:
    app = backend.phone("signed-out", signed_in=True)
    google = app.bearer
    assert google is not None
    access = app.login(google).json()["access_token"]
    made = make(compose.environment, "backup", TO=str(tmp_path / "backup"))
    assert made.returncode == 0, made.stdout + made.stderr
    assert app.request("POST", "/v1/sign_out").status == 200
    restored = make(compose.environment, "restore", FROM=str(tmp_path / "backup"), OVERWRITE="1")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    wait_until_ready(backend.url)
    for token in (google, access):
        app.bearer = token
        assert app.update_profile(zip="15213").status == 401
        assert app.request("GET", f"/v1/tasks?userID={app.uid}").status == 401
        assert app.submit(task(), []).status == 401
    assert app.login(google).status == 401
    app.bearer = backend.issuer.token(app.uid)
    assert app.login(app.bearer).json()["action"] == "exists"
    assert app.submit(task(), []).status == 200
