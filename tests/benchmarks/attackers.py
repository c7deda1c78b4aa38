"""``python -m tests.benchmarks.attackers``: how long a victim waits while somebody attacks the door.

Starts the embedded backend of this checkout, attacks it from addresses of the loopback network (Linux gives each of
127.0.0.0/8 to whoever asks), and prints for each attack how long a victim at another address waited, as JSON. It uses
nothing of the backend's own code, so that an older release can be measured by a copy of this file.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

VICTIM = "127.0.1.1"
PATIENCE_SECONDS = 20.0  # the app gives up after it
ASKED = 8  # times that the victim tries, a second apart
BOUNDARY = "victims-boundary"


@dataclass
class Waiting:
    """What the victim met: seconds until each answer, and what was no answer."""

    seconds: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def told(self) -> dict[str, object]:
        median = round(statistics.median(self.seconds), 3) if self.seconds else None
        longest = round(max(self.seconds), 3) if self.seconds else None
        return {"answered": len(self.seconds), "median": median, "longest": longest, "failures": self.failures}


@asynccontextmanager
async def backend() -> AsyncIterator[tuple[int, int]]:
    """The embedded backend: its port, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data:
        environment = {
            **os.environ,
            "PORT": str(port),
            "DATA_DIR": data,
            "AUTH_MODE": "required",
            "ANALYZER": "mock",
            "LIMIT_LOGIN": "off",  # what is measured is how much a client can hold, not how often it may ask
            "LIMIT_SUBMIT": "off",
            "LIMIT_OTHER": "off",
        }
        program = [sys.executable, "-m", "deploy.embedded"]
        process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL)  # noqa: ASYNC220, S603
        try:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    if (await asked(port, get("/readyz"))).startswith(b"HTTP/1.1 200"):
                        break
                await asyncio.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(timeout=15)


def get(path: str, bearer: str = "") -> bytes:
    token = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}\r\n".encode()


def post(path: str, body: bytes, content_type: str = "application/json", bearer: str = "") -> bytes:
    token = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n{token}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def asked(port: int, request: bytes, address: str = VICTIM) -> bytes:
    """The answer's head, and what came of its body with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(request)
        return await reader.readuntil(b"\r\n\r\n") + await reader.read(65536)
    finally:
        writer.close()


async def token(port: int, name: str) -> str:
    answer = await asked(port, post("/dev/token", json.dumps({"email": f"{name}@example.com"}).encode()), "127.0.0.1")
    issued: str = json.loads(answer.partition(b"\r\n\r\n")[2])["id_token"]
    return issued


def submission(name: str) -> bytes:
    task = {"id": f"{name}-{time.monotonic_ns()}", "insideTemp": "71", "outsideTemp": "35"}
    fields = {"uid": f"{name}@example.com", "task_json": json.dumps(task)}
    parts = "".join(
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    )
    return f"{parts}--{BOUNDARY}--\r\n".encode()


async def victim(port: int, name: str, id_token: str) -> dict[str, object]:
    """Sign in, submit and poll, again and again, and say how long each took."""
    sign_in = post("/auth/login", json.dumps({"id_token": id_token, "uid": f"{name}@example.com"}).encode())
    kinds: dict[str, Callable[[], bytes]] = {
        "sign-in": lambda: sign_in,
        "submission": lambda: post(
            "/leakage/detect_leak", submission(name), f"multipart/form-data; boundary={BOUNDARY}", id_token
        ),
        "poll": lambda: get("/leakage/detect_leak/nothing", id_token),
    }
    met = {kind: Waiting() for kind in kinds}
    for _ in range(ASKED):
        for kind, request in kinds.items():
            began = time.perf_counter()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    status = (await asked(port, request()))[9:12].decode()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                status = type(error).__name__
            if status in ("200", "404"):
                met[kind].seconds.append(time.perf_counter() - began)
            else:
                met[kind].failures[status] = met[kind].failures.get(status, 0) + 1
        await asyncio.sleep(1)
    return {kind: waiting.told() for kind, waiting in met.items()}


async def slow_sign_ins(port: int) -> None:
    """512 sign-ins from six addresses, each with a body of 2 KB of which a byte comes every five seconds; for ever."""

    async def one(number: int) -> None:
        address = f"127.0.2.{number % 6 + 1}"
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
                writer.write(post("/auth/login", b"x" * 2048)[:-2048])
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(5)
            await asyncio.sleep(0.2)

    await asyncio.gather(*(one(number) for number in range(512)))


async def idle_connections(port: int) -> None:
    """4,200 connections from one address that have asked for ``/healthz`` once; whoever is closed comes again."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.2.1", 0))
                writer.write(get("/healthz"))
                while await reader.read(4096):
                    await asyncio.sleep(20)
                    writer.write(get("/healthz"))
                writer.close()
            await asyncio.sleep(5)

    tasks = []
    for number in range(4200):
        tasks.append(asyncio.create_task(one()))
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    await asyncio.gather(*tasks)


async def nobody(_: int) -> None:
    """The victim alone."""
    await asyncio.sleep(3600)


ATTACKS: dict[str, Callable[[int], Awaitable[None]]] = {
    "nobody": nobody,
    "slow sign-ins": slow_sign_ins,
    "idle connections": idle_connections,
}


async def crumbs(port: int) -> dict[str, object]:
    """One submission of which 2 MB come in 1-byte chunks: what the server takes of it, and the CPU that costs."""
    id_token = await token(port, "crumbs")
    head = (
        f"POST /leakage/detect_leak HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {id_token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    start = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="media0"; filename="a.jpg"\r\n\r\n'.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"%x\r\n%s\r\n" % (len(start), start))
    sent = 0
    with contextlib.suppress(OSError):
        for _ in range(2000):
            writer.write(b"1\r\nx\r\n" * 1000)
            await writer.drain()
            sent += 1000
            if writer.is_closing() or reader.at_eof():
                break
    await asyncio.sleep(1)
    writer.close()
    return {"sent": sent}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def slow_reader(port: int) -> dict[str, object]:
    """A download of a big answer that is read at 70 KB every 15 seconds: how long it goes on (at most two minutes)."""
    reader_socket = socket.socket()
    reader_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    reader_socket.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader_socket, ("127.0.0.1", port))
    asset = get("/docs/assets/swagger-ui-bundle.js") * 16  # 16 answers of 1.5 MB: more than the kernel keeps
    await loop.sock_sendall(reader_socket, asset)
    began = time.monotonic()
    try:
        while time.monotonic() - began < 120:
            taken = 0
            while taken < 70_000:
                piece = await loop.sock_recv(reader_socket, 8192)
                if not piece:
                    return {"cut off after": round(time.monotonic() - began)}
                taken += len(piece)
            await asyncio.sleep(15)
    except OSError:
        return {"cut off after": round(time.monotonic() - began)}
    finally:
        reader_socket.close()
    return {"cut off after": None}


async def main(names: list[str]) -> None:
    """Run the attacks of those names."""
    for name in names:
        async with backend() as (port, pid):
            before = cpu_seconds(pid)
            if name == "crumbs":
                told = await crumbs(port)
            elif name == "slow reader":
                told = await slow_reader(port)
            else:
                id_token = await token(port, "victim")
                attack = asyncio.ensure_future(ATTACKS[name](port))
                await asyncio.sleep(8 if name != "nobody" else 1)  # until it holds all that it can
                told = await victim(port, "victim", id_token)
                attack.cancel()
                await asyncio.gather(attack, return_exceptions=True)
            line = {"attack": name, "cpu": round(cpu_seconds(pid) - before, 2), **told}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", default=[*ATTACKS, "crumbs", "slow reader"])
    asyncio.run(main(parser.parse_args().attacks))
