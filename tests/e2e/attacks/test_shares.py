"""One person's work keeps nobody else waiting, and one person's photos do not fill the store."""

import io
import secrets
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.e2e.app import App, task
from tests.e2e.conftest import Backend, Compose, Embedded
from tests.e2e.issuer import Issuer

SLOW_JOBS = 12
STORED_BYTES = 2 * 2**20  # of one person, where the quota is tried
USUAL_BYTES = 5 * 2**30


def progressive(scans: int, side: int = 7200) -> bytes:
    """A flat progressive JPEG whose last scan is repeated: a few hundred kilobytes that are long to decode."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (100, 90, 80)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[last:end] * scans + data[end:]


@pytest.fixture(scope="session")
def slow_photos() -> list[tuple[str, bytes]]:
    """As slow a submission as is let through: twelve photos just below the bound."""
    photo = progressive(12)
    return [(f"obs{number}_thermal.jpg", photo) for number in range(12)]


@pytest.fixture
def roomless(backend: Backend, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The system with little room for each person."""
    if isinstance(backend.inside, Compose):
        backend.inside.restart_with("tasks", MAX_STORED_BYTES=str(STORED_BYTES))
        try:
            yield backend
        finally:
            backend.inside.restart_with("tasks", MAX_STORED_BYTES=str(USUAL_BYTES))
    else:
        settings = {"MAX_STORED_BYTES": str(STORED_BYTES)}
        with Embedded(backend.mode, issuer, tmp_path_factory.mktemp("roomless"), settings) as running:
            yield Backend(running.url, backend.way, backend.mode, issuer, running)


def test_a_person_with_many_slow_jobs_keeps_nobody_else_waiting(
    backend: Backend, photo: bytes, slow_photos: list[tuple[str, bytes]]
) -> None:
    greedy, other = backend.phone("greedy", signed_in=True), backend.phone("modest", signed_in=True)
    taken = [greedy.submit(task(), slow_photos) for _ in range(SLOW_JOBS)]
    assert {answer.status for answer in taken} == {200}
    try:
        started = time.monotonic()
        job = other.submit(task(), [("obs0_rgb.jpg", photo)]).json()["jobId"]
        assert other.wait(job)["status"] == "done"
        waited = time.monotonic() - started
        states = [greedy.poll(answer.json()["jobId"]).json()["status"] for answer in taken]
        assert states.count("queued") > SLOW_JOBS // 2, f"most of the slow jobs wait after {waited:.1f} s"
    finally:
        assert greedy.request("DELETE", "/v1/account").status in (200, 202, 204)


def test_a_photo_of_a_thousand_scans_ends_at_once_in_a_sentence(backend: Backend) -> None:
    app = backend.phone("scans", signed_in=True)
    job = app.submit(task(), [("obs0_thermal.jpg", progressive(1200, side=2000))]).json()["jobId"]
    started = time.monotonic()
    ended = app.wait(job)
    assert ended["status"] == "error"
    assert "progressive JPEG" in ended["error"]
    assert time.monotonic() - started < 15


def test_a_person_cannot_fill_the_photo_store_and_a_replacement_gives_room_back(
    roomless: Backend, photo: bytes
) -> None:
    hoarder, other = (
        App(roomless.url, uid, bearer=roomless.issuer.token(uid))
        for uid in (f"{name}-{secrets.token_hex(4)}@example.com" for name in ("hoarder", "other"))
    )
    large = photo + bytes(900_000)
    sent = [task() for _ in range(3)]
    answers = [hoarder.submit(each, [("obs0_rgb.jpg", large)]) for each in sent]
    assert [answer.status for answer in answers] == [200, 200, 413]
    refused = hoarder.submit(sent[2], [("obs0_rgb.jpg", large)])
    assert "replace" in refused.json()["detail"]
    answers += [hoarder.submit(sent[0], [("obs0_rgb.jpg", photo)]), hoarder.submit(sent[2], [("obs0_rgb.jpg", large)])]
    assert [answer.status for answer in answers[-2:]] == [200, 200]
    theirs = other.submit(task(), [("obs0_rgb.jpg", large)])
    assert theirs.status == 200
    assert hoarder.submit(task(), [("obs0_rgb.jpg", bytes(STORED_BYTES))]).status == 413
    for answer in answers:  # the report pictures of jobs that go on would be counted by the tests that follow
        if answer.status == 200:
            hoarder.wait(answer.json()["jobId"])
    other.wait(theirs.json()["jobId"])
