"""Sign-outs, from before which tokens are refused; and room for versions that begin at the present time."""

import sqlalchemy as sa
from alembic import op

from services.chassis.adoption import create_sign_outs

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_sign_outs("auth_sign_out")
    with op.batch_alter_table("UserData") as table:
        table.alter_column(
            "profileVersion",
            existing_type=sa.Integer(),
            existing_nullable=False,
            existing_server_default="0",
            type_=sa.BigInteger(),
        )
