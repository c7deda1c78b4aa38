"""What `make` does before Docker or pip is asked for anything, and how it ends when a command of a recipe fails.

Each test runs with the shell of make 4 and as make 3.81 (macOS) runs a recipe: `sh -c`, whatever `.SHELLFLAGS` says.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Make = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the rule for .env needs."""
    for name in ("Makefile", ".env.example", "deploy/docker/make_env.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture(params=["as it is", "3.81"])
def make(request: pytest.FixtureRequest, folder: Path) -> Make:
    """Run make in the folder; the second time with the shell that make 3.81 takes."""
    old = ["SHELL=/bin/sh", ".SHELLFLAGS=-c"] if request.param == "3.81" else []

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            ["make", *old, *arguments],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


@pytest.mark.parametrize("python", ["", "false"])
def test_without_a_python_there_are_no_settings_and_the_next_attempt_makes_them(
    make: Make, folder: Path, python: str
) -> None:
    failed = make(".env", f"PYTHON={python}")
    assert failed.returncode != 0
    assert "Made .env" not in failed.stdout
    assert not (folder / ".env").exists()
    assert make(".env", f"PYTHON={sys.executable}").returncode == 0
    assert "SERVICE_TOKEN=" in (folder / ".env").read_text()
    assert (folder / ".env").stat().st_mode & 0o077 == 0


def test_settings_that_are_there_are_kept(make: Make, folder: Path) -> None:
    (folder / ".env").write_text("PORT=1")
    os.utime(folder / ".env", (0, 0))
    done = make(".env", "PYTHON=false")
    assert (done.returncode, (folder / ".env").read_text()) == (0, "PORT=1")
    assert ".env.example is newer" in done.stdout


def test_a_missing_python_is_said_in_one_line(make: Make) -> None:
    first, *_ = make(".env", "PYTHON=").stderr.splitlines()
    assert first.startswith("This needs Python 3.11 or newer")


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


@pytest.fixture
def environment(folder: Path) -> Path:
    """An environment that make finds up to date, with programs that a test writes."""
    for name in ("locks/dev.txt", "locks/embedded.txt", "pyproject.toml", ".venv/embedded", ".venv/dev"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder / ".venv" / "bin"


def test_a_lock_that_fails_ends_make_at_once(make: Make, folder: Path, environment: Path) -> None:
    program(environment / "python", "exit 0")
    program(environment / "uv", f"echo again >> {folder}/tried; [ $(grep -c again {folder}/tried) -ne 2 ]")
    assert make("lock", "-o", ".venv/dev").returncode != 0
    assert (folder / "tried").read_text().count("again") == 2


@pytest.mark.parametrize("target", ["run", "demo", "test", "evaluate", "chaos", "fuzz", "bench", "contracts", "audit"])
def test_a_program_that_fails_ends_make(make: Make, environment: Path, target: str) -> None:
    program(environment / "python", "exit 3")
    assert make(target, "-o", ".venv/dev", "-o", ".venv/embedded").returncode != 0


@pytest.mark.parametrize("failing", ["ruff check .", "ruff format", "mypy", "lint-imports"])
def test_a_fault_that_a_linter_finds_ends_make(make: Make, environment: Path, failing: str) -> None:
    for name in ("python", "ruff", "mypy", "lint-imports"):
        program(environment / name, f'case "{name} $*" in "{failing}"*) exit 1;; esac')
    assert make("lint", "-o", ".venv/dev").returncode != 0


def test_an_installation_that_fails_is_not_taken_for_done(make: Make, folder: Path, environment: Path) -> None:
    program(environment / "python", "exit 1")
    (folder / ".venv" / "embedded").unlink()
    assert make(".venv/embedded").returncode != 0
    assert not (folder / ".venv" / "embedded").exists()


def test_an_environment_that_cannot_be_made_is_not_taken_for_one(make: Make, folder: Path) -> None:
    program(folder / "python", "exit 1")
    done = make(".venv/bin/python", f"PYTHON={folder}/python")
    assert done.returncode != 0
    assert "cannot make environments" in done.stderr


def test_the_list_of_targets_is_printed(make: Make) -> None:
    done = make("help")
    assert done.returncode == 0
    assert "make run" in done.stdout
