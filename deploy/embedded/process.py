"""The whole backend in this process, until Ctrl-C; and, while it is stopped, its dead letters."""

import os
import sys

from contracts.topology import SUBSCRIPTIONS
from deploy.embedded.backend import backend
from deploy.embedded.settings import EmbeddedSettings
from gateway.settings import DoorSettings
from services.chassis.access import warn_of_legacy
from services.chassis.logs import configure_logs
from services.chassis.messaging.broker import Broker
from services.chassis.messaging.local import LocalBroker
from services.chassis.metrics import Metrics, served
from services.chassis.serving import Stop, bind, listening, run
from services.chassis.settings import load

READY = """
Home energy audit is ready at {url}   (data: {data}, AUTH_MODE={mode}; Ctrl-C stops it)

Try:
  open {url}/docs
  curl {url}/readyz
{sign_in}  make demo            (a photo pair, from upload to report, with a backend of its own)
"""
SIGN_IN = """\
  curl {url}/dev/token -H 'Content-Type: application/json' -d '{{"email":"me@example.com"}}'
"""


async def _main(stop: Stop) -> None:
    os.umask(0o077)  # whatever is kept is for its owner alone
    settings = load(EmbeddedSettings)
    configure_logs("embedded", settings.log_level, settings.log_format)
    metrics = Metrics()
    sock = bind(settings.host, settings.port)
    url = f"http://{settings.host if ':' not in settings.host else f'[{settings.host}]'}:{settings.port}"
    with sock, served(metrics, settings.host, settings.metrics_port):
        async with backend(settings, metrics) as app, listening(app, sock, load(DoorSettings).connections()):
            sign_in = SIGN_IN.format(url=url) if settings.has_development_issuer else ""
            warn_of_legacy(settings.mode)
            sys.stdout.write(READY.format(url=url, data=settings.data_dir, mode=settings.mode, sign_in=sign_in))
            sys.stdout.flush()
            await stop.wait()
            sys.stdout.write("Stopping.\n")


def _broker() -> Broker:
    return LocalBroker(load(EmbeddedSettings).data_dir / "events.sqlite3", Metrics())


def main() -> None:
    """Run it; or what its arguments say, while it is stopped."""
    if len(sys.argv) == 1:  # without what only a command line needs: that takes its time
        run(_main)
    else:
        from services.chassis.command_line import Commands, command_line

        command_line(Commands("embedded", _main, broker=_broker, queues=SUBSCRIPTIONS))()
