"""Fills the database with tasks as years of use would, in a few statements."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from services.chassis.database import database_url
from tests.servers import run_apart

_BATCH = 50_000


def grow(sql_url: str, tasks: int) -> None:
    """Add tasks of 5,000 people, each with an ended job and two photos, until there are ``tasks`` of them."""

    async def run() -> None:
        engine = create_async_engine(database_url(sql_url), isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                for statement in _PREPARATIONS:
                    await connection.execute(sa.text(statement))
                there = await connection.scalar(sa.text("SELECT COUNT(*) FROM LeakageTask WHERE taskID LIKE 'grown-%'"))
                for first in range(there or 0, tasks, _BATCH):
                    values = {"first": first, "count": min(tasks - first, _BATCH)}
                    for statement in (_TASKS, _JOBS, _PHOTOS):
                        await connection.execute(sa.text(statement), values)
                await connection.execute(sa.text("ANALYZE TABLE LeakageTask, tasks_job, tasks_photo"))
        finally:
            await engine.dispose()

    run_apart(run)


_DIGIT = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
_PREPARATIONS = (
    "DROP TABLE IF EXISTS bench_number",
    "CREATE TABLE bench_number (n INT PRIMARY KEY)",
    f"""INSERT INTO bench_number
    SELECT * FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n
        FROM {_DIGIT} a, {_DIGIT} b, {_DIGIT} c, {_DIGIT} e, {_DIGIT} f) numbers WHERE n < {_BATCH}""",  # noqa: S608 - constants
)
_GROWN = "(SELECT n + :first AS n FROM bench_number WHERE n < :count) grown"
_ID = "CONCAT('grown-', n)"
_WHO = "CONCAT('person-', n % 5000, '@example.com')"
_WHEN = "TIMESTAMPADD(SECOND, -n * 30, NOW(6))"
_TASKS = f"""
INSERT INTO LeakageTask (taskID, userID, title, type, state, insideTemp, outsideTemp, leakSeverity, energyLossValue,
    energyLossCost, createdAt, updatedAt, jobID)
SELECT {_ID}, {_WHO}, 'North window', 'window', 'open', 71, 35, 'Moderate', 15.8, 142, {_WHEN}, {_WHEN}, {_ID}
FROM {_GROWN}
"""  # noqa: S608
_JOBS = f"""
INSERT INTO tasks_job (jobID, taskID, userID, state, submittedAt, publishedAt, endedAt)
SELECT {_ID}, {_ID}, {_WHO}, 'done', {_WHEN}, {_WHEN}, {_WHEN} FROM {_GROWN}
"""  # noqa: S608
_PHOTOS = f"""
INSERT INTO tasks_photo (photoID, taskID, jobID, kind, observation, position, name)
SELECT LPAD(HEX(2 * n + kind.d), 24, 'a'), {_ID}, {_ID}, IF(kind.d = 0, 'rgb', 'thermal'), 0, kind.d, 'obs0.jpg'
FROM {_GROWN}, (SELECT 0 AS d UNION ALL SELECT 1) kind
"""  # noqa: S608
