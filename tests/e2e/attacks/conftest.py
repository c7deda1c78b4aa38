"""Who attacks whom: a victim with something to lose, and a thief with an account of their own."""

import io
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from tests.e2e.app import Answer, App, task
from tests.e2e.conftest import Backend, Compose

HOME = {"zip": "15213", "electricCompany": "Victim's Light", "ownership": "Own"}


@dataclass(frozen=True)
class Victim:
    """Somebody whose submission has come to its end. ``bearer`` is sent in both modes."""

    app: App
    task_id: str
    job_id: str
    photo_id: str

    def task(self) -> dict[str, Any]:
        """The task as its owner reads it."""
        answer = self.app.request("GET", f"/v1/tasks/{self.task_id}")
        assert answer.status == 200, answer.body
        read: dict[str, Any] = answer.json()
        return read

    def profile(self) -> dict[str, Any]:
        """The profile as its owner reads it."""
        answer = self.app.request("GET", f"/v1/profile?userID={self.app.uid}")
        assert answer.status == 200, answer.body
        read: dict[str, Any] = answer.json()
        return read


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small picture, quick to analyse."""
    file = io.BytesIO()
    Image.radial_gradient("L").resize((96, 72)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="session")
def victim(backend: Backend, photo: bytes) -> Victim:
    """A person with a profile, a task, a finished job and a photo."""
    app = backend.phone("victim", signed_in=True)
    assert app.update_profile(**HOME).status == 200
    sent = task(title="Bedroom window")
    job_id = app.submit(sent, [("obs0_rgb.jpg", photo)]).json()["jobId"]
    assert app.wait(job_id)["status"] == "done"
    stored = app.request("GET", f"/v1/tasks/{sent['id']}").json()
    photo_id = next(each["photoID"] for each in stored["photos"] if each["kind"] == "rgb")
    return Victim(app, sent["id"], job_id, photo_id)


@pytest.fixture(scope="session")
def thief(backend: Backend) -> App:
    """Somebody with a good account, who wants another's."""
    return backend.phone("thief", signed_in=True)


@pytest.fixture
def stack(backend: Backend) -> Compose:
    """The containers, for what only they have."""
    if not isinstance(backend.inside, Compose):
        pytest.skip("the embedded backend has no containers")
    return backend.inside


def told(answer: Answer) -> tuple[int, str, object]:
    """What a client can tell one refusal from another by."""
    return answer.status, answer.headers.get("content-type", ""), answer.json()["detail"]
