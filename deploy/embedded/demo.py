"""``make demo``: the way of one photo pair, from sign-in to report, against a backend of its own.

Boots the embedded backend in a process of its own on a free port, with a data folder that is removed at the end, and
speaks to it as the app does. Ends with status 0 only if all of it worked. The two photos are synthetic (seed 25 of
``tests/synthetic``): a window whose frame lets air in.
"""

import asyncio
import base64
import os
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

PHOTOS = Path(__file__).parent / "demo_photos"
IMAGE = Path("out") / "demo-report.jpg"
USER = "demo@example.com"
START_SECONDS = 60.0
JOB_SECONDS = 45.0  # as long as the app waits
TIMEOUT = aiohttp.ClientTimeout(total=20)  # as long as the app waits for one answer
# What may be meant for a backend that runs beside this one; an empty variable counts as unset.
UNSET = {"GOOGLE_CLIENT_IDS": "", "METRICS_PORT": "", "AUTH_MODE": ""}
TASK = (
    '{{"id":"{id}","title":"Living room window","photoPaths":["media/{id}/obs0_rgb.jpg","media/{id}/obs0_thermal.jpg"],'
    '"createdAt":"2026-01-15T17:12:15.011967","type":"window","state":"draft","decision":null,"closedResult":null,'
    '"analysisSummary":null,"recommendations":null,"insideTemp":"72","outsideTemp":"50","report":null}}'
)


class DemoError(Exception):
    """Something did not work; the message says what."""


@asynccontextmanager
async def _backend(data: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.embedded",
        env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "DATA_DIR": data, **UNSET},
        stdout=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(http: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.returncode is not None:
            raise DemoError("the backend did not start; it has said why")
        try:
            async with http.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.1)
    raise DemoError(f"the backend was not ready within {START_SECONDS:.0f} s")


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    body: dict[str, Any] = await answer.json(content_type=None)
    if answer.status != 200:
        raise DemoError(f"{answer.method} {answer.url.path} was answered {answer.status}: {body.get('detail')}")
    return body


async def _submit(http: aiohttp.ClientSession, url: str) -> str:
    """Sign in, say what kind of home it is, and submit the photos; the job's id."""
    async with http.post(f"{url}/dev/token", json={"email": USER}) as answer:
        token = (await _json(answer))["id_token"]
    async with http.post(f"{url}/auth/login", json={"id_token": token, "uid": USER}) as answer:
        bearer = {"Authorization": f"Bearer {(await _json(answer))['access_token']}"}
    http.headers.update(bearer)
    profile = {"userID": USER, "zip": "15213", "ownership": "Own", "budget": "up to $1000"}
    async with http.post(f"{url}/auth/update_profile", json=profile) as answer:
        await _json(answer)
    form = aiohttp.FormData({"uid": USER, "task_json": TASK.format(id=uuid.uuid4())})
    for number, path in enumerate(sorted(PHOTOS.glob("*.jpg"))):
        form.add_field(f"media{number}", path.read_bytes(), filename=path.name, content_type="application/octet-stream")
    async with http.post(f"{url}/leakage/detect_leak", data=form) as answer:
        job: str = (await _json(answer))["jobId"]
    return job


async def _followed(http: aiohttp.ClientSession, url: str, job: str, progress: Progress) -> dict[str, Any]:
    shown = progress.add_task("queued", total=None)
    end = time.monotonic() + JOB_SECONDS
    while time.monotonic() < end:
        async with http.get(f"{url}/leakage/detect_leak/{job}") as answer:
            state = await _json(answer)
        progress.update(shown, description=state["status"])
        if state["status"] == "done":
            return state
        if state["status"] == "error":
            raise DemoError(state["error"])
        await asyncio.sleep(0.25)
    raise DemoError(f"the job did not end within {JOB_SECONDS:.0f} s")


def _print(console: Console, report: dict[str, Any]) -> None:
    ranges, confidence = report["ranges"] or {}, report["confidence"] or {}
    figures = Table(title=f"Leak severity: {report['leakSeverity']}", title_justify="left")
    for column in ("", "estimate", "range"):
        figures.add_column(column)
    for name, label, unit in (
        ("energyLossValue", "energy lost", "kWh/month"),
        ("energyLossCost", "its cost", "US$/year"),
        ("savingsPercent", "fixing saves", "%"),
        ("savingsCost", "which is", "US$/year"),
    ):
        span = ranges.get(name)
        figures.add_row(label, f"{report[name]} {unit}", f"{span['low']}–{span['high']}" if span else "")
    console.print(figures)
    if confidence:
        console.print(f"Confidence: {confidence['level']}. {' '.join(confidence['reasons'])}")
    fixes = Table(title="What to do", title_justify="left")
    for column in ("fix", "difficulty", "cost", "reduction", "lifetime"):
        fixes.add_column(column)
    for s in report["suggestions"]:
        fixes.add_row(s["title"], s["difficulty"], s["costRange"], s["estimatedReduction"], s["lifetime"])
    console.print(fixes)


async def _demo(console: Console) -> None:
    with tempfile.TemporaryDirectory(prefix="home-energy-audit-demo-") as data:
        async with _backend(data) as (url, process), aiohttp.ClientSession(timeout=TIMEOUT) as http:
            with Progress(
                SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
            ) as progress:
                starting = progress.add_task("starting a backend", total=None)
                await _ready(http, url, process)
                progress.remove_task(starting)
                job = await _submit(http, url)
                state = await _followed(http, url, job, progress)
    _print(console, state["report"])
    if not state["image"]:
        raise DemoError("the report has no image")
    IMAGE.parent.mkdir(exist_ok=True)
    IMAGE.write_bytes(base64.b64decode(state["image"]["data"], validate=True))
    console.print(f"The report image is in {IMAGE} ({IMAGE.stat().st_size // 1024} KB).")


def main() -> None:
    """Run the demo."""
    console = Console()
    try:
        asyncio.run(_demo(console))
    except (DemoError, aiohttp.ClientError, TimeoutError) as error:
        console.print(f"[red]The demo failed:[/red] {error or type(error).__name__}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
