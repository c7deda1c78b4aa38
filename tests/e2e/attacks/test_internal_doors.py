"""What is meant for our own processes only, tried from outside: through the gateway, around it, and without a token."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.app import App
from tests.e2e.attacks.conftest import Victim
from tests.e2e.conftest import Backend, Compose, Embedded
from tests.unit.gateway.wire import Answer, ask, connected, get

OWN = ("gateway", "auth", "tasks", "analysis")
STORES = ("mysql", "mongo", "rabbitmq")


TARGETS = [
    "/metrics",
    "/auth/metrics",
    "/tasks/metrics",
    "/tasks/readyz",
    "/auth/readyz",
    "/leakage/readyz",
    "/internal/jobs/{job}/photos/{photo}",
    "//internal/jobs/{job}/photos/{photo}",
    "/tasks/internal/jobs/{job}/photos/{photo}",
    "/leakage/internal/jobs/{job}/photos/{photo}",
    "/./internal/jobs/{job}/photos/{photo}",
    "/v1/../internal/jobs/{job}/photos/{photo}",
    "/v1/%2e%2e/internal/jobs/{job}/photos/{photo}",
    "/v1/%2e%2e%2finternal/jobs/{job}/photos/{photo}",
    "/detect_leak/../internal/jobs/{job}/photos/{photo}",
    "/detect_leak/%2e%2e%2finternal%2fjobs%2f{job}%2fphotos%2f{photo}",
    "/detect_leak/..%2finternal%2fjobs%2f{job}%2fphotos%2f{photo}",
    "/detect_leak/%252e%252e%252finternal%252fjobs%252f{job}%252fphotos%252f{photo}",
    "/detect_leak/..%5cinternal%5cjobs%5c{job}%5cphotos%5c{photo}",
    "/detect_leak/x%2f..%2f..%2finternal%2fjobs%2f{job}%2fphotos%2f{photo}",
    "/detect_leak/%2e%2e",
    "/detect_leak/..;/internal/jobs/{job}/photos/{photo}",
    "/detect_leak/;/internal/jobs/{job}/photos/{photo}",
    "/v1/tasks/../../internal/jobs/{job}/photos/{photo}",
    "/v1/tasks/x/photos/..%2f..%2f..%2f..%2finternal%2fjobs%2f{job}%2fphotos%2f{photo}",
    "/INTERNAL/jobs/{job}/photos/{photo}",
    "/internal/jobs/{job}/photos/{photo}?x=/v1/tasks",
    "/internal/jobs/{job}/photos/{photo}%3f/v1/tasks",
    "http://tasks:8002/internal/jobs/{job}/photos/{photo}",
    "http://127.0.0.1:9002/metrics",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_no_spelling_of_a_path_reaches_an_internal_route(backend: Backend, victim: Victim, target: str) -> None:
    path = target.format(job=victim.job_id, photo=victim.photo_id)
    for method in ("GET", "PUT", "POST", "DELETE"):
        request = get(path, f"Authorization: Bearer {victim.app.bearer}").replace(b"GET", method.encode(), 1)
        answer = await ask(backend.port, request)
        assert answer.status in (400, 404, 405), (method, answer)
        assert b"for services only" not in answer.body  # not even the refusal of the route itself


def test_health_tells_nothing_of_what_lies_inside(backend: Backend) -> None:
    for path in ("/healthz", "/readyz"):
        said = App(backend.url, "").request("GET", path).body.decode().lower()
        assert not re.search(r"sql|mongo|photos|rabbit|broker|version|://|\d+\.\d+", said)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 0, 5\r\n\r\n",
        b"Content-Length: +5\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity, chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\n chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nX-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nX-A: b\x00c\r\n\r\n",
    ],
)
async def test_a_request_hidden_in_another_is_not_answered(backend: Backend, head: bytes) -> None:
    hidden = get("/internal/jobs/x/photos/y")
    async with connected(backend.port) as connection:
        await connection.send(b"POST /login HTTP/1.1\r\nHost: door.example\r\n" + head + hidden)
        answers = [await connection.answer()]
        while answers[-1].complete and len(answers) < 3:
            try:
                answers.append(await connection.answer())
            except (EOFError, ConnectionError, TimeoutError):
                break
    # Either the whole is refused, or what follows is a request of its own, to be judged like any other.
    assert answers[0].status in (400, 422), answers
    assert all(answer.status in (400, 404) for answer in answers[1:])


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v1/tasks?userID=\xff\xfe HTTP/1.1",
        b"GET /v1/tasks/\xc3\xa9 HTTP/1.1",
        b"GET /v1/tasks/%ff%fe HTTP/1.1",
        b"GET /v1/tasks/%00 HTTP/1.1",
        b"GET /v1/tasks/%zz HTTP/1.1",
        b"GET /v1/tasks/%0d%0aX-Injected:%201 HTTP/1.1",
        b"GET /v1/tasks/%f0%9f%aa%9f HTTP/1.1",
        b"GET /v1/tasks/\xed\xa0\x80 HTTP/1.1",
        b"GET /v1/tasks/%ed%a0%80 HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /v1/tasks HTTP/9.9",
        b"CONNECT tasks:8002 HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
    ],
    ids=lambda line: repr(line[:40]),
)
async def test_no_request_line_is_more_than_a_refusal(backend: Backend, victim: Victim, request_line: bytes) -> None:
    head = f"\r\nHost: door.example\r\nAuthorization: Bearer {victim.app.bearer}\r\n\r\n".encode()
    answer: Answer = await ask(backend.port, request_line + head)
    assert 400 <= answer.status < 500, answer
    assert answer.header("x-injected") is None


async def test_an_upgrade_opens_no_other_protocol(backend: Backend) -> None:
    for protocol in ("websocket", "h2c", "TLS/1.0"):
        lines = ("Connection: Upgrade", f"Upgrade: {protocol}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AA==")
        assert (await ask(backend.port, get("/v1/tasks", *lines))).status in (400, 401, 422)


# ── around the gateway ────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_but_the_gateway_is_published(stack: Compose) -> None:
    for service in (*OWN, *STORES):
        for container in stack.inspect(service):
            published = {port for port, bound in container["NetworkSettings"]["Ports"].items() if bound}
            assert published == ({"8000/tcp"} if service == "gateway" else set()), service


def networks_of(stack: Compose, service: str) -> dict[str, str]:
    """The networks that a service is on, and its address in each."""
    found = stack.inspect(service)[0]["NetworkSettings"]["Networks"]
    return {network: its["IPAddress"] for network, its in found.items()}


def without_a_way_out(stack: Compose) -> set[str]:
    """The networks that Docker lets nothing out of."""
    configuration = json.loads(stack.run("config", "--format", "json").stdout)
    return {network["name"] for network in configuration["networks"].values() if network.get("internal")}


def test_the_stores_are_on_networks_without_a_way_out(stack: Compose) -> None:
    inner = without_a_way_out(stack)
    assert all(set(networks_of(stack, store)) <= inner for store in STORES)
    assert not set(networks_of(stack, "gateway")) & inner


REACH = """
import concurrent.futures, socket, sys

def reached(target):
    host, port = target.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return True
    except OSError:
        return False

with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(*(target for target, is_reached in zip(sys.argv[1:], pool.map(reached, sys.argv[1:])) if is_reached))
"""


def test_analysis_reaches_tasks_and_the_broker_and_nothing_else(stack: Compose) -> None:
    ports = {"gateway": 8000, "auth": 8001, "tasks": 8002, "mysql": 3306, "mongo": 27017, "rabbitmq": 5672}
    targets = {
        f"{address}:{port}": service
        for service, port in ports.items()
        for address in networks_of(stack, service).values()
    }

    def reached(service: str) -> list[str]:
        found = stack.run("exec", "-T", service, "python", "-c", REACH, *targets).stdout.split()
        return sorted(targets[target] for target in found)

    assert set(networks_of(stack, "analysis")) <= without_a_way_out(stack)
    assert reached("analysis") == ["rabbitmq", "tasks"]
    assert set(reached("tasks")) == set(ports)


def test_every_container_has_a_bound_on_memory_and_processes(stack: Compose) -> None:
    for service in (*OWN, *STORES):
        for container in stack.inspect(service):
            assert container["HostConfig"]["Memory"] > 0, service
            assert container["HostConfig"]["PidsLimit"] > 0, service


ASK_TASKS = """
import os, sys, urllib.error, urllib.request
right = os.environ["SERVICE_TOKEN"]
for token in (None, "", "wrong", right[:-1], right + "x", sys.argv[2], right):
    headers = {} if token is None else {"Authorization": "Bearer " + token}
    try:
        print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=5).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def test_services_believe_each_other_only_with_their_token(stack: Compose, victim: Victim) -> None:
    url = f"http://tasks:8002/internal/jobs/{victim.job_id}/photos/{victim.photo_id}"
    done = stack.run("exec", "-T", "analysis", "python", "-c", ASK_TASKS, url, victim.app.bearer or "")
    *refused, known = done.stdout.split()
    assert refused == ["401"] * 6
    assert known == "410"  # let in, and told that the job has ended


# What code that runs in a container can do with the broker's user of its service: the first word of each line.
AT_THE_BROKER = """
import asyncio, os, aio_pika
from aiormq.exceptions import ChannelAccessRefused
from contracts.events import AccountDeleted, AnalysisStarted
from contracts.topology import EXCHANGE, TASKS_ACCOUNTS, TASKS_RESULTS

async def exchange(channel, name, key):
    target = await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
    await target.publish(aio_pika.Message(b"{}"), key, mandatory=False)

async def look(channel, name):
    await (await channel.get_queue(name, ensure=False)).get(fail=False)

attempts = {
    "deletion": lambda c: exchange(c, EXCHANGE, AccountDeleted.TYPE),
    "straight": lambda c: exchange(c, "", TASKS_ACCOUNTS.queue),
    "accounts": lambda c: look(c, TASKS_ACCOUNTS.queue),
    "results": lambda c: look(c, TASKS_RESULTS.queue),
    "queue": lambda c: c.declare_queue("spy", exclusive=True),
    "own": lambda c: exchange(c, EXCHANGE, AnalysisStarted.TYPE),
}

async def main():
    for name, attempt in attempts.items():
        async with await aio_pika.connect(os.environ["RABBITMQ_URL"]) as connection:
            try:
                await attempt(await connection.channel())
                print(name, "allowed")
            except ChannelAccessRefused:
                print(name, "refused")

asyncio.run(main())
"""


def test_analysis_can_neither_send_a_deletion_nor_read_what_is_for_tasks(stack: Compose) -> None:
    lines = stack.run("exec", "-T", "analysis", "python", "-c", AT_THE_BROKER).stdout.split("\n")
    told = dict(line.split() for line in lines if line)
    assert told.pop("own") == "allowed"
    assert told == dict.fromkeys(("deletion", "straight", "accounts", "results", "queue"), "refused")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_embedded_backend_listens_on_this_machine_alone(backend: Backend, victim: Victim) -> None:
    if not isinstance(backend.inside, Embedded):
        pytest.skip("containers are looked at elsewhere")
    listening = _listening(backend.inside.pid)
    assert backend.port in [port for _, port in listening]
    assert {address for address, _ in listening} == {"127.0.0.1"}
    # The inner address serves this machine's users too: without the token of this run it gives nothing away.
    (inner,) = [port for _, port in listening if port != backend.port]
    path = f"/tasks/internal/jobs/{victim.job_id}/photos/{victim.photo_id}"
    for bearer in (None, "wrong", victim.app.bearer):
        assert App(f"http://127.0.0.1:{inner}", "", bearer=bearer).request("GET", path).status == 401


def _listening(pid: int) -> list[tuple[str, int]]:
    """(address, port) of every TCP socket that the process listens on."""
    sockets = {
        match.group(1)
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if file.is_symlink() and (match := re.match(r"socket:\[(\d+)\]", str(file.readlink())))
    }
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in sockets:
                address, port = columns[1].split(":")
                dotted = (
                    ".".join(str(byte) for byte in reversed(bytes.fromhex(address))) if len(address) == 8 else address
                )
                found.append((dotted, int(port, 16)))
    return found
