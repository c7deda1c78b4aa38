"""The embedded backend's data folder, copied while it is stopped, is a backup of everything."""

import shutil
import signal
from pathlib import Path

from tests.e2e.app import App, task
from tests.integration.deploy.embedded.test_process import Start, data, picture, sign_in, start

__all__ = ["data", "start"]  # fixtures


def test_a_copy_of_the_data_folder_serves_what_was_done_and_ends_what_was_not(
    start: Start, data: Path, tmp_path: Path
) -> None:
    process = start(MOCK_SECONDS="0")
    app = sign_in(process)
    done = app.submit(task(), [("obs0_rgb.jpg", picture())]).json()["jobId"]
    assert app.wait(done)["status"] == "done"
    answer = app.poll(done).body
    assert process.end(signal.SIGTERM) == 0
    process = start(MOCK_SECONDS="60")
    unfinished = App(process.url, app.uid).submit(task(), [("obs0_rgb.jpg", picture())]).json()["jobId"]
    assert process.end(signal.SIGTERM) == 0

    shutil.copytree(data, tmp_path / "copy")
    shutil.rmtree(data)
    restored = App(start(DATA_DIR=str(tmp_path / "copy"), MOCK_SECONDS="0").url, app.uid)
    assert restored.poll(done).body == answer
    assert restored.wait(unfinished)["status"] == "done"
