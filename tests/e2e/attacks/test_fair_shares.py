"""Clients that hold on to what everybody needs: connections, places at the door, the time of the processor."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.app import BOUNDARY, App, task
from tests.e2e.attacks.conftest import Victim
from tests.e2e.conftest import Backend, Compose, Embedded
from tests.e2e.issuer import Issuer

# Small shares, so that an attack needs few connections. Whoever connects is a proxy that is believed about addresses.
SHARES = {
    "UPLOADS_AT_ONCE": "48",
    "UPLOADS_PER_PERSON": "16",
    "WITHOUT_TOKEN_AT_ONCE": "48",
    "WITHOUT_TOKEN_PER_ADDRESS": "4",
    "TRUSTED_PROXIES": "0.0.0.0/0",
}
USUAL = {
    "UPLOADS_AT_ONCE": "",
    "UPLOADS_PER_PERSON": "1000",
    "WITHOUT_TOKEN_AT_ONCE": "",
    "WITHOUT_TOKEN_PER_ADDRESS": "1000",
    "TRUSTED_PROXIES": "",
    "CONNECTIONS_PER_ADDRESS": "4096",
}
CONNECTIONS = 24
SLOW_SECONDS = 120.0  # two windows, and one while the buffers on the way fill


@contextlib.contextmanager
def restarted(
    backend: Backend, issuer: Issuer, factory: pytest.TempPathFactory, settings: dict[str, str]
) -> Iterator[Backend]:
    """The system with other settings of the gateway."""
    if isinstance(backend.inside, Compose):
        backend.inside.restart_with("gateway", **settings)
        try:
            yield backend
        finally:
            backend.inside.restart_with("gateway", **USUAL)
    else:
        with Embedded(backend.mode, issuer, factory.mktemp("shares"), settings) as running:
            yield Backend(running.url, backend.way, backend.mode, issuer, running)


@pytest.fixture
def shared(backend: Backend, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The system with small shares."""
    with restarted(backend, issuer, tmp_path_factory, SHARES) as running:
        yield running


@pytest.fixture
def crowded(backend: Backend, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The system with few connections for an address."""
    settings = {"CONNECTIONS_PER_ADDRESS": str(CONNECTIONS)}
    with restarted(backend, issuer, tmp_path_factory, settings) as running:
        yield running


@asynccontextmanager
async def slow_sign_ins(port: int, number: int) -> AsyncIterator[None]:
    """Sign-ins from six addresses, of whose bodies nothing comes."""
    writers = []
    for n in range(number):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"X-Forwarded-For: 203.0.113.%d\r\nContent-Length: 2048\r\n\r\n{" % (n % 6)
        )
        writers.append(writer)
    await asyncio.sleep(1)
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


async def test_slow_sign_ins_keep_nobody_from_signing_in_and_submitting(shared: Backend) -> None:
    async with slow_sign_ins(shared.port, 60):
        phone = App(shared.url, "patient@example.com", headers={"X-Forwarded-For": "198.51.100.7"})
        token = shared.issuer.token(phone.uid)
        assert (await asyncio.to_thread(phone.login, token)).status == 200
        if shared.mode == "required":
            phone.bearer = token
        submitted = await asyncio.to_thread(phone.submit, task(), [])
        assert submitted.status == 200, submitted.body
        assert (await asyncio.to_thread(phone.poll, submitted.json()["jobId"])).status == 200


async def test_a_slow_sign_in_is_over_within_seconds(backend: Backend) -> None:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
    writer.write(b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2048\r\n\r\n{")

    async def trickle() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.5)

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(40):
        head = await reader.readuntil(b"\r\n")
    trickling.cancel()
    writer.close()
    assert head.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 15


async def test_idle_connections_make_room_for_newcomers(crowded: Backend) -> None:
    held = []
    for _ in range(2 * CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", crowded.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        held.append((reader, writer))
    await asyncio.sleep(1)
    phone = App(crowded.url, "newcomer@example.com")
    assert (await asyncio.to_thread(phone.login, crowded.issuer.token(phone.uid))).status == 200
    is_open = [not reader.at_eof() for reader, _ in held if await _told(reader)]
    for _, writer in held:
        writer.close()
    assert sum(is_open) < CONNECTIONS
    assert is_open == sorted(is_open)  # those that were idle for longest have made room


async def _told(reader: asyncio.StreamReader) -> bool:
    """Read what has come, the end among it."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.1):
            await reader.read(65536)
            await reader.read(65536)
    return True


async def test_an_answer_that_is_taken_too_slowly_is_cut_off(backend: Backend) -> None:
    """70 KB every 15 seconds, of answers of 24 MB in all: more than the machines on the way keep."""
    loop = asyncio.get_running_loop()
    before = _established(backend)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", backend.port))
        request = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await loop.sock_sendall(client, request * 16)
        reading = asyncio.create_task(_read_slowly(client))
        await asyncio.sleep(5)
        assert await asyncio.to_thread(_established, backend) > before  # the control: it is being served
        async with asyncio.timeout(SLOW_SECONDS):
            while await asyncio.to_thread(_established, backend) > before:
                await asyncio.sleep(2)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read_slowly(client: socket.socket) -> None:
    while True:
        taken = 0
        while taken < 70_000:
            piece = await asyncio.get_running_loop().sock_recv(client, 8192)
            if not piece:
                return
            taken += len(piece)
        await asyncio.sleep(15)


# What the gateway's side of the kernel says: a client behind Docker's own proxy goes on reading what that one holds.
_COUNT = """
import sys
port = int(sys.argv[1])
rows = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]]
print(sum(row[3] == "01" and int(row[1].rpartition(":")[2], 16) == port for row in rows))
"""


def _established(backend: Backend) -> int:
    """How many connections the gateway has open."""
    if isinstance(backend.inside, Compose):
        return int(backend.inside.run("exec", "-T", "gateway", "python", "-c", _COUNT, "8000").stdout)
    command = [sys.executable, "-c", _COUNT, str(backend.port)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603


async def test_a_body_in_crumbs_is_refused_before_it_costs_much(backend: Backend) -> None:
    token = backend.issuer.token("crumbs@example.com")
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
    part = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="media0"; filename="a.jpg"\r\n\r\n'.encode()
    writer.write(
        f"POST /leakage/detect_leak HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{len(part):x}\r\n".encode()
        + part
        + b"\r\n"
    )
    crumbs = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(60):
            while not reader.at_eof() and crumbs < 5_000_000:
                writer.write(b"1\r\nx\r\n" * 1000)
                await writer.drain()
                await asyncio.sleep(0)
                crumbs += 1000
    writer.close()
    assert crumbs < 2_500_000  # 15 MB: most of it is what the machines on the way had taken before they heard


def test_no_answer_about_a_person_is_kept_by_a_browser_or_a_proxy(backend: Backend, victim: Victim) -> None:
    app = victim.app
    answers = {
        "login": app.login(backend.issuer.token(app.uid)),
        "profile": app.request("GET", f"/v1/profile?userID={app.uid}"),
        "tasks": app.request("GET", f"/v1/tasks?userID={app.uid}"),
        "task": app.request("GET", f"/v1/tasks/{victim.task_id}"),
        "photo": app.request("GET", f"/v1/tasks/{victim.task_id}/photos/{victim.photo_id}"),
        "poll": app.poll(victim.job_id),
        "export": app.request("GET", "/v1/account/export"),
    }
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert {answer.headers.get("cache-control") for answer in answers.values()} == {"no-store"}
    refused = App(backend.url, app.uid, bearer="nonsense").request("GET", f"/v1/tasks/{victim.task_id}")
    assert (refused.status, refused.headers.get("cache-control")) == (401, "no-store")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=lambda headers: "-".join(f"{name}={value}" for name, value in headers.items()),
)
def test_in_legacy_mode_a_page_of_another_site_gets_and_changes_nothing(
    backend: Backend, victim: Victim, headers: dict[str, str]
) -> None:
    if backend.mode != "legacy":
        pytest.skip("a token is asked for, which a page does not have")
    page = App(backend.url, victim.app.uid, headers=headers)
    before = victim.profile()
    answers = [
        page.update_profile(zip="99999"),
        page.submit(task(), []),
        page.poll(victim.job_id),
        page.request("GET", f"/v1/tasks?userID={victim.app.uid}"),
        page.request("GET", f"/v1/tasks/{victim.task_id}/photos/{victim.photo_id}"),
    ]
    assert [answer.status for answer in answers] == [403] * len(answers)
    assert victim.profile() == before


def test_in_legacy_mode_the_emulator_and_a_page_of_this_backend_are_served(backend: Backend, victim: Victim) -> None:
    if backend.mode != "legacy":
        pytest.skip("the token decides alone")
    own = {"Host": f"127.0.0.1:{backend.port}", "Origin": f"http://127.0.0.1:{backend.port}"}
    for headers in ({"Host": "10.0.2.2:8000"}, {"Host": "localhost"}, {**own, "Sec-Fetch-Site": "same-origin"}):
        app = App(backend.url, victim.app.uid, headers=headers)
        assert app.poll(victim.job_id).status == 200, headers
        assert app.update_profile(ownership="Own").status == 200, headers
