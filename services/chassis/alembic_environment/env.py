"""What alembic runs for every service: the revisions that :mod:`services.chassis.migrations` points it at."""

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table=attributes["version_table"])
with context.begin_transaction():
    context.run_migrations()
