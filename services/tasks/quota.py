"""How much of the store one person may fill: bytes of photos, and tasks.

What a person keeps is counted in the person's row, which each submission locks: of submissions at the same moment the
later one sees what the earlier one brought. Whatever may make the count wrong (a release that does not count, photos
whose size was not known) leaves it to be counted anew by the next submission, at the latest after COUNT_SECONDS.

The photos of replaced submissions stay for a while, so they have a bound of their own: what a person keeps and what is
to be removed may together take twice the quota. Uploads that are under way come on top, until their commit.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import now
from services.chassis.problems import Problem
from services.tasks.models import leakage_tasks, people, photos

GIB = 1024**3
COUNT_SECONDS = 3600
REMOVED_SECONDS = 600
"""When to try again where replaced photos are to be removed first: some of them will be gone."""

FULL = (
    "Your photos would take more room than the {:.3g} GB that an account has. Please send fewer or smaller photos, or "
    "send them for a task that you already have: they replace its old ones."
)
TOO_MANY_TASKS = "You have {} tasks, the most that an account may have. Please send the photos for one of those tasks."
TOO_MANY_REPLACED = "Many of your photos were replaced of late, and the old ones are not removed yet. Please try later."

# A statement that reads as many rows as a person has: run by a submission, at most once in COUNT_SECONDS.
COUNT = (
    sa.select(
        sa.func.coalesce(sa.func.sum(sa.case((photos.c.droppedAt.is_(None), photos.c.size), else_=0)), 0).label("kept"),
        sa.func.coalesce(sa.func.sum(sa.case((photos.c.droppedAt.is_not(None), photos.c.size), else_=0)), 0).label(
            "replaced"
        ),
        sa.func.count(sa.distinct(leakage_tasks.c.taskID)).label("tasks"),
    )
    .select_from(leakage_tasks.outerjoin(photos, photos.c.taskID == leakage_tasks.c.taskID))
    .where(leakage_tasks.c.userID == sa.bindparam("user_id"))
)
_IS_COUNTED = people.c.countedAt > now(-COUNT_SECONDS)
STORED_BYTES = (
    sa.select(sa.func.coalesce(sa.func.sum(people.c.photoBytes + people.c.replacedBytes), 0))
    .where(people.c.userID.in_(sa.bindparam("submitters", expanding=True)), _IS_COUNTED)
    .scalar_subquery()
    .label("storedBytes")
)
_SAVE = (
    sa.update(people)
    .where(people.c.userID == sa.bindparam("user_id"))
    .values(photoBytes=sa.bindparam("kept"), replacedBytes=sa.bindparam("replaced"), tasks=sa.bindparam("count"))
)
_SAVE_ANEW = _SAVE.values(countedAt=now())
_ADD = (
    sa.update(people)
    .where(people.c.userID == sa.bindparam("user_id"))
    .values(photoBytes=people.c.photoBytes + sa.bindparam("more"))
)
_IS_FRESH = sa.select(sa.exists().where(people.c.userID == sa.bindparam("user_id"), _IS_COUNTED))


@dataclass(frozen=True, slots=True)
class Quota:
    """How much is kept of one person at most."""

    stored_bytes: int = 5 * GIB
    tasks: int = 2_000

    def raise_if_hopeless(self, stored_bytes: int, declared_bytes: int) -> None:
        """Raise :class:`Problem` for a body that cannot be kept, whichever task it is for, before it is read."""
        if declared_bytes > self.stored_bytes:
            raise Problem(413, FULL.format(self.stored_bytes / GIB))
        if stored_bytes + declared_bytes > 2 * self.stored_bytes:
            raise Problem(429, TOO_MANY_REPLACED, {"Retry-After": str(REMOVED_SECONDS)})

    async def take(self, connection: AsyncConnection, person: Any, change: "Change") -> None:
        """Count a submission in the person's row, which is locked.

        Raises :class:`Problem` 413 or 429. The photos that it replaces are marked already, and its task is stored.
        """
        fresh = person.countedAt is not None and await connection.scalar(_IS_FRESH, {"user_id": person.userID})
        if fresh:
            kept = person.photoBytes - change.replaced_bytes
            replaced = person.replacedBytes + change.replaced_bytes
            tasks = person.tasks + change.is_new_task
        else:
            counted = (await connection.execute(COUNT, {"user_id": person.userID})).one()
            kept, replaced, tasks = int(counted.kept), int(counted.replaced), counted.tasks
        if change.is_new_task and tasks > self.tasks:
            raise Problem(429, TOO_MANY_TASKS.format(self.tasks))
        if kept + change.new_bytes > self.stored_bytes:
            raise Problem(413, FULL.format(self.stored_bytes / GIB))
        if kept + replaced + change.new_bytes > 2 * self.stored_bytes:
            raise Problem(429, TOO_MANY_REPLACED, {"Retry-After": str(REMOVED_SECONDS)})
        given = {"user_id": person.userID, "kept": kept + change.new_bytes, "replaced": replaced, "count": tasks}
        await connection.execute(_SAVE if fresh else _SAVE_ANEW, given)


@dataclass(frozen=True, slots=True)
class Change:
    """What a submission changes of what is kept."""

    new_bytes: int
    replaced_bytes: int
    is_new_task: bool


async def add_bytes(connection: AsyncConnection, user_id: str, more: int) -> None:
    """Count pictures of a report; the person's row is locked."""
    await connection.execute(_ADD, {"user_id": user_id, "more": more})
