"""Clients that ask too often, or hold on to too much: they are told to wait, and nobody else is."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.app import BOUNDARY, Answer, App, task
from tests.e2e.attacks.conftest import Victim
from tests.e2e.conftest import Backend, Compose, Embedded
from tests.e2e.issuer import Issuer
from tests.unit.services.tasks.privacy import hostile

LIMITS = {
    "LIMIT_LOGIN": "3/hour",
    "LIMIT_SUBMIT": "4/hour",
    "LIMIT_POLL": "60/hour",
    "LIMIT_ACCOUNT": "5/hour",
    "LIMIT_OTHER": "10/hour",
    "PEOPLE_PER_ADDRESS": "5",
    "UPLOADS_PER_PERSON": "2",
}
USUAL = {**dict.fromkeys(LIMITS, "off"), "PEOPLE_PER_ADDRESS": "10", "UPLOADS_PER_PERSON": "1000"}


@pytest.fixture
def limited(backend: Backend, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The system with low limits of which nothing has been used: counts do not survive a restart of the gateway."""
    if isinstance(backend.inside, Compose):
        backend.inside.restart_with("gateway", **LIMITS)
        try:
            yield backend
        finally:
            backend.inside.restart_with("gateway", **USUAL)
    else:
        with Embedded(backend.mode, issuer, tmp_path_factory.mktemp("limited"), LIMITS) as running:
            yield Backend(running.url, backend.way, backend.mode, issuer, running)


def _person(limited: Backend, name: str) -> App:
    """Somebody who is signed in by a Google token alone: a sign-in would count."""
    uid = f"{name}@example.com"
    return App(limited.url, uid, bearer=limited.issuer.token(uid))


def _is_told_to_wait(answer: Answer) -> None:
    assert answer.status == 429, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert 0 < int(answer.headers["retry-after"]) <= 3600
    assert isinstance(answer.json()["detail"], str)


def test_whoever_asks_too_often_is_told_to_wait_and_nobody_else(limited: Backend) -> None:
    _sign_ins(limited)
    _submissions(limited)
    _one_person(limited)
    _questions(limited)
    asyncio.run(_uploads_at_a_time(limited))


def _sign_ins(limited: Backend) -> None:
    """By address, whoever is named, whether the token is good or not, and whatever a header says of the address."""
    guesses = [App(limited.url, f"guess-{number}@example.com") for number in range(15)]
    assert {guess.login("no.good.token").status for guess in guesses} == {401}
    _is_told_to_wait(guesses[0].login("no.good.token"))
    _is_told_to_wait(guesses[1].login(limited.issuer.token(guesses[1].uid)))
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP"):
        app = App(limited.url, "elsewhere@example.com", headers={name: "192.0.2.7"})
        _is_told_to_wait(app.login("no.good.token"))


def _submissions(limited: Backend) -> None:
    """By person: another one at the same address is served."""
    greedy, modest = _person(limited, "greedy"), _person(limited, "modest")
    assert [greedy.submit(task(), []).status for _ in range(4)] == [200] * 4
    _is_told_to_wait(greedy.submit(task(), []))
    assert modest.submit(task(), []).status == 200


def _one_person(limited: Backend) -> None:
    """One subject is one person, whichever address its tokens name and whatever it calls itself."""
    subject = "110011001100"
    phones = [App(limited.url, uid) for uid in ("one@example.com", "renamed@example.com", subject, "no-address")]
    for phone in phones[:2]:
        phone.bearer = limited.issuer.token(phone.uid, sub=subject)
    phones[2].bearer = limited.issuer.token("one@example.com", sub=subject)
    phones[3].bearer = limited.issuer.token("third@example.com", sub=subject)
    assert [phone.submit(task(), []).status for phone in phones[:3]] == [200] * 3
    assert phones[3].submit(task(), []).status == 403
    for phone in phones:
        _is_told_to_wait(phone.submit(task(), []))


def _questions(limited: Backend) -> None:
    """Polling has room for a phone that asks every two seconds; other questions have less."""
    phone = _person(limited, "phone")
    job_id = phone.submit(task(), []).json()["jobId"]
    assert {phone.poll(job_id).status for _ in range(30)} == {200}
    path = f"/v1/tasks?userID={phone.uid}"
    assert {phone.request("GET", path).status for _ in range(10)} == {200}
    _is_told_to_wait(phone.request("GET", path))
    assert phone.poll(job_id).status == 200


async def _uploads_at_a_time(limited: Backend) -> None:
    """Two that never end keep a third one out, and not for longer than they last."""
    slow = _person(limited, "slow")
    head = (
        "POST /leakage/detect_leak HTTP/1.1\r\nHost: door.example\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: 100000\r\n"
        f"Authorization: Bearer {slow.bearer}\r\n\r\n--{BOUNDARY}\r\n"
    )
    held = [await asyncio.open_connection("127.0.0.1", limited.port) for _ in range(2)]
    for _, writer in held:
        writer.write(head.encode())
        await writer.drain()
    await asyncio.sleep(1)
    _is_told_to_wait(await asyncio.to_thread(slow.submit, task(), []))
    assert (await asyncio.to_thread(_person(limited, "other").submit, task(), [])).status == 200
    for _, writer in held:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await asyncio.sleep(1)
    assert (await asyncio.to_thread(slow.submit, task(), [])).status == 200


# Each took a second or more to look at, and again for every request; see docs/security.md.
SLOW_TO_CLEAN: dict[str, Callable[[], bytes]] = {
    "JPEG whose FLIR directory names one picture again and again": lambda: (
        hostile.flir_holds_a_picture_of_small_segments(38_000)
    ),
    "HEIC of many containers": lambda: hostile.heif_of_property_containers(1_000_000),
}
POLL_SECONDS = 3.0  # a hundred times what a poll takes, and a tenth of what it took beside the attack


@pytest.mark.parametrize("photo_of", SLOW_TO_CLEAN.values(), ids=SLOW_TO_CLEAN)
def test_photos_that_are_asked_for_and_not_waited_for_keep_no_poll_waiting(
    backend: Backend, victim: Victim, thief: App, photo_of: Callable[[], bytes]
) -> None:
    sent = task()
    assert thief.submit(sent, [(f"obs{number}_rgb.jpg", photo_of()) for number in range(20)]).status == 200
    photos = thief.request("GET", f"/v1/tasks/{sent['id']}").json()["photos"]
    assert len(photos) == 20
    for photo in photos:
        _ask_and_leave(backend, thief, f"/v1/tasks/{sent['id']}/photos/{photo['photoID']}")
    time.sleep(1)  # until all of them have been let in: the poll is to come behind them
    began = time.monotonic()
    answer = victim.app.poll(victim.job_id)
    assert (answer.status, answer.json()["status"]) == (200, "done")
    assert time.monotonic() - began < POLL_SECONDS
    # Turns at cleaning go on, the thief's too.
    path = f"/v1/tasks/{victim.task_id}/photos/{victim.photo_id}"
    assert victim.app.request("GET", path).status == 200
    assert thief.request("GET", f"/v1/tasks/{sent['id']}/photos/{photos[-1]['photoID']}").status in (200, 404)


def _ask_and_leave(backend: Backend, app: App, path: str) -> None:
    with socket.create_connection(("127.0.0.1", backend.port)) as connection:
        token = f"Authorization: Bearer {app.bearer}\r\n" if app.bearer else ""
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: door.example\r\n{token}\r\n".encode())
