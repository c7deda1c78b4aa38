"""Erasing: everything of a person whose account was deleted, and submissions that are older than they may grow.

``AccountDeleted`` is noted in one short transaction; the sweepers of all replicas then work it off in bounded steps,
and repeat what was interrupted. Rows are deleted at once. Photos are marked as dropped long ago, which makes them due
for the sweeper: first the bytes, then the row that knows of them.

Nothing comes back, whatever is late. A submission is from before the deletion when its upload began before, or when it
came with a token from before: auth signs the person out with the deletion, and tasks hears of both later. Such a
submission is refused when it wants to commit. One that committed before the deletion was noted is found by the
erasure, which goes on looking until every transaction that could not see the note has ended. Results find no job, and
their pictures are dropped. A profile is told by its version. A new account of the same person is left alone by
all of this.

What stays for TOMBSTONE_DAYS is the note, under a pseudonym. See ``docs/adr/0008-erasing-an-account.md``.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import AccountDeleted, TaskSubmitted
from services.chassis.database import BLOCK_SECONDS, Database, now
from services.chassis.outbox import Outbox
from services.chassis.pseudonyms import pseudonym
from services.tasks.models import (
    erasures,
    households,
    idempotency_keys,
    jobs,
    leakage_tasks,
    names,
    people,
    photos,
    suggestions,
)

BATCH = 20  # tasks in a step
PENDING = 100
SETTLE_SECONDS = 2 * BLOCK_SECONDS  # no transaction that began before the note lives longer
TOMBSTONE_DAYS = 30  # far longer than any event is retried; dead letters that are older must not be replayed

DELETED = "This account was deleted. Nothing of these photos was kept."

_LONG_AGO = datetime(1971, 1, 1, tzinfo=UTC)
_PHOTO_ID = re.compile(r"[0-9a-f]{24}")


# A column for a query that is made anyway: whether an account was deleted later than ``begun`` (see ``now``), or after
# the token of ``proved`` was issued (Unix time; None without a token).
DELETED_SINCE = (
    sa.exists()
    .where(
        erasures.c.person == sa.bindparam("deleted_person"),
        sa.or_(
            erasures.c.deletedAt >= now("begun"),
            erasures.c.signedOutUntil >= sa.bindparam("proved", type_=sa.BigInteger),
        ),
    )
    .label("deletedSince")
)


def _newer(erasure: Any) -> sa.ColumnElement[bool]:
    """Of a job: that it was submitted after the deletion, with a token from after it."""
    from_after = sa.or_(jobs.c.provedAt.is_(None), jobs.c.provedAt > erasure.signedOutUntil)
    return sa.and_(jobs.c.submittedAt > erasure.deletedAt, from_after)


class Erasures:
    """Notes deleted accounts, works them off, and keeps them from coming back; user ids are given normalised."""

    def __init__(self, database: Database, waiting: Outbox, secret: str) -> None:
        self._database = database
        self._outbox = waiting
        self._secret = secret

    async def note(self, deleted: AccountDeleted) -> None:
        """Take on the erasure of an account; a repetition begins it again, and finds nothing."""
        person = pseudonym(self._secret, deleted.user_id)
        async with self._database.write() as connection:
            known = (
                await connection.execute(sa.select(erasures).where(erasures.c.person == person).with_for_update())
            ).first()
            values = {
                "userID": deleted.user_id,
                "deletedAt": max(deleted.deleted_at, known.deletedAt) if known else deleted.deleted_at,
                "profileVersion": max(deleted.profile_version, known.profileVersion if known else 0),
                "signedOutUntil": max(deleted.signed_out_until, known.signedOutUntil if known else 0),
                "namesVersion": max(deleted.names_version, known.namesVersion if known else 0),
                "notedAt": now(),
            }
            if known is None:
                await connection.execute(sa.insert(erasures).values(person=person, **values))
            else:
                await connection.execute(sa.update(erasures).where(erasures.c.person == person).values(**values))
            # At once: until then an ID token of this person leads to an account that may become somebody else's.
            lead_here = (names.c.account == deleted.user_id, names.c.version <= deleted.names_version)
            await connection.execute(sa.delete(names).where(*lead_here))

    # ── what must not come back ──────────────────────────────────────────────────────────────────────────────────

    def of(self, user_id: str) -> dict[str, str]:
        """The parameters of a query that holds :data:`DELETED_SINCE`, but for the times."""
        return {"deleted_person": pseudonym(self._secret, user_id)}

    async def outdate(self, connection: AsyncConnection, user_id: str, profile_version: int) -> bool:
        """Whether a profile of that version is one of a deleted account."""
        person = pseudonym(self._secret, user_id)
        last = await connection.scalar(sa.select(erasures.c.profileVersion).where(erasures.c.person == person))
        return last is not None and profile_version <= last

    async def outdates_name(self, connection: AsyncConnection, user_id: str, version: int) -> bool:
        """Return whether a name of that version led to an account that was deleted since."""
        person = pseudonym(self._secret, user_id)
        last = await connection.scalar(sa.select(erasures.c.namesVersion).where(erasures.c.person == person))
        return last is not None and version <= last

    async def drop_pictures(self, connection: AsyncConnection, photo_ids: Collection[str]) -> None:
        """Have pictures removed that belong to no job any more."""
        known = (await connection.scalars(sa.select(photos.c.photoID).where(photos.c.photoID.in_(photo_ids)))).all()
        await self._drop_unlisted(connection, [photo_id for photo_id in photo_ids if photo_id not in known])

    async def _drop_unlisted(self, connection: AsyncConnection, photo_ids: Sequence[str]) -> None:
        if photo_ids:
            gone = {"taskID": "", "jobID": "", "kind": "report", "observation": 0, "position": 0, "name": ""}
            await connection.execute(
                sa.insert(photos), [{**gone, "photoID": photo_id, "droppedAt": _LONG_AGO} for photo_id in photo_ids]
            )

    # ── the sweeper's ────────────────────────────────────────────────────────────────────────────────────────────

    async def erase_deleted_accounts(self) -> int:
        """Work off the accounts that were noted, as far as it goes now; the number of tasks erased."""
        query = sa.select(erasures.c.person).where(erasures.c.userID.is_not(None)).order_by(erasures.c.notedAt)
        async with self._database.read() as connection:
            people = (await connection.scalars(query.limit(PENDING))).all()
        erased = 0
        for person in people:
            while tasks := await self._erase_some(person):
                erased += tasks
        return erased

    async def _erase_some(self, person: str) -> int:
        """One step, unless another replica is at it; the number of tasks it erased."""
        async with self._database.write() as connection:
            erasure = (
                await connection.execute(
                    sa.select(erasures, (erasures.c.notedAt < now(-SETTLE_SECONDS)).label("settled"))
                    .where(erasures.c.person == person, erasures.c.userID.is_not(None))
                    .with_for_update(skip_locked=True)
                )
            ).first()
            if erasure is None:
                return 0
            newer_job = _newer(erasure)
            older = sa.exists().where(jobs.c.taskID == leakage_tasks.c.taskID, ~newer_job)
            newer = sa.exists().where(jobs.c.taskID == leakage_tasks.c.taskID, newer_job)
            tasks = await self._locked(
                connection,
                sa.and_(leakage_tasks.c.userID == erasure.userID, sa.or_(older, ~newer)),
                leakage_tasks.c.createdAt,
                leakage_tasks.c.taskID,
            )
            if tasks:
                await self._erase(connection, tasks, newer_job)
                return len(tasks)
            await connection.execute(
                sa.delete(households).where(
                    households.c.userID == erasure.userID, households.c.version <= erasure.profileVersion
                )
            )
            await connection.execute(
                sa.delete(idempotency_keys).where(
                    idempotency_keys.c.userID == erasure.userID, idempotency_keys.c.createdAt <= erasure.deletedAt
                )
            )
            await connection.execute(sa.delete(people).where(people.c.userID == erasure.userID))
            if erasure.settled:
                await connection.execute(sa.update(erasures).where(erasures.c.person == person).values(userID=None))
            return 0

    async def erase_older(self, days: int) -> int:
        """Erase a batch of submissions that have not changed for so many days; the number of tasks.

        Adopted ones of which no time is known are left.
        """
        limit, changed = now(-days * 86400), leakage_tasks.c.updatedAt
        async with self._database.write() as connection:
            tasks = await self._locked(connection, changed < limit, changed, skip_locked=True)
            if not tasks:
                never_changed = sa.and_(changed.is_(None), leakage_tasks.c.createdAt < limit)
                tasks = await self._locked(connection, never_changed, leakage_tasks.c.taskID, skip_locked=True)
            await self._erase(connection, tasks)
        return len(tasks)

    async def deletions(self) -> list[tuple[str, datetime]]:
        """Who (by pseudonym) has deleted an account of late, and when; the oldest first."""
        query = sa.select(erasures.c.person, erasures.c.deletedAt).order_by(erasures.c.deletedAt, erasures.c.person)
        async with self._database.read() as connection:
            return [(row.person, row.deletedAt) for row in await connection.execute(query)]

    async def forget_erasures(self) -> None:
        """Delete the notes of accounts that were erased long ago."""
        old = (erasures.c.userID.is_(None), erasures.c.notedAt < now(-TOMBSTONE_DAYS * 86400))
        async with self._database.write() as connection:
            await connection.execute(sa.delete(erasures).where(*old))

    async def _locked(
        self,
        connection: AsyncConnection,
        which: sa.ColumnElement[bool],
        *order: sa.ColumnElement[Any],
        skip_locked: bool = False,
    ) -> Sequence[Any]:
        """Up to BATCH tasks, in the order of the index that finds them: what is looked at is locked for that moment."""
        query = sa.select(leakage_tasks).where(which).order_by(*order).limit(BATCH)
        return (await connection.execute(query.with_for_update(skip_locked=skip_locked))).all()

    async def _erase(
        self, connection: AsyncConnection, tasks: Sequence[Any], keep: sa.ColumnElement[bool] | None = None
    ) -> None:
        """Erase tasks that are locked, but for the jobs to keep of those whose newest job is one of them."""
        task_ids = [task.taskID for task in tasks]
        kept_jobs: Collection[str] = ()
        kept_tasks: Collection[str] = ()
        if keep is not None:
            to_keep = sa.select(jobs.c.jobID, jobs.c.taskID).where(jobs.c.taskID.in_(task_ids), keep)
            kept = (await connection.execute(to_keep)).all()
            newest = {task.jobID for task in tasks}  # what a task shows is its newest job's
            kept_tasks = {row.taskID for row in kept if row.jobID in newest}
            kept_jobs = {row.jobID for row in kept if row.taskID in kept_tasks}
        gone = [task for task in tasks if task.taskID not in kept_tasks]
        gone_ids = [task.taskID for task in gone]

        of_jobs = (jobs.c.taskID.in_(task_ids), jobs.c.jobID.not_in(kept_jobs))
        job_ids = (await connection.scalars(sa.select(jobs.c.jobID).where(*of_jobs))).all()
        await connection.execute(
            sa.update(photos)
            .where(photos.c.taskID.in_(task_ids), photos.c.jobID.not_in(kept_jobs))
            .values(droppedAt=_LONG_AGO, name="")
        )
        # The old backend's lists may name photos that no row of ours does.
        listed = {photo_id for task in gone for photo_id in _listed(task._asdict())}
        known = (await connection.scalars(sa.select(photos.c.photoID).where(photos.c.photoID.in_(listed)))).all()
        await self._drop_unlisted(connection, sorted(listed - set(known)))
        await connection.execute(sa.delete(suggestions).where(suggestions.c.taskID.in_(gone_ids)))
        await connection.execute(
            sa.delete(idempotency_keys).where(
                idempotency_keys.c.userID.in_({task.userID for task in tasks}), idempotency_keys.c.jobID.in_(job_ids)
            )
        )
        await connection.execute(sa.delete(jobs).where(jobs.c.jobID.in_(job_ids)))
        # Only now, when nobody can announce these jobs again.
        await self._outbox.withdraw(connection, TaskSubmitted, job_ids)
        await connection.execute(sa.delete(leakage_tasks).where(leakage_tasks.c.taskID.in_(gone_ids)))
        owners = {task.userID for task in tasks}
        await connection.execute(sa.update(people).where(people.c.userID.in_(owners)).values(countedAt=None))


def _listed(task: Mapping[str, Any]) -> Iterable[str]:
    """The ids of photos that a task's row names; old rows may hold anything."""
    for value in (task["RGBphotoIDs"], task["thermalPhotoIDs"], [task["reportPhotoID"]]):
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, str) and _PHOTO_ID.fullmatch(item))
