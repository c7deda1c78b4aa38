"""Whose turn it is: a person has few jobs announced to analysis at a time, the others wait their turn here.

Analysis takes jobs in the order of their announcements, whoever they are from. Who submits a hundred slow ones at once
would keep everybody else waiting. So a job of a person who has ANNOUNCED_JOBS already is stored with ``waitingSince``,
and announced by the transaction that ends one of those. The person's jobs go first come, first served.

The lock on the person's row makes this exact: a submission and an end that meet cannot overlook each other. It is the
last lock of its transaction, after task and job: whoever holds it waits for no other. What still leaves a person with
waiting jobs and none announced (an erasure, a release that knows no turns) is found by the sweeper.

A job that is replaced while analysis works on it keeps its turn until analysis tells its end, or HOLD_SECONDS:
otherwise each replacement would occupy one worker more.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import Household, Photo, PhotoKind, TaskSubmitted, TaskType
from services.chassis.correlation import correlated
from services.chassis.database import now
from services.chassis.outbox import Leased, Outbox
from services.tasks.jobs import UNANNOUNCEABLE, UNFINISHED, JobState
from services.tasks.models import households, jobs, leakage_tasks, people, photos

log = structlog.get_logger(__name__)

ANNOUNCED_JOBS = 1
"""Of one person at a time. With two workers or more, one person's jobs leave at least one to everybody else; and the
next job of a person is announced within milliseconds of the end of the one before."""

HOLD_SECONDS = 40
"""How long a job that is replaced during its analysis keeps its turn at most.

Longer than ANALYSIS_SECONDS, after which analysis ends any job, and shorter than the 45 seconds that the app waits.
Mostly it is milliseconds, until analysis tells that it is done with the job."""

INPUT_KINDS = tuple(PhotoKind)

IS_ANNOUNCED = jobs.c.waitingSince.is_(None)
WAITED_UNTIL = sa.func.coalesce(jobs.c.announcedAt, jobs.c.submittedAt)
"""From when on the time of a job counts that does not wait for its turn."""

_OF_PERSON = jobs.c.userID == sa.bindparam("user_id")

_PERSON = (
    sa.select(people, (people.c.heldUntil > now()).label("isHeld"))
    .where(people.c.userID == sa.bindparam("user_id"))
    .with_for_update()
)
_NEW_PERSON = sa.insert(people)
_ANNOUNCED = (
    sa.select(jobs.c.jobID)
    .where(_OF_PERSON, jobs.c.state.in_(UNFINISHED), IS_ANNOUNCED)
    .limit(sa.bindparam("bound"))
    .subquery()
)
_TURN = sa.select(
    sa.select(sa.func.count()).select_from(_ANNOUNCED).scalar_subquery().label("announced"),
    sa.exists().where(_OF_PERSON, jobs.c.state == JobState.QUEUED, ~IS_ANNOUNCED).label("isAnyWaiting"),
)
# Rows that others hold are left to them: waiting for one could be a deadlock, because a replacement holds its job's
# row and waits for the person's.
_NEXT = (
    sa.select(jobs)
    .where(_OF_PERSON, jobs.c.state == JobState.QUEUED, ~IS_ANNOUNCED)
    .order_by(jobs.c.waitingSince, jobs.c.submittedAt)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_THIS_JOB = jobs.c.jobID == sa.bindparam("job_id")
_ANNOUNCE = sa.update(jobs).where(_THIS_JOB).values(waitingSince=None, announcedAt=now(), publishedAt=now())
_GIVE_UP = (
    sa.update(jobs)
    .where(_THIS_JOB)
    .values(state=JobState.ERROR, error=UNANNOUNCEABLE, endedAt=now(), waitingSince=None)
)
_HOLD = (
    sa.update(people)
    .where(people.c.userID == sa.bindparam("user_id"))
    .values(heldBy=sa.bindparam("job_id"), heldUntil=now(HOLD_SECONDS))
)
_LET_GO = sa.update(people).where(people.c.userID == sa.bindparam("user_id")).values(heldBy=None, heldUntil=None)

# All unfinished jobs of them wait.
_FORGOTTEN = (
    sa.select(jobs.c.userID)
    .where(jobs.c.state.in_(UNFINISHED))
    .group_by(jobs.c.userID)
    .having(sa.func.count(jobs.c.waitingSince) == sa.func.count())
    .limit(sa.bindparam("limit"))
)


async def lock_person(connection: AsyncConnection, user_id: str) -> Any:
    """Lock the row of a person until the transaction ends, and return it; make it when there is none.

    Raises :class:`IntegrityError` when another transaction makes it at the same moment: try the transaction again.
    """
    given = {"user_id": user_id}
    person = (await connection.execute(_PERSON, given)).first()
    if person is None:
        await connection.execute(_NEW_PERSON, {"userID": user_id})
        person = (await connection.execute(_PERSON, given)).one()
    return person


async def announcement(connection: AsyncConnection, job: Any) -> TaskSubmitted:
    """Put the announcement of a stored job together. Raises :class:`LookupError` or :class:`ValueError`."""
    query = sa.select(leakage_tasks).where(leakage_tasks.c.taskID == job.taskID)
    task = (await connection.execute(query)).first()
    if task is None:
        raise LookupError("the job's task is gone")
    stored = job.household  # what was known at the submission; a job of an earlier release does not say
    if stored is None:
        stored = await connection.scalar(sa.select(households.c.household).where(households.c.userID == job.userID))
    submitted = await connection.execute(
        sa.select(photos)
        .where(photos.c.taskID == job.taskID, photos.c.jobID == job.jobID, photos.c.kind.in_(INPUT_KINDS))
        .order_by(photos.c.position)
    )
    return TaskSubmitted(
        job_id=job.jobID,
        task_id=job.taskID,
        task_type=TaskType(task.type) if task.type else None,
        inside_temp_f=task.insideTemp,
        outside_temp_f=task.outsideTemp,
        household=None if stored is None else Household.model_validate(stored),
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


class Turns:
    """Announces the jobs of people in turn. The person's row is locked by the caller, unless it says otherwise."""

    def __init__(self, outbox: Outbox, bound: int = ANNOUNCED_JOBS) -> None:
        self._outbox = outbox
        self._bound = bound

    async def is_turn(self, connection: AsyncConnection, person: Any) -> bool:
        """Return whether a new job of the person may be announced at once: there is a turn, and none waits for it."""
        given = {"user_id": person.userID, "bound": self._bound}
        turn = (await connection.execute(_TURN, given)).one()
        return not turn.isAnyWaiting and int(turn.announced) + bool(person.isHeld) < self._bound

    async def announce_next(self, connection: AsyncConnection, person: Any) -> list[Leased]:
        """Announce the person's oldest waiting jobs while there are turns.

        Call :meth:`Outbox.publish` for each of them after the commit.
        """
        given = {"user_id": person.userID, "bound": self._bound}
        turn = (await connection.execute(_TURN, given)).one()
        free = self._bound - int(turn.announced) - bool(person.isHeld) if turn.isAnyWaiting else 0
        leased: list[Leased] = []
        while len(leased) < free and (job := (await connection.execute(_NEXT, given)).first()) is not None:
            try:
                event = await announcement(connection, job)
            except (LookupError, ValueError):  # it must not hold up the person's other jobs
                log.exception("a waiting job cannot be announced; it ends", job=job.jobID)
                await connection.execute(_GIVE_UP, {"job_id": job.jobID})
                continue
            with correlated(job.traceparent):
                leased.append(await self._outbox.add_leased(connection, event))
            await connection.execute(_ANNOUNCE, {"job_id": job.jobID})
        return leased

    async def hold(self, connection: AsyncConnection, person: Any, job_id: str) -> None:
        """Let a job that was replaced while analysis works on it keep its turn."""
        await connection.execute(_HOLD, {"user_id": person.userID, "job_id": job_id})

    async def after_end(self, connection: AsyncConnection, user_id: str, job_id: str) -> list[Leased]:
        """Lock the person, give back the turn of a job that has ended, and announce what is next."""
        person = await lock_person(connection, user_id)
        if person.heldBy == job_id:
            await connection.execute(_LET_GO, {"user_id": user_id})
            person = await lock_person(connection, user_id)
        return await self.announce_next(connection, person)


def is_overdue(after_seconds: float) -> sa.ColumnElement[bool]:
    """Return the condition of unfinished jobs whose time has run for so long."""
    return sa.and_(jobs.c.state.in_(UNFINISHED), IS_ANNOUNCED, now(-after_seconds) > WAITED_UNTIL)


async def forgotten_people(connection: AsyncConnection, limit: int) -> Sequence[str]:
    """Return people who have waiting jobs and none announced."""
    return (await connection.scalars(_FORGOTTEN, {"limit": limit})).all()
