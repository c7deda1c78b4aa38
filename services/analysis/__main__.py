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
    app = create_app(settings, metrics, lambda: _broker(settings, metrics, SERVICE))
    with bind(settings.host, settings.port) as sock, served(metrics, settings.host, settings.metrics_port):
        await serve_app(app, sock, stop)


def _broker(settings: AnalysisSettings, metrics: Metrics, name: str) -> Broker:
    """The broker as a guest: what decodes photos has no right to change queues, nor to read those of others."""
    return RabbitBroker(settings.rabbitmq_url, metrics, name, (ANALYSIS_SUBMISSIONS,), is_guest=True)


def _broker_of_operator() -> Broker:
    return _broker(load(AnalysisSettings), Metrics(), f"{SERVICE} dead letters")


if __name__ == "__main__":
    command_line(Commands(SERVICE, _serve, broker=_broker_of_operator, queues=(ANALYSIS_SUBMISSIONS,)))()
