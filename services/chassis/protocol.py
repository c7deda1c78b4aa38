"""HTTP/1.1 as uvicorn speaks it, with bounds on what arrives before an app can count it, and with no second meaning.

An app counts the bytes of a body that it reads. It never sees the rest: a request head, trailers, chunk extensions,
requests that were sent without waiting for answers, what comes of a body after its answer. uvicorn holds them without
a bound, or waits for them without an end.

Its parser also takes requests that another server, in front of this one or behind it, may read in another way: an odd
version, no host or two, a transfer coding beside ``chunked``. Nobody who is honest sends them; they are refused.

And it writes the head of an answer and its body one by one, which costs both sides twice what it has to.
"""

import asyncio
from typing import Any

import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.chassis.connections import OpenConnections
from services.chassis.correlation import correlated
from services.chassis.pace import AnswerPace, reset
from services.chassis.problems import problem_response

log = structlog.get_logger(__name__)

MOST_HEAD_BYTES = 64 * 2**10
MOST_WAITING = 16  # requests of one connection; browsers and apps send one and wait for its answer
HEAD_SECONDS = 30.0  # from the connection, or from the first byte of a later request, to the end of the head
REST_SECONDS = 30.0  # from an answer to the end of a body that it did not wait for
MOST_HELD_BYTES = 4096  # as long as heads of answers are
# Each piece of a body costs a turn through the parser, and each segment a turn of the loop, however small they are: a
# body in 1-byte chunks takes a hundred times the CPU of the same body in one piece. Phones, browsers and HTTP libraries
# send some short pieces at the beginning of a part, and then a network packet or more at a time.
MOST_SMALL_PIECES = 1024
LEAST_PIECE_BYTES = 256  # on the average of those beyond MOST_SMALL_PIECES


class ImproperError(Exception):
    """What no honest client sends; the parser turns it into an error of its own, which is answered with 400."""


def bounded_protocol(connections: OpenConnections, *, is_paced: bool = False) -> type["BoundedProtocol"]:
    """Return the protocol of a server with ``connections``; ``is_paced``: it cuts clients off that read too slowly."""

    class OfServer(BoundedProtocol):
        open_connections = connections
        paced = is_paced

    return OfServer


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what has no bound or more than one meaning, with 400, 408 or 431 or by closing; drops trailers."""

    open_connections: OpenConnections
    paced: bool
    _pace: AnswerPace | None = None
    _reason = "This is no request that we understand."
    _pieces = 0  # of the body that is being read
    _body_bytes = 0
    _unusable = 0  # bytes since the parser last had something for the app
    _usable = False
    _patience: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._pace = AnswerPace(transport, self.loop) if self.paced else None
        super().connection_made(_HeadsWithBodies(transport, self.loop, self._pace))
        if self.open_connections.admit(self, self.client[0] if self.client else None):
            self._wait_for_head()
        else:
            transport.abort()

    def make_room(self) -> None:
        """Close a connection on which no request is under way, whether or not the client has read its last answer."""
        if self.transport.get_write_buffer_size():
            reset(self.transport)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.remove(self)
        if self._pace is not None:
            self._pace.stop()
        self._stop_waiting()
        self._stop_waiting_for_rest()
        super().connection_lost(exc)
        # uvicorn tells the newest request. The one that is being answered may be older, when others wait behind it.
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        self._usable = False
        super().data_received(data)
        self._unusable = 0 if self._usable else self._unusable + len(data)
        if self._unusable > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "The head of the request is too large.")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_WAITING:
            raise ImproperError
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._usable = True
        self._pieces = self._body_bytes = 0
        self._refuse_ambiguous_head()
        super().on_headers_complete()
        self.open_connections.note_busy(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, when the app already has the headers: appended to them they would pass for headers.
        if self._patience is not None:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._usable = True
        self._pieces += 1
        self._body_bytes += len(body)
        if self._pieces > MOST_SMALL_PIECES + self._body_bytes // LEAST_PIECE_BYTES:
            self._reason = "The body came in too many small pieces. Please send larger ones."
            raise ImproperError
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._usable = True
        self._stop_waiting_for_rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self.open_connections.note_idle(self)
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._rest = self.loop.call_later(REST_SECONDS, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are for operators
        """What uvicorn calls when bytes are no HTTP."""
        self._refuse(400, self._reason)

    def _refuse_ambiguous_head(self) -> None:
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if (
            version not in ("1.0", "1.1")
            or hosts > 1
            or (hosts == 0 and version == "1.1")
            or (codings and (version == "1.0" or codings != [b"chunked"]))
        ):
            raise ImproperError

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, "The request took too long.")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _stop_waiting_for_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _refuse(self, status: int, reason: str) -> None:
        """Answer with a problem like any other, and close the connection.

        While an answer to an earlier request is due, only the closing is left: what we say would be taken for it.
        """
        cycle = self.cycle
        due = cycle is not None and not cycle.response_complete
        if not self.transport.is_closing() and not (due and (cycle.response_started or not cycle.more_body)):
            with correlated(None) as trace_id:
                log.info("refused what is no proper request", status=status, reason=reason)
                headers = {"X-Correlation-Id": trace_id, "X-Content-Type-Options": "nosniff", "Connection": "close"}
                answer = problem_response(status, reason, headers)
            head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()


class _HeadsWithBodies(asyncio.Transport):
    """A connection on which the head of an answer goes out with the beginning of its body, when that comes at once.

    Each write is a call of the system, and each packet wakes whoever reads it. So a small write waits for the next one,
    or for the end of the loop's turn. No more than one waits, so that whoever writes much hears of a full buffer in
    time.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, pace: AnswerPace | None = None
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._pace = pace
        self._held = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._transport.is_closing():  # a connection that broke off takes nothing any more
            return
        if self._pace is not None:
            self._pace.count(len(data))
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif len(data) > MOST_HELD_BYTES:
            self._transport.write(data)
        elif data:
            self._held = bytes(data)
            self._loop.call_soon(self._write_held)

    def _write_held(self) -> None:
        if self._held and not self._transport.is_closing():  # a connection that broke off takes nothing any more
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        self._write_held()
        self._transport.close()

    def abort(self) -> None:
        self._held = b""
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        return len(self._held) + self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
