"""The statements of every submission, job and poll, made once: to put one together costs more than to run it.

Each does in one round trip all that its moment needs. Their parameters are named where they are bound, in snake_case;
parameters in camelCase are columns that are set.
"""

import sqlalchemy as sa

from services.chassis.database import now
from services.chassis.signouts import last_sign_out
from services.tasks.erasure import DELETED_SINCE
from services.tasks.jobs import UNFINISHED, JobState
from services.tasks.models import households, idempotency_keys, jobs, leakage_tasks, photos, sign_outs, suggestions
from services.tasks.quota import STORED_BYTES

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
    STORED_BYTES,
    last_sign_out(sign_outs),
)

_THIS_PERSON = households.c.userID == sa.bindparam("user_id")
_ONE = sa.select(sa.literal_column("1")).subquery("one")
# A row in any case; that of the task, if there is one, is locked.
KNOWN = (
    sa.select(
        leakage_tasks.c.taskID,
        leakage_tasks.c.userID,
        leakage_tasks.c.jobID,
        sa.select(households.c.household).where(_THIS_PERSON).scalar_subquery().label("household"),
        sa.select(households.c.version).where(_THIS_PERSON).scalar_subquery().label("householdVersion"),
        _UNFINISHED_COUNT,
        DELETED_SINCE,
    )
    .select_from(_ONE.outerjoin(leakage_tasks, leakage_tasks.c.taskID == sa.bindparam("task_id")))
    .with_for_update(of=leakage_tasks)
)
NEW_TASK = sa.insert(leakage_tasks).values(createdAt=now(), updatedAt=now())
NEW_JOB = sa.insert(jobs).values(submittedAt=now("submitted"), publishedAt=now())
NEW_WAITING_JOB = NEW_JOB.values(waitingSince=now())
NEW_PHOTOS = sa.insert(photos)
NEW_SUGGESTIONS = sa.insert(suggestions)

_THIS_JOB = jobs.c.jobID == sa.bindparam("job_id")
_UNFINISHED = jobs.c.state.in_(UNFINISHED)

JOB = sa.select(jobs).where(_THIS_JOB)
JOB_PHOTO = (
    sa.select(photos, jobs.c.state.label("jobState"))
    .join(jobs, jobs.c.jobID == photos.c.jobID)
    .where(photos.c.photoID == sa.bindparam("photo_id"), photos.c.jobID == sa.bindparam("job_id"))
)

# A job that still waits was announced by a release that knows no turns: its time counts from here. In this order:
# MySQL sets one column after the other.
START = (
    sa.update(jobs)
    .where(_THIS_JOB, jobs.c.state == JobState.QUEUED)
    .ordered_values(
        (jobs.c.state, JobState.PROCESSING),
        (jobs.c.announcedAt, sa.case((jobs.c.waitingSince.is_not(None), now()), else_=jobs.c.announcedAt)),
        (jobs.c.waitingSince, None),
    )
)
JOB_PERSON = sa.select(jobs.c.userID).where(_THIS_JOB)
FAIL = sa.update(jobs).where(_THIS_JOB, _UNFINISHED).values(state=JobState.ERROR, endedAt=now(), waitingSince=None)
# Before the job's row, as everywhere.
LOCK_TASK = (
    sa.select(leakage_tasks.c.taskID, leakage_tasks.c.userID)
    .where(leakage_tasks.c.taskID == sa.bindparam("task_id"))
    .with_for_update()
)
COMPLETE = (
    sa.update(jobs)
    .where(_THIS_JOB, jobs.c.taskID == sa.bindparam("task_id"), _UNFINISHED)
    .values(state=JobState.DONE, endedAt=now(), waitingSince=None)
)
SHOW_REPORT = (
    sa.update(leakage_tasks)
    .where(leakage_tasks.c.taskID == sa.bindparam("task_id"), leakage_tasks.c.jobID == sa.bindparam("job_id"))
    .values(state=sa.case((leakage_tasks.c.state == "closed", "closed"), else_="open"), updatedAt=now())
)

FOLLOWED = sa.select(
    jobs.c.taskID,
    jobs.c.userID,
    jobs.c.state,
    jobs.c.error,
    sa.type_coerce(jobs.c.report, sa.Text).label("report"),
    jobs.c.imageID,
    last_sign_out(sign_outs),
).where(_THIS_JOB)
