"""Listening: what is said when it does not work, and what connections inherit."""

import asyncio
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest
from starlette.types import Receive, Scope, Send

from services.chassis import serving
from services.chassis.serving import UNREAD_SECONDS, bind, listening
from services.chassis.startup import StartupError


def test_a_taken_port_is_named_with_what_to_do():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^Port {port} on 127\.0\.0\.1 is taken\. Choose another: PORT="):
            bind("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused_with_what_to_do():
    with pytest.raises(StartupError, match=r"^Cannot listen on 192\.0\.2\.1:0: .* Set HOST and PORT\.$"):
        bind("192.0.2.1", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the option")
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off_by_the_kernel():
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNREAD_SECONDS * 1000


def test_before_the_start_is_over_connections_are_refused():
    with bind("127.0.0.1", 0) as sock, pytest.raises(ConnectionRefusedError):
        socket.create_connection(sock.getsockname())


async def test_of_two_processes_that_start_on_one_port_the_slower_is_told():
    with bind("127.0.0.1", 0) as faster, bind(*faster.getsockname()) as slower:
        async with listening(nothing, faster):
            with pytest.raises(StartupError, match="is taken"):
                async with listening(nothing, slower):
                    pass


async def test_a_request_that_never_ends_does_not_hold_up_a_stop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "GRACE_SECONDS", 0.05)
    asked = asyncio.Event()

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        with bind("127.0.0.1", 0) as sock:
            async with listening(hanging, sock):
                _, writer = await asyncio.open_connection(*sock.getsockname())
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await asked.wait()
    writer.close()


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that nobody asks."""


PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI
from services.chassis.serving import bind, run, serve
from services.chassis.startup import StartupError

@asynccontextmanager
async def lifespan(app):
    print("starting", sock.getsockname()[1], flush=True)
    if "slow" in sys.argv:
        try:
            await asyncio.sleep(3600)
        finally:
            print("start undone", flush=True)
    if "refused" in sys.argv:
        raise StartupError("SQL_URL: no.")
    try:
        yield {}
    finally:
        print("stopped", flush=True)

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def answer():
    print("answering", flush=True)
    await asyncio.sleep(0.3)
    return "answered"

sock = bind("127.0.0.1", 0)
run(lambda stop: serve(app, sock, stop))
"""


async def start(*arguments: str) -> tuple[Process, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[4]
    )
    assert process.stdout is not None
    word, port = (await process.stdout.readline()).split()
    assert word == b"starting"
    return process, int(port)


async def test_a_stop_lets_the_request_under_way_finish():
    process, port = await start()
    async with aiohttp.ClientSession() as http:

        async def answered() -> aiohttp.ClientResponse:
            while True:  # until the start is over, connections are refused
                try:
                    return await http.get(f"http://127.0.0.1:{port}/")
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)

        request = asyncio.ensure_future(answered())
        while await process.stdout.readline() != b"answering\n":
            pass
        os.kill(process.pid, signal.SIGTERM)
        async with await request as response:
            assert await response.json() == "answered"
    out, _ = await asyncio.wait_for(process.communicate(), 10)
    assert b"stopped" in out
    assert process.returncode == 0


async def test_a_stop_during_the_start_ends_it_in_good_order():
    process, _ = await start("slow")
    os.kill(process.pid, signal.SIGTERM)
    out, error = await asyncio.wait_for(process.communicate(), 10)
    assert out == b"start undone\n"
    assert error == b""
    assert process.returncode == 0


async def test_a_start_that_is_refused_says_why_in_one_line():
    process, _ = await start("refused")
    _, error = await asyncio.wait_for(process.communicate(), 10)
    assert error == b"SQL_URL: no.\n"
    assert process.returncode == 2


BODIES = """
import resource
from services.chassis.serving import run

def pass_on():
    [bytearray(256_000) for _ in range(8)]

async def main(stop):
    pass_on()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        pass_on()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

run(main)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_the_buffers_of_one_body_serve_the_next_one_too() -> None:
    program = [sys.executable, "-c", BODIES]
    process = subprocess.run(program, capture_output=True, check=True, text=True)  # noqa: S603 - our own program
    pages = 50 * 8 * 256_000 // os.sysconf("SC_PAGE_SIZE")
    assert int(process.stdout) < pages / 10


FILES = """
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, 9000)))
from services.chassis.connections import affordable_connections
from services.chassis.serving import run

async def main(stop):
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], affordable_connections())

print(affordable_connections())
run(main)
"""


def test_a_process_takes_as_many_connections_as_the_system_lets_it_have_files_for() -> None:
    program = [sys.executable, "-c", FILES]
    process = subprocess.run(program, capture_output=True, check=True, text=True)  # noqa: S603 - our own program
    before, files, connections = map(int, process.stdout.split())
    assert before == 128
    assert files == min(9000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert connections == min(4096, files // 2)
