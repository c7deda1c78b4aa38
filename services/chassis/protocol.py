"""HTTP/1.1 as uvicorn speaks it, with bounds on what arrives before an app can count it.

An app counts the bytes of a body that it reads. It never sees the rest: a request head, trailers, chunk extensions.
uvicorn holds them without a bound, and waits for them without an end.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 2**10
HEAD_SECONDS = 30.0  # from the connection, or from the first byte of a later request, to the end of the head


class BoundedProtocol(HttpToolsProtocol):
    """Refuses more than MOST_HEAD_BYTES of anything but a body, a head that takes HEAD_SECONDS, and drops trailers."""

    _unusable = 0  # bytes since the parser last had something for the app
    _usable = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._usable = False
        super().data_received(data)
        self._unusable = 0 if self._usable else self._unusable + len(data)
        if self._unusable > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse("Request header fields too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._usable = True
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, when the app already has the headers: appended to them they would pass for headers.
        if self._patience is not None:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._usable = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._usable = True
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(HEAD_SECONDS, self._refuse, "The request took too long.")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, reason: str) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response(reason)
        else:
            self.transport.close()  # an answer is under way: saying more would garble it
