"""Structured logs: one line per event, JSON or console text, on standard output; an operator's commands, which answer
there, write theirs to standard error.

Log lines carry ids of jobs and queues, never a token, an e-mail address or a photo. Our own lines name none; but the
message of an exception may quote what somebody sent or stored, or an address with a password in it. So whatever looks
like one is masked in every value of every line, tracebacks too. Libraries that log through the standard library are
heard in the same form, from warnings upwards, and so are Python's own warnings and an error that ends the process.

Each request has a line, so our own lines take no detour through the standard library: it made them twice as dear.
"""

import contextlib
import logging
import re
import sys
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

log = structlog.get_logger(__name__)

# Without the values of local variables: they may be tokens and addresses.
_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

_NAME = r"[\w.!#$%&*+/=?^`{|}~-]"
# What each mask looks for has one of these in it, and most values have none: one look instead of four.
_SIGNS = re.compile(r"@|%40|://|eyJ|bearer|basic", re.IGNORECASE)
_MASKS = (
    (re.compile(r"://[^\s/'\"]*@"), "://[credentials]@"),
    # A JSON Web Token, whole or cut off: its header begins so in base64.
    (re.compile(r"\beyJ[\w-]{5,}(\.[\w-]+){0,2}"), "[token]"),
    (re.compile(r"\b(bearer|basic)\s+[\w~+/.=-]{8,}", re.IGNORECASE), r"\1 [token]"),
    # Looking behind keeps it from trying each end of a long word; in a URL the sign is written %40.
    (re.compile(rf"(?<!{_NAME}){_NAME}+(@|%40)[\w-][\w.-]*"), "[address]"),
)


def masked(value: Any) -> Any:
    """``value`` with every token, password in a URL and e-mail address in its strings masked, however deep they lie."""
    if isinstance(value, str):
        if _SIGNS.search(value):
            for pattern, mask in _MASKS:
                value = pattern.sub(mask, value)
        return value
    if isinstance(value, dict):
        return {masked(key): masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(repr(value))  # as it would be written


def _mask(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:  # noqa: ARG001
    return {key: masked(value) for key, value in event.items()}


class _Lines:
    """What a logger of ours writes to, by default standard output: whole lines, in turn with ``libraries``."""

    def __init__(self, name: str, libraries: logging.Handler, stream: TextIO | None) -> None:
        self.name = name  # for add_logger_name
        self._stream = stream
        self._libraries = libraries

    def info(self, line: str) -> None:
        """Write ``line``, which a processor has rendered."""
        self._libraries.acquire()
        try:
            stream = self._stream or sys.stdout
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError) as error:
            # A full disk, a closed pipe, a terminal that lacks a letter: no request shall fail because of its line.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"A line of the log was lost ({type(error).__name__}).\n")
        finally:
            self._libraries.release()

    debug = warning = error = critical = info


def _log_the_last_error(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        log.critical("the process ends with an error that nobody foresaw", exc_info=(kind, error, traceback))
    else:
        sys.__excepthook__(kind, error, traceback)


def configure_logs(
    service: str, level: str, log_format: Literal["json", "console"], stream: TextIO | None = None
) -> None:
    """Set up logging for this process; ``service`` is named on every line. ``stream``: by default standard output."""
    handler = logging.StreamHandler(stream or sys.stdout)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[structlog.typing.Processor] = (
        [_TRACEBACKS, _mask, structlog.processors.JSONRenderer(ensure_ascii=True)]
        if log_format == "json"
        else [
            structlog.processors.format_exc_info,
            _mask,
            structlog.dev.ConsoleRenderer(
                colors=handler.stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=lambda name: _Lines(name, handler, stream),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
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
    logging.captureWarnings(True)
    sys.excepthook = _log_the_last_error
    structlog.contextvars.bind_contextvars(service=service)
