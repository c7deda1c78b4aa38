"""``python -m gateway`` as an operator sees it."""

import asyncio
import os
import signal
import sys

from services.chassis.serving import bind
from tests.unit.gateway.wire import PATIENCE, ask, get

ENVIRONMENT = {"AUTH_URL": "http://127.0.0.1:9", "TASKS_URL": "http://127.0.0.1:9", "GOOGLE_CLIENT_IDS": "x"}


def free_port() -> int:
    sock = bind("127.0.0.1", 0)
    port: int = sock.getsockname()[1]
    sock.close()
    return port


async def started(**environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def said_until_ready(process: asyncio.subprocess.Process) -> str:
    said = b""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while b'"ready"' not in said:
            assert not process.stdout.at_eof()
            said += await process.stdout.readline()
    return said.decode()


async def test_wrong_settings_end_the_start_with_one_line():
    process = await started(AUTH_URL="nonsense")
    async with asyncio.timeout(PATIENCE):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.decode().startswith("Wrong settings. ")
    assert "AUTH_URL: must start with http" in errors.decode()
    assert errors.count(b"\n") == 1


async def test_it_serves_until_it_is_asked_to_stop():
    port, metrics_port = free_port(), free_port()
    process = await started(**ENVIRONMENT, PORT=str(port), METRICS_PORT=str(metrics_port))
    assert "AUTH_MODE" not in await said_until_ready(process)
    assert (await ask(port, get("/healthz"))).status == 200
    assert (await ask(metrics_port, get("/metrics", "Connection: close"))).status == 200
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        await process.communicate()
    assert process.returncode == 0


async def test_legacy_mode_is_announced_with_a_warning():
    ports = {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
    process = await started(**ENVIRONMENT, **ports, AUTH_MODE="legacy")
    assert "AUTH_MODE=legacy: requests without a token are let in" in await said_until_ready(process)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        await process.communicate()
