"""Leaving, and what belongs to whom: attacked and looked at through the gateway of a whole running system."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.e2e.app import Answer, App, task
from tests.e2e.conftest import Backend, Kept

Pair = list[tuple[str, bytes]]

ERASED_SECONDS = 150.0  # ten seconds until no late transaction can be left, and a busy test machine
HEARD_SECONDS = 45.0


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    """What travels by event comes soon, not at once."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.5)


def photo_ids(app: App, task_id: str) -> list[str]:
    stored = app.request("GET", f"/v1/tasks/{task_id}").json()
    return [photo["photoID"] for photo in stored["photos"]]


def test_a_deleted_account_leaves_nothing_in_any_database(backend: Backend, pair: Pair) -> None:
    leaver, stayer = backend.phone("leaver", signed_in=True), backend.phone("stayer", signed_in=True)
    leaver.update_profile(zip="15213", ownership="Own")
    done, pending, others = task(), task(), task()
    done_job, others_job = leaver.submit(done, pair).json()["jobId"], stayer.submit(others, pair).json()["jobId"]
    assert leaver.wait(done_job)["status"] == stayer.wait(others_job)["status"] == "done"
    pending_job = leaver.submit(pending, pair).json()["jobId"]
    photos = [*photo_ids(leaver, done["id"]), *photo_ids(leaver, pending["id"])]
    assert len(photos) > 4, "the report's picture too"
    mine = [leaver.uid, done["id"], pending["id"], done_job, pending_job, *photos]
    theirs = [stayer.uid, others["id"], others_job, *photo_ids(stayer, others["id"])]
    before = backend.kept()
    assert [trace for trace in mine + theirs if trace not in before] == []

    answer = leaver.request("DELETE", "/v1/account")
    assert (answer.status, answer.json()["status"]) == (202, "account deleted")

    def erased(now: Kept) -> bool:
        return not [trace for trace in mine if trace in now] and now.unknown_photos() <= before.unknown_photos()

    eventually(lambda: erased(backend.kept()), ERASED_SECONDS)
    after = backend.kept()
    assert [trace for trace in theirs if trace not in after] == []
    assert stayer.wait(others_job)["status"] == "done"

    # The same person may come back, and finds nothing.
    leaver.bearer = backend.issuer.token(leaver.uid)
    assert leaver.login(leaver.bearer).json()["action"] == "created"
    assert leaver.poll(done_job).status == 404
    assert leaver.request("GET", f"/v1/tasks?userID={leaver.uid}").json()["tasks"] == []
    assert leaver.submit(task(), []).status == 200


def test_signing_out_ends_every_token_and_a_new_one_is_good(backend: Backend) -> None:
    app = backend.phone("leaving", signed_in=True)
    google = app.bearer
    assert google is not None
    access = app.login(google).json()["access_token"]
    assert app.request("POST", "/v1/sign_out").json() == {"status": "signed out"}
    for token in (google, access):
        app.bearer = token
        assert app.update_profile(zip="15213").status == 401
        eventually(lambda: app.request("GET", f"/v1/tasks?userID={app.uid}").status == 401, HEARD_SECONDS)
        assert app.submit(task(), []).status == 401
    answer = app.login(google)
    assert answer.status == 401
    assert answer.json()["detail"].startswith("Invalid token: ")
    app.bearer = backend.issuer.token(app.uid)
    assert app.login(app.bearer).status == 200
    assert app.request("GET", f"/v1/tasks?userID={app.uid}").status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v1/account"), ("POST", "/v1/sign_out"), ("GET", "/v1/account/export")]
)
def test_nobody_leaves_or_takes_anything_along_without_a_token(backend: Backend, method: str, path: str) -> None:
    app = backend.phone("anonymous", signed_in=False)
    assert app.request(method, path).status == 401
    assert app.request(method, f"{path}?userID={app.uid}").status == 401
    app.bearer = "x.y.z"
    assert app.request(method, path).status == 401


def test_the_export_holds_everything_in_one_archive(backend: Backend, pair: Pair) -> None:
    app = backend.phone("curious", signed_in=True)
    app.update_profile(zip="15213")
    sent = task(title="Fenêtre nord")
    job_id = app.submit(sent, pair).json()["jobId"]
    assert app.wait(job_id)["status"] == "done"
    answer = app.request("GET", "/v1/account/export")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    (profile,) = json.loads(files["profile.json"])
    assert (profile["userID"], profile["zipCode"]) == (app.uid, "15213")
    (stored,) = json.loads(files["tasks.json"])
    assert (stored["taskID"], stored["jobs"][0]["jobID"]) == (sent["id"], job_id)
    assert stored["jobs"][0]["report"]["suggestions"]
    assert len(stored["photos"]) >= 3
    for name in stored["photos"]:
        with Image.open(io.BytesIO(files[name])) as image:
            image.load()


def told(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What a stranger sees, but for what differs between any two answers."""
    body = answer.json()
    body.pop("correlationId")
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-correlation-id")}
    return answer.status, headers, body


def test_what_is_somebody_elses_looks_like_what_does_not_exist(backend: Backend, pair: Pair) -> None:
    owner, stranger = backend.phone("owner", signed_in=True), backend.phone("stranger", signed_in=True)
    sent, own = task(), task()
    job_id = owner.submit(sent, pair).json()["jobId"]
    assert stranger.submit(own, []).status == 200
    (photo, *_) = photo_ids(owner, sent["id"])
    nobody = f"{uuid.uuid4().hex}@example.com"
    for foreign, missing in (
        (f"/detect_leak/{job_id}", f"/detect_leak/{uuid.uuid4()}"),
        (f"/v1/tasks/{sent['id']}", f"/v1/tasks/{uuid.uuid4()}"),
        (f"/v1/tasks/{sent['id']}/photos/{photo}", f"/v1/tasks/{uuid.uuid4()}/photos/{photo}"),
        (f"/v1/tasks/{own['id']}/photos/{photo}", f"/v1/tasks/{own['id']}/photos/{'0' * 24}"),
        (f"/v1/tasks?userID={owner.uid}", f"/v1/tasks?userID={nobody}"),
        (f"/v1/profile?userID={owner.uid}", f"/v1/profile?userID={nobody}"),
    ):
        seen, unseen = stranger.request("GET", foreign), stranger.request("GET", missing)
        assert told(seen) == told(unseen), foreign
        assert seen.status in (403, 404)
    bodies = [{"userID": uid, "zip": "99999"} for uid in (owner.uid, nobody)]
    seen, unseen = (stranger.post_json("/update_profile", body) for body in bodies)
    assert told(seen) == told(unseen)
    assert seen.status == 403
    assert owner.request("GET", f"/v1/tasks/{sent['id']}/photos/{photo}").status == 200


def test_nobody_writes_what_only_the_system_may_write(backend: Backend) -> None:
    app, victim = backend.phone("forger", signed_in=True), backend.phone("victim", signed_in=True)
    mark = f"forged-{uuid.uuid4().hex}"
    forged = {
        "userID": victim.uid,
        "taskID": mark,
        "jobID": mark,
        "leakSeverity": mark,
        "energyLossValue": 1.5,
        "reportPhotoID": "0" * 24,
        "profileVersion": 99,
        "suggestedBudget": 1.5,
    }
    sent = task(**forged)
    job_id = app.submit(sent, []).json()["jobId"]
    stored = app.request("GET", f"/v1/tasks/{sent['id']}").json()
    assert (stored["taskID"], stored["jobId"]) == (sent["id"], job_id)
    assert (
        app.update_profile(**{k: v for k, v in forged.items() if k != "userID"}, createdAt="1999-01-01").status == 200
    )
    assert not app.request("GET", f"/v1/profile?userID={app.uid}").json()["createdAt"].startswith("1999")
    assert victim.request("GET", f"/v1/tasks/{sent['id']}").status == 404
    assert mark not in backend.kept()


def test_the_profiles_that_services_tell_each_other_are_not_reached_through_the_gateway(backend: Backend) -> None:
    app = backend.phone("outside", signed_in=True)
    for name in ("profile", "household"):
        for path in (f"/internal/{name}", f"/auth/internal/{name}", f"/v1/account/../../internal/{name}"):
            assert app.request("GET", f"{path}?userID={app.uid}").status == 404
