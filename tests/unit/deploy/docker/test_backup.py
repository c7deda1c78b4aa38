"""What the scripts for backup and restore refuse, tried with a ``docker`` that only notes what it is asked for."""

import hashlib
import os
import re
import shutil
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


TOOLS = (
    "bash",
    "sh",
    "cat",
    "cut",
    "date",
    "dirname",
    "grep",
    "mkdir",
    "mv",
    "rm",
    "shasum",
    "sync",
    "uname",
    "printenv",
)
OBEDIENT_DOCKER = """#!/bin/sh
case "$*" in
  "compose config tasks") cat "$(dirname "$0")/settings" ;;
  *COUNT*) echo "$TABLES" ;;
  *) echo "$*" >> "$(dirname "$0")/asked"; echo "what was asked for" ;;
esac
"""


@pytest.fixture
def mac(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without sha256sum and realpath, whose ``docker`` does all that it is asked for."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        (tools / name).symlink_to(found)
    (tools / "docker").write_text(OBEDIENT_DOCKER)
    (tools / "docker").chmod(0o700)
    lines = "".join(f"      {name}: {value}\n" for name, value in CONTAINERS.items())
    (tools / "settings").write_text(lines)
    return {"PATH": str(tools), "TABLES": "0", "CDPATH": str(tmp_path)}


def run_on_mac(mac: dict[str, str], script: str, target: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [Path(mac["PATH"]) / "bash", ROOT / "deploy" / "docker" / script, target.name]
    return subprocess.run(  # noqa: S603
        command, cwd=target.parent, env={**mac, **environment}, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_backup_is_made_and_restored_with_the_tools_of_macos(tmp_path: Path, mac: dict[str, str]) -> None:
    target = tmp_path / "new"
    made = run_on_mac(mac, "backup.sh", target)
    assert made.returncode == 0, made.stderr
    records = hashlib.sha256((target / "records.sql").read_bytes()).hexdigest()
    assert f"{records}  records.sql" in (target / "SHA256SUMS").read_text()
    restored = run_on_mac(mac, "restore.sh", target)
    assert restored.returncode == 0, restored.stderr
    assert "photos import\n" in (tmp_path / "tools" / "asked").read_text()


def test_a_damaged_backup_is_refused_with_the_tools_of_macos(tmp_path: Path, mac: dict[str, str]) -> None:
    assert run_on_mac(mac, "backup.sh", tmp_path / "new").returncode == 0
    (tmp_path / "new" / "photos.bson").write_bytes(b"damaged")
    (tmp_path / "tools" / "asked").unlink()
    assert run_on_mac(mac, "restore.sh", tmp_path / "new").returncode != 0
    assert not (tmp_path / "tools" / "asked").exists()


def test_a_restore_over_what_is_there_says_so_to_the_import(tmp_path: Path, mac: dict[str, str]) -> None:
    assert run_on_mac(mac, "backup.sh", tmp_path / "new").returncode == 0
    assert run_on_mac(mac, "restore.sh", tmp_path / "new", TABLES="7").returncode == 1
    assert run_on_mac(mac, "restore.sh", tmp_path / "new", TABLES="7", OVERWRITE="1").returncode == 0
    assert "photos import --overwrite\n" in (tmp_path / "tools" / "asked").read_text()


@pytest.mark.parametrize("script", sorted((ROOT / "deploy" / "docker").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_needs_no_bash_newer_than_that_of_macos(script: Path) -> None:
    newer = {
        "an array that may be empty is unbound in bash 3.2": r"\$\{\w+\[[@*]\]\}",
        "bash 4": r"\b(mapfile|readarray|coproc)\b|declare -A|local -A|\$\{\w+(,,|\^\^|@)|&>>|\|&|;;&|\[\[ -v ",
    }
    found = [why for why, pattern in newer.items() if re.search(pattern, script.read_text())]
    assert found == []
