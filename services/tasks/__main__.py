"""``python -m services.tasks``: serve, ``migrate``, or look after dead letters."""

from contracts.topology import TASKS_PROFILES, TASKS_RESULTS
from services.chassis.access import warn_of_legacy
from services.chassis.command_line import Commands, command_line
from services.chassis.logs import configure_logs
from services.chassis.messaging.broker import Broker
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics, served
from services.chassis.migrations import migrate_alone
from services.chassis.serving import Stop, bind
from services.chassis.serving import serve as serve_app
from services.chassis.settings import load
from services.tasks.app import MIGRATIONS, SERVICE, create_app
from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.settings import TasksSettings


async def _serve(stop: Stop) -> None:
    settings = load(TasksSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    warn_of_legacy(settings.auth_mode)
    metrics = Metrics()
    app = create_app(
        settings,
        metrics,
        lambda: RabbitBroker(settings.rabbitmq_url, metrics, SERVICE),
        lambda: GridFSPhotos(settings.mongo_url),
    )
    with bind(settings.host, settings.port) as sock, served(metrics, settings.host, settings.metrics_port):
        await serve_app(app, sock, stop)


async def _migrate() -> None:
    settings = load(TasksSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    await migrate_alone(settings.sql_url, SERVICE, MIGRATIONS)


def _broker() -> Broker:
    return RabbitBroker(load(TasksSettings).rabbitmq_url, Metrics(), f"{SERVICE} dead letters")


if __name__ == "__main__":
    command_line(Commands(SERVICE, _serve, _migrate, _broker, (TASKS_RESULTS, TASKS_PROFILES)))()
