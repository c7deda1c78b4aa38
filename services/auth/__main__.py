"""``python -m services.auth``: serve, or ``migrate``."""

from services.auth.app import MIGRATIONS, SERVICE, create_app
from services.auth.settings import AuthSettings
from services.chassis.access import warn_of_legacy
from services.chassis.command_line import Commands, command_line
from services.chassis.logs import configure_logs
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics, served
from services.chassis.migrations import migrate_alone
from services.chassis.serving import Stop, bind
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


if __name__ == "__main__":
    command_line(Commands(SERVICE, serve=_serve, migrate=_migrate))()
