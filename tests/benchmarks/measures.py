"""The measures: each puts figures of the system beside yardsticks, taken in turns so that a noisy minute hits both."""

import asyncio
import itertools
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import sqlalchemy as sa
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.events import PhotoKind, TaskType
from services.analysis.analyser import AnalysisRequest, PhotoFile
from services.analysis.thermography.analyser import ThermographyAnalyser
from services.chassis.database import database_url
from tests.benchmarks.growth import grow
from tests.benchmarks.load import Connection, Load, closed_loop, get, post, repeated, timed
from tests.benchmarks.people import Job, Person, people
from tests.benchmarks.photographs import FORM, Forms, pair
from tests.benchmarks.results import Measure, at_least, at_most
from tests.benchmarks.system import System, free_port
from tests.e2e.issuer import CLIENT_ID

SECONDS = 4.0  # of each repetition, unless somebody wants others; what has lengths of its own is scaled alike
REPETITIONS = 5
CONNECTIONS = 16
RUNNING_JOBS = 200  # that are polled in turn, each by its owner
FINISHED_JOBS = 48
JOB_SECONDS = 45.0  # the app gives up after it
POLL_SECONDS = 0.5  # the app: 2, at which 32 phones could not finish more than 16 jobs a second
MEGABYTE = 1_000_000
SERVICES = ("auth", "tasks", "analysis", "gateway")


class Bench:
    """The measures over one :class:`System`; ``repetitions`` of ``seconds`` each."""

    def __init__(self, system: System, repetitions: int = REPETITIONS, seconds: float = SECONDS) -> None:
        self._system = system
        self._repetitions = repetitions
        self._seconds = seconds
        self._colour, self._thermal = pair()
        self._forms = Forms([("obs0_rgb.jpg", self._colour), ("obs0_thermal.jpg", self._thermal)])
        self._people = people(system.access_token_seed)
        self._turns = itertools.cycle(self._people)

    async def run(self, chosen: Sequence[str], note: Callable[[list[Measure]], None]) -> None:
        """Take the measures named ``chosen``; after each, ``note`` gets all until then.

        One that fails keeps the figures that it has, with the reason, and the next is taken. One that is interrupted
        is noted too.
        """
        measures: list[Measure] = []
        for name in chosen:
            take, title = MEASURES[name]
            measure = Measure(title)
            measures.append(measure)
            sys.stderr.write(f"… {name}\n")
            began = time.perf_counter()
            try:
                await take(self, measure)
            except asyncio.CancelledError:
                measure.failures.append("interrupted")
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the other measures are wanted
                measure.failures.append(_reason(error))
                sys.stderr.write(f"  failed: {_reason(error)}\n")
            finally:
                measure.seconds = time.perf_counter() - began
                note(measures)

    # ── the measures ─────────────────────────────────────────────────────────────────────────────────────────────

    async def start_up(self, measure: Measure) -> None:
        """How long each process takes until it is ready, its servers being there."""
        measure.setting = "seconds until /readyz says so; the servers answer already"
        await asyncio.to_thread(self._system.stop_all)
        for name in SERVICES:
            times = []
            for _ in range(self._repetitions):
                await asyncio.to_thread(self._system.stop, name)
                process = await asyncio.to_thread(self._system.start, name)
                times.append(process.start_seconds)
            figure = measure.add(name, "s", *times)
            measure.targets.append(at_most(f"{name} starts within 1.5 s", figure.median, 1.5))
        await asyncio.to_thread(self._system.stop_all)
        for label, again in (("embedded, on a new folder", False), ("embedded", True)):
            times = []
            with tempfile.TemporaryDirectory() as folder:
                for number in range(self._repetitions + again):
                    data = Path(folder, "data" if again else str(number))
                    process = await asyncio.to_thread(self._system.start_embedded, data)
                    await asyncio.to_thread(self._system.stop, process.name)
                    times.append(process.start_seconds)
            figure = measure.add(label, "s", *times[again:])  # the first made the folder
            measure.targets.append(at_most(f"{label} starts within 2 s", figure.median, 2.0))

    async def memory(self, measure: Measure) -> None:
        """Peak memory while many large uploads arrive at once, and growth while people go on and on."""
        warm, whole = self._scaled(60), self._scaled(180)
        measure.setting = (
            f"resident memory of each process: at its peak with 32 uploads of 20 MB at once; then, started again, "
            f"5 jobs/s for {whole:.0f} s with a sign-in, a list of tasks and a photo beside each, the median at the "
            f"end against that after {warm:.0f} s"
        )
        await self._restart_all()
        for name, process in self._system.running.items():
            measure.add(f"{name} after its start", "MB", process.rss())
        accepted = await self._upload_at_once(32, 20 * MEGABYTE)
        measure.add("uploads accepted", "of 32", accepted)
        if accepted < 32:
            measure.failures.append(f"of 32 uploads {accepted} were accepted")
        for name, bound in (("gateway", 120.0), ("tasks", 250.0)):
            peak = self._system.running[name].rss(peak=True)
            measure.add(f"{name} at its peak", "MB", peak)
            measure.targets.append(at_most(f"{name} stays within {bound:.0f} MB", peak, bound))

        await self._restart_all()
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in self._system.running}
        began = time.perf_counter()

        async def watch() -> None:
            while True:
                for name, process in self._system.running.items():
                    samples[name].append((time.perf_counter() - began, process.rss()))
                await asyncio.sleep(0.5)

        watching = asyncio.create_task(watch())
        try:
            load = await self._open_loop(5, whole, mixed=True)
        finally:
            watching.cancel()
        self._failed(measure, "jobs", [load])
        window = whole / 12
        for name, taken in samples.items():
            before = statistics.median([rss for at, rss in taken if warm - window <= at < warm])
            after = statistics.median([rss for at, rss in taken if whole - window <= at < whole])
            measure.add(f"{name} warm", "MB", before)
            measure.add(f"{name} grew during mixed load at 5 jobs/s", "MB", after - before)
            measure.targets.append(at_most(f"{name} grows by no more than 5 %", after / before - 1, 0.05))

    async def gateway_latency(self, measure: Measure) -> None:
        """What the gateway adds to a small GET."""
        measure.setting = "a poll of a queued job, through the gateway and straight to tasks"
        await self._restart_all(without=("analysis",))
        jobs = await self._submitted(RUNNING_JOBS)
        for connections in (1, 64):
            loads = await self._in_turns(
                {
                    "through the gateway": self._requests("gateway", connections, _polls(jobs, "/detect_leak/")),
                    "straight to tasks": self._requests("tasks", connections, _polls(jobs, "/detect_leak/")),
                }
            )
            for label, taken in loads.items():
                self._failed(measure, label, taken)
                for percent in (50, 99):
                    name = f"{label}, {connections} connections, p{percent}"
                    measure.add(name, "ms", *(load.percentile(percent) for load in taken))
            added = _median(loads["through the gateway"], 50) - _median(loads["straight to tasks"], 50)
            measure.add(f"added by the gateway at {connections} connections, p50", "ms", added)
            if connections == 1:
                measure.targets.append(at_most("the gateway adds at most 1.5 ms (p50, 1 connection)", added, 1.5))

    async def logins(self, measure: Measure) -> None:
        """Sign-ins beside the verification of their tokens alone."""
        measure.setting = "of known accounts, with Google's certificates in the cache; 16 connections"
        await self._restart_all()
        requests = [self._login(person) for person in self._people]
        for request in requests:
            await self._ask(request)
        id_token = self._system.issuer.token(self._people[0].uid)
        key = self._system.issuer.key.public_key()

        async def verify() -> None:
            jwt.decode(id_token, key, algorithms=["RS256"], audience=CLIENT_ID)
            await asyncio.sleep(0)

        loads = await self._in_turns(
            {
                "sign-ins": self._requests("gateway", CONNECTIONS, itertools.cycle(requests)),
                "RSA verification alone": lambda: repeated(1, self._seconds, verify),
            }
        )
        self._rates(measure, loads)

    async def submissions(self, measure: Measure) -> None:
        """Submissions while nobody analyses them, beside the stores alone."""
        sizes = f"{len(self._colour) // 1000} KB + {len(self._thermal) // 1000} KB"
        measure.setting = f"of a pair of {sizes}, 16 connections, analysis stopped"
        await self._restart_all(without=("analysis",))
        photos = (self._colour, self._thermal)
        stored = post("/", "application/octet-stream", b"".join(photos))
        async with (
            _gridfs(self._system.mongo_url) as bucket,
            _engine(self._system.sql_url) as engine,
            _bare("store", self._system.mongo_url, *(str(len(photo)) for photo in photos)) as bare,
        ):

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
                    "submissions": self._accounted(self._requests("gateway", CONNECTIONS, self._submissions())),
                    "straight to tasks": self._requests("tasks", CONNECTIONS, self._submissions("")),
                    "raw GridFS pairs": lambda: repeated(CONNECTIONS, self._seconds, raw_pair),
                    "a bare server that writes them into GridFS": lambda: closed_loop(
                        bare, CONNECTIONS, self._seconds, lambda: stored
                    ),
                    "MySQL commits": lambda: repeated(CONNECTIONS, self._seconds, commit),
                }
            )
        self._rates(measure, loads)
        share = _rate(loads["submissions"]) / _rate(loads["raw GridFS pairs"])
        measure.targets.append(at_least("submissions reach 65 % of the raw GridFS pairs", share, 0.65))

    async def polls(self, measure: Measure) -> None:
        """Polls of running and of finished jobs, beside a bare server with the same bytes."""
        measure.setting = (
            f"16 connections, through the gateway; {RUNNING_JOBS} running and {FINISHED_JOBS} finished jobs, each of "
            "another person, in turn"
        )
        await self._restart_all(without=("analysis",))
        finished = await self._finished(FINISHED_JOBS)
        running = await self._submitted(RUNNING_JOBS)
        for label, jobs, target in (("running", running, 900.0), ("finished", finished, 150.0)):
            polls = _polls(jobs)
            body = await self._ask(next(polls))
            measure.setting += f"; {label} ones are answered {len(body):,} bytes"
            async with _answering(body) as port:
                bare = itertools.repeat(get("/"))
                plain = partial(closed_loop, port, CONNECTIONS, self._seconds, bare.__next__)
                loads = await self._in_turns(
                    {
                        f"{label} polls": self._accounted(self._requests("gateway", CONNECTIONS, polls)),
                        f"a bare server with the bytes of {label} polls": plain,
                    }
                )
            self._rates(measure, loads)
            rate = _rate(loads[f"{label} polls"])
            measure.targets.append(at_least(f"{label} polls reach {target:.0f}/s", rate, target))

    async def pipeline(self, measure: Measure) -> None:
        """Whole jobs per second, beside the analyser alone."""
        measure.setting = "real analysis; 32 phones that submit again when their job is done"
        await self._restart_all()
        await self._jobs_in_closed_loop(8, self._scaled(5))  # warm
        loads = await self._in_turns(
            {
                "jobs": self._accounted(lambda: self._jobs_in_closed_loop(32, self._scaled(15))),
                "the analyser alone": self._analyser_alone,
            },
            warm=False,
        )
        self._rates(measure, loads)
        measure.targets.append(at_least("20 jobs/s", _rate(loads["jobs"]), 20.0))

    async def latency(self, measure: Measure) -> None:
        """From the start of a submission to the finished poll, at a rate that leaves room."""
        seconds = self._scaled(60)
        measure.setting = f"5 jobs/s for {seconds:.0f} s, polled every 50 ms"
        await self._restart_all()
        await self._jobs_in_closed_loop(4, self._scaled(3))
        load = await self._open_loop(5, seconds)
        p50, p99 = load.percentile(50), load.percentile(99)
        measure.add("p50", "ms", p50)
        measure.add("p99", "ms", p99)
        measure.add("jobs that failed", "", sum(load.others.values()))
        measure.add("the client", "% of a core", load.client_share)
        measure.targets += [at_most("p50 within 400 ms", p50, 400.0), at_most("p99 within 1,500 ms", p99, 1500.0)]
        self._failed(measure, "jobs", [load])
        alone = await self._analyser_alone(workers=1)
        measure.add("inside the analyser, p50", "ms", alone.percentile(50))

    async def burst(self, measure: Measure) -> None:
        """Five hundred submissions at once."""
        number = round(self._scaled(500))
        measure.setting = f"{number} submissions at once, 16 connections"
        await self._restart_all()
        await self._jobs_in_closed_loop(4, self._scaled(3))
        with timed() as done:
            with timed() as accepted:
                await self._submitted(number)
            await self._until_all_done(300)
        measure.add("all accepted", "s", accepted.seconds)
        measure.add("all done", "s", done.seconds)
        measure.add("the client", "% of a core", done.client_share)
        measure.targets.append(at_most("all done within the app's 45 s", done.seconds, JOB_SECONDS))

    async def scaling(self, measure: Measure) -> None:
        """Jobs per second by workers, submissions per second by replicas of tasks."""
        measure.setting = "the ideal line is the first figure times the number"
        for workers in (1, 2, 4):
            await self._restart_all(ANALYSIS_WORKERS=str(workers))
            await self._jobs_in_closed_loop(8, self._scaled(5))
            load = await self._jobs_in_closed_loop(32, self._scaled(15))
            measure.add(f"jobs with {workers} analysis workers", "/s", load.per_second)
            self._failed(measure, f"jobs with {workers} analysis workers", [load])
        await self._restart_all(without=("analysis",))
        await asyncio.to_thread(self._system.start, "tasks-2")
        loads = await self._in_turns(
            {
                "1 replica": self._requests("tasks", CONNECTIONS, self._submissions("")),
                "2 replicas": self._two_replicas,
            }
        )
        for label, taken in loads.items():
            self._failed(measure, label, taken)
            measure.add(f"submissions straight to {label} of tasks", "/s", *(load.per_second for load in taken))

    async def growth(self, measure: Measure) -> None:
        """Whether it slows down as the database fills."""
        measure.setting = "with so many tasks, jobs and pairs of photos of 5,000 people in the database"
        rates: dict[str, list[float]] = {}
        sizes = [round(self._scaled(rows)) for rows in (1_000, 100_000, 1_000_000)]
        for rows in sizes:
            await self._restart_all(without=("analysis",))
            with timed() as growing:
                await grow(self._system.sql_url, rows)
                await self._until_flushed(60)
            sys.stderr.write(f"  {rows:,} tasks after {growing.seconds:.0f} s\n")
            jobs = await self._submitted(RUNNING_JOBS)
            loads = await self._in_turns(
                {
                    "submissions": self._requests("gateway", CONNECTIONS, self._submissions()),
                    "polls": self._requests("gateway", CONNECTIONS, _polls(jobs)),
                }
            )
            for label, taken in loads.items():
                self._failed(measure, label, taken)
                measure.add(f"{label} with {rows:,} tasks", "/s", *(load.per_second for load in taken))
                rates.setdefault(label, []).append(_rate(taken))
        for label, found in rates.items():
            ratio = found[-1] / found[0]
            text = f"{label} with {sizes[-1]:,} tasks reach 90 % of those with {sizes[0]:,}"
            measure.targets.append(at_least(text, ratio, 0.9))

    # ── what they share ──────────────────────────────────────────────────────────────────────────────────────────

    def _scaled(self, full: float) -> float:
        """``full``, or less of it when somebody wants shorter repetitions than usual."""
        return full * min(1.0, self._seconds / SECONDS)

    async def _restart_all(self, without: tuple[str, ...] = (), **environment: str) -> None:
        """Fresh processes, and no jobs that wait: no measure inherits another's memory or backlog."""
        await asyncio.to_thread(self._system.stop_all)
        await asyncio.to_thread(self._system.forget_jobs)
        for name in SERVICES:
            if name not in without:
                await asyncio.to_thread(self._system.start, name, **environment)

    async def _in_turns(
        self, loads: Mapping[str, Callable[[], Awaitable[Load]]], *, warm: bool = True
    ) -> dict[str, list[Load]]:
        """Each of ``loads`` once to warm up, then all of them in turns."""
        found: dict[str, list[Load]] = {label: [] for label in loads}
        for repetition in range(-1 if warm else 0, self._repetitions):
            for label, load in loads.items():
                taken = await load()
                if repetition >= 0:
                    found[label].append(taken)
        return found

    def _requests(self, name: str, connections: int, requests: Iterator[bytes]) -> Callable[[], Awaitable[Load]]:
        return lambda: closed_loop(self._system.port(name), connections, self._seconds, requests.__next__)

    def _accounted(self, take: Callable[[], Awaitable[Load]]) -> Callable[[], Awaitable[Load]]:
        """The same, with the CPU time that each process and server has used meanwhile."""

        async def taken() -> Load:
            before = await asyncio.to_thread(self._system.cpu_seconds)
            load = await take()
            after = await asyncio.to_thread(self._system.cpu_seconds)
            load.spent = {name: seconds - before[name] for name, seconds in after.items()}
            load.spent["the client"] = load.cpu_seconds
            return load

        return taken

    def _submission(self, person: Person, prefix: str = "/leakage") -> bytes:
        return post(f"{prefix}/detect_leak", FORM, self._forms.next(person.uid), person.token)

    def _submissions(self, prefix: str = "/leakage") -> Iterator[bytes]:
        """Submissions without an end, each of the next person."""
        return (self._submission(person, prefix) for person in self._turns)

    def _login(self, person: Person) -> bytes:
        body = json.dumps({"id_token": self._system.issuer.token(person.uid), "uid": person.uid}).encode()
        return post("/auth/login", "application/json", body)

    async def _two_replicas(self) -> Load:
        ports = [self._system.port(name) for name in ("tasks", "tasks-2")]
        each = CONNECTIONS // len(ports)
        with timed() as both:
            halves = await asyncio.gather(
                *(closed_loop(port, each, self._seconds, self._submissions("").__next__) for port in ports)
            )
        for half in halves:
            both.latencies += half.latencies
            for status, number in half.others.items():
                both.others[status] = both.others.get(status, 0) + number
        return both

    def _rates(self, measure: Measure, loads: Mapping[str, list[Load]]) -> None:
        for label, taken in loads.items():
            self._failed(measure, label, taken)
            measure.add(label, "/s", *(load.per_second for load in taken))
            for percent in (50, 99):
                measure.add(f"{label}, p{percent}", "ms", *(load.percentile(percent) for load in taken))
            measure.add(f"{label}, the client", "% of a core", *(load.client_share for load in taken))
            for name in taken[0].spent:
                measure.add(f"{label}, CPU of {name}", "ms each", *(load.spent_each(name) for load in taken))
            if taken[0].spent:
                measure.add(f"{label}, CPU of all", "ms each", *(load.spent_each(*load.spent) for load in taken))

    @staticmethod
    def _failed(measure: Measure, label: str, taken: list[Load]) -> None:
        """Note the answers that were none: rates and latencies are of the good ones."""
        others: dict[int, int] = {}
        for load in taken:
            for status, number in load.others.items():
                others[status] = others.get(status, 0) + number
        if others:
            good = sum(len(load.latencies) for load in taken)
            counted = ", ".join(f"{number} times {_OTHERS.get(status, status)}" for status, number in others.items())
            measure.failures.append(f"{label}: beside {good} good answers {counted}")

    async def _submitted(self, number: int) -> list[Job]:
        """So many jobs, submitted by CONNECTIONS at a time, each by another person."""
        owners = [next(self._turns) for _ in range(number)]
        left = iter(owners)
        jobs: list[Job] = []

        async def go() -> None:
            async with self._connected() as client:
                for person in left:
                    answer = await client.ask(self._submission(person))
                    if answer.status != 200:
                        raise RuntimeError(f"a submission was answered {answer.status}: {answer.body!r}")
                    jobs.append(Job(json.loads(answer.body)["jobId"], person))

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(go())
        return jobs

    async def _finished(self, number: int) -> list[Job]:
        """So many jobs whose report image is the colour photo, as the mock makes it."""
        await asyncio.to_thread(self._system.start, "analysis", ANALYZER="mock", MOCK_SECONDS="0")
        jobs = await self._submitted(number)
        await self._until_all_done(60)
        await asyncio.to_thread(self._system.stop, "analysis")
        return jobs

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        client = await Connection.to(self._system.port("gateway"))
        try:
            yield client
        finally:
            client.close()

    async def _ask(self, request: bytes) -> bytes:
        async with self._connected() as client:
            answer = await client.ask(request)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body!r}")
        return answer.body

    async def _one_job(self, client: Connection, person: Person, pause: float) -> tuple[int, float]:
        """Submit and poll to the end: 200 if it was done, otherwise another status; and how long it took."""
        began = time.perf_counter()
        answer = await client.ask(self._submission(person))
        if answer.status != 200:
            return answer.status, 0.0
        request = get(f"/leakage/detect_leak/{json.loads(answer.body)['jobId']}", person.token)
        while time.perf_counter() - began < JOB_SECONDS:
            answer = await client.ask(request)
            if answer.status != 200:
                return answer.status, 0.0
            state = json.loads(answer.body)["status"]
            if state == "done":
                return 200, time.perf_counter() - began
            if state == "error":
                return _ENDED_AS_ERROR, 0.0
            await asyncio.sleep(pause)
        return _TOO_LATE, 0.0

    async def _jobs_in_closed_loop(self, phones: int, seconds: float) -> Load:
        with timed() as load:
            end = time.perf_counter() + seconds

            async def go() -> None:
                async with self._connected() as client:
                    while time.perf_counter() < end:
                        _note_job(load, await self._one_job(client, next(self._turns), POLL_SECONDS))

            async with asyncio.TaskGroup() as group:
                for _ in range(phones):
                    group.create_task(go())
        return load

    async def _open_loop(self, per_second: float, seconds: float, *, mixed: bool = False) -> Load:
        """Jobs begun at a fixed rate, whether or not those before are done; ``mixed`` with what else people do."""
        with timed() as load:
            began = time.perf_counter()

            async def go(person: Person) -> None:
                async with self._connected() as client:
                    if mixed:
                        await self._look_around(load, client, person)
                    _note_job(load, await self._one_job(client, person, 0.05))

            async with asyncio.TaskGroup() as group:
                for number in range(round(per_second * seconds)):
                    await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                    group.create_task(go(next(self._turns)))
        return load

    async def _look_around(self, load: Load, client: Connection, person: Person) -> None:
        """Sign in, list the tasks, and look at a photo."""
        answers = [await client.ask(self._login(person))]
        answers.append(await client.ask(get(f"/v1/tasks?userID={person.uid}", person.token)))
        if answers[-1].status == 200 and (tasks := json.loads(answers[-1].body)["tasks"]) and tasks[0]["photos"]:
            path = f"/v1/tasks/{tasks[0]['taskID']}/photos/{tasks[0]['photos'][0]['photoID']}"
            answers.append(await client.ask(get(path, person.token)))
        for answer in answers:
            if answer.status != 200:
                load.others[answer.status] = load.others.get(answer.status, 0) + 1

    async def _upload_at_once(self, number: int, size: int) -> int:
        """Two large photos from each of ``number`` people at the same moment; how many were accepted."""
        large = [(f"obs{n}_rgb.jpg", self._colour + bytes(size // 2 - len(self._colour))) for n in range(2)]
        forms = Forms(large)
        clients = [await Connection.to(self._system.port("gateway")) for _ in range(number)]
        try:
            requests = [
                post("/leakage/detect_leak", FORM, forms.next(person.uid), person.token)
                for person in itertools.islice(self._turns, number)
            ]
            answers = await asyncio.gather(*(c.ask(r) for c, r in zip(clients, requests, strict=True)))
        finally:
            for client in clients:
                client.close()
        return sum(answer.status == 200 for answer in answers)

    async def _until_all_done(self, seconds: float) -> None:
        query = "SELECT COUNT(*) FROM tasks_job WHERE state IN ('queued', 'processing')"
        async with _engine(self._system.sql_url) as engine, asyncio.timeout(seconds):
            while True:
                async with engine.connect() as connection:
                    if not await connection.scalar(sa.text(query)):
                        return
                await asyncio.sleep(0.25)

    async def _until_flushed(self, seconds: float) -> None:
        """Wait, so long at most, until MySQL has written what lately changed, and works for nobody but us."""
        query = "SELECT variable_value FROM performance_schema.global_status WHERE variable_name = :name"
        name = {"name": "Innodb_buffer_pool_pages_dirty"}
        end = time.perf_counter() + seconds
        async with _engine(self._system.sql_url) as engine:
            while time.perf_counter() < end:
                async with engine.connect() as connection:
                    if int(await connection.scalar(sa.text(query), name) or 0) < 100:
                        return
                await asyncio.sleep(0.5)

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
                await repeated(workers, self._scaled(2), analyse)  # warm
                return await repeated(workers, self._scaled(8), analyse)
            finally:
                await analyser.close()


MEASURES: Mapping[str, tuple[Callable[[Bench, Measure], Awaitable[None]], str]] = {
    "start-up": (Bench.start_up, "Start-up"),
    "memory": (Bench.memory, "Memory"),
    "gateway": (Bench.gateway_latency, "Gateway"),
    "login": (Bench.logins, "Sign-in"),
    "submissions": (Bench.submissions, "Submissions"),
    "polls": (Bench.polls, "Polls"),
    "pipeline": (Bench.pipeline, "Whole pipeline"),
    "latency": (Bench.latency, "Submit to done"),
    "burst": (Bench.burst, "Burst"),
    "scaling": (Bench.scaling, "Scaling"),
    "growth": (Bench.growth, "Growth"),
}

# What a job can come to that is no answer of HTTP's.
_TOO_LATE, _ENDED_AS_ERROR = 1, 2
_OTHERS = {_TOO_LATE: f"no end within {JOB_SECONDS:.0f} s", _ENDED_AS_ERROR: "an error as the job's end"}


def _polls(jobs: list[Job], prefix: str = "/leakage/detect_leak/") -> Iterator[bytes]:
    """Polls without an end, of one job after the other."""
    return itertools.cycle([get(f"{prefix}{job.id}", job.person.token) for job in jobs])


def _note_job(load: Load, outcome: tuple[int, float]) -> None:
    status, seconds = outcome
    if status == 200:
        load.latencies.append(seconds)
    else:
        load.others[status] = load.others.get(status, 0) + 1


def _rate(taken: list[Load]) -> float:
    return statistics.median(load.per_second for load in taken)


def _median(taken: list[Load], percent: float) -> float:
    return statistics.median(load.percentile(percent) for load in taken)


def _reason(error: BaseException) -> str:
    """What went wrong first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


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
async def _answering(body: bytes) -> AsyncIterator[int]:
    """The port of a bare server that answers ``body``."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "body")
        await asyncio.to_thread(file.write_bytes, body)
        async with _bare("answer", str(file)) as port:
            yield port


@asynccontextmanager
async def _bare(kind: str, *given: str) -> AsyncIterator[int]:
    """The port of a bare server, see :mod:`tests.benchmarks.bare`."""
    port = free_port()
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, at once
        [sys.executable, "-m", "tests.benchmarks.bare", kind, str(port), *given]
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
