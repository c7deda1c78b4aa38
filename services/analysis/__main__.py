"""``python -m services.analysis``: serve, or look after dead letters."""

from contracts.topology import ANALYSIS_SUBMISSIONS
from services.analysis.app import SERVICE, create_app
from services.analysis.settings import AnalysisSettings
from services.chassis.command_line import Commands, command_line
from services.chassis.logs import configure_logs
from services.chassis.messaging.broker import Broker
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics, served
from services.chassis.serving import Stop, bind
from services.chassis.serving import serve as serve_app
from services.chassis.settings import load


async def _serve(stop: Stop) -> None:
    settings = load(AnalysisSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    metrics = Metrics()
    app = create_app(settings, metrics, lambda: RabbitBroker(settings.rabbitmq_url, metrics, SERVICE))
    with bind(settings.host, settings.port) as sock, served(metrics, settings.host, settings.metrics_port):
        await serve_app(app, sock, stop)


def _broker() -> Broker:
    return RabbitBroker(load(AnalysisSettings).rabbitmq_url, Metrics(), f"{SERVICE} dead letters")


if __name__ == "__main__":
    command_line(Commands(SERVICE, _serve, broker=_broker, queues=(ANALYSIS_SUBMISSIONS,)))()
