"""Pictures of reports between their upload by analysis and the AnalysisCompleted that names them.

Each has a row from before its first byte, so that no picture is lost sight of: whatever ends the job in another way (a
replacement, its deadline, an erasure), and wherever analysis or tasks was killed, the sweeper finds the row of a job
that has ended or is gone, and removes the picture within seconds.
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database
from services.chassis.problems import Problem
from services.tasks.jobs import UNFINISHED
from services.tasks.models import jobs, photos, unclaimed_pictures

_STATE = sa.select(jobs.c.state).where(jobs.c.jobID == sa.bindparam("job_id"))
_NEW = sa.insert(unclaimed_pictures)
_STORED = (
    sa.update(unclaimed_pictures)
    .where(unclaimed_pictures.c.photoID == sa.bindparam("photo_id"))
    .values(size=sa.bindparam("bytes"))
)
_THESE = unclaimed_pictures.c.photoID.in_(sa.bindparam("photo_ids", expanding=True))
_SIZES = sa.select(unclaimed_pictures.c.photoID, unclaimed_pictures.c.size).where(_THESE)
_FORGET = sa.delete(unclaimed_pictures).where(_THESE)
_LEFT_OVER = (
    sa.select(unclaimed_pictures.c.photoID, photos.c.photoID.label("namedID"))
    .select_from(
        unclaimed_pictures.outerjoin(jobs, jobs.c.jobID == unclaimed_pictures.c.jobID).outerjoin(
            photos, photos.c.photoID == unclaimed_pictures.c.photoID
        )
    )
    .where(sa.or_(jobs.c.jobID.is_(None), jobs.c.state.not_in(UNFINISHED)))
    .limit(sa.bindparam("limit"))
)


async def claim(connection: AsyncConnection, photo_ids: Collection[str]) -> Mapping[str, int | None]:
    """Take pictures that a report names off the list, and return the sizes of those whose size is known."""
    given = {"photo_ids": list(photo_ids)}
    sizes = {row.photoID: row.size for row in await connection.execute(_SIZES, given)}
    if sizes:
        await connection.execute(_FORGET, given)
    return sizes


class ReportPictures:
    """The list of pictures that no report names yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, photo_id: str, job_id: str) -> None:
        """List a picture before its first byte. Raises :class:`Problem` 404 or 410 when no job waits for it."""
        async with self._database.write() as connection:
            raise_if_ended(await connection.scalar(_STATE, {"job_id": job_id}))
            await connection.execute(_NEW, {"photoID": photo_id, "jobID": job_id})

    async def finish(self, photo_id: str, job_id: str, size: int) -> None:
        """Note that a picture is stored whole. Raises :class:`Problem` when its job has ended meanwhile."""
        async with self._database.write() as connection:
            raise_if_ended(await connection.scalar(_STATE, {"job_id": job_id}))
            await connection.execute(_STORED, {"photo_id": photo_id, "bytes": size})

    async def left_over(self, limit: int) -> list[tuple[str, bool]]:
        """Return listed pictures whose job has ended or is gone, each with whether a report names it after all."""
        async with self._database.read() as connection:
            found = (await connection.execute(_LEFT_OVER, {"limit": limit})).all()
        return [(row.photoID, row.namedID is not None) for row in found]

    async def forget(self, photo_ids: Collection[str]) -> None:
        """Take pictures off the list whose bytes are gone, or whose report names them."""
        async with self._database.write() as connection:
            await connection.execute(_FORGET, {"photo_ids": list(photo_ids)})


def raise_if_ended(state: str | None) -> None:
    """Raise :class:`Problem` 404 for a job that is not there, 410 for one that has ended."""
    if state is None:
        raise Problem(404, "Job not found")
    if state not in UNFINISHED:
        raise Problem(410, "The job has ended.")
