"""The course of a run: phones at work, one nemesis after another, then several at once, then everything is made whole.

After each nemesis a probe tells how long the system takes to serve again: the time until a submission, made after the
fault was healed, has its report.
"""

# ruff: noqa: S311 - chance must follow from the seed

import asyncio
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aio_pika.exceptions import AMQPError
from docker.errors import DockerException
from pymongo.errors import PyMongoError

from services.chassis.database import Database
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from services.chassis.outbox import Outbox
from services.tasks.erasure import Erasures
from services.tasks.models import outbox as outbox_table
from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.report_pictures import ReportPictures
from services.tasks.settings import TasksSettings
from services.tasks.store import TaskStore
from services.tasks.sweeper import ORPHANS_EVERY_SECONDS, Sweeper
from tests.chaos.checker import ENDS, Violation, check, settled
from tests.chaos.history import Event, History
from tests.chaos.nemeses import CLOCK_SECONDS, NEMESES, Nemesis
from tests.chaos.stores import Stores, read_stores
from tests.chaos.system import System
from tests.chaos.workload import REQUEST_SECONDS, Camera, Phone

HEALED_SECONDS = 60.0  # within which everything must have come to an end
MIXED_SHARE = 0.35  # of the time, at the end, several nemeses strike at once
WARM_UP_SECONDS = 3.0
QUIET_SECONDS = (0.5, 2.0)
PROBE_SECONDS = 10.0
AT_ONCE = 10
SWEEP_SECONDS = 60.0  # for the sweeper's round
GRACE_SECONDS = 30.0
UNABLE = (AMQPError, PyMongoError, DockerException, OSError, RuntimeError)


@dataclass(frozen=True)
class Fault:
    """A nemesis that struck, for the report."""

    group: str
    name: str
    did: str | None  # None: its moment did not come
    at: float
    seconds: float
    recovered: float | None  # seconds after healing; None: not measured
    together: bool


@dataclass
class Course:
    """What happened, as far as it is not in the history."""

    seed: int
    faults: list[Fault] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    judged: bool = False  # otherwise it was cut short, and nobody knows
    seconds: float = 0.0
    drained: float | None = None  # seconds after the last healing until the last job had its end
    ended_by_themselves: dict[str, int] = field(default_factory=dict)


class Run:
    """One run on one system."""

    def __init__(self, system: System, history: History, seed: int, phones: int, camera: Camera) -> None:
        self.system = system
        self.history = history
        self.course = Course(seed)
        self._rng = random.Random(seed)
        self._grace_seconds = system.pace.grace_seconds + ORPHANS_EVERY_SECONDS + SWEEP_SECONDS
        self._phones = [self._phone(number, camera) for number in range(phones)]
        for phone in self._phones:
            phone.neighbours = self._phones
        self._probe = self._phone(phones, camera)
        self._probe.request_seconds = PROBE_SECONDS

    def _phone(self, number: int, camera: Camera) -> Phone:
        rng = random.Random(self._rng.random())
        return Phone(number, self.system.url, self.system.issuer, self.history, rng, camera)

    async def go(self, seconds: float, nemeses: Sequence[Nemesis] = NEMESES) -> None:
        """Let ``nemeses`` strike for ``seconds``, then heal, and wait until every job has ended."""
        started = time.monotonic()
        users = [asyncio.create_task(phone.use()) for phone in self._phones]
        try:
            await asyncio.sleep(WARM_UP_SECONDS)
            drawn = self._drawn(nemeses)
            await self._one_by_one(drawn, started + seconds * (1 - MIXED_SHARE))
            await self._mixed(drawn, started + seconds)
            self.system.heal()
            await self._recovered()
            await asyncio.sleep(WARM_UP_SECONDS)
        finally:
            for user in users:
                user.cancel()
            ends = await asyncio.gather(*users, return_exceptions=True)
        if broken := [end for end in ends if not isinstance(end, asyncio.CancelledError)]:
            raise RuntimeError("a phone broke") from broken[0]
        await self._drain()
        self.course.seconds = time.monotonic() - started
        self.course.ended_by_themselves = {
            process.name: process.ended_by_itself for process in self.system.processes.values()
        }

    def _drawn(self, nemeses: Sequence[Nemesis]) -> Iterator[Nemesis]:
        """One of each group in any order, then again; none twice before all of its group had their turn."""
        groups: dict[str, list[Nemesis]] = defaultdict(list)
        for nemesis in nemeses:
            groups[nemesis.group].append(nemesis)
        left: dict[str, list[Nemesis]] = defaultdict(list)
        while True:
            for group in self._rng.sample(sorted(groups), len(groups)):
                if not left[group]:
                    left[group] = self._rng.sample(groups[group], len(groups[group]))
                yield left[group].pop()

    async def _one_by_one(self, drawn: Iterator[Nemesis], end: float) -> None:
        while time.monotonic() < end:
            await self._strike(next(drawn), together=False)
            await asyncio.sleep(self._rng.uniform(*QUIET_SECONDS))

    async def _mixed(self, drawn: Iterator[Nemesis], end: float) -> None:
        while time.monotonic() < end:
            chosen = [next(drawn) for _ in range(self._rng.choice((2, 2, 3)))]
            await asyncio.gather(*(self._strike(nemesis, together=True) for nemesis in chosen))
            await self._recovered()

    async def _strike(self, nemesis: Nemesis, *, together: bool) -> None:
        at = time.monotonic()
        rng = random.Random(self._rng.random())
        self.history.write("begin", "fault", name=nemesis.name)
        try:
            did = await nemesis.strike(self.system, rng)
        except UNABLE as error:  # when several strike at once, one may take away what another needs
            did = None
            self.history.write("end", "fault", name=nemesis.name, error=type(error).__name__)
        seconds = time.monotonic() - at
        self.history.write("end", "fault", name=nemesis.name, did=did)
        recovered = None if together else await self._recovered()
        self.course.faults.append(
            Fault(nemesis.group, nemesis.name, did, round(at, 1), round(seconds, 1), recovered, together)
        )

    async def _recovered(self) -> float | None:
        """Seconds until a submission that is made now, or again, has its report."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(HEALED_SECONDS):
                while not await self._served():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            told = f"no submission came to its report within {HEALED_SECONDS:.0f} s after healing"
            recent = tuple(event for event in self.history.events[-60:] if event.get("user") == self._probe.uid)
            self.course.violations.append(Violation("stuck", "the system", told, recent))
            return None
        return round(time.monotonic() - started, 2)

    async def _served(self) -> bool:
        probe = self._probe
        if not await probe.sign_in():
            return False
        task = f"probe-{self.history.next_op()}"
        job = await probe.submit(task, probe.camera.pair())
        if job is None:
            return False
        end = time.monotonic() + PROBE_SECONDS
        while time.monotonic() < end:
            if (await probe.poll(task, job)).get("state") == "done":
                return True
            await asyncio.sleep(0.1)
        return False

    async def _drain(self) -> None:
        """Poll every acknowledged job until it has ended, and all of them once more."""
        started = time.monotonic()
        for phone in (*self._phones, self._probe):
            phone.request_seconds = REQUEST_SECONDS
            await phone.sign_in()
        waiting = self._taken()
        while waiting and time.monotonic() - started < HEALED_SECONDS:
            said = await self._poll(waiting)
            waiting = [event for event, answer in zip(waiting, said, strict=True) if answer.get("state") not in ENDS]
            await asyncio.sleep(0.2 if waiting else 0)
        self.course.drained = None if waiting else round(time.monotonic() - started, 1)
        await self.poll_all()

    def _taken(self) -> list[Event]:
        """The submissions that were answered 200."""
        return [e for e in self.history.events if e["kind"] == "submit" and e.get("status") == 200]

    def acknowledged(self) -> set[str]:
        """The jobs that phones were told of."""
        return {event["job"] for event in self._taken()}

    async def _poll(self, taken: list[Event]) -> list[Event]:
        phones = {phone.uid: phone for phone in (*self._phones, self._probe)}
        gate = asyncio.Semaphore(AT_ONCE)

        async def poll(event: Event) -> Event:
            async with gate:
                return await phones[event["user"]].poll(event["task"], event["job"])

        return await asyncio.gather(*map(poll, taken))

    async def poll_all(self) -> None:
        """Ask once for every job that was acknowledged."""
        await self._poll(self._taken())

    async def judge(self, *, constant_image: bool, patient: bool = True) -> list[Violation]:
        """What the checker finds, added to what the course has seen; ``patient`` as in :meth:`stores`."""
        grace = self._grace_seconds
        found = check(
            self.history.events, await self.stores(patient=patient), grace_seconds=grace, constant_image=constant_image
        )
        self.course.violations += found
        self.course.judged = True
        return found

    async def stores(self, *, patient: bool = True) -> Stores:
        """What the stores hold; ``patient``: once events have gone their way, or after HEALED_SECONDS."""
        end = time.monotonic() + HEALED_SECONDS
        while True:
            stores = await read_stores(self.system)
            if not patient or settled(stores) or time.monotonic() > end:
                return stores
            await asyncio.sleep(1)

    async def sweep(self) -> None:
        """Search for orphans as tasks does each ten minutes, with a shorter grace period than the settings allow.

        Nobody uploads any more, so that nothing young needs it but what a clock dated into the future.
        """
        await asyncio.sleep(CLOCK_SECONDS + GRACE_SECONDS)
        metrics = Metrics()
        database = Database(self.system.sql_url)
        photos = GridFSPhotos(self.system.mongo_url)
        broker = RabbitBroker(self.system.rabbitmq.url, metrics, "chaos")
        settings = TasksSettings.model_construct(photo_grace_seconds=GRACE_SECONDS)
        outbox = Outbox(outbox_table)
        try:
            erasures = Erasures(database, outbox, secrets.token_hex())
            store = TaskStore(database, outbox, erasures)
            pictures = ReportPictures(database)
            await Sweeper(store, erasures, outbox, photos, pictures, broker, settings, metrics).sweep_orphans()
        finally:
            await photos.close()
            await database.close()
        self._grace_seconds = GRACE_SECONDS


def new_history(folder: Path) -> History:
    """The history of a run, kept in ``folder``."""
    return History(folder / "history.jsonl")
