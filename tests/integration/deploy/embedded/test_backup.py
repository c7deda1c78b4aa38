"""The embedded backend's data folder, copied while it is stopped, is a backup of everything."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.app import App, task
from tests.integration.deploy.embedded.test_process import EMAIL, Process, Start, data, picture, sign_in, start

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


def replaced(data: Path, copy: Path) -> Path:
    """The copy in the folder's place."""
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    return data


def written_over(data: Path, copy: Path) -> Path:
    """The copy's files in those of the folder, whose inodes stay."""
    for file in copy.iterdir():
        if file.is_file():
            (data / file.name).write_bytes(file.read_bytes())
    return data


@pytest.mark.parametrize("put_back", [lambda _, copy: copy, replaced, written_over], ids=["used", "replaced", "over"])
def test_tokens_from_before_a_restore_are_refused_and_new_ones_are_good(
    start: Start, data: Path, tmp_path: Path, put_back: Callable[[Path, Path], Path]
) -> None:
    process = start()
    app = sign_in(process)
    google = token_of(process)
    access = app.login(google).json()["access_token"]
    app.bearer = access
    assert app.update_profile(zip="15213").status == 200
    assert process.end(signal.SIGTERM) == 0
    shutil.copytree(data, tmp_path / "copy")
    process = start()
    assert App(process.url, app.uid, bearer=access).request("POST", "/v1/sign_out").status == 200
    assert process.end(signal.SIGTERM) == 0

    folder = put_back(data, tmp_path / "copy")
    process = start(DATA_DIR=str(folder))
    for token in (google, access):
        old = App(process.url, app.uid, bearer=token)
        assert old.update_profile(zip="99999").status == 401
        assert old.request("GET", f"/v1/tasks?userID={app.uid}").status == 401
        assert old.submit(task(), []).status == 401
    assert app_of(process).login(google).status == 401
    time.sleep(1.1)  # of tokens from the second of the start none counts
    app = app_of(process)
    app.bearer = app.login(token_of(process)).json()["access_token"]
    assert app.request("GET", f"/v1/profile?userID={app.uid}").json()["zipCode"] == "15213"
    assert process.end(signal.SIGTERM) == 0
    again = App(start(DATA_DIR=str(folder)).url, app.uid, bearer=app.bearer)
    assert again.update_profile(zip="15213").status == 200, "a restart is no restore"


def token_of(process: Process) -> str:
    """A new token of the development issuer."""
    answer = App(process.url, EMAIL).post_json("/dev/token", {"email": EMAIL})
    return str(answer.json()["id_token"])


def app_of(process: Process) -> App:
    return App(process.url, EMAIL)
