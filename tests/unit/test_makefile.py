"""What `make up` does before Docker is asked for anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the rule for .env needs."""
    for name in ("Makefile", ".env.example", "deploy/docker/make_env.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make_env(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        ["make", ".env", f"PYTHON={python}"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("python", ["", "false"])
def test_without_a_python_there_are_no_settings_and_the_next_attempt_makes_them(folder: Path, python: str) -> None:
    assert make_env(folder, python).returncode != 0
    assert not (folder / ".env").exists()
    assert make_env(folder, sys.executable).returncode == 0
    assert "SERVICE_TOKEN=" in (folder / ".env").read_text()
    assert (folder / ".env").stat().st_mode & 0o077 == 0


def test_a_missing_python_is_said_in_one_line(folder: Path) -> None:
    first, *_ = make_env(folder, "").stderr.splitlines()
    assert first.startswith("This needs Python 3.11 or newer")
