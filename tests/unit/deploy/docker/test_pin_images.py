"""Images are pinned by the digests that a registry names, tried with a ``docker`` that stands for it."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
# Answers as `docker buildx imagetools inspect <image> --format {{.Manifest.Digest}}` does.
DOCKER = """#!/bin/sh
[ "$1 $2 $3" = "buildx imagetools inspect" ] && [ "$5 $6" = "--format {{.Manifest.Digest}}" ] || exit 64
echo "$4" >> "$(dirname "$0")/asked"
case "$4" in
  $AWAY) echo "no such host" >&2; exit 1;;
  $NONSENSE) echo "latest";;
  *) echo "sha256:$(printf %s "$4" | sha256sum | cut -d ' ' -f 1)";;
esac
"""


def digest(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place with the script, the compose file and a registry."""
    (tmp_path / "deploy" / "docker").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "docker" / "pin_images.sh", tmp_path / "deploy" / "docker")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o700)
    return tmp_path


def run(folder: Path, away: str = "-", nonsense: str = "-") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [folder / "deploy" / "docker" / "pin_images.sh"],
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "AWAY": away, "NONSENSE": nonsense},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def pinned(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "_IMAGE=" in line)


def test_every_image_of_the_compose_file_is_pinned_and_no_other_setting_changes(folder: Path) -> None:
    (folder / ".env").write_text("SERVICE_TOKEN=a b=c\nMYSQL_IMAGE=mysql:9.8\n# a note\n")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    images = {**dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", (ROOT / "docker-compose.yml").read_text()))}
    images["MYSQL_IMAGE"] = "mysql:9.8"
    assert set(images) == {"PYTHON_IMAGE", "MYSQL_IMAGE", "MONGO_IMAGE", "RABBITMQ_IMAGE"}
    assert pinned(folder) == {name: f"{image}@{digest(image)}" for name, image in images.items()}
    assert [line for line in (folder / ".env").read_text().splitlines() if "_IMAGE=" not in line] == [
        "SERVICE_TOKEN=a b=c",
        "# a note",
    ]
    assert (folder / ".env").stat().st_mode & 0o077 == 0


def test_pinning_again_asks_for_the_tags_and_not_for_the_digests_of_before(folder: Path) -> None:
    (folder / ".env").touch()
    run(folder)
    before = pinned(folder)
    assert run(folder).returncode == 0
    assert pinned(folder) == before
    assert not [image for image in (folder / "bin" / "asked").read_text().split() if "@" in image]


@pytest.mark.parametrize("fault", ["away", "nonsense"])
def test_nothing_changes_when_one_image_cannot_be_looked_up(folder: Path, fault: str) -> None:
    (folder / ".env").write_text("MYSQL_IMAGE=mysql:9.8\n")
    done = run(folder, **{fault: "rabbitmq:*"})
    assert done.returncode == 1
    assert "rabbitmq" in done.stderr
    assert "nothing was changed" in done.stderr
    assert (folder / ".env").read_text() == "MYSQL_IMAGE=mysql:9.8\n"


def test_without_settings_there_is_nothing_to_write_to(folder: Path) -> None:
    done = run(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no .env." in done.stderr
