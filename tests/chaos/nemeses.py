"""What goes wrong: each nemesis spoils one thing for a while and makes it whole again, whatever becomes of it.

A nemesis says what it did in its answer, for the table of faults; None when the moment it waited for did not come.
"""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from contracts.events import AnalysisCompleted, AnalysisStarted, ProfileUpdated, TaskSubmitted
from contracts.topology import EXCHANGE
from tests.chaos.links import Connection, Link
from tests.chaos.system import COMPILER, Host, Process, System

LENGTH_SECONDS = (4.0, 10.0)
PARTITION_SECONDS = 10.0
MOMENT_SECONDS = 15.0  # at most so long a nemesis waits for its moment
CLOCK_SECONDS = 60
SECOND_TIME = "x-second-time"

Strike: TypeAlias = Callable[[System, random.Random], Awaitable[str | None]]


@dataclass(frozen=True)
class Nemesis:
    """``strike`` injects the fault, holds it, and heals it. ``group`` is its line in the table."""

    group: str
    name: str
    strike: Strike


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _down(processes: Sequence[Process], rng: random.Random) -> None:
    """Kill processes and keep them down for a moment, now and then for longer."""
    for process in processes:
        process.wanted = False
        process.kill()
    try:
        await asyncio.sleep(rng.choice((0, 0, rng.uniform(1, 6))))
    finally:
        for process in processes:
            process.wanted = True


def killed(*names: str) -> Nemesis:
    """SIGKILL at any moment."""

    async def strike(system: System, rng: random.Random) -> str:
        await asyncio.sleep(rng.uniform(0, 1))
        await _down([system.processes[name] for name in names], rng)
        return "killed"

    return Nemesis("kill -9 of a service", f"kill {' and '.join(names)}", strike)


async def _roll(system: System, rng: random.Random) -> str:
    order = list(system.processes.values())
    rng.shuffle(order)
    for process in order:
        process.terminate()
        await process.ended()
        await system.ready(process)
    return f"{len(order)} processes, one after the other"


@dataclass(frozen=True)
class Moment:
    """When a replica of ``service`` says ``patterns`` (one after the other, on one connection) to ``target``."""

    service: str
    target: str
    patterns: tuple[str, ...]

    async def seized(
        self, system: System, act: Callable[[Process, Connection], None], *, before: bool = False
    ) -> Process | None:
        """Call ``act`` at the moment, with the replica that speaks first; None when nobody does.

        ``before``: and nobody hears the last of the patterns.
        """
        speaker: list[Process] = []
        said = asyncio.Event()
        watches = []

        def heard(process: Process, connection: Connection) -> None:
            if not speaker:
                speaker.append(process)
                act(process, connection)
                said.set()

        for process in system.replicas(self.service):
            link = system.links[f"{process.name} → {self.target}"]
            spoken = [pattern.encode() for pattern in self.patterns]
            watches.append((link, link.watch(*spoken, act=functools.partial(heard, process), before=before)))
        try:
            async with asyncio.timeout(MOMENT_SECONDS):
                await said.wait()
        except TimeoutError:
            return None
        finally:
            for link, watch in watches:
                link.forget(watch)
        return speaker[0]


SUBMISSION_COMMITTED = Moment("tasks", "mysql", ("tasks_job (", "COMMIT"))
RESULT_COMMITTED = Moment("tasks", "mysql", ("UPDATE tasks_job SET state='done'", "COMMIT"))
PROFILE_COMMITTED = Moment("auth", "mysql", ("UPDATE `UserData`", "COMMIT"))
PHOTO_WRITTEN = Moment("tasks", "mongo", ("insert\0\x0a\0\0\0fs.chunks",))  # as BSON has it
SUBMISSION_PUBLISHED = Moment("tasks", "rabbitmq", (TaskSubmitted.TYPE,))
PROFILE_PUBLISHED = Moment("auth", "rabbitmq", (ProfileUpdated.TYPE,))
ANALYSIS_STARTED = Moment("analysis", "rabbitmq", (AnalysisStarted.TYPE,))
OUTCOME_PUBLISHED = Moment("analysis", "rabbitmq", (AnalysisCompleted.TYPE,))
PICTURE_SENT = Moment("analysis", "tasks", ("PUT /internal",))
UPLOAD_FORWARDED = Moment("gateway", "tasks", ("POST /detect_leak",))
PROFILE_FORWARDED = Moment("gateway", "auth", ("POST /update_profile",))


def killed_at(name: str, moment: Moment, *, before: bool = False, later: float = 0, unnoticed: bool = False) -> Nemesis:
    """SIGKILL whoever speaks, at that moment or up to ``later`` seconds after it.

    ``unnoticed``: the other end is not told, as when a machine loses its power.
    """

    async def strike(system: System, rng: random.Random) -> str | None:
        def act(process: Process, connection: Connection) -> None:
            if unnoticed:
                connection.keep_server()
            if later:
                asyncio.get_running_loop().call_later(rng.uniform(0, later), process.kill)
            else:
                process.kill()

        victim = await moment.seized(system, act, before=before)
        await asyncio.sleep(later)
        return f"{victim.name} killed" if victim else None

    return Nemesis("kill -9 at a chosen moment", name, strike)


async def _tasks_in_half_an_upload(system: System, rng: random.Random) -> str | None:
    """Kill the replica of tasks that is being sent a photo."""
    victims: list[Process] = []

    def act(_: Process, connection: Connection) -> None:
        victims.extend(process for process in system.replicas("tasks") if process.address == connection.target)
        for victim in victims:
            victim.kill()

    await Moment("gateway", "tasks", ('name="media0"',)).seized(system, act, before=True)
    return f"{victims[0].name} killed" if victims else None


MOMENTS = (
    killed_at("tasks before the commit of a submission", SUBMISSION_COMMITTED, before=True),
    killed_at("tasks after the commit of a submission", SUBMISSION_COMMITTED),
    killed_at("tasks in a transaction, MySQL not told", RESULT_COMMITTED, before=True, unnoticed=True),
    killed_at("tasks between commit and publish", SUBMISSION_PUBLISHED, before=True),
    killed_at("tasks between publish and the row's deletion", SUBMISSION_PUBLISHED),
    killed_at("tasks in the middle of a photo", PHOTO_WRITTEN, before=True),
    killed_at("tasks between a result's commit and its ack", RESULT_COMMITTED),
    killed_at("tasks before a result's commit", RESULT_COMMITTED, before=True),
    killed_at("analysis in the middle of an analysis", ANALYSIS_STARTED, later=0.3),
    killed_at("analysis after storing the report's picture", PICTURE_SENT),
    killed_at("analysis before it publishes the outcome", OUTCOME_PUBLISHED, before=True),
    killed_at("analysis between the outcome and the ack", OUTCOME_PUBLISHED),
    killed_at("auth after the commit of a profile", PROFILE_COMMITTED),
    killed_at("auth between commit and publish", PROFILE_PUBLISHED, before=True),
    killed_at("gateway in the middle of an upload", UPLOAD_FORWARDED),
    Nemesis("kill -9 at a chosen moment", "tasks in the middle of an upload", _tasks_in_half_an_upload),
)


# ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def server_ended(name: str, *, kill: bool) -> Nemesis:
    """Stop a server with SIGKILL or in good order, leave it down for a while, and start it on the same data."""

    async def strike(system: System, rng: random.Random) -> str:
        host = system.hosts[name]
        async with host.lock:
            await asyncio.to_thread(host.stop, kill=kill)
            try:
                await asyncio.sleep(rng.uniform(0, 8))
            finally:
                await asyncio.shield(asyncio.to_thread(host.run))
        return "killed" if kill else "restarted"

    word = "kill -9 of" if kill else "restart of"
    return Nemesis(f"{word} a server", f"{'kill' if kill else 'restart'} {name}", strike)


async def _step_down(system: System, rng: random.Random) -> str:
    seconds = rng.randint(3, 10)
    async with system.hosts["mongo"].lock:
        await asyncio.to_thread(system.mongo.step_down, seconds)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(system.mongo.wait)
    return f"no primary for {seconds} s"


def disk_full(name: str) -> Nemesis:
    """Fill the volume of a server; one that ends of it is started again, as the container engine does it."""

    async def strike(system: System, rng: random.Random) -> str:
        host: Host = system.hosts[name]
        async with host.lock:
            try:
                await asyncio.to_thread(host.fill_disk)
                await asyncio.sleep(rng.uniform(*LENGTH_SECONDS))
            finally:
                await asyncio.shield(asyncio.to_thread(host.free_disk))
                ended = await asyncio.shield(asyncio.to_thread(_revive, host))
                if name == "mysql":  # it looks for room once a minute
                    await asyncio.shield(asyncio.to_thread(system.write_sql))
        return "it ended, and was started again" if ended else "it went on"

    return Nemesis("full disk of a server", f"no byte free for {name}", strike)


def _revive(host: Host) -> bool:
    host.server.wrapped.reload()
    ended: bool = host.server.wrapped.status != "running"
    host.run()
    return ended


async def _disk_alarm(system: System, rng: random.Random) -> str:
    async with system.hosts["rabbitmq"].lock:

        def limit(value: str) -> None:
            code, output = system.rabbitmq.wrapped.exec_run(["rabbitmqctl", "set_disk_free_limit", value])
            if code != 0:
                raise RuntimeError(f"rabbitmqctl: {output!r}")

        try:
            await asyncio.to_thread(limit, "1000GB")
            await asyncio.sleep(rng.uniform(*LENGTH_SECONDS))
        finally:
            await asyncio.shield(asyncio.to_thread(limit, "50MB"))
    return "publishers were blocked"


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def _spoilt(links: Sequence[Link], spoil: Callable[[Link], None]) -> AsyncIterator[None]:
    for link in links:
        spoil(link)
    try:
        yield
    finally:
        for link in links:
            link.heal()


def _on_some_link(group: str, name: str, spoil: Callable[[Link], None], seconds: float | None = None) -> Nemesis:
    async def strike(system: System, rng: random.Random) -> str:
        link = rng.choice(list(system.links.values()))
        async with _spoilt([link], spoil):
            await asyncio.sleep(seconds or rng.uniform(*LENGTH_SECONDS))
        return link.name

    return Nemesis(group, name, strike)


def partitioned(process: str, spoil: Callable[[Link], None], name: str) -> Nemesis:
    """All links of a process at once."""

    async def strike(system: System, rng: random.Random) -> str:
        async with _spoilt(system.links_of(process), spoil):
            await asyncio.sleep(PARTITION_SECONDS)
        return f"{len(system.links_of(process))} links"

    return Nemesis("partition of a service, 10 s", f"{process} {name}", strike)


def link_cut(link: str) -> Nemesis:
    """10 s without one link: its connections are reset and new ones too, or it swallows every byte."""

    async def strike(system: System, rng: random.Random) -> str:
        how, spoil = rng.choice((("reset", Link.cut), ("silent", Link.silence)))
        async with _spoilt([system.links[link]], spoil):
            await asyncio.sleep(PARTITION_SECONDS)
        return how

    return Nemesis("partition of a link, 10 s", link, strike)


def answer_lost(what: str, moment: Moment, times: int = 3) -> Nemesis:
    """What was asked is done, and the asker hears nothing: silence until its own time limit, or a reset."""

    async def strike(system: System, rng: random.Random) -> str | None:
        lost = 0
        for _ in range(times):
            lose = rng.choice((Connection.lose_answers, _lose_and_cut))
            lost += await moment.seized(system, functools.partial(_on_connection, lose)) is not None
        return f"{lost} answers" if lost else None

    return Nemesis("done, but the caller saw a timeout", f"{what}, asked by {moment.service}", strike)


def _on_connection(lose: Callable[[Connection], None], _: Process, connection: Connection) -> None:
    lose(connection)


def _lose_and_cut(connection: Connection) -> None:
    connection.lose_answers()
    asyncio.get_running_loop().call_later(1, connection.cut)


LINKS = (
    "phones → gateway",
    "gateway → auth",
    "gateway → tasks",
    "auth → mysql",
    "auth → rabbitmq",
    *(f"tasks-{n} → {server}" for n in (1, 2) for server in ("mysql", "mongo", "rabbitmq", "auth")),
    *(f"analysis-{n} → {other}" for n in (1, 2) for other in ("rabbitmq", "tasks")),
)


# ── messages and clocks ──────────────────────────────────────────────────────────────────────────────────────────────


async def _everything_twice(system: System, rng: random.Random) -> str:
    """Publish every event a second time, later and in another order."""
    repeated = 0
    connection = await aio_pika.connect(system.rabbitmq.url, timeout=5)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EXCHANGE, routing_key="#")
        held: list[AbstractIncomingMessage] = []

        def hold(message: AbstractIncomingMessage) -> None:
            if SECOND_TIME not in message.headers:
                held.append(message)

        async def on_message(message: AbstractIncomingMessage) -> None:
            hold(message)

        await queue.consume(on_message, no_ack=True)
        for _ in range(8):
            await asyncio.sleep(rng.uniform(0.5, 2))
            rng.shuffle(held)
            for message in held:
                again = aio_pika.Message(
                    message.body,
                    message_id=message.message_id,
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    headers={SECOND_TIME: 1},
                )
                await exchange.publish(again, message.routing_key or "", timeout=10)
            repeated += len(held)
            held.clear()
    return f"{repeated} events"


async def _clock_jump(system: System, rng: random.Random) -> str:
    process = rng.choice(list(system.processes.values()))
    seconds = rng.choice((-CLOCK_SECONDS, CLOCK_SECONDS))
    process.jump(seconds)
    try:
        await asyncio.sleep(rng.uniform(*LENGTH_SECONDS))
    finally:
        process.jump(0)
    return f"{process.name} {seconds:+d} s"


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────────

NEMESES: tuple[Nemesis, ...] = (
    *map(killed, ("gateway", "auth", "tasks-1", "tasks-2", "analysis-1", "analysis-2")),
    killed("tasks-1", "tasks-2"),
    killed("analysis-1", "analysis-2"),
    Nemesis("rolling restart", "SIGTERM, one after the other", _roll),
    *MOMENTS,
    *(server_ended(name, kill=kill) for name in ("mysql", "mongo", "rabbitmq") for kill in (True, False)),
    Nemesis("step-down of MongoDB", "step-down", _step_down),
    *map(disk_full, ("mysql", "mongo")),
    Nemesis("full disk of a server", "disk alarm of rabbitmq", _disk_alarm),
    *map(link_cut, LINKS),
    *(
        partitioned(process, spoil, name)
        for process in ("tasks-1", "analysis-1", "auth")
        for name, spoil in (("reset", Link.cut), ("silent", Link.silence))
    ),
    _on_some_link("slow link", "1 to 5 s late", functools.partial(Link.delay, least=1, most=5)),
    _on_some_link("slow link", "2 kB/s", functools.partial(Link.throttle, rate=2000)),
    _on_some_link("half-open connections", "half-open", Link.half_open),
    answer_lost("the commit of a submission", SUBMISSION_COMMITTED),
    answer_lost("the commit of a result", RESULT_COMMITTED),
    answer_lost("the commit of a profile", PROFILE_COMMITTED),
    answer_lost("a part of a photo", PHOTO_WRITTEN),
    answer_lost("the publication of a submission", SUBMISSION_PUBLISHED),
    answer_lost("the publication of an outcome", OUTCOME_PUBLISHED),
    answer_lost("the publication of a profile", PROFILE_PUBLISHED),
    answer_lost("a report's picture", PICTURE_SENT),
    answer_lost("a submission", UPLOAD_FORWARDED),
    answer_lost("a profile", PROFILE_FORWARDED),
    Nemesis("every event twice and shuffled", "every event twice", _everything_twice),
    *([Nemesis("clock jump of a minute", "clock jump", _clock_jump)] if COMPILER else []),
)
