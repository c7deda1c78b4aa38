"""What the published app and newer builds do, through the gateway of a whole running system."""

import io
import json
import time
import uuid
from itertools import cycle, islice

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.e2e.app import App, image_of, task
from tests.e2e.conftest import Backend

Pair = list[tuple[str, bytes]]

PLACE = b"40.4406N 79.9959W"

REPORT_FIELDS = {
    "taskID",
    "leakSeverity",
    "energyLossValue",
    "energyLossCost",
    "savingsPercent",
    "savingsCost",
    "imagePath",
    "thumbPath",
    "suggestions",
}
SUGGESTION_FIELDS = {
    "suggestionID",
    "title",
    "subtitle",
    "difficulty",
    "costRange",
    "estimatedReduction",
    "lifetime",
}


@pytest.mark.parametrize("prefixed", [True, False], ids=["prefixed", "bare"])
def test_a_photo_pair_becomes_a_report_with_an_image(backend: Backend, pair: Pair, prefixed: bool) -> None:
    app = backend.phone(prefixed=prefixed)
    sent = task(title="Fenêtre nord 🪟")
    answer = app.submit(sent, pair)
    assert answer.status == 200, answer.body
    assert answer.json()["status"] == "queued"
    state = app.wait(answer.json()["jobId"])
    assert state["status"] == "done", state
    report = state["report"]
    assert report.keys() >= REPORT_FIELDS
    assert report["taskID"] == sent["id"]
    assert report["leakSeverity"] in ("Low", "Moderate", "High")
    assert report["energyLossValue"] > 0
    assert report["imagePath"] == f"{sent['id']}_analysis_image.jpg" == state["image"]["filename"]
    assert 1 <= len(report["suggestions"]) <= 5
    assert all(suggestion.keys() >= SUGGESTION_FIELDS for suggestion in report["suggestions"])
    with Image.open(io.BytesIO(image_of(state))) as image:
        image.load()
        assert image.format == "JPEG"


def test_login_creates_an_account_once(backend: Backend) -> None:
    uid = f"{uuid.uuid4().hex}@example.com"
    app = App(backend.url, uid)
    first, second = app.login(backend.issuer.token(uid)), app.login(backend.issuer.token(uid))
    assert (first.status, first.json()["action"]) == (200, "created")
    assert (second.status, second.json()["action"]) == (200, "exists")
    assert first.json()["status"] == "success"
    assert first.json()["user_id"] == uid


def test_nobody_logs_in_as_somebody_else(backend: Backend) -> None:
    answer = App(backend.url, "victim@example.com").login(backend.issuer.token("thief@example.com"))
    assert answer.status == 401
    assert answer.json()["detail"].startswith("Invalid token: ")


def test_an_access_token_serves_as_bearer(backend: Backend) -> None:
    uid = f"{uuid.uuid4().hex}@example.com"
    app = App(backend.url, uid)
    app.bearer = app.login(backend.issuer.token(uid)).json()["access_token"]
    assert app.update_profile(zip="15213").status == 200


def test_every_field_of_a_profile_is_stored(backend: Backend) -> None:
    app = backend.phone()
    fields = {
        "zip": "15213",
        "ownership": "Rent",
        "electricCompany": "Duquesne Light",
        "budget": "up to $200",
        "appliances": ["Window AC", "Pool/Hot Tub"],
    }
    answer = app.update_profile(**fields)
    assert answer.json() == {"status": "profile updated", "userID": app.uid}
    app.update_profile(zip=None, ownership="Own")
    stored = app.request("GET", f"/v1/profile?userID={app.uid}").json()
    assert stored["zipCode"] == "15213"
    assert stored["ownership"] == "Own"
    assert stored["energyCompany"] == "Duquesne Light"
    assert stored["retrofitBudget"] == "up to $200"
    assert stored["appliances"] == ["Window AC", "Pool/Hot Tub"]


def test_an_unknown_user_has_no_profile(backend: Backend) -> None:
    nobody = f"nobody-{uuid.uuid4().hex}@example.com"
    app = App(backend.url, nobody, bearer=backend.issuer.token(nobody))
    answer = app.update_profile(zip="15213")
    assert answer.status == 404
    assert answer.json()["detail"] == "User not found"


def test_the_profile_reaches_the_report(backend: Backend, pair: Pair) -> None:
    app = backend.phone()
    assert app.update_profile(zip="15213", ownership="Rent", budget="up to $200").status == 200
    end = time.monotonic() + 45
    while time.monotonic() < end:  # the profile travels by event: soon, not at once
        state = app.wait(app.submit(task(), pair).json()["jobId"])
        if any("PA" in sentence for sentence in state["report"]["assumptions"]):
            return
    raise AssertionError(state["report"]["assumptions"])


def test_submitting_again_replaces_the_submission(backend: Backend, pair: Pair) -> None:
    app = backend.phone()
    sent = task()
    first = app.submit(sent, pair).json()["jobId"]
    second = app.submit({**sent, "title": "Renamed"}, pair).json()["jobId"]
    assert app.wait(second)["status"] == "done"
    assert app.wait(first)["status"] in ("done", "error")
    stored = app.request("GET", f"/v1/tasks/{sent['id']}").json()
    assert stored["title"] == "Renamed"
    assert stored["jobId"] == second


def test_a_submission_without_photos_gets_advice_and_no_invented_figures(backend: Backend) -> None:
    app = backend.phone()
    state = app.wait(app.submit(task(), []).json()["jobId"])
    assert state["status"] == "done", state
    assert state["report"]["leakSeverity"] == "Unknown"
    assert state["report"]["energyLossValue"] is None
    assert state["image"] is None


def test_a_photo_without_its_inside_ends_in_a_sentence(backend: Backend) -> None:
    app = backend.phone()
    broken = b"\xff\xd8\xff\xe0" + bytes(2000)
    answer = app.submit(task(), [("obs0_thermal.jpg", broken)])
    assert answer.status == 200, answer.body
    state = app.wait(answer.json()["jobId"])
    assert state["status"] == "error", state
    assert "obs0_thermal.jpg" in state["error"]


@pytest.mark.parametrize(
    ("task_json", "status"),
    [
        ('{"title":"no id"}', 400),
        ("{not json", 422),
        ('{"id":"x","insideTemp":"warm"}', 422),
        ('{"id":"' + "x" * 65 + '"}', 422),
    ],
    ids=["no id", "no JSON", "no number", "long id"],
)
def test_what_a_person_must_mend_is_told_in_a_sentence(backend: Backend, task_json: str, status: int) -> None:
    answer = backend.phone().submit_raw(task_json, [])
    assert answer.status == status
    assert isinstance(answer.json()["detail"], str)
    assert answer.json()["correlationId"] == answer.headers["x-correlation-id"]


def test_a_file_that_is_no_photo_is_refused(backend: Backend) -> None:
    answer = backend.phone().submit(task(), [("obs0_rgb.jpg", b"<html><script>alert(1)</script></html>" * 9)])
    assert answer.status == 422
    assert "obs0_rgb.jpg" in answer.json()["detail"]


def test_a_job_is_not_found_by_strangers(backend: Backend, pair: Pair) -> None:
    owner, stranger = backend.phone("owner", signed_in=True), backend.phone("stranger", signed_in=True)
    job = owner.submit(task(), pair).json()["jobId"]
    for answer in (stranger.poll(job), stranger.poll(str(uuid.uuid4()))):
        assert answer.status == 404
        assert answer.json()["detail"] == "Job not found"
    assert owner.wait(job)["status"] == "done"


def test_nobody_replaces_the_task_of_somebody_else(backend: Backend, pair: Pair) -> None:
    owner, stranger = backend.phone("owner", signed_in=True), backend.phone("stranger", signed_in=True)
    sent = task()
    job = owner.submit(sent, pair).json()["jobId"]
    assert stranger.submit(sent, pair).status == 403
    assert stranger.submit(sent, pair, uid=owner.uid).status == 403
    assert owner.wait(job)["status"] == "done"
    assert owner.request("GET", f"/v1/tasks/{sent['id']}").json()["jobId"] == job


def test_without_a_token_only_legacy_mode_lets_in(backend: Backend) -> None:
    app = backend.phone(signed_in=False)
    expected = 200 if backend.mode == "legacy" else 401
    assert app.update_profile(zip="15213").status == expected
    assert app.submit(task(), []).status == expected


def test_a_bad_token_lets_nobody_in(backend: Backend) -> None:
    app = backend.phone(signed_in=True)
    app.bearer = backend.issuer.token(app.uid, exp=int(time.time()) - 3600)
    answer = app.update_profile(zip="15213")
    assert answer.status == 401
    assert app.bearer not in answer.body.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/internal/jobs/x/photos/y",
        "/leakage/internal/jobs/x/photos/y",
        "/detect_leak/..%2f..%2fmetrics",
        "/tasks/healthz",
    ],
)
def test_nothing_internal_is_reached_through_the_gateway(backend: Backend, path: str) -> None:
    assert backend.phone(signed_in=True).request("GET", path).status == 404


@pytest.mark.parametrize("path", ["/", "/auth/", "/leakage/"])
def test_signs_of_life_have_a_status(backend: Backend, path: str) -> None:
    answer = App(backend.url, "").request("GET", path)
    assert answer.status == 200
    assert isinstance(answer.json()["status"], str)


def test_the_public_api_is_documented(backend: Backend) -> None:
    app = App(backend.url, "")
    paths = app.request("GET", "/openapi.json").json()["paths"]
    assert {"/login", "/auth/login", "/detect_leak", "/leakage/detect_leak/{job_id}"} <= paths.keys()
    assert not [path for path in paths if "internal" in path]
    assert app.request("GET", "/docs").status == 200


def with_exif(jpeg: bytes, exif: Image.Exif) -> bytes:
    """``jpeg`` with one more segment of EXIF, in front of all others."""
    body = exif.tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_the_photos_of_a_task_come_back_as_they_look_without_where_they_were_taken(
    backend: Backend, pair: Pair
) -> None:
    app = backend.phone()
    sent, place = task(), Image.Exif()
    place.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = PLACE
    told = [(name, with_exif(data, place)) for name, data in pair]
    app.wait(app.submit(sent, told).json()["jobId"])
    stored = app.request("GET", f"/v1/tasks/{sent['id']}").json()
    kinds = {photo["kind"]: photo["photoID"] for photo in stored["photos"]}
    for name, data in told:
        photo = app.request("GET", f"/v1/tasks/{sent['id']}/photos/{kinds[name[5:-4]]}")
        assert PLACE in data
        assert PLACE not in photo.body
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(photo.body))), np.asarray(Image.open(io.BytesIO(data))))
        assert int(photo.headers["content-length"]) == len(photo.body)
        assert photo.headers["content-type"] == "image/jpeg"
        assert photo.headers["x-content-type-options"] == "nosniff"


PLACES = {"02134": "MA", "60601": "IL", "75201": "TX", "98101": "WA", "33101": "FL"}
TIMES = 50
ALL_SECONDS = 300.0  # for all of them to be analysed on a busy test machine


def test_a_submission_carries_the_profile_that_was_acknowledged_right_before_it(backend: Backend, pair: Pair) -> None:
    app = backend.phone("moving")
    sent = []
    for zip_code in islice(cycle(PLACES), TIMES):
        assert app.update_profile(zip=zip_code).status == 200
        answer = app.submit(task(), pair)
        assert answer.status == 200, answer.body
        sent.append((answer.json()["jobId"], PLACES[zip_code]))
    wrong = []
    for job_id, state in sent:
        said = app.wait(job_id, ALL_SECONDS)["report"]["assumptions"]
        if f"Climate and energy prices are those of {state}." not in said:
            wrong.append((state, said))
    assert wrong == []


def test_a_form_of_another_client_is_understood(backend: Backend, pair: Pair) -> None:
    app = backend.phone("foreign")
    boundary = "=_Part(1,2)/3:4?5"
    sent = task(type=" Window", insideTemp="21,5 °C", outsideTemp="−5ºC")
    parts = [
        f'name="{name}"\r\n\r\n{value}'.encode() for name, value in (("uid", app.uid), ("task_json", json.dumps(sent)))
    ]
    parts += [f"name=\"files[]\"; filename*=UTF-8''{name}\r\n\r\n".encode() + data for name, data in pair]
    body = (
        b"".join(f"--{boundary}\r\nContent-Disposition: form-data; ".encode() + part + b"\r\n" for part in parts)
        + f"--{boundary}--\r\n".encode()
    )
    answer = app.request("POST", "/detect_leak", body, f"multipart/form-data; boundary={boundary}")
    assert answer.status == 200, answer.body
    assert app.wait(answer.json()["jobId"])["status"] == "done"
    app.bearer = backend.issuer.token(app.uid)
    stored = app.request("GET", f"/v1/tasks/{sent['id']}").json()
    assert (stored["type"], stored["insideTemp"], stored["outsideTemp"]) == ("window", 70.7, 23.0)
    assert [photo["name"] for photo in stored["photos"] if photo["kind"] in ("rgb", "thermal")] == [n for n, _ in pair]
