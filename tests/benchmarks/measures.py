"""The measures: each puts figures of the system beside yardsticks, taken in turns so that a noisy minute hits both."""

import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import numpy as np
import sqlalchemy as sa
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.events import PhotoKind, TaskType
from services.analysis.analyser import AnalysisRequest, PhotoFile
from services.analysis.thermography.analyser import ThermographyAnalyser
from services.chassis.database import database_url
from tests.benchmarks.growth import grow
from tests.benchmarks.load import Connection, Load, closed_loop, get, post, repeated
from tests.benchmarks.photographs import FORM, Forms, pair
from tests.benchmarks.results import Measure, at_least, at_most
from tests.benchmarks.system import UID, System, free_port

CONNECTIONS = 16
JOB_SECONDS = 45.0  # the app gives up after it
POLL_SECONDS = 0.2
MEGABYTE = 1_000_000


class Bench:
    """The measures over one :class:`System`; ``repetitions`` of ``seconds`` each."""

    def __init__(self, system: System, repetitions: int, seconds: float) -> None:
        self._system = system
        self._repetitions = repetitions
        self._seconds = seconds
        self._colour, self._thermal = pair()
        photos = [("obs0_rgb.jpg", self._colour), ("obs0_thermal.jpg", self._thermal)]
        self._forms = Forms(UID, photos)
        self._token = ""

    async def run(self, chosen: frozenset[str]) -> list[Measure]:
        """Every measure, or those whose names are ``chosen``."""
        all_measures: dict[str, Callable[[], Awaitable[Measure]]] = {
            "start-up": self.start_up,
            "memory": self.memory,
            "gateway": self.gateway_latency,
            "login": self.logins,
            "submissions": self.submissions,
            "polls": self.polls,
            "pipeline": self.pipeline,
            "latency": self.latency,
            "burst": self.burst,
            "scaling": self.scaling,
            "growth": self.growth,
        }
        unknown = chosen - all_measures.keys()
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(all_measures)}")
        done = []
        for name, measure in all_measures.items():
            if not chosen or name in chosen:
                print(f"… {name}", file=sys.stderr, flush=True)  # noqa: T201 - whoever waits wants to know
                done.append(await measure())
        return done

    # ── the measures ─────────────────────────────────────────────────────────────────────────────────────────────

    async def start_up(self) -> Measure:
        """How long each process takes until it is ready, its servers being there."""
        measure = Measure("Start-up", "seconds until /readyz says so; the servers answer already")
        await asyncio.to_thread(self._system.stop_all)
        for name in ("auth", "tasks", "analysis", "gateway"):
            times = []
            for _ in range(self._repetitions):
                await asyncio.to_thread(self._system.stop, name)
                process = await asyncio.to_thread(self._system.start, name)
                times.append(process.start_seconds)
            figure = measure.add(name, "s", *times)
            measure.targets.append(at_most(f"{name} starts within 1.5 s", figure.median, 1.5))
        return measure

    async def memory(self) -> Measure:
        """Peak memory while many large uploads arrive at once."""
        await self._restart_all()
        measure = Measure("Memory", "peak resident memory of each process with 32 uploads of 20 MB at once")
        for name, process in self._system.running.items():
            measure.add(f"{name} after its start", "MB", process.rss())
        large = [(f"obs{n}_rgb.jpg", self._colour + bytes(10 * MEGABYTE - len(self._colour))) for n in range(2)]
        forms = Forms(UID, large)
        clients = [await Connection.to(self._system.port("gateway")) for _ in range(32)]
        try:
            request = [post("/leakage/detect_leak", FORM, forms.next(), self._token) for _ in clients]
            answers = await asyncio.gather(*(c.ask(r) for c, r in zip(clients, request, strict=True)))
        finally:
            for client in clients:
                client.close()
        accepted = sum(answer.status == 200 for answer in answers)
        measure.add("uploads accepted", "of 32", accepted)
        for name, bound in (("gateway", 120.0), ("tasks", 250.0)):
            peak = self._system.running[name].rss(peak=True)
            measure.add(f"{name} at its peak", "MB", peak)
            measure.targets.append(at_most(f"{name} stays within {bound:.0f} MB", peak, bound))
        await self._until_all_done(180)
        before = {name: process.rss() for name, process in self._system.running.items()}
        await self._open_loop(5, max(30.0, self._seconds * 3))
        for name, process in self._system.running.items():
            measure.add(f"{name} grew during mixed load at 5 jobs/s", "MB", process.rss() - before[name])
        return measure

    async def gateway_latency(self) -> Measure:
        """What the gateway adds to a small GET."""
        job = await self._queued_job()
        request = get(f"/detect_leak/{job}", self._token)
        measure = Measure("Gateway", "a poll of a queued job, through the gateway and straight to tasks")
        for connections in (1, 64):
            loads = await self._in_turns(
                {
                    "through the gateway": self._requests("gateway", connections, lambda: request),
                    "straight to tasks": self._requests("tasks", connections, lambda: request),
                }
            )
            for label, taken in loads.items():
                for percent in (50, 99):
                    name = f"{label}, {connections} connections, p{percent}"
                    measure.add(name, "ms", *(load.percentile(percent) for load in taken))
            added = _median(loads["through the gateway"], 50) - _median(loads["straight to tasks"], 50)
            measure.add(f"added by the gateway at {connections} connections, p50", "ms", added)
            if connections == 1:
                measure.targets.append(at_most("the gateway adds at most 1.5 ms (p50, 1 connection)", added, 1.5))
        return measure

    async def logins(self) -> Measure:
        """Sign-ins beside the verification of their tokens alone."""
        await self._restart_all()
        id_token = self._system.issuer.token(UID)
        key = self._system.issuer.key.public_key()
        body = json.dumps({"id_token": id_token, "uid": UID}).encode()
        request = post("/auth/login", "application/json", body)

        async def verify() -> None:
            jwt.decode(id_token, key, algorithms=["RS256"], audience=_audience(id_token))
            await asyncio.sleep(0)

        loads = await self._in_turns(
            {
                "sign-ins": self._requests("gateway", CONNECTIONS, lambda: request),
                "RSA verification alone": lambda: repeated(1, self._seconds, verify),
            }
        )
        measure = Measure("Sign-in", "of a known account, with Google's certificates in the cache; 16 connections")
        self._rates(measure, loads)
        return measure

    async def submissions(self) -> Measure:
        """Submissions while nobody analyses them, beside the stores alone."""
        await self._restart_all(without=("analysis",))
        photos = (self._colour, self._thermal)
        async with _gridfs(self._system.mongo_url) as bucket, _engine(self._system.sql_url) as engine:

            async def raw_pair() -> None:
                for data in photos:
                    await bucket.upload_from_stream("raw", data)

            async with engine.begin() as connection:
                await connection.execute(
                    sa.text("CREATE TABLE IF NOT EXISTS bench_commit (id VARCHAR(36) PRIMARY KEY)")
                )

            async def commit() -> None:
                async with engine.begin() as connection:
                    await connection.execute(
                        sa.text("INSERT INTO bench_commit VALUES (:id)"), {"id": secrets.token_hex(16)}
                    )

            loads = await self._in_turns(
                {
                    "submissions": self._requests("gateway", CONNECTIONS, self._submission),
                    "straight to tasks": self._requests("tasks", CONNECTIONS, self._direct_submission),
                    "raw GridFS pairs": lambda: repeated(CONNECTIONS, self._seconds, raw_pair),
                    "MySQL commits": lambda: repeated(CONNECTIONS, self._seconds, commit),
                }
            )
        await asyncio.to_thread(self._system.forget_jobs)
        sizes = f"{len(self._colour) // 1000} KB + {len(self._thermal) // 1000} KB"
        measure = Measure("Submissions", f"of a pair of {sizes}, 16 connections, analysis stopped")
        self._rates(measure, loads)
        share = _rate(loads["submissions"]) / _rate(loads["raw GridFS pairs"])
        measure.targets.append(at_least("submissions reach 65 % of the raw GridFS pairs", share, 0.65))
        return measure

    async def polls(self) -> Measure:
        """Polls of a running and of a finished job, beside a bare server with the same bytes."""
        await self._restart_all(without=("analysis",))
        finished = get(f"/leakage/detect_leak/{await self._finished_job()}", self._token)
        running = get(f"/leakage/detect_leak/{await self._submitted()}", self._token)
        measure = Measure("Polls", "16 connections, through the gateway")
        for label, request, target in (("running", running, 900.0), ("finished", finished, 150.0)):
            body = await self._body_of(request)
            async with _bare(body) as port:
                loads = await self._in_turns(
                    {
                        f"{label} polls": self._requests("gateway", CONNECTIONS, lambda r=request: r),
                        f"a bare server with the same {len(body):,} bytes": lambda p=port: closed_loop(
                            p, CONNECTIONS, self._seconds, lambda: get("/")
                        ),
                    }
                )
            self._rates(measure, loads)
            rate = _rate(loads[f"{label} polls"])
            measure.targets.append(at_least(f"{label} polls reach {target:.0f}/s", rate, target))
        return measure

    async def pipeline(self) -> Measure:
        """Whole jobs per second, beside the analyser alone."""
        await self._restart_all()
        await self._jobs_in_closed_loop(8, 5)  # warm
        loads = await self._in_turns(
            {
                "jobs": lambda: self._jobs_in_closed_loop(32, max(20.0, self._seconds)),
                "the analyser alone": self._analyser_alone,
            },
            warm=False,
        )
        measure = Measure("Whole pipeline", "real analysis; 32 phones that submit again when their job is done")
        self._rates(measure, loads)
        measure.targets.append(at_least("20 jobs/s", _rate(loads["jobs"]), 20.0))
        return measure

    async def latency(self) -> Measure:
        """From the start of a submission to the finished poll, at a rate that leaves room."""
        await self._restart_all()
        await self._jobs_in_closed_loop(4, 3)
        load = await self._open_loop(5, 60)
        alone = await self._analyser_alone(workers=1)
        measure = Measure("Submit to done", "5 jobs/s for 60 s, polled every 50 ms")
        p50, p99 = load.percentile(50), load.percentile(99)
        measure.add("p50", "ms", p50)
        measure.add("p99", "ms", p99)
        measure.add("jobs that failed", "", sum(load.others.values()))
        measure.add("inside the analyser, p50", "ms", alone.percentile(50))
        measure.targets += [at_most("p50 within 400 ms", p50, 400.0), at_most("p99 within 1,500 ms", p99, 1500.0)]
        return measure

    async def burst(self) -> Measure:
        """Five hundred submissions at once."""
        await self._restart_all()
        await self._jobs_in_closed_loop(4, 3)
        began = time.perf_counter()
        clients = [await Connection.to(self._system.port("gateway")) for _ in range(CONNECTIONS)]
        left = 500
        refused = 0

        async def go(client: Connection) -> None:
            nonlocal left, refused
            while left > 0:
                left -= 1
                refused += (await client.ask(self._submission())).status != 200

        try:
            await asyncio.gather(*(go(client) for client in clients))
        finally:
            for client in clients:
                client.close()
        accepted = time.perf_counter() - began
        await self._until_all_done(300)
        done = time.perf_counter() - began
        measure = Measure("Burst", "500 submissions at once, 16 connections")
        measure.add("all accepted", "s", accepted)
        measure.add("refused", "", refused)
        measure.add("all done", "s", done)
        measure.targets.append(at_most("all done within the app's 45 s", done, JOB_SECONDS))
        return measure

    async def scaling(self) -> Measure:
        """Jobs per second by workers, submissions per second by replicas of tasks."""
        measure = Measure("Scaling", "the ideal line is the first figure times the number")
        for workers in (1, 2, 4):
            await self._restart_all(ANALYSIS_WORKERS=str(workers))
            await self._jobs_in_closed_loop(8, 5)
            load = await self._jobs_in_closed_loop(32, max(20.0, self._seconds))
            measure.add(f"jobs with {workers} analysis workers", "/s", load.per_second)
        await self._restart_all(without=("analysis",))
        await asyncio.to_thread(self._system.start, "tasks-2")
        loads = await self._in_turns(
            {
                "1 replica": self._requests("tasks", CONNECTIONS, self._direct_submission),
                "2 replicas": self._two_replicas,
            }
        )
        for label, taken in loads.items():
            measure.add(f"submissions straight to {label} of tasks", "/s", *(load.per_second for load in taken))
        await asyncio.to_thread(self._system.stop, "tasks-2")
        await asyncio.to_thread(self._system.forget_jobs)
        return measure

    async def growth(self) -> Measure:
        """Whether it slows down as the database fills."""
        measure = Measure("Growth", "with so many tasks, jobs and photos in the database")
        await self._restart_all(without=("analysis",))
        rates: dict[str, list[float]] = {}
        for rows in (1_000, 100_000, 1_000_000):
            await grow(self._system.sql_url, rows)
            job = await self._queued_job()
            request = get(f"/leakage/detect_leak/{job}", self._token)
            loads = await self._in_turns(
                {
                    "submissions": self._requests("gateway", CONNECTIONS, self._submission),
                    "polls": self._requests("gateway", CONNECTIONS, lambda r=request: r),
                }
            )
            for label, taken in loads.items():
                measure.add(f"{label} with {rows:,} tasks", "/s", *(load.per_second for load in taken))
                rates.setdefault(label, []).append(_rate(taken))
            await asyncio.to_thread(self._system.forget_jobs)
        for label, found in rates.items():
            ratio = found[-1] / found[0]
            measure.targets.append(at_least(f"{label} with 1 M tasks within 10 % of 1 k", ratio, 0.9))
        return measure

    # ── what they share ──────────────────────────────────────────────────────────────────────────────────────────

    async def _restart_all(self, without: tuple[str, ...] = (), **environment: str) -> None:
        """Fresh processes, so that no measure inherits another's memory or backlog."""
        await asyncio.to_thread(self._system.stop_all)
        for name in ("auth", "tasks", "analysis", "gateway"):
            if name not in without:
                await asyncio.to_thread(self._system.start, name, **environment)
        self._token = await self._system.token()

    async def _in_turns(
        self, loads: Mapping[str, Callable[[], Awaitable[Load]]], *, warm: bool = True
    ) -> dict[str, list[Load]]:
        """Each of ``loads`` once to warm up, then all of them in turns."""
        found: dict[str, list[Load]] = {label: [] for label in loads}
        for repetition in range(-1 if warm else 0, self._repetitions):
            for label, load in loads.items():
                taken = await load()
                if taken.others:
                    raise RuntimeError(f"{label}: answers other than 200: {taken.others}")
                if repetition >= 0:
                    found[label].append(taken)
        return found

    def _requests(self, name: str, connections: int, make: Callable[[], bytes]) -> Callable[[], Awaitable[Load]]:
        return lambda: closed_loop(self._system.port(name), connections, self._seconds, make)

    def _submission(self) -> bytes:
        return post("/leakage/detect_leak", FORM, self._forms.next(), self._token)

    def _direct_submission(self) -> bytes:
        return post("/detect_leak", FORM, self._forms.next(), self._token)

    async def _two_replicas(self) -> Load:
        halves = await asyncio.gather(
            *(
                closed_loop(self._system.port(name), CONNECTIONS // 2, self._seconds, self._direct_submission)
                for name in ("tasks", "tasks-2")
            )
        )
        both = Load(seconds=max(half.seconds for half in halves))
        for half in halves:
            both.latencies += half.latencies
            both.others |= half.others
        return both

    @staticmethod
    def _rates(measure: Measure, loads: Mapping[str, list[Load]]) -> None:
        for label, taken in loads.items():
            measure.add(label, "/s", *(load.per_second for load in taken))
            for percent in (50, 99):
                measure.add(f"{label}, p{percent}", "ms", *(load.percentile(percent) for load in taken))

    async def _queued_job(self) -> str:
        """A job that stays queued: nobody analyses."""
        if "analysis" in self._system.running or "gateway" not in self._system.running:
            await self._restart_all(without=("analysis",))
        return await self._submitted()

    async def _submitted(self) -> str:
        answer = await self._ask(self._submission())
        return str(json.loads(answer)["jobId"])

    async def _finished_job(self) -> str:
        """A job whose report image is the colour photo, as the mock makes it."""
        await asyncio.to_thread(self._system.start, "analysis", ANALYZER="mock", MOCK_SECONDS="0")
        job = await self._submitted()
        request = get(f"/leakage/detect_leak/{job}", self._token)
        while json.loads(await self._ask(request))["status"] != "done":
            await asyncio.sleep(0.1)
        await asyncio.to_thread(self._system.stop, "analysis")
        return job

    async def _ask(self, request: bytes) -> bytes:
        client = await Connection.to(self._system.port("gateway"))
        try:
            answer = await client.ask(request)
        finally:
            client.close()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body!r}")
        return answer.body

    _body_of = _ask

    async def _one_job(self, client: Connection, pause: float) -> tuple[bool, float]:
        """Submit and poll to the end: whether it was done, and how long it took."""
        began = time.perf_counter()
        answer = await client.ask(self._submission())
        if answer.status != 200:
            return False, 0.0
        request = get(f"/leakage/detect_leak/{json.loads(answer.body)['jobId']}", self._token)
        while time.perf_counter() - began < JOB_SECONDS:
            state = json.loads((await client.ask(request)).body)["status"]
            if state in ("done", "error"):
                return state == "done", time.perf_counter() - began
            await asyncio.sleep(pause)
        return False, 0.0

    async def _jobs_in_closed_loop(self, phones: int, seconds: float) -> Load:
        load = Load()
        began = time.perf_counter()
        end = began + seconds

        async def go() -> None:
            client = await Connection.to(self._system.port("gateway"))
            try:
                while time.perf_counter() < end:
                    _note_job(load, await self._one_job(client, POLL_SECONDS))
            finally:
                client.close()

        await asyncio.gather(*(go() for _ in range(phones)))
        load.seconds = time.perf_counter() - began
        return load

    async def _open_loop(self, per_second: float, seconds: float) -> Load:
        """Jobs begun at a fixed rate, whether or not those before are done."""
        load = Load()
        began = time.perf_counter()

        async def go() -> None:
            client = await Connection.to(self._system.port("gateway"))
            try:
                _note_job(load, await self._one_job(client, 0.05))
            finally:
                client.close()

        async with asyncio.TaskGroup() as group:
            for number in range(round(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                group.create_task(go())
        load.seconds = time.perf_counter() - began
        return load

    async def _until_all_done(self, seconds: float) -> None:
        async with _engine(self._system.sql_url) as engine, asyncio.timeout(seconds):
            while True:
                async with engine.connect() as connection:
                    left = await connection.scalar(
                        sa.text("SELECT COUNT(*) FROM tasks_job WHERE state IN ('queued', 'processing')")
                    )
                if not left:
                    return
                await asyncio.sleep(0.25)

    async def _analyser_alone(self, workers: int = 2) -> Load:
        """The same photos through the same pool of workers, and nothing else."""
        analyser = ThermographyAnalyser(workers, time_limit=30.0)
        with tempfile.TemporaryDirectory() as folder:
            colour, thermal = Path(folder, "obs0_rgb.jpg"), Path(folder, "obs0_thermal.jpg")
            await asyncio.to_thread(colour.write_bytes, self._colour)
            await asyncio.to_thread(thermal.write_bytes, self._thermal)
            files = (
                PhotoFile(colour, colour.name, PhotoKind.RGB, 0),
                PhotoFile(thermal, thermal.name, PhotoKind.THERMAL, 0),
            )

            async def analyse() -> None:
                with tempfile.TemporaryDirectory(dir=folder) as scratch:
                    await analyser.analyse(
                        AnalysisRequest("job", "task", TaskType.WINDOW, 71.0, 35.0, None, files, Path(scratch))
                    )

            try:
                await repeated(workers, 3.0, analyse)  # warm
                return await repeated(workers, max(10.0, self._seconds), analyse)
            finally:
                await analyser.close()


def _note_job(load: Load, outcome: tuple[bool, float]) -> None:
    done, seconds = outcome
    if done:
        load.latencies.append(seconds)
    else:
        load.others[0] = load.others.get(0, 0) + 1


def _rate(taken: list[Load]) -> float:
    return float(np.median([load.per_second for load in taken]))


def _median(taken: list[Load], percent: float) -> float:
    return float(np.median([load.percentile(percent) for load in taken]))


def _audience(token: str) -> str:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return str(claims["aud"])


@asynccontextmanager
async def _gridfs(mongo_url: str) -> AsyncIterator[AsyncIOMotorGridFSBucket]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(mongo_url)
    try:
        yield AsyncIOMotorGridFSBucket(client.get_default_database(), bucket_name="raw")
    finally:
        client.close()


@asynccontextmanager
async def _engine(sql_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url(sql_url), pool_size=CONNECTIONS, max_overflow=0)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def _bare(body: bytes) -> AsyncIterator[int]:
    """A bare server that answers ``body``."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "body")
        await asyncio.to_thread(file.write_bytes, body)
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, at once
            [sys.executable, "-m", "tests.benchmarks.bare", str(port), str(file), "application/json"]
        )
        try:
            for _ in range(200):
                try:
                    (await Connection.to(port)).close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()
