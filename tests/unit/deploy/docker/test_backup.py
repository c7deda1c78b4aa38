"""What the scripts for backup and restore refuse, tried with a ``docker`` that only notes what it is asked for."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
CONTAINERS = {
    "SQL_URL": "mysql://audit:secret@mysql:3306/",
    "MONGO_URL": "mongodb://audit:secret@mongo:27017/LeakageImages?authSource=admin",
    "RABBITMQ_URL": "amqp://audit:secret@rabbitmq:5672/",
}
DOCKER = """#!/bin/sh
if [ "$*" = "compose config tasks" ]; then cat "$(dirname "$0")/settings"; exit; fi
echo "$*" >> "$(dirname "$0")/asked"
exit 1
"""


def run(script: str, folder: Path, settings: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], bool]:
    """The script's end, and whether it has asked Docker for more than the settings."""
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o700)
    lines = "".join(f"      {name}: {value}\n" for name, value in settings.items())
    (folder / "settings").write_text(f"services:\n  tasks:\n    environment:\n{lines}")
    (folder / "backup").mkdir()
    (folder / "backup" / "SHA256SUMS").write_text(f"{hashlib.sha256(b'').hexdigest()}  records.sql\n")
    (folder / "backup" / "records.sql").touch()
    target = folder / ("backup" if script == "restore.sh" else "new")
    done = subprocess.run(  # noqa: S603
        [ROOT / "deploy" / "docker" / script, target],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OVERWRITE": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done, (folder / "asked").exists()


@pytest.mark.parametrize("elsewhere", ["db.example.com:3306/", "mysql:3306/another", "mysql.example.com:3306/"])
@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("backup.sh", "SQL_URL"),
        ("backup.sh", "MONGO_URL"),
        ("restore.sh", "SQL_URL"),
        ("restore.sh", "MONGO_URL"),
        ("restore.sh", "RABBITMQ_URL"),
    ],
)
def test_what_lies_on_servers_of_ones_own_is_not_touched(
    tmp_path: Path, script: str, name: str, elsewhere: str
) -> None:
    scheme = CONTAINERS[name].partition(":")[0]
    done, asked = run(script, tmp_path, {**CONTAINERS, name: f"{scheme}://user:secret@{elsewhere}"})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} names a server of your own")
    assert done.stderr.count("\n") == 1
    assert not asked
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.part").exists()


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh"])
def test_what_lies_in_the_containers_is_looked_for(tmp_path: Path, script: str) -> None:
    done, asked = run(script, tmp_path, CONTAINERS)
    assert "of your own" not in done.stderr
    assert asked


def test_a_broker_of_ones_own_keeps_nobody_from_a_backup(tmp_path: Path) -> None:
    _, asked = run("backup.sh", tmp_path, {**CONTAINERS, "RABBITMQ_URL": "amqp://user:secret@broker.example.com/"})
    assert asked
