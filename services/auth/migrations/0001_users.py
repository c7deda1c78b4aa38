"""Users and their profiles; the old backend's table is adopted with every row.

What changes for an adopted table: user ids may be longer (an e-mail address can have 254 characters), are compared
byte by byte and stored in lower case when they are e-mail addresses; profiles get a version. Every adopted profile
is announced once, so that tasks knows the households.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from contracts.events import Envelope, Household, ProfileUpdated
from contracts.user_ids import normalised
from services.chassis.adoption import columns, convert_to_utf8mb4, create_outbox, drop_foreign_keys
from services.chassis.database import UtcDateTime, key_string

revision = "0001"
down_revision = None

BATCH = 500


def upgrade() -> None:
    existing = columns("UserData")
    if not existing:
        op.create_table(
            "UserData",
            sa.Column("userID", key_string(255), primary_key=True),
            sa.Column("zipCode", sa.String(16)),
            sa.Column("energyCompany", sa.String(255)),
            sa.Column("retrofitBudget", sa.String(255)),
            sa.Column("ownership", sa.String(100)),
            sa.Column("appliances", sa.JSON),
            sa.Column("suggestedBudget", sa.Float),
            sa.Column("createdAt", UtcDateTime),
            sa.Column("updatedAt", UtcDateTime),
            sa.Column("profileVersion", sa.Integer, nullable=False, server_default="0"),
            mysql_charset="utf8mb4",
        )
        create_outbox("auth_outbox")
        return
    drop_foreign_keys("UserData")
    convert_to_utf8mb4("UserData")
    with op.batch_alter_table("UserData") as table:
        table.alter_column("userID", existing_type=sa.String(64), type_=key_string(255), nullable=False)
        if "profileVersion" not in existing:
            table.add_column(sa.Column("profileVersion", sa.Integer, nullable=False, server_default="0"))
    create_outbox("auth_outbox")
    # From here on one transaction, committed together with the mark that this revision is done.
    _lower_addresses()
    _announce_profiles()


_USERS = sa.table(
    "UserData",
    sa.column("userID", sa.String),
    sa.column("zipCode", sa.String),
    sa.column("energyCompany", sa.String),
    sa.column("retrofitBudget", sa.String),
    sa.column("ownership", sa.String),
    sa.column("appliances", sa.JSON),
    sa.column("updatedAt"),
    sa.column("profileVersion", sa.Integer),
)
_OUTBOX = sa.table(
    "auth_outbox",
    sa.column("envelope", sa.JSON),
    sa.column("createdAt", UtcDateTime),
    sa.column("dueAt", UtcDateTime),
    sa.column("failures", sa.Integer),
)
# The old column may be declared to follow every change of its row.
_UNTOUCHED = {"updatedAt": _USERS.c.updatedAt}


def _lower_addresses() -> None:
    """Where the old table compared with case, two rows may be one address: the one used last gets its name.

    An account that has the name already keeps it; rows without a name of their own are kept as they are.
    """
    bind = op.get_bind()
    addresses = sa.select(_USERS.c.userID).where(_USERS.c.userID.contains("@")).order_by(_USERS.c.updatedAt.desc())
    for old in bind.scalars(addresses).all():
        new = normalised(old)
        if new == old or bind.scalar(sa.select(_USERS.c.userID).where(_USERS.c.userID == new)) is not None:
            continue
        bind.execute(sa.update(_USERS).where(_USERS.c.userID == old).values(userID=new, **_UNTOUCHED))


def _announce_profiles() -> None:
    bind = op.get_bind()
    bind.execute(sa.update(_USERS).values(profileVersion=1, **_UNTOUCHED))
    last = ""
    while True:
        page = sa.select(_USERS).where(_USERS.c.userID > last).order_by(_USERS.c.userID).limit(BATCH)
        rows = bind.execute(page).all()
        if not rows:
            return
        present = datetime.now(UTC)
        events = [
            ProfileUpdated(
                user_id=row.userID,
                version=1,
                household=Household(
                    zip_code=row.zipCode,
                    ownership=row.ownership,
                    energy_company=row.energyCompany,
                    retrofit_budget=row.retrofitBudget,
                    appliances=tuple(map(str, row.appliances)) if isinstance(row.appliances, list) else (),
                ),
            )
            for row in rows
        ]
        bind.execute(
            sa.insert(_OUTBOX),
            [
                {
                    "envelope": Envelope.wrap(event, traceparent=None).model_dump(mode="json"),
                    "createdAt": present,
                    "dueAt": present,
                    "failures": 0,
                }
                for event in events
            ],
        )
        last = rows[-1].userID
