"""The statements of every submission and every poll, made once: to put one together costs more than to run it.

Each asks in one round trip for all that its moment needs. Their parameters are named where they are bound.
"""

import sqlalchemy as sa

from services.chassis.database import now
from services.chassis.signouts import last_sign_out
from services.tasks.erasure import DELETED_SINCE
from services.tasks.jobs import UNFINISHED
from services.tasks.models import households, idempotency_keys, jobs, leakage_tasks, sign_outs

_UNFINISHED_OF_PERSON = (
    sa.select(jobs.c.jobID)
    .where(jobs.c.userID.in_(sa.bindparam("submitters", expanding=True)), jobs.c.state.in_(UNFINISHED))
    .limit(sa.bindparam("bound"))
    .subquery()
)
_UNFINISHED_COUNT = sa.select(sa.func.count()).select_from(_UNFINISHED_OF_PERSON).scalar_subquery().label("unfinished")

STANDING = sa.select(
    _UNFINISHED_COUNT,
    sa.exists()
    .where(
        idempotency_keys.c.userID.in_(sa.bindparam("submitters", expanding=True)),
        idempotency_keys.c.key == sa.bindparam("key"),
    )
    .label("isRepetition"),
    last_sign_out(sign_outs),
)

_ONE = sa.select(sa.literal_column("1")).subquery("one")
# A row in any case; that of the task, if there is one, is locked.
KNOWN = (
    sa.select(
        leakage_tasks.c.taskID,
        leakage_tasks.c.userID,
        leakage_tasks.c.jobID,
        sa.select(households.c.household)
        .where(households.c.userID == sa.bindparam("user_id"))
        .scalar_subquery()
        .label("household"),
        _UNFINISHED_COUNT,
        DELETED_SINCE,
    )
    .select_from(_ONE.outerjoin(leakage_tasks, leakage_tasks.c.taskID == sa.bindparam("task_id")))
    .with_for_update(of=leakage_tasks)
)
NEW_TASK = sa.insert(leakage_tasks).values(createdAt=now(), updatedAt=now())
NEW_JOB = sa.insert(jobs).values(submittedAt=now("submitted"), publishedAt=now())

FOLLOWED = sa.select(
    jobs.c.taskID,
    jobs.c.userID,
    jobs.c.state,
    jobs.c.error,
    sa.type_coerce(jobs.c.report, sa.Text).label("report"),
    jobs.c.imageID,
    last_sign_out(sign_outs),
).where(jobs.c.jobID == sa.bindparam("job_id"))
