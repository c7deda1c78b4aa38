"""``python -m services.auth``: serve, ``migrate``, or announce every profile again."""

import typer

from services.auth.app import MIGRATIONS, SERVICE, create_app
from services.auth.models import outbox
from services.auth.settings import AuthSettings
from services.auth.store import announce_profiles
from services.chassis.access import warn_of_legacy
from services.chassis.command_line import Commands, command_line
from services.chassis.database import Database
from services.chassis.logs import configure_logs
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics, served
from services.chassis.migrations import migrate_alone
from services.chassis.outbox import Outbox
from services.chassis.serving import Stop, bind, run
from services.chassis.serving import serve as serve_app
from services.chassis.settings import load


async def _serve(stop: Stop) -> None:
    settings = load(AuthSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    warn_of_legacy(settings.auth_mode)
    metrics = Metrics()
    app = create_app(settings, metrics, lambda: RabbitBroker(settings.rabbitmq_url, metrics, SERVICE))
    with bind(settings.host, settings.port) as sock, served(metrics, settings.host, settings.metrics_port):
        await serve_app(app, sock, stop)


async def _migrate() -> None:
    settings = load(AuthSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    await migrate_alone(settings.sql_url, SERVICE, MIGRATIONS)


def _announce_profiles() -> None:
    """Tell the other services again of every profile: events may have been lost, as before a restore."""
    announced: int | None = None

    async def main(_: Stop) -> None:
        nonlocal announced
        database = Database(load(AuthSettings).sql_url)
        try:
            await database.start()
            announced = await announce_profiles(database, Outbox(outbox))
        finally:
            await database.close()

    run(main)
    if announced is None:  # a signal came first
        raise typer.Exit(1)
    typer.echo(f"{announced} profiles are announced again.")


if __name__ == "__main__":
    app = command_line(Commands(SERVICE, serve=_serve, migrate=_migrate))
    app.command("announce-profiles")(_announce_profiles)
    app()
