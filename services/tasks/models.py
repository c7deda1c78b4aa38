"""The tables that tasks owns.

``LeakageTask`` and ``Suggestion`` keep the old backend's names and columns and always show the newest report of a
task. What the old schema has no room for lies in tables of our own, all named ``tasks_…``.
"""

import sqlalchemy as sa

from services.chassis.database import UtcDateTime, key_string
from services.chassis.outbox import outbox_table
from services.chassis.pseudonyms import PSEUDONYM_LENGTH
from services.chassis.signouts import sign_out_table

metadata = sa.MetaData()

leakage_tasks = sa.Table(
    "LeakageTask",
    metadata,
    sa.Column("taskID", key_string(64), primary_key=True),
    sa.Column("userID", key_string(255)),  # the account's id
    sa.Column("title", sa.String(255)),
    sa.Column("type", sa.String(32)),
    sa.Column("state", sa.String(32)),
    sa.Column("decision", sa.String(64)),
    sa.Column("closedResult", sa.String(255)),
    sa.Column("insideTemp", sa.Float),  # °F
    sa.Column("outsideTemp", sa.Float),  # °F
    sa.Column("RGBphotoIDs", sa.JSON(none_as_null=True)),
    sa.Column("thermalPhotoIDs", sa.JSON(none_as_null=True)),
    sa.Column("leakSeverity", sa.String(255)),
    sa.Column("energyLossValue", sa.Float),  # kWh per month
    sa.Column("energyLossCost", sa.Float),  # US$ per year
    sa.Column("savingsPercent", sa.Float),
    sa.Column("savingsCost", sa.Float),  # US$ per year
    sa.Column("reportPhotoID", sa.String(64)),
    sa.Column("createdAt", UtcDateTime),
    sa.Column("updatedAt", UtcDateTime, index=True),
    sa.Column("jobID", key_string(36)),  # the newest submission
    sa.Index("ix_LeakageTask_person", "userID", "createdAt", "taskID"),
)

suggestions = sa.Table(
    "Suggestion",
    metadata,
    sa.Column("suggestionID", key_string(64), primary_key=True),
    sa.Column("taskID", key_string(64), index=True),
    sa.Column("title", sa.String(255)),
    sa.Column("subtitle", sa.String(255)),
    sa.Column("difficulty", sa.String(255)),
    sa.Column("costRange", sa.String(255)),
    sa.Column("estimatedReduction", sa.String(255)),
    sa.Column("lifetime", sa.String(255)),
)

jobs = sa.Table(
    "tasks_job",
    metadata,
    sa.Column("jobID", key_string(36), primary_key=True),
    sa.Column("taskID", key_string(64), nullable=False, index=True),
    sa.Column("userID", key_string(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("report", sa.JSON(none_as_null=True)),
    sa.Column("imageID", sa.String(24)),
    sa.Column("submittedAt", UtcDateTime, nullable=False),  # when its upload began
    sa.Column("provedAt", sa.BigInteger),  # Unix time of the newest proof that it came with; NULL: no token
    sa.Column("publishedAt", UtcDateTime, nullable=False),  # when TaskSubmitted was last put into the outbox
    sa.Column("endedAt", UtcDateTime),
    sa.Column("fingerprint", sa.String(64)),  # of what its analysis is given; NULL: before there were any
    sa.Column("traceparent", sa.String(55)),  # of the request that submitted it
    sa.Column("household", sa.JSON(none_as_null=True)),  # of the submission; NULL: none was known
    sa.Column("waitingSince", UtcDateTime),  # NULL: it was announced to analysis
    sa.Column("announcedAt", UtcDateTime),  # when its turn came; NULL: it never had to wait
    sa.Index("ix_tasks_job_unfinished", "state", "publishedAt"),
    sa.Index("ix_tasks_job_turn", "userID", "state", "waitingSince"),
)

# One row for each person who submits: the lock that makes turns and quotas exact, and what they need to know.
people = sa.Table(
    "tasks_person",
    metadata,
    sa.Column("userID", key_string(255), primary_key=True),
    sa.Column("heldBy", key_string(36)),  # a job that was replaced while analysis was working on it
    sa.Column("heldUntil", UtcDateTime),  # until then, or until analysis tells its end, it counts as announced
    sa.Column("photoBytes", sa.BigInteger, nullable=False, server_default="0"),  # of photos and report pictures in use
    sa.Column("replacedBytes", sa.BigInteger, nullable=False, server_default="0"),  # of photos that are to be removed
    sa.Column("tasks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("countedAt", UtcDateTime),  # NULL: the three before are to be counted anew
)

# Pictures of reports from before their first byte until AnalysisCompleted names them.
unclaimed_pictures = sa.Table(
    "tasks_unclaimed_picture",
    metadata,
    sa.Column("photoID", key_string(24), primary_key=True),
    sa.Column("jobID", key_string(36), nullable=False),
    sa.Column("size", sa.BigInteger),  # NULL: not stored whole yet
)

idempotency_keys = sa.Table(
    "tasks_idempotency_key",
    metadata,
    sa.Column("userID", key_string(255), primary_key=True),
    sa.Column("key", key_string(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),  # of the submission that came with it first
    sa.Column("jobID", key_string(36), nullable=False),
    sa.Column("createdAt", UtcDateTime, nullable=False, index=True),
)

photos = sa.Table(
    "tasks_photo",
    metadata,
    sa.Column("photoID", key_string(24), primary_key=True),  # the GridFS id
    sa.Column("taskID", key_string(64), nullable=False, index=True),
    sa.Column("jobID", key_string(36), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # rgb, thermal, report, thumbnail
    sa.Column("observation", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # in the order of upload
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("mediaType", sa.String(64)),  # NULL: not looked at yet (adopted from the old backend)
    sa.Column("size", sa.BigInteger, index=True),  # NULL: not looked at yet
    sa.Column("sha256", sa.String(64)),
    sa.Column("droppedAt", UtcDateTime, index=True),  # replaced by a newer submission; removed after the grace period
)

households = sa.Table(
    "tasks_household",
    metadata,
    sa.Column("userID", key_string(255), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("household", sa.JSON, nullable=False),
)

# What auth has said of accounts: which one an e-mail address, or a person's id, leads to.
names = sa.Table(
    "tasks_name",
    metadata,
    sa.Column("name", key_string(255), primary_key=True),
    sa.Column("account", key_string(255), nullable=False, index=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)

# Accounts that were deleted: work until everything is erased, and then what keeps late messages from undoing it.
erasures = sa.Table(
    "tasks_erasure",
    metadata,
    sa.Column("person", key_string(PSEUDONYM_LENGTH), primary_key=True),
    sa.Column("userID", key_string(255), index=True),  # NULL: everything is erased
    sa.Column("deletedAt", UtcDateTime, nullable=False),
    sa.Column("profileVersion", sa.BigInteger, nullable=False),
    sa.Column("signedOutUntil", sa.BigInteger, nullable=False, server_default="0"),  # Unix time in seconds
    sa.Column("namesVersion", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("notedAt", UtcDateTime, nullable=False, index=True),
)

sign_outs = sign_out_table(metadata, "tasks_sign_out")

outbox = outbox_table(metadata, "tasks_outbox")
