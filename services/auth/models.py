"""The tables that auth owns. ``UserData`` keeps the old backend's name and columns, adopted in place."""

import sqlalchemy as sa

from services.chassis.database import UtcDateTime, key_string
from services.chassis.outbox import outbox_table
from services.chassis.signouts import sign_out_table

metadata = sa.MetaData()

users = sa.Table(
    "UserData",
    metadata,
    sa.Column("userID", key_string(255), primary_key=True),  # normalised: an e-mail address in lower case
    sa.Column("zipCode", sa.String(16)),
    sa.Column("energyCompany", sa.String(255)),
    sa.Column("retrofitBudget", sa.String(255)),
    sa.Column("ownership", sa.String(100)),
    sa.Column("appliances", sa.JSON(none_as_null=True)),
    sa.Column("suggestedBudget", sa.Float),  # the old backend's, never written by us
    sa.Column("createdAt", UtcDateTime),
    sa.Column("updatedAt", UtcDateTime),
    sa.Column("profileVersion", sa.BigInteger, nullable=False, server_default="0"),  # grows with each change
)

sign_outs = sign_out_table(metadata, "auth_sign_out")

outbox = outbox_table(metadata, "auth_outbox")
