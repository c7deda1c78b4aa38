"""The tables that auth owns. ``UserData`` keeps the old backend's name and columns, adopted in place."""

import sqlalchemy as sa

from services.chassis.database import UtcDateTime, key_string
from services.chassis.outbox import outbox_table
from services.chassis.signouts import sign_out_table

metadata = sa.MetaData()

users = sa.Table(
    "UserData",
    metadata,
    sa.Column("userID", key_string(255), primary_key=True),  # the account's id: an address in lower case, mostly
    sa.Column("zipCode", sa.String(16)),
    sa.Column("energyCompany", sa.String(255)),
    sa.Column("retrofitBudget", sa.String(255)),
    sa.Column("ownership", sa.String(100)),
    sa.Column("appliances", sa.JSON(none_as_null=True)),
    sa.Column("suggestedBudget", sa.Float),  # the old backend's, never written by us
    sa.Column("createdAt", UtcDateTime),
    sa.Column("updatedAt", UtcDateTime),
    sa.Column("profileVersion", sa.BigInteger, nullable=False, server_default="0"),  # grows with each change
    sa.Column("person", key_string(255)),  # whose it is, by issuer and subject; NULL: nobody has signed in since
    sa.Index("ix_UserData_owner", "person", unique=True),
)

# What accounts are called in requests. A name leads to the account whose owner proved it last.
names = sa.Table(
    "auth_name",
    metadata,
    sa.Column("name", key_string(255), primary_key=True),  # an e-mail address, or a person's id
    sa.Column("account", key_string(255), nullable=False, index=True),
    sa.Column("provedAt", sa.BigInteger, nullable=False),  # Unix time in seconds
    sa.Column("version", sa.BigInteger, nullable=False),  # grows with each account that it leads to
)

sign_outs = sign_out_table(metadata, "auth_sign_out")

outbox = outbox_table(metadata, "auth_outbox")
