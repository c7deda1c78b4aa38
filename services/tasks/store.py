"""Tasks, jobs and households in the database. Each change is one transaction, its events included.

Locks are always taken in the order task, job, so that a submission and a result that meet do not deadlock; MySQL may
still choose a victim (gap locks of two first submissions), and a victim is tried again.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import AnalysisCompleted, Household, Photo, PhotoKind, ProfileUpdated, TaskSubmitted
from contracts.internal import NewestHousehold
from services.chassis.correlation import correlated, traceparent
from services.chassis.database import Database, UtcDateTime, microseconds, now
from services.chassis.outbox import Leased, Outbox
from services.chassis.problems import RETRY_AFTER_SECONDS, Problem, unavailable
from services.tasks.announcing import (
    ANNOUNCED_JOBS,
    INPUT_KINDS,
    IS_ANNOUNCED,
    WAITED_UNTIL,
    Turns,
    announcement,
    forgotten_people,
    is_overdue,
    lock_person,
)
from services.tasks.erasure import DELETED, Erasures
from services.tasks.idempotency import KEY_SECONDS, OTHER_BODY, REPEAT_SECONDS, fingerprint, of_analysis
from services.tasks.jobs import OVERDUE, REPLACED, UNFINISHED, JobState
from services.tasks.models import households, idempotency_keys, jobs, leakage_tasks, people, photos, suggestions
from services.tasks.quota import Change, Quota, add_bytes
from services.tasks.races import again_when_lost
from services.tasks.report_pictures import claim
from services.tasks.statements import (
    COMPLETE,
    FAIL,
    FOLLOWED,
    JOB,
    JOB_PERSON,
    JOB_PHOTO,
    KNOWN,
    LOCK_TASK,
    NEW_JOB,
    NEW_PHOTOS,
    NEW_SUGGESTIONS,
    NEW_TASK,
    NEW_WAITING_JOB,
    SHOW_REPORT,
    STANDING,
    START,
)
from services.tasks.submissions import Submission
from services.tasks.uploads import UploadedPhoto

log = structlog.get_logger(__name__)

Row = Mapping[str, Any]

FOREIGN = "This task belongs to another account. Please sign in with the account that made it."
TOO_MANY_JOBS = "{} of your submissions wait for their analysis. Please submit more when some of them have ended."
TOO_MANY_WAIT = "Too many submissions wait for their analysis. Please try again in a few seconds."

TEXT_LENGTH = 255
EXPORTED_AT_ONCE = 20  # tasks
OVERDUE_AT_ONCE = 200  # jobs
_SUGGESTION_TEXTS = ("title", "subtitle", "difficulty", "costRange", "estimatedReduction", "lifetime")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait. Requests at the same moment may pass the bounds by their number."""

    jobs_of_a_person: int = 100
    outbox_rows: int = 10_000
    quota: Quota = field(default_factory=Quota)
    announced_jobs: int = ANNOUNCED_JOBS


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a person may submit now: jobs that have not ended, up to the bound."""

    unfinished: int = 0
    is_repetition: bool = False  # it adds nothing to the jobs
    signed_out_until: int | None = None
    stored_bytes: int = 0  # of photos, replaced ones included, as far as they are counted


@dataclass(frozen=True, slots=True)
class _Replaced:
    """What a submission takes the place of."""

    unfinished_jobs: int = 0
    photo_bytes: int = 0
    job_in_analysis: str | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many jobs have not ended, how many of them wait for their turn, and the age of the oldest other one."""

    jobs: int
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture of a report, already in the photo store."""

    photo_id: str
    kind: str  # report, thumbnail
    name: str


class TaskStore:
    """Reads and writes what tasks owns. User ids are ids of accounts; :mod:`services.tasks.accounts` finds them."""

    def __init__(self, database: Database, waiting: Outbox, erasures: Erasures, bounds: Bounds | None = None) -> None:
        self._database = database
        self._outbox = waiting
        self._erasures = erasures
        self._bounds = bounds or Bounds()
        self._turns = Turns(waiting, self._bounds.announced_jobs)

    # ── submissions ──────────────────────────────────────────────────────────────────────────────────────────────

    async def standing(
        self, user_ids: Collection[str], key: str | None, signed_out: Mapping[str, Sequence[str]]
    ) -> Standing:
        """How a person stands who is about to submit.

        ``user_ids`` are all the names of the person, ``signed_out`` the same for :func:`last_sign_out`.
        """
        given = {"submitters": list(user_ids), "bound": self._bounds.jobs_of_a_person, "key": key or "", **signed_out}
        async with self._database.read() as connection:
            row = (await connection.execute(STANDING, given)).one()
        return Standing(row.unfinished, bool(row.isRepetition), row.signedOutUntil, int(row.storedBytes))

    def admit(self, standing: Standing, declared_bytes: int = 0) -> None:
        """Raise :class:`Problem` 503, 429 or 413 when a submission cannot be taken now, before its body is read."""
        if self._outbox.backlog.rows >= self._bounds.outbox_rows:
            raise unavailable(TOO_MANY_WAIT)
        if not standing.is_repetition:
            self._bound_jobs(standing.unfinished)
            self._bounds.quota.raise_if_hopeless(standing.stored_bytes, declared_bytes)

    def _bound_jobs(self, unfinished: int) -> None:
        bound = self._bounds.jobs_of_a_person
        if unfinished >= bound:
            raise Problem(429, TOO_MANY_JOBS.format(bound), {"Retry-After": str(RETRY_AFTER_SECONDS)})

    async def submit(
        self,
        job_id: str,
        submission: Submission,
        uploaded: Sequence[UploadedPhoto],
        key: str | None = None,
        begun: float | None = None,
        proved_at: int | None = None,
        newest: NewestHousehold | None = None,
        person: str | None = None,
    ) -> str:
        """Store a submission, in place of an earlier one of the same task, and announce it; the id of its job.

        When it repeats an earlier request (see :mod:`.idempotency`), that one's job is answered instead, and nothing
        is stored. ``begun`` is when its upload began, by the clock of the event loop; by default, now. ``proved_at``
        is when the token that it came with was proved (Unix time), as :class:`Identity` has it; None without one.
        ``newest`` is the household that auth has; None when auth did not tell.
        ``person`` is that person's id, under which an earlier release may have stored the task.
        After a :class:`Problem` nothing is stored either: 403 when the task is somebody else's, 409 when ``key`` came
        with another submission, 410 when the account was deleted since either, 413 or 429 when too much is kept of
        this person, 429 when too many jobs of this person have not ended.
        """
        clock = asyncio.get_running_loop().time
        start = clock() if begun is None else begun

        async def change() -> str | list[Leased]:
            async with self._database.write() as connection:
                since = clock() - start
                return await self._submit(
                    connection, job_id, submission, uploaded, key, since, proved_at, newest, person
                )

        answered = await again_when_lost(change)
        if isinstance(answered, str):
            return answered
        self._publish(answered)
        return job_id

    def _publish(self, leased: Sequence[Leased]) -> None:
        for row in leased:
            self._outbox.publish(row)

    async def _submit(
        self,
        connection: AsyncConnection,
        job_id: str,
        submission: Submission,
        uploaded: Sequence[UploadedPhoto],
        key: str | None,
        begun_seconds_ago: float,
        proved_at: int | None,
        newest: NewestHousehold | None,
        person: str | None,
    ) -> str | list[Leased]:
        """The announcements of jobs whose turn it is, or the id of the job that was submitted before instead."""
        task_id = submission.task_id
        submitted = fingerprint(submission, uploaded)
        known = (
            await connection.execute(
                KNOWN,
                {
                    "task_id": task_id,
                    "user_id": submission.user_id,
                    "submitters": [submission.user_id],
                    "bound": self._bounds.jobs_of_a_person,
                    "begun": microseconds(-begun_seconds_ago),
                    "proved": proved_at,
                    **self._erasures.of(submission.user_id),
                },
            )
        ).one()
        if known.deletedSince:
            raise Problem(410, DELETED)
        if key is not None and (named := await self._named(connection, submission.user_id, key, submitted)):
            return await self._repeated(connection, named, proved_at)
        household = await self._newest_household(connection, submission.user_id, known, newest)
        given = of_analysis(submitted, household)
        values = {
            "title": submission.title,
            "type": submission.task_type,
            "state": submission.state,
            "decision": submission.decision,
            "closedResult": submission.closed_result,
            "insideTemp": submission.inside_temp_f,
            "outsideTemp": submission.outside_temp_f,
            "RGBphotoIDs": [p.photo_id for p in uploaded if p.kind is PhotoKind.RGB],
            "thermalPhotoIDs": [p.photo_id for p in uploaded if p.kind is PhotoKind.THERMAL],
            "jobID": job_id,
        }
        replaced = _Replaced()
        if known.taskID is None:
            self._bound_jobs(known.unfinished)
            await connection.execute(NEW_TASK, {**values, "taskID": task_id, "userID": submission.user_id})
        else:
            if known.userID != submission.user_id and (person is None or known.userID != person):
                raise Problem(403, FOREIGN)
            if key is None and await self._is_repeated(connection, known.jobID, given):
                return await self._repeated(connection, str(known.jobID), proved_at)
            replaced = await self._replace_earlier(connection, task_id)
            self._bound_jobs(known.unfinished - replaced.unfinished_jobs)
            await connection.execute(
                sa.update(leakage_tasks)
                .where(leakage_tasks.c.taskID == task_id)
                .values(**values, **_NO_REPORT, updatedAt=now())
            )
        person = await lock_person(connection, submission.user_id)
        added = Change(sum(p.size for p in uploaded), replaced.photo_bytes, known.taskID is None)
        await self._bounds.quota.take(connection, person, added)
        if replaced.job_in_analysis is not None:
            await self._turns.hold(connection, person, replaced.job_in_analysis)
            person = await lock_person(connection, submission.user_id)
        is_turn = await self._turns.is_turn(connection, person)
        await connection.execute(
            NEW_JOB if is_turn else NEW_WAITING_JOB,
            {
                "jobID": job_id,
                "taskID": task_id,
                "userID": submission.user_id,
                "state": JobState.QUEUED,
                "submitted": microseconds(-begun_seconds_ago),
                "provedAt": proved_at,
                "fingerprint": given,
                "household": None if household is None else household.model_dump(mode="json"),
                "traceparent": traceparent(),
            },
        )
        if key is not None:  # fails when another request with it was faster, and is tried again from the start
            await connection.execute(
                sa.insert(idempotency_keys).values(
                    userID=submission.user_id, key=key, fingerprint=submitted, jobID=job_id, createdAt=now()
                )
            )
        if uploaded:
            await connection.execute(
                NEW_PHOTOS,
                [
                    {
                        "photoID": p.photo_id,
                        "taskID": task_id,
                        "jobID": job_id,
                        "kind": p.kind,
                        "observation": p.observation,
                        "position": p.position,
                        "name": p.name,
                        "mediaType": p.media_type,
                        "size": p.size,
                        "sha256": p.sha256,
                    }
                    for p in uploaded
                ],
            )
        if not is_turn:  # one that waited before may take the turn of a job that was replaced
            return await self._turns.announce_next(connection, person)
        event = TaskSubmitted(
            job_id=job_id,
            task_id=task_id,
            task_type=submission.task_type,
            inside_temp_f=submission.inside_temp_f,
            outside_temp_f=submission.outside_temp_f,
            household=household,
            photos=tuple(
                Photo(
                    photo_id=p.photo_id,
                    kind=p.kind,
                    observation=p.observation,
                    name=p.name,
                    media_type=p.media_type,
                    size=p.size,
                )
                for p in uploaded
            ),
        )
        return [await self._outbox.add_leased(connection, event)]

    async def _named(self, connection: AsyncConnection, user_id: str, key: str, submitted: str) -> str | None:
        """The job that the person's request with this key started, if there was one and its time is not over."""
        this = (idempotency_keys.c.userID == user_id, idempotency_keys.c.key == key)
        is_over = idempotency_keys.c.createdAt < now(-KEY_SECONDS)
        first = (await connection.execute(sa.select(idempotency_keys, is_over.label("is_over")).where(*this))).first()
        if first is None:
            return None
        if first.is_over:  # it may have been used anew meanwhile
            await connection.execute(sa.delete(idempotency_keys).where(*this, is_over))
            return None
        if first.fingerprint != submitted:
            raise Problem(409, OTHER_BODY)
        return str(first.jobID)

    async def _is_repeated(self, connection: AsyncConnection, job_id: str | None, given: str) -> bool:
        """Whether the task's newest job was given just the same a moment ago, and has not failed."""
        same = sa.select(jobs.c.jobID).where(
            jobs.c.jobID == job_id,
            jobs.c.fingerprint == given,
            jobs.c.state != JobState.ERROR,
            jobs.c.submittedAt >= now(-REPEAT_SECONDS),
        )
        return (await connection.execute(same)).first() is not None

    async def _repeated(self, connection: AsyncConnection, job_id: str, proved_at: int | None) -> str:
        """The job; submitted after the deletion of an account, it belongs to that of the newest token it came with."""
        if proved_at is not None:
            older = (jobs.c.jobID == job_id, jobs.c.provedAt < proved_at)
            await connection.execute(sa.update(jobs).where(*older).values(provedAt=proved_at))
        return job_id

    async def _replace_earlier(self, connection: AsyncConnection, task_id: str) -> _Replaced:
        """End the earlier submission's job visibly, and give up its photos; reports of ended jobs stay."""
        unfinished = (jobs.c.taskID == task_id, jobs.c.state.in_(UNFINISHED))
        earlier = (
            await connection.execute(sa.select(jobs.c.jobID, jobs.c.state).where(*unfinished).with_for_update())
        ).all()
        await connection.execute(
            sa.update(jobs)
            .where(*unfinished)
            .values(state=JobState.ERROR, error=REPLACED, endedAt=now(), waitingSince=None)
        )
        inputs = (photos.c.taskID == task_id, photos.c.kind.in_(INPUT_KINDS), photos.c.droppedAt.is_(None))
        size = await connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(photos.c.size), 0)).where(*inputs))
        await connection.execute(sa.update(photos).where(*inputs).values(droppedAt=now()))
        await connection.execute(sa.delete(suggestions).where(suggestions.c.taskID == task_id))
        in_analysis = next((job.jobID for job in earlier if job.state == JobState.PROCESSING), None)
        return _Replaced(len(earlier), int(size or 0), in_analysis)

    async def _newest_household(
        self, connection: AsyncConnection, user_id: str, known: Any, newest: NewestHousehold | None
    ) -> Household | None:
        """Return the household that a submission carries: the newer one of the events' and ``newest``.

        The newer one is kept, so that the job carries no older one when it is announced again.
        """
        stored = None if known.household is None else Household.model_validate(known.household)
        if newest is None:
            return stored
        if newest.household is None or (stored is None and newest.household == Household()):
            return None
        if stored is not None and newest.version <= known.householdVersion:
            return stored
        await self._keep_household(connection, user_id, newest.version, newest.household)
        return newest.household

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find_job(self, job_id: str) -> Row | None:
        """The job's row."""
        async with self._database.read() as connection:
            row = (await connection.execute(JOB, {"job_id": job_id})).first()
        return None if row is None else row._asdict()

    async def follow_job(self, job_id: str, signed_out: Mapping[str, Sequence[str]]) -> Any:
        """What a poll needs of the job's row, its report as the JSON text that is stored, and ``signedOutUntil``.

        ``signed_out`` says of whom, for :func:`last_sign_out`. None without such a job.
        """
        async with self._database.read() as connection:
            return (await connection.execute(FOLLOWED, {"job_id": job_id, **signed_out})).first()

    async def start_job(self, job_id: str) -> None:
        """Show the job as processing, if it still waits."""
        await self._update_jobs(START, {"job_id": job_id})

    async def _update_jobs(self, update: sa.Update, given: Row | None = None) -> int:
        async def change() -> int:
            async with self._database.write() as connection:
                return (await connection.execute(update, given)).rowcount

        return await again_when_lost(change)

    async def complete_job(self, completed: AnalysisCompleted, pictures: Sequence[StoredPicture]) -> bool:
        """End the job with its report, and show the report as the task's; False when the job has ended before."""

        async def change() -> tuple[bool, list[Leased]]:
            async with self._database.write() as connection:
                size = await self._complete(connection, completed, pictures)
                return size is not None, await self._after_end(connection, completed.job_id, size or 0)

        is_changed, leased = await again_when_lost(change)
        self._publish(leased)
        return is_changed

    async def _after_end(self, connection: AsyncConnection, job_id: str, picture_bytes: int = 0) -> list[Leased]:
        """Announce what is next when analysis is done with a job, whether that has ended it or something before."""
        user_id = await connection.scalar(JOB_PERSON, {"job_id": job_id})
        if user_id is None:  # erased
            return []
        leased = await self._turns.after_end(connection, user_id, job_id)
        if picture_bytes:
            await add_bytes(connection, user_id, picture_bytes)
        return leased

    async def _complete(
        self, connection: AsyncConnection, completed: AnalysisCompleted, pictures: Sequence[StoredPicture]
    ) -> int | None:
        """Return the bytes of the report's pictures, as far as they are known; None when the job has ended before."""
        report = completed.report
        this = {"job_id": completed.job_id, "task_id": report.taskID}
        await connection.execute(LOCK_TASK, {"task_id": report.taskID})
        given = {**this, "report": report.model_dump(mode="json"), "imageID": completed.image_id}
        if not (await connection.execute(COMPLETE, given)).rowcount:
            # Erased, replaced, given up, or done by another delivery, whose pictures are known and stay.
            await self._erasures.drop_pictures(connection, [picture.photo_id for picture in pictures])
            return None
        sizes = await claim(connection, [picture.photo_id for picture in pictures])
        if pictures:
            await connection.execute(
                NEW_PHOTOS,
                [
                    {
                        "photoID": p.photo_id,
                        "taskID": report.taskID,
                        "jobID": completed.job_id,
                        "kind": p.kind,
                        "observation": 0,
                        "position": 0,
                        "name": p.name,
                        "size": sizes.get(p.photo_id),
                    }
                    for p in pictures
                ],
            )
        shown = {
            "leakSeverity": report.leakSeverity,
            "energyLossValue": report.energyLossValue,
            "energyLossCost": report.energyLossCost,
            "savingsPercent": report.savingsPercent,
            "savingsCost": report.savingsCost,
            "reportPhotoID": completed.image_id,
        }
        is_newest = (await connection.execute(SHOW_REPORT, {**this, **shown})).rowcount
        if is_newest and report.suggestions:  # there are none of before: a submission takes them away
            await connection.execute(
                NEW_SUGGESTIONS,
                [
                    {
                        "suggestionID": s.suggestionID,
                        "taskID": report.taskID,
                        # The report itself holds them whole; the old columns hold so much of each.
                        **{name: getattr(s, name)[:TEXT_LENGTH] for name in _SUGGESTION_TEXTS},
                    }
                    for s in report.suggestions
                ],
            )
        return sum(size or 0 for size in sizes.values())

    async def fail_job(self, job_id: str, reason: str) -> bool:
        """End the job without a report; False when it has ended before."""

        async def change() -> tuple[bool, list[Leased]]:
            async with self._database.write() as connection:
                is_changed = (await connection.execute(FAIL, {"job_id": job_id, "error": reason})).rowcount > 0
                return is_changed, await self._after_end(connection, job_id)

        is_changed, leased = await again_when_lost(change)
        self._publish(leased)
        return is_changed

    async def find_job_photo(self, job_id: str, photo_id: str) -> Row | None:
        """A photo that was submitted with the job, with the state of the job as ``jobState``."""
        async with self._database.read() as connection:
            row = (await connection.execute(JOB_PHOTO, {"job_id": job_id, "photo_id": photo_id})).first()
        return None if row is None else row._asdict()

    # ── the sweeper's ────────────────────────────────────────────────────────────────────────────────────────────

    async def republish_unfinished(self, after_seconds: float, limit: int) -> int:
        """Announce jobs again whose last announcement is older and that have not ended; the number of them.

        Each goes out under the trace of the request that submitted it.

        The oldest first. Replicas may sweep at once: a row that another one holds is left to it.
        """

        async def change() -> int:
            async with self._database.write() as connection:
                return await self._republish(connection, after_seconds, limit)

        announced = await again_when_lost(change)
        if announced:
            self._outbox.poke()
        return announced

    async def _republish(self, connection: AsyncConnection, after_seconds: float, limit: int) -> int:
        rows = (
            await connection.execute(
                sa.select(jobs)
                .where(jobs.c.state.in_(UNFINISHED), IS_ANNOUNCED, jobs.c.publishedAt < now(-after_seconds))
                .order_by(jobs.c.publishedAt)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
        ).all()
        for job in rows:
            try:
                event = await announcement(connection, job)
            except (LookupError, ValueError):  # one odd job must not hold up the others; its deadline ends it
                log.exception("a late job cannot be announced again", job=job.jobID)
            else:
                with correlated(job.traceparent):
                    await self._outbox.add(connection, event)
            await connection.execute(sa.update(jobs).where(jobs.c.jobID == job.jobID).values(publishedAt=now()))
        return len(rows)

    async def end_overdue(self, after_seconds: float) -> int:
        """End jobs as errors whose time has run for so long, and announce what is next; the number of jobs ended.

        A job's time runs from its submission, or from its announcement when it had to wait for its turn.
        """
        overdue = is_overdue(after_seconds)
        query = sa.select(jobs.c.jobID, jobs.c.userID).where(overdue).limit(OVERDUE_AT_ONCE)
        count = 0
        while True:
            async with self._database.read() as connection:
                found = (await connection.execute(query)).all()
            ended = sum([await self._end_overdue(job.jobID, job.userID, overdue) for job in found])
            count += ended
            if not ended or len(found) < OVERDUE_AT_ONCE:
                return count

    async def _end_overdue(self, job_id: str, user_id: str, overdue: sa.ColumnElement[bool]) -> int:
        async def change() -> tuple[int, list[Leased]]:
            async with self._database.write() as connection:
                ended = await connection.execute(
                    sa.update(jobs)
                    .where(jobs.c.jobID == job_id, overdue)
                    .values(state=JobState.ERROR, error=OVERDUE, endedAt=now())
                )
                if not ended.rowcount:
                    return 0, []
                return 1, await self._turns.after_end(connection, user_id, job_id)

        count, leased = await again_when_lost(change)
        self._publish(leased)
        return count

    async def announce_forgotten(self, limit: int) -> int:
        """Announce jobs that wait although no job of their person is announced; the number of them.

        Ends announce what is next by themselves. This is for what no end is left to announce: after an erasure, after
        the end of a hold, or beside a release that knows no turns.
        """
        async with self._database.read() as connection:
            user_ids = await forgotten_people(connection, limit)
        announced = 0
        for user_id in user_ids:
            leased = await again_when_lost(partial(self._announce_next, user_id))
            self._publish(leased)
            announced += len(leased)
        return announced

    async def _announce_next(self, user_id: str) -> list[Leased]:
        async with self._database.write() as connection:
            return await self._turns.announce_next(connection, await lock_person(connection, user_id))

    async def forget_keys(self, limit: int) -> int:
        """Delete idempotency keys whose time is over; the number of them."""
        over = (
            sa.select(idempotency_keys.c.userID, idempotency_keys.c.key)
            .where(idempotency_keys.c.createdAt < now(-KEY_SECONDS))
            .limit(limit)
        )
        async with self._database.read() as connection:
            keys = (await connection.execute(over)).all()
        if keys:
            these = sa.tuple_(idempotency_keys.c.userID, idempotency_keys.c.key).in_([(k.userID, k.key) for k in keys])
            async with self._database.write() as connection:
                # The time is looked at again: a key that was just used anew is not the one that was over.
                await connection.execute(
                    sa.delete(idempotency_keys).where(these, idempotency_keys.c.createdAt < now(-KEY_SECONDS))
                )
        return len(keys)

    async def clock(self) -> datetime:
        """The database's time."""
        async with self._database.read() as connection:
            return (await connection.execute(sa.select(now()))).scalar_one()

    async def unfinished(self) -> Unfinished:
        """Count the jobs that have not ended."""
        time = sa.case((IS_ANNOUNCED, WAITED_UNTIL))
        query = sa.select(
            sa.func.count().label("jobs"),
            sa.func.count(jobs.c.waitingSince).label("waiting"),
            sa.func.min(time, type_=UtcDateTime).label("oldest"),
            now().label("present"),
        ).where(jobs.c.state.in_(UNFINISHED))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one()
        return Unfinished(row.jobs, row.waiting, (row.present - row.oldest).total_seconds() if row.oldest else 0.0)

    async def dropped_photos(self, after_seconds: float, limit: int) -> list[str]:
        """Photos that a newer submission replaced so long ago."""
        query = sa.select(photos.c.photoID).where(photos.c.droppedAt < now(-after_seconds)).limit(limit)
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

    async def forget_photos(self, photo_ids: Sequence[str]) -> None:
        """Delete the rows of photos whose bytes are gone."""
        owners = await self._owners(photo_ids)
        async with self._database.write() as connection:
            await connection.execute(sa.delete(photos).where(photos.c.photoID.in_(photo_ids)))
        await self._count_anew(owners)

    async def unsized_photos(self, limit: int) -> list[str]:
        """Photos whose size no row tells: the old backend's, and report pictures of releases that did not look."""
        async with self._database.read() as connection:
            query = sa.select(photos.c.photoID).where(photos.c.size.is_(None), photos.c.droppedAt.is_(None))
            return list((await connection.scalars(query.limit(limit))).all())

    async def note_sizes(self, sizes: Mapping[str, int]) -> None:
        """Keep the sizes of photos that were looked at."""
        async with self._database.write() as connection:
            for photo_id, size in sizes.items():
                await connection.execute(sa.update(photos).where(photos.c.photoID == photo_id).values(size=size))
        await self._count_anew(await self._owners(sizes.keys()))

    async def _owners(self, photo_ids: Collection[str]) -> Sequence[str]:
        query = (
            sa.select(leakage_tasks.c.userID)
            .distinct()
            .join(photos, photos.c.taskID == leakage_tasks.c.taskID)
            .where(photos.c.photoID.in_(photo_ids))
        )
        async with self._database.read() as connection:
            return (await connection.scalars(query)).all()

    async def _count_anew(self, user_ids: Collection[str]) -> None:
        """Let the next submissions of these people count what is kept of them."""
        if user_ids:
            async with self._database.write() as connection:
                await connection.execute(sa.update(people).where(people.c.userID.in_(user_ids)).values(countedAt=None))

    async def unknown_photos(self, photo_ids: Sequence[str]) -> list[str]:
        """Those of ``photo_ids`` that no row refers to."""
        query = sa.select(photos.c.photoID).where(photos.c.photoID.in_(photo_ids))
        async with self._database.read() as connection:
            known = set((await connection.scalars(query)).all())
        return [photo_id for photo_id in photo_ids if photo_id not in known]

    # ── tasks, for their owners ──────────────────────────────────────────────────────────────────────────────────

    async def find_task(self, task_id: str) -> Row | None:
        """A task with its newest report and its photos."""
        query = _TASK_WITH_REPORT.where(leakage_tasks.c.taskID == task_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            (task,) = await self._with_photos(connection, [row._asdict()])
        return task

    async def list_tasks(self, user_id: str, before: tuple[datetime | None, str] | None, limit: int) -> list[Row]:
        """Tasks of a user, the newest first, with reports and photos; last, adopted ones whose time is unknown.

        ``before`` is (createdAt, taskID) of the last one seen.
        """
        time, key = leakage_tasks.c.createdAt, leakage_tasks.c.taskID
        created, task_id = before or (None, None)
        # One range of the index each: an OR of them would be looked for among all of the person's tasks.
        if before is None:
            ranges: list[sa.ColumnElement[bool]] = [sa.true()]
        elif created is None:
            ranges = [time.is_(None) & (key < task_id)]
        else:
            ranges = [(time == created) & (key < task_id), time < created, time.is_(None)]
        rows: list[dict[str, Any]] = []
        async with self._database.read() as connection:
            for range_ in ranges:
                query = (
                    _TASK_WITH_REPORT.where(leakage_tasks.c.userID == user_id, range_)
                    .order_by(time.desc(), key.desc())
                    .limit(limit - len(rows))
                )
                rows += [row._asdict() for row in await connection.execute(query)]
                if len(rows) == limit:
                    break
            return await self._with_photos(connection, rows)

    async def everything_of(self, user_ids: Sequence[str]) -> AsyncIterator[Row]:
        """Each task of a person with its jobs, photos and suggestions; in memory are EXPORTED_AT_ONCE of them."""
        last = ""
        mine = sa.select(leakage_tasks).where(leakage_tasks.c.userID.in_(user_ids)).order_by(leakage_tasks.c.taskID)
        while True:
            async with self._database.read() as connection:
                page = mine.where(leakage_tasks.c.taskID > last).limit(EXPORTED_AT_ONCE)
                tasks = (await connection.execute(page)).all()
                parts: dict[str, dict[str, list[Row]]] = {}
                for name, query in _parts([task.taskID for task in tasks]).items():
                    for row in await connection.execute(query):
                        parts.setdefault(row.taskID, {}).setdefault(name, []).append(row._asdict())
            for task in tasks:
                yield {**task._asdict(), "jobs": [], "photos": [], "suggestions": [], **parts.get(task.taskID, {})}
            if len(tasks) < EXPORTED_AT_ONCE:
                return
            last = tasks[-1].taskID

    async def _with_photos(self, connection: AsyncConnection, tasks: list[dict[str, Any]]) -> list[Row]:
        query = (
            sa.select(photos)
            .where(photos.c.taskID.in_([task["taskID"] for task in tasks]), photos.c.droppedAt.is_(None))
            .order_by(photos.c.taskID, photos.c.position, photos.c.photoID)
        )
        of_task: dict[str, list[Row]] = {}
        for row in await connection.execute(query):
            of_task.setdefault(row.taskID, []).append(row._asdict())
        # Pictures of earlier reports stay with their jobs; the task shows those of its newest submission.
        return [
            {**task, "photos": [p for p in of_task.get(task["taskID"], []) if task["jobID"] in (None, p["jobID"])]}
            for task in tasks
        ]

    # ── households ───────────────────────────────────────────────────────────────────────────────────────────────

    async def remember_household(self, update: ProfileUpdated) -> None:
        """Keep what auth says of a home, unless something newer is known."""

        async def change() -> None:
            async with self._database.write() as connection:
                await self._keep_household(connection, update.user_id, update.version, update.household)

        await again_when_lost(change)

    async def _keep_household(
        self, connection: AsyncConnection, user_id: str, version: int, household: Household
    ) -> None:
        if await self._erasures.outdate(connection, user_id, version):
            return
        new = {"version": version, "household": household.model_dump(mode="json")}
        mine = households.c.userID == user_id
        known = await connection.scalar(sa.select(households.c.version).where(mine).with_for_update())
        if known is None:
            await connection.execute(sa.insert(households).values(userID=user_id, **new))
        elif known < version:
            await connection.execute(sa.update(households).where(mine).values(**new))


_NO_REPORT: dict[str, None] = dict.fromkeys(
    (
        "leakSeverity",
        "energyLossValue",
        "energyLossCost",
        "savingsPercent",
        "savingsCost",
        "reportPhotoID",
    )
)

_TASK_WITH_REPORT = sa.select(leakage_tasks, jobs.c.report, jobs.c.state.label("jobState")).select_from(
    leakage_tasks.outerjoin(jobs, jobs.c.jobID == leakage_tasks.c.jobID)
)


def _parts(task_ids: Sequence[str]) -> dict[str, sa.Select[Any]]:
    """What belongs to tasks, by its name."""
    # A thumbnail is the report's image once more, only smaller.
    kept = (photos.c.taskID.in_(task_ids), photos.c.droppedAt.is_(None), photos.c.kind != "thumbnail")
    made = photos.c.kind == "report"  # by us: after what was submitted
    return {
        "jobs": sa.select(jobs).where(jobs.c.taskID.in_(task_ids)).order_by(jobs.c.submittedAt, jobs.c.jobID),
        "photos": sa.select(photos).where(*kept).order_by(made, photos.c.position, photos.c.photoID),
        "suggestions": sa.select(suggestions)
        .where(suggestions.c.taskID.in_(task_ids))
        .order_by(suggestions.c.suggestionID),
    }
