"""Somebody with a good account who reaches for what belongs to another."""

import json
import uuid
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.app import App, task
from tests.e2e.attacks.conftest import HOME, Victim, told
from tests.e2e.conftest import Backend

OBJECT_ID = "0123456789abcdef01234567"


@pytest.fixture
def own(thief: App, photo: bytes) -> dict[str, Any]:
    """A task of the thief's own, with a photo."""
    sent = task()
    thief.wait(thief.submit(sent, [("obs0_rgb.jpg", photo)]).json()["jobId"])
    read: dict[str, Any] = thief.request("GET", f"/v1/tasks/{sent['id']}").json()
    return read


def test_a_foreign_job_looks_like_one_that_does_not_exist(victim: Victim, thief: App) -> None:
    foreign, missing = thief.poll(victim.job_id), thief.poll(str(uuid.uuid4()))
    assert foreign.status == 404
    assert told(foreign) == told(missing)


def test_a_foreign_task_looks_like_one_that_does_not_exist(victim: Victim, thief: App) -> None:
    foreign, missing = (thief.request("GET", f"/v1/tasks/{each}") for each in (victim.task_id, str(uuid.uuid4())))
    assert foreign.status == 404
    assert told(foreign) == told(missing)


def test_a_foreign_photo_looks_like_one_that_does_not_exist(victim: Victim, thief: App, own: dict[str, Any]) -> None:
    ways = [
        (victim.task_id, victim.photo_id),  # where it is
        (own["taskID"], victim.photo_id),  # as if it were the thief's
        (victim.task_id, own["photos"][0]["photoID"]),
        (victim.task_id, OBJECT_ID),
    ]
    missing = {
        "Task not found": told(thief.request("GET", f"/v1/tasks/{uuid.uuid4()}/photos/{OBJECT_ID}")),
        "Photo not found": told(thief.request("GET", f"/v1/tasks/{own['taskID']}/photos/{OBJECT_ID}")),
    }
    for task_id, photo_id in ways:
        answer = thief.request("GET", f"/v1/tasks/{task_id}/photos/{photo_id}")
        assert answer.status == 404
        assert told(answer) == missing["Photo not found" if task_id == own["taskID"] else "Task not found"]


@pytest.mark.parametrize("path", ["/v1/tasks?userID={}", "/v1/profile?userID={}"])
def test_what_another_has_is_not_listed_whether_there_is_anything_or_not(victim: Victim, thief: App, path: str) -> None:
    foreign, missing = (thief.request("GET", path.format(uid)) for uid in (victim.app.uid, "nobody@example.com"))
    assert foreign.status == 403
    assert told(foreign) == told(missing)


def test_one_userid_of_ones_own_does_not_open_another(victim: Victim, thief: App) -> None:
    for order in ((thief.uid, victim.app.uid), (victim.app.uid, thief.uid)):
        for path in ("/v1/tasks", "/v1/profile"):
            answer = thief.request("GET", f"{path}?userID={order[0]}&userID={order[1]}")
            assert victim.task_id not in answer.body.decode()
            assert HOME["electricCompany"] not in answer.body.decode()


def test_a_foreign_profile_is_not_changed_whether_it_exists_or_not(victim: Victim, thief: App) -> None:
    foreign, missing = (
        thief.post_json("/auth/update_profile", {"userID": uid, "zip": "00000"})
        for uid in (victim.app.uid, "nobody@example.com")
    )
    assert foreign.status == 403
    assert told(foreign) == told(missing)
    assert victim.profile()["zipCode"] == HOME["zip"]


def test_a_foreign_task_is_not_replaced(victim: Victim, thief: App, photo: bytes) -> None:
    path = f"/v1/tasks/{victim.task_id}/photos/{victim.photo_id}"
    before, shown = victim.task(), victim.app.request("GET", path).body
    attempt = task(victim.task_id, title="Stolen")
    for uid in (thief.uid, victim.app.uid):
        assert thief.submit(attempt, [("obs0_rgb.jpg", photo)], uid=uid).status == 403
    assert victim.task() == before
    assert victim.app.request("GET", path).body == shown


def test_without_a_token_nobody_replaces_a_task_under_a_name_of_their_own(
    backend: Backend, victim: Victim, photo: bytes
) -> None:
    """What legacy mode gives up is that the named user is believed; a task stays its owner's all the same."""
    before = victim.task()
    nobody = App(backend.url, "somebody-else@example.com")
    answer = nobody.submit(task(victim.task_id, title="Stolen"), [("obs0_rgb.jpg", photo)])
    assert answer.status == (403 if backend.mode == "legacy" else 401)
    assert victim.task() == before


@pytest.mark.parametrize("change", [str.upper, lambda i: i + "%20", lambda i: i + "%00", lambda i: "%20" + i, quote])
def test_another_spelling_of_a_foreign_id_opens_nothing(victim: Victim, thief: App, change: Any) -> None:
    for path in (
        f"/detect_leak/{change(victim.job_id)}",
        f"/v1/tasks/{change(victim.task_id)}",
        f"/v1/tasks/{change(victim.task_id)}/photos/{change(victim.photo_id)}",
    ):
        assert thief.request("GET", path).status == 404


def test_a_task_sets_nothing_but_what_the_app_may_say(victim: Victim, thief: App, photo: bytes) -> None:
    sent = task(
        userID=victim.app.uid,
        user_id=victim.app.uid,
        jobID=victim.job_id,
        jobId=victim.job_id,
        photos=[{"photoID": victim.photo_id, "kind": "rgb", "name": "x"}],
        photoPaths=[f"../{victim.photo_id}"],
        RGBphotoIDs=[victim.photo_id],
        thermalPhotoIDs=[victim.photo_id],
        reportPhotoID=victim.photo_id,
        report={"leakSeverity": "None", "imagePath": "/etc/passwd"},
        leakSeverity="None",
        energyLossCost=0,
        createdAt="1999-01-01T00:00:00Z",
        updatedAt="1999-01-01T00:00:00Z",
        taskID=victim.task_id,
        __proto__={"isAdmin": True},
    )
    answer = thief.submit(sent, [("obs0_rgb.jpg", photo)])
    assert answer.status == 200, answer.body
    job_id = answer.json()["jobId"]
    thief.wait(job_id)
    stored = thief.request("GET", f"/v1/tasks/{sent['id']}").json()
    assert job_id == stored["jobId"] != victim.job_id
    assert stored["taskID"] == sent["id"]
    assert victim.photo_id not in json.dumps(stored)
    assert not stored["createdAt"].startswith("1999")
    assert not stored["updatedAt"].startswith("1999")
    assert stored["report"] is None or stored["report"]["imagePath"] == f"{sent['id']}_analysis_image.jpg"
    assert [each["taskID"] for each in _listed(victim.app)] == [victim.task_id]


def test_a_profile_sets_nothing_but_what_the_app_may_say(victim: Victim, thief: App) -> None:
    before = thief.request("GET", f"/v1/profile?userID={thief.uid}").json()
    answer = thief.update_profile(
        zipCode="99999",
        energyCompany="x",
        retrofitBudget="x",
        suggestedBudget=1e9,
        profileVersion=10**6,
        createdAt="1999-01-01T00:00:00Z",
        user_id=victim.app.uid,
        isAdmin=True,
    )
    assert answer.status == 200
    after = thief.request("GET", f"/v1/profile?userID={thief.uid}").json()
    assert {**after, "updatedAt": None} == {**before, "updatedAt": None}
    assert victim.profile()["zipCode"] == HOME["zip"]


def test_a_page_of_ones_own_list_never_shows_anothers_task(victim: Victim, thief: App, own: dict[str, Any]) -> None:
    stored = victim.task()
    created = stored["createdAt"].removesuffix("Z")
    for cursor in (
        f"{created}~{victim.task_id}",
        f"{created}~~",
        "9999-12-31T23:59:59~~",
        "~zzzz",
        f"~{victim.task_id}",
    ):
        listed = thief.request("GET", f"/v1/tasks?userID={thief.uid}&limit=100&before={cursor}")
        assert victim.task_id not in listed.body.decode()


def _listed(app: App) -> list[dict[str, Any]]:
    answer = app.request("GET", f"/v1/tasks?userID={app.uid}&limit=100")
    assert answer.status == 200, answer.body
    tasks: list[dict[str, Any]] = answer.json()["tasks"]
    return tasks
