"""One id that follows a request through every service and event that it causes: W3C Trace Context.

The trace id of ``traceparent`` is the correlation id. A request without a valid one gets a new one; events carry it
in their envelope; log lines and problem details show it as ``correlation_id``/``correlationId``.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)


def correlation_id() -> str | None:
    """The id of what is being handled, 32 hexadecimal digits, or None outside of any handling."""
    return _trace_id.get()


def traceparent() -> str | None:
    """A ``traceparent`` to send along: the present trace, and a new span of it."""
    trace_id = _trace_id.get()
    return f"00-{trace_id}-{secrets.token_hex(8)}-01" if trace_id else None


@contextmanager
def correlated(parent: str | None, **noted: str) -> Iterator[str]:
    """Handle something under the trace of ``parent``, or under a new one when ``parent`` is missing or malformed.

    What is ``noted`` is on each log line of the handling, as the correlation id is.
    """
    match = _TRACEPARENT.match(parent) if parent else None
    trace_id = match.group(1) if match else secrets.token_hex(16)
    token = _trace_id.set(trace_id)
    on_lines = structlog.contextvars.bind_contextvars(correlation_id=trace_id, **noted)
    try:
        yield trace_id
    finally:
        structlog.contextvars.reset_contextvars(**on_lines)
        _trace_id.reset(token)
