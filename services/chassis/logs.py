"""Structured logs: one line per event on standard output, JSON or console text.

Log lines carry ids of jobs and queues, never a token, an e-mail address or a photo. Libraries that log through the
standard library go the same way, from warnings upwards.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer

# Without the values of local variables: they may be tokens and addresses.
_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure_logs(service: str, level: str, log_format: Literal["json", "console"]) -> None:
    """Set up logging for this process; ``service`` is named on every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[structlog.typing.Processor] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer(ensure_ascii=True)]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # Its warnings are about what a client asked for (an upgrade to WebSocket), and any client could fill the log.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # its warnings quote statements with their values
    for ours in ("contracts", "gateway", "services", "deploy", "__main__"):
        logging.getLogger(ours).setLevel(level.upper())
    structlog.contextvars.bind_contextvars(service=service)
