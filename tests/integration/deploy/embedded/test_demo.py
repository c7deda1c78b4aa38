"""``make demo`` as a person meets it: a report and its image, or the reason why not."""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[4]


def demo(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The demo, run in ``folder``, where it leaves the report image."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.embedded.demo"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ANALYZER": "mock", "MOCK_SECONDS": "0", **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_prints_the_report_and_saves_its_image_whatever_is_set_for_other_backends(tmp_path: Path) -> None:
    done = demo(tmp_path, GOOGLE_CLIENT_IDS="someone.else", METRICS_PORT="1", PORT="1", DATA_DIR="/proc/none")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("Leak severity: Moderate", "15.8 kWh/month", "Weatherstripping"):
        assert part in done.stdout
    with Image.open(tmp_path / "out" / "demo-report.jpg") as image:
        assert image.format == "JPEG"


def test_a_backend_that_cannot_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    failed = demo(tmp_path, LOG_LEVEL="loud")
    assert failed.returncode == 1
    assert "LOG_LEVEL" in failed.stderr
    assert "The demo failed" in failed.stdout
    assert "within" not in failed.stdout  # it was not waited for
