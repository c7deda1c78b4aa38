"""Tasks, jobs and households in the database. Each change is one transaction, its events included.

Locks are always taken in the order task, job, so that a submission and a result that meet do not deadlock; MySQL may
still choose a victim (gap locks of two first submissions), and a victim is tried again.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import (
    AnalysisCompleted,
    Household,
    Photo,
    PhotoKind,
    ProfileUpdated,
    TaskSubmitted,
    TaskType,
)
from services.chassis.correlation import correlated, traceparent
from services.chassis.database import Database, microseconds, now
from services.chassis.outbox import Leased, Outbox
from services.chassis.problems import RETRY_AFTER_SECONDS, Problem, unavailable
from services.tasks.erasure import DELETED, Erasures
from services.tasks.idempotency import KEY_SECONDS, OTHER_BODY, REPEAT_SECONDS, fingerprint, of_analysis
from services.tasks.jobs import OVERDUE, REPLACED, UNFINISHED, JobState
from services.tasks.models import households, idempotency_keys, jobs, leakage_tasks, photos, suggestions
from services.tasks.races import again_when_lost
from services.tasks.statements import (
    COMPLETE,
    FAIL,
    FOLLOWED,
    JOB,
    JOB_PHOTO,
    KNOWN,
    LOCK_TASK,
    NEW_JOB,
    NEW_PHOTOS,
    NEW_SUGGESTIONS,
    NEW_TASK,
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

_INPUT_KINDS = tuple(PhotoKind)
TEXT_LENGTH = 255
EXPORTED_AT_ONCE = 20  # tasks
_SUGGESTION_TEXTS = ("title", "subtitle", "difficulty", "costRange", "estimatedReduction", "lifetime")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait. Requests at the same moment may pass the bounds by their number."""

    jobs_of_a_person: int = 100
    outbox_rows: int = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a person may submit now: jobs that have not ended, up to the bound."""

    unfinished: int = 0
    is_repetition: bool = False  # it adds nothing to the jobs
    signed_out_until: int | None = None


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
        return Standing(row.unfinished, bool(row.isRepetition), row.signedOutUntil)

    def admit(self, standing: Standing) -> None:
        """Raise :class:`Problem` 503 or 429 when no submission can be taken now, before a body is read in vain."""
        if self._outbox.backlog.rows >= self._bounds.outbox_rows:
            raise unavailable(TOO_MANY_WAIT)
        if not standing.is_repetition:
            self._bound_jobs(standing.unfinished)

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
        person: str | None = None,
    ) -> str:
        """Store a submission, in place of an earlier one of the same task, and announce it; the id of its job.

        When it repeats an earlier request (see :mod:`.idempotency`), that one's job is answered instead, and nothing
        is stored. ``begun`` is when its upload began, by the clock of the event loop; by default, now. ``proved_at``
        is when the token that it came with was proved (Unix time), as :class:`Identity` has it; None without one.
        ``person`` is that person's id, under which an earlier release may have stored the task.
        After a :class:`Problem` nothing is stored either: 403 when the task is somebody else's, 409 when ``key`` came
        with another submission, 410 when the account was deleted since either, 429 when too many jobs of this person
        have not ended.
        """
        clock = asyncio.get_running_loop().time
        start = clock() if begun is None else begun

        async def change() -> str | Leased:
            async with self._database.write() as connection:
                since = clock() - start
                return await self._submit(connection, job_id, submission, uploaded, key, since, proved_at, person)

        answered = await again_when_lost(change)
        if isinstance(answered, str):
            return answered
        self._outbox.publish(answered)
        return job_id

    async def _submit(
        self,
        connection: AsyncConnection,
        job_id: str,
        submission: Submission,
        uploaded: Sequence[UploadedPhoto],
        key: str | None,
        begun_seconds_ago: float,
        proved_at: int | None,
        person: str | None,
    ) -> str | Leased:
        """The announcement of the job, or the id of the job that was submitted before instead."""
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
        household = None if known.household is None else Household.model_validate(known.household)
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
        unfinished = known.unfinished
        if known.taskID is None:
            self._bound_jobs(unfinished)
            await connection.execute(NEW_TASK, {**values, "taskID": task_id, "userID": submission.user_id})
        else:
            if known.userID != submission.user_id and (person is None or known.userID != person):
                raise Problem(403, FOREIGN)
            if key is None and await self._is_repeated(connection, known.jobID, given):
                return await self._repeated(connection, str(known.jobID), proved_at)
            unfinished -= await self._replace_earlier(connection, task_id)
            self._bound_jobs(unfinished)
            await connection.execute(
                sa.update(leakage_tasks)
                .where(leakage_tasks.c.taskID == task_id)
                .values(**values, **_NO_REPORT, updatedAt=now())
            )
        await connection.execute(
            NEW_JOB,
            {
                "jobID": job_id,
                "taskID": task_id,
                "userID": submission.user_id,
                "state": JobState.QUEUED,
                "submitted": microseconds(-begun_seconds_ago),
                "provedAt": proved_at,
                "fingerprint": given,
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
        return await self._outbox.add_leased(connection, event)

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

    async def _replace_earlier(self, connection: AsyncConnection, task_id: str) -> int:
        """End the earlier submission's job visibly, and give up its photos; reports of ended jobs stay.

        The number of jobs that had not ended.
        """
        ended = await connection.execute(
            sa.update(jobs)
            .where(jobs.c.taskID == task_id, jobs.c.state.in_(UNFINISHED))
            .values(state=JobState.ERROR, error=REPLACED, endedAt=now())
        )
        await connection.execute(
            sa.update(photos)
            .where(photos.c.taskID == task_id, photos.c.kind.in_(_INPUT_KINDS), photos.c.droppedAt.is_(None))
            .values(droppedAt=now())
        )
        await connection.execute(sa.delete(suggestions).where(suggestions.c.taskID == task_id))
        return ended.rowcount

    async def _household(self, connection: AsyncConnection, user_id: str) -> Household | None:
        stored = await connection.scalar(sa.select(households.c.household).where(households.c.userID == user_id))
        return None if stored is None else Household.model_validate(stored)

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

        async def change() -> bool:
            async with self._database.write() as connection:
                return await self._complete(connection, completed, pictures)

        return await again_when_lost(change)

    async def _complete(
        self, connection: AsyncConnection, completed: AnalysisCompleted, pictures: Sequence[StoredPicture]
    ) -> bool:
        report = completed.report
        this = {"job_id": completed.job_id, "task_id": report.taskID}
        await connection.execute(LOCK_TASK, {"task_id": report.taskID})
        given = {**this, "report": report.model_dump(mode="json"), "imageID": completed.image_id}
        if not (await connection.execute(COMPLETE, given)).rowcount:
            if (await connection.execute(JOB, {"job_id": completed.job_id})).first() is None:  # erased meanwhile
                await self._erasures.drop_pictures(connection, [picture.photo_id for picture in pictures])
            return False
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
        return True

    async def fail_job(self, job_id: str, reason: str) -> bool:
        """End the job without a report; False when it has ended before."""
        return await self._update_jobs(FAIL, {"job_id": job_id, "error": reason}) > 0

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
                .where(jobs.c.state.in_(UNFINISHED), jobs.c.publishedAt < now(-after_seconds))
                .order_by(jobs.c.publishedAt)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
        ).all()
        for job in rows:
            try:
                announcement = await self._announcement(connection, job)
            except (LookupError, ValueError):  # one odd job must not hold up the others; its deadline ends it
                log.exception("a late job cannot be announced again", job=job.jobID)
            else:
                with correlated(job.traceparent):
                    await self._outbox.add(connection, announcement)
            await connection.execute(sa.update(jobs).where(jobs.c.jobID == job.jobID).values(publishedAt=now()))
        return len(rows)

    async def _announcement(self, connection: AsyncConnection, job: Any) -> TaskSubmitted:
        query = sa.select(leakage_tasks).where(leakage_tasks.c.taskID == job.taskID)
        task = (await connection.execute(query)).first()
        if task is None:
            raise LookupError("the job's task is gone")
        submitted = await connection.execute(
            sa.select(photos)
            .where(photos.c.taskID == job.taskID, photos.c.jobID == job.jobID, photos.c.kind.in_(_INPUT_KINDS))
            .order_by(photos.c.position)
        )
        return TaskSubmitted(
            job_id=job.jobID,
            task_id=job.taskID,
            task_type=TaskType(task.type) if task.type else None,
            inside_temp_f=task.insideTemp,
            outside_temp_f=task.outsideTemp,
            household=await self._household(connection, job.userID),
            photos=tuple(
                Photo(
                    photo_id=row.photoID,
                    kind=PhotoKind(row.kind),
                    observation=row.observation,
                    name=row.name,
                    media_type=row.mediaType,
                    size=row.size,
                )
                for row in submitted
            ),
        )

    async def end_overdue(self, after_seconds: float) -> int:
        """End jobs as errors that were submitted so long ago; the number of them."""
        overdue = (jobs.c.state.in_(UNFINISHED), jobs.c.submittedAt < now(-after_seconds))
        ended = {"state": JobState.ERROR, "error": OVERDUE, "endedAt": now()}
        return await self._update_jobs(sa.update(jobs).where(*overdue).values(ended))

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

    async def unfinished(self) -> tuple[int, float]:
        """How many jobs have not ended, and the age of the oldest of them in seconds."""
        query = sa.select(sa.func.count(), sa.func.min(jobs.c.submittedAt), now()).where(jobs.c.state.in_(UNFINISHED))
        async with self._database.read() as connection:
            count, oldest, present = (await connection.execute(query)).one()
        return count, (present - oldest).total_seconds() if oldest else 0.0

    async def dropped_photos(self, after_seconds: float, limit: int) -> list[str]:
        """Photos that a newer submission replaced so long ago."""
        query = sa.select(photos.c.photoID).where(photos.c.droppedAt < now(-after_seconds)).limit(limit)
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

    async def forget_photos(self, photo_ids: Sequence[str]) -> None:
        """Delete the rows of photos whose bytes are gone."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(photos).where(photos.c.photoID.in_(photo_ids)))

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
        new = {"version": update.version, "household": update.household.model_dump(mode="json")}

        async def change() -> None:
            async with self._database.write() as connection:
                if await self._erasures.outdate(connection, update.user_id, update.version):
                    return
                known = await connection.scalar(
                    sa.select(households.c.version).where(households.c.userID == update.user_id).with_for_update()
                )
                if known is None:
                    await connection.execute(sa.insert(households).values(userID=update.user_id, **new))
                elif known < update.version:
                    await connection.execute(
                        sa.update(households).where(households.c.userID == update.user_id).values(**new)
                    )

        await again_when_lost(change)


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
