"""Fills the database of tasks as years of use would, in a few statements.

Ids are spread over their range as UUIDs are, so that what is added later falls between the rows that are there; those
of photos ascend, as theirs do. Each batch is inserted in the order of its keys: a million random ones would make MySQL
read and write the same pages over and over.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from services.chassis.database import database_url

PEOPLE = 5_000
_BATCH = 250_000


async def grow(sql_url: str, tasks: int, people: int = PEOPLE) -> None:
    """Add tasks of ``people``, each task with a job that is done and two photos, until so many have been added."""
    engine = create_async_engine(database_url(sql_url))
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("SET sql_notes = 0"))  # the driver logs that the table is there
            await connection.execute(sa.text(_GROWN))
            there = await connection.scalar(sa.text("SELECT COUNT(*) FROM bench_grown"))
        for first in range(there or 0, tasks, _BATCH):
            values = {"first": first, "count": min(tasks - first, _BATCH), "people": people}
            async with engine.begin() as connection:
                for statement in (_NUMBERS, _TASKS, _JOBS, _PHOTOS):
                    await connection.execute(sa.text(statement), values)
        async with engine.connect() as connection:
            await connection.execute(sa.text("ANALYZE TABLE LeakageTask, tasks_job, tasks_photo"))
    finally:
        await engine.dispose()


def person(number: int) -> str:
    """The user id of one of the people."""
    return f"person-{number}@example.com"


_GROWN = "CREATE TABLE IF NOT EXISTS bench_grown (n INT PRIMARY KEY, id VARCHAR(36) COLLATE utf8mb4_bin UNIQUE)"
_UUID = "INSERT(INSERT(INSERT(INSERT(LEFT(SHA2(n, 256), 32), 21, 0, '-'), 17, 0, '-'), 13, 0, '-'), 9, 0, '-')"
_DIGIT = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
_NUMBERS = f"""
INSERT INTO bench_grown (n, id) SELECT n, {_UUID} FROM (
    SELECT :first + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n
    FROM {_DIGIT} a, {_DIGIT} b, {_DIGIT} c, {_DIGIT} e, {_DIGIT} f, {_DIGIT} g) numbers
WHERE n < :first + :count
"""  # noqa: S608 - constants
_NEW = "FROM bench_grown WHERE n >= :first"
_WHO = "CONCAT('person-', n % :people, '@example.com')"
_WHEN = "TIMESTAMPADD(SECOND, -n * 30, UTC_TIMESTAMP(6))"
_PHOTO = "LOWER(LPAD(HEX(2 * n + {}), 24, '0'))"
_TASKS = f"""
INSERT INTO LeakageTask (taskID, userID, title, type, state, insideTemp, outsideTemp, RGBphotoIDs, thermalPhotoIDs,
    leakSeverity, energyLossValue, energyLossCost, createdAt, updatedAt, jobID)
SELECT id, {_WHO}, 'North window', 'window', 'open', 71, 35, JSON_ARRAY({_PHOTO.format(0)}),
    JSON_ARRAY({_PHOTO.format(1)}), 'Moderate', 15.8, 142, {_WHEN}, {_WHEN}, id
{_NEW} ORDER BY id
"""
_JOBS = f"""
INSERT INTO tasks_job (jobID, taskID, userID, state, submittedAt, publishedAt, endedAt)
SELECT id, id, {_WHO}, 'done', {_WHEN}, {_WHEN}, {_WHEN} {_NEW} ORDER BY id
"""
_PHOTOS = f"""
INSERT INTO tasks_photo (photoID, taskID, jobID, kind, observation, position, name, mediaType, size)
SELECT {_PHOTO.format("kind.d")}, id, id, IF(kind.d = 0, 'rgb', 'thermal'), 0, kind.d,
    IF(kind.d = 0, 'obs0_rgb.jpg', 'obs0_thermal.jpg'), 'image/jpeg', 350000
FROM bench_grown, (SELECT 0 AS d UNION ALL SELECT 1) kind WHERE n >= :first ORDER BY n, kind.d
"""  # noqa: S608
