"""``python -m gateway``: serve until SIGTERM or Ctrl-C."""

from argparse import ArgumentParser

from gateway.app import SERVICE, create_app
from gateway.settings import GatewaySettings
from services.chassis.access import warn_of_legacy
from services.chassis.logs import configure_logs
from services.chassis.metrics import Metrics, served
from services.chassis.serving import Stop, bind, run, serve
from services.chassis.settings import load


async def _serve(stop: Stop) -> None:
    settings = load(GatewaySettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    warn_of_legacy(settings.auth_mode)
    metrics = Metrics()
    with bind(settings.host, settings.port) as sock, served(metrics, settings.host, settings.metrics_port):
        await serve(create_app(settings, metrics), sock, stop, settings.connections())


if __name__ == "__main__":
    ArgumentParser(prog="python -m gateway", description="Serves the public API until SIGTERM or Ctrl-C.").parse_args()
    run(_serve)
