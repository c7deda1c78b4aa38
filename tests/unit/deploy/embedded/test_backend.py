"""The data folder: one owner at a time, and secrets that are made once."""

import stat
from pathlib import Path

import pytest

from deploy.embedded.backend import _emptied, _kept, _own
from services.chassis.startup import StartupError


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with _own(tmp_path / "a" / "b") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with _own(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with _own(tmp_path), pytest.raises(StartupError, match="Another backend"), _own(tmp_path):
        pass
    with _own(tmp_path):
        pass


def test_a_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    made = iter([b"first", b"second"])
    path = tmp_path / "key"
    assert [_kept(path, lambda: next(made)) for _ in range(2)] == [b"first"] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    def interrupted() -> bytes:
        raise KeyboardInterrupt

    path = tmp_path / "key"
    with pytest.raises(KeyboardInterrupt):
        _kept(path, interrupted)
    assert not path.exists()
    assert _kept(path, lambda: b"whole") == b"whole"


def test_a_secret_that_cannot_be_read_ends_the_start_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(StartupError, match="DATA_DIR"):
        _kept(tmp_path / "key", lambda: b"")


def test_what_a_killed_process_was_working_on_is_removed(tmp_path: Path) -> None:
    (tmp_path / "scratch" / "analysis-1").mkdir(parents=True)
    (tmp_path / "scratch" / "analysis-1" / "photo-0.jpg").write_bytes(b"x")
    folder = _emptied(tmp_path / "scratch")
    assert list(folder.iterdir()) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
