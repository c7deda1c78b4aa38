"""The judge: compares what phones were told with what the databases hold, once all is healed and has had its time.

The rules, each the name of a :class:`Violation`:

- ``lost``: a submission was answered 200 and its job is not there, its task shows an older one, or the job was ended
  as replaced by a submission that nobody made.
- ``two ends``: a job was seen to end in two ways, to go on after its end, or stands otherwise than it was seen.
- ``stuck``: a job has no end although all has been whole for long enough, or a service did not come back.
- ``wrong owner``: a task or job belongs to somebody else than its submitter, or a stranger was let in.
- ``wrong report``: a report is of another task, or shows a photo that was not submitted with it.
- ``no image``: a job is done without an image although photos were submitted.
- ``photo lost``: a photo of a task's present submission is not in the store byte by byte, or a job ended because its
  photos were gone.
- ``orphan``: bytes in the photo store that no row refers to, older than the grace period.
- ``outbox``: an event still waits to be published.
- ``dead letter``: one that tells of something that nobody was told: its job has not ended, or its profile is not known.
- ``profile lost``: a profile is neither the last acknowledged one nor one whose request was left unanswered, or tasks
  knows another than auth.
- ``wrong answer``: a correct request was refused for good, or answered as if our own code had failed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from services.analysis.submissions import LOST
from services.tasks.jobs import REPLACED
from tests.chaos.history import Event, of_task, of_user
from tests.chaos.stores import Row, Stores

KINDS = (
    "lost",
    "two ends",
    "stuck",
    "wrong owner",
    "wrong report",
    "no image",
    "photo lost",
    "orphan",
    "outbox",
    "dead letter",
    "profile lost",
    "wrong answer",
)
ENDS = ("done", "error")
# What a correct request may be answered with while parts of the system are away.
FORGIVABLE = frozenset({408, 429, 502, 503, 504})
REFUSALS = frozenset({403, 404})  # to those who pry


@dataclass(frozen=True)
class Violation:
    """A broken promise, and all that the phones know about it."""

    kind: str
    about: str
    told: str
    history: tuple[Event, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Acknowledged:
    """A submission that was answered 200."""

    job: str
    task: str
    user: str
    photos: tuple[tuple[str, str, str], ...]  # name, SHA-256 of the bytes and of the picture
    op: int


def check(events: list[Event], stores: Stores, *, grace_seconds: float, constant_image: bool) -> list[Violation]:
    """All violations. ``constant_image``: the report's image is the first colour photo, as the mock's is."""
    return list(_Check(events, stores, grace_seconds, constant_image).run())


class _Check:
    def __init__(self, events: list[Event], stores: Stores, grace_seconds: float, constant_image: bool) -> None:
        self._events = events
        self._stores = stores
        self._grace_seconds = grace_seconds
        self._constant_image = constant_image
        self._acknowledged = [
            Acknowledged(
                event["job"],
                event["task"],
                event["user"],
                tuple((name, digest, picture) for name, digest, picture in event["photos"]),
                event["op"],
            )
            for event in events
            if event["kind"] == "submit" and event.get("status") == 200
        ]
        self._polls: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event["kind"] == "poll" and event["phase"] == "answer":
                self._polls[event["job"]].append(event)

    def run(self) -> Iterator[Violation]:
        rules: tuple[Callable[[], Iterable[Violation]], ...] = (
            self._jobs,
            self._newest,
            self._ends,
            self._reports,
            self._stored_photos,
            self._orphans,
            self._outbox,
            self._dead_letters,
            self._profiles,
            self._answers,
        )
        for rule in rules:
            yield from rule()

    def _of_task(self, kind: str, task: str, told: str) -> Violation:
        return Violation(kind, task, told, tuple(of_task(self._events, task)))

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _jobs(self) -> Iterator[Violation]:
        for taken in self._acknowledged:
            job = self._stores.jobs.get(taken.job)
            if job is None:
                yield self._of_task("lost", taken.task, f"job {taken.job} is not in the database")
                continue
            task = self._stores.tasks.get(taken.task)
            if job["userID"] != taken.user or (task is not None and task["userID"] != taken.user):
                yield self._of_task("wrong owner", taken.task, f"{taken.job} is not {taken.user}'s")
            if job["state"] not in ENDS:
                # A job that waits for another one of its person has to come to its end all the same.
                waits = f", waiting for its turn since {job['waitingSince']}" if job.get("waitingSince") else ""
                yield self._of_task("stuck", taken.task, f"job {taken.job} is still {job['state']}{waits}")
            if job["error"] == REPLACED and not self._others(taken):
                yield self._of_task("lost", taken.task, f"{taken.job} was replaced, but nobody submitted again")
            if job["error"] == LOST:
                yield self._of_task("photo lost", taken.task, f"{taken.job} ended because its photos were gone")

    def _others(self, taken: Acknowledged) -> bool:
        """Whether there was another submission of the task, answered or not."""
        return any(
            event["kind"] == "submit" and event["phase"] == "ask" and event["op"] != taken.op
            for event in of_task(self._events, taken.task)
        )

    def _newest(self) -> Iterator[Violation]:
        last = {taken.task: taken for taken in self._acknowledged}
        jobs_of_task: dict[str, set[str]] = defaultdict(set)
        for taken in self._acknowledged:
            jobs_of_task[taken.task].add(taken.job)
        for task_id, taken in last.items():
            task = self._stores.tasks.get(task_id)
            if task is None:
                yield self._of_task("lost", task_id, "the task is not in the database")
            elif task["jobID"] != taken.job and task["jobID"] in jobs_of_task[task_id]:
                yield self._of_task("lost", task_id, f"the task shows {task['jobID']}, not the newer {taken.job}")

    def _ends(self) -> Iterator[Violation]:
        for job_id, polls in self._polls.items():
            task_id = polls[0]["task"]
            end: Event | None = None
            for poll in polls:
                if poll["status"] == 404:
                    yield self._of_task("lost", task_id, f"job {job_id} was not found at {poll['t']} s")
                if poll["status"] != 200:
                    continue
                if end is not None and _outcome(poll) != _outcome(end):
                    told = f"{job_id} was {_outcome(end)} at {end['t']} s and {_outcome(poll)} at {poll['t']} s"
                    yield self._of_task("two ends", task_id, told)
                    break
                end = poll if poll["state"] in ENDS else end
            job = self._stores.jobs.get(job_id)
            if end is not None and job is not None and job["state"] != end["state"]:
                yield self._of_task("two ends", task_id, f"{job_id} was seen {end['state']} and is {job['state']}")

    def _reports(self) -> Iterator[Violation]:
        for taken in self._acknowledged:
            done = [poll for poll in self._polls[taken.job] if poll.get("state") == "done"]
            if not done:
                continue
            poll = done[-1]
            if poll["report_task"] != taken.task:
                yield self._of_task("wrong report", taken.task, f"{taken.job} shows a report of {poll['report_task']}")
            if taken.photos and poll["image"] is None:
                yield self._of_task("no image", taken.task, f"{taken.job} is done without an image")
            elif self._constant_image and taken.photos and poll["image"] != _first_colour(taken.photos):
                yield self._of_task("wrong report", taken.task, f"{taken.job} shows a photo of something else")

    # ── photos ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _stored_photos(self) -> Iterator[Violation]:
        stored: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
        for photo_id, photo in self._stores.photos.items():
            file = self._stores.files.get(photo_id)
            if photo["droppedAt"] is None:
                stored[photo["jobID"]].add((photo["name"], file.sha256 if file else None))
        for taken in self._acknowledged:
            task = self._stores.tasks.get(taken.task)
            if task is None or task["jobID"] != taken.job:
                continue  # its photos may be gone: a newer submission replaced it
            missing = {(name, digest) for name, digest, _ in taken.photos} - stored[taken.job]
            if missing:
                names = ", ".join(sorted(name for name, _ in missing))
                yield self._of_task("photo lost", taken.task, f"of {taken.job}, as it was sent: {names}")

    def _orphans(self) -> Iterator[Violation]:
        for photo_id, file in self._stores.files.items():
            if photo_id not in self._stores.photos and file.age_seconds > self._grace_seconds:
                yield Violation("orphan", photo_id, f"{file.age_seconds:.0f} s old, and nothing refers to it")

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _outbox(self) -> Iterator[Violation]:
        for row in self._stores.outbox:
            yield Violation("outbox", f"{row['table']} {row['id']}", f"{row['type']} about {row['subject']} waits")

    def _dead_letters(self) -> Iterator[Violation]:
        for letter in self._stores.dead_letters:
            if not self._is_explained(letter):
                told = f"{letter['type']} about {letter['subject']}: {letter['reason']}"
                yield Violation("dead letter", letter["queue"], told)

    def _is_explained(self, letter: Row) -> bool:
        if letter["subject"] in self._stores.jobs:
            return self._stores.jobs[letter["subject"]]["state"] in ENDS
        return letter["subject"] in self._stores.users and _is_known_to_tasks(self._stores, letter["subject"])

    # ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _profiles(self) -> Iterator[Violation]:
        for user, row in self._stores.users.items():
            writes = of_user(self._events, user, "profile")
            acknowledged = [event["zip"] for event in writes if event.get("status") == 200]
            open_ended = [
                event["zip"]
                for event in writes
                if event["phase"] == "unknown" or (event["phase"] == "answer" and event["status"] >= 500)
            ]
            allowed: list[Any] = [*open_ended, *(acknowledged[-1:] or [None])]
            if row["zipCode"] not in allowed:
                yield Violation("profile lost", user, f"shows {row['zipCode']}, not {acknowledged[-1:]}", tuple(writes))
            if not _is_known_to_tasks(self._stores, user):
                yield Violation("profile lost", user, "tasks does not know what auth knows", tuple(writes))
        for event in self._events:
            if event["kind"] == "login" and event.get("status") == 200 and event["user"] not in self._stores.users:
                yield Violation("profile lost", event["user"], "signed in, but there is no account", (event,))

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _answers(self) -> Iterator[Violation]:
        for event in self._events:
            if event["phase"] != "answer" or event["status"] in FORGIVABLE:
                continue
            if event["kind"] == "pry":
                if event["status"] not in REFUSALS:
                    kind = "wrong owner" if event["status"] == 200 else "wrong answer"
                    yield Violation(kind, event["pried"], f"a stranger was answered {event['status']}", (event,))
            elif event["status"] != 200 and not (event["kind"] == "poll" and event["status"] == 404):
                told = f"{event['kind']} was answered {event['status']}: {event.get('detail', event.get('body'))}"
                yield Violation("wrong answer", event["user"], told, (event,))


def settled(stores: Stores) -> bool:
    """Whether every event has gone its way, as far as the databases tell."""
    return not stores.outbox and all(_is_known_to_tasks(stores, user) for user in stores.users)


def _is_known_to_tasks(stores: Stores, user: str) -> bool:
    row, known = stores.users[user], stores.households.get(user)
    if known is None:
        return row["zipCode"] is None  # nothing was ever written
    return bool(known["version"] == row["profileVersion"] and known["household"]["zip_code"] == row["zipCode"])


def _outcome(poll: Event) -> tuple[Any, ...]:
    return tuple(poll.get(name) for name in ("state", "reason", "report", "image") if poll.get(name) is not None)


def _first_colour(photos: tuple[tuple[str, str, str], ...]) -> str:
    return min(photos, key=lambda photo: "rgb" not in photo[0])[2]  # the first of several


def counted(violations: Iterable[Violation]) -> dict[str, int]:
    """How many of each kind, none left out."""
    counts = Counter(violation.kind for violation in violations)
    return {kind: counts[kind] for kind in KINDS}


def shortest(violations: list[Violation]) -> Violation | None:
    """The violation with the shortest history that is not empty; any, when all are."""
    return min(violations, key=lambda violation: len(violation.history) or 1 << 30, default=None)
