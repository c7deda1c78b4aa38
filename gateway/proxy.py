"""A service behind the gateway as an ASGI app: requests and answers stream through, chunk by chunk.

Both directions wait for the slower side, so that a body occupies a few buffers however large it is. Time is charged
to whom it belongs: while the client sends or reads, the service's clock stands still. An answer as a whole may take
as long as it flows: how slowly a client may read is up to the server, and how many may do so to the places at the door.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import structlog
from starlette.types import Receive, Scope, Send
from yarl import URL

from gateway.limits import declared_length
from services.chassis.problems import RETRY_AFTER_SECONDS, problem_response
from services.chassis.requests import client_left, unless_client_leaves

log = structlog.get_logger(__name__)

# RFC 9110, 7.6.1, and their older kin: they speak about one connection, not about the message.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_FORWARDED = _HOP_BY_HOP | {b"host", b"expect"}  # the host is the service's; the server has dealt with Expect
_NEVER_NAMED = {b"content-length", b"authorization", b"traceparent"}  # about the message, whatever a client says
_NOT_RELAYED = _HOP_BY_HOP | {b"date", b"server"}  # our own server dates its answers
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # aiohttp's additions: not the client's words

IDLE_SECONDS = 30.0  # shorter than the services keep an idle connection, so that we seldom meet a closed one


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a service is given."""

    connect: float = 2.0  # to accept a connection
    answer: float = 30.0  # to read on, to begin its answer, to go on with it


def connections() -> aiohttp.ClientSession:
    """The pool of connections to the services, to be closed by its owner.

    Nothing in it is clever on a client's behalf: no cookies, no redirects, no decompression, no header added. It has
    no limit of its own: at the door, only so many requests are let in at a time (:mod:`gateway.places`).
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_AUTOMATIC,
    )


class CutOffError(Exception):
    """The body ends before its end: the client left, or was refused."""


class _Upload:
    """A request's body on its way to the service."""

    def __init__(self, receive: Receive, answer_seconds: float) -> None:
        self._receive = receive
        self._answer_seconds = answer_seconds
        self.cut_off = False
        self.complete = False

    async def chunks(self, clock: asyncio.Timeout) -> AsyncIterator[bytes]:
        """The body, chunk by chunk. Raises :class:`CutOffError`, at which aiohttp closes the connection.

        Merely ending would end the body in good order, and half a submission would look like a whole one.
        """
        loop = asyncio.get_running_loop()
        while not self.complete:
            clock.reschedule(None)
            message = await self._receive()
            clock.reschedule(loop.time() + self._answer_seconds)
            if message["type"] == "http.disconnect":
                self.cut_off = True
                raise CutOffError
            self.complete = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]


class Upstream:
    """An ASGI app that answers what the service at ``url`` answers to the same request.

    A service that cannot be reached is answered for with 503, one that is silent with 504, one that speaks no proper
    HTTP with 502. When it fails after its answer has begun, the client's connection is cut off.
    """

    def __init__(self, name: str, url: str, http: aiohttp.ClientSession, patience: Patience | None = None) -> None:
        self._name = name
        self._url = url
        self._http = http
        self._patience = patience or Patience()
        self._timeout = aiohttp.ClientTimeout(total=None, connect=self._patience.connect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        upload = _Upload(receive, self._patience.answer) if declared_length(scope["headers"]) != 0 else None
        failure: Exception
        try:
            # It goes off while the service owes us something, and stands still while the client does.
            async with asyncio.timeout(self._patience.answer) as clock:
                async with await self._begin(scope, receive, upload, clock) as response:
                    begun = True
                    await self._relay(response, None if upload and not upload.complete else receive, send, clock)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failure, status = error, 503
        except TimeoutError as error:
            failure, status = error, 504
        except (aiohttp.ClientError, OSError) as error:
            failure, status = error, 502
        else:
            return
        if upload and upload.cut_off:
            return  # nobody is left to answer
        log.warning("a service failed to answer", upstream=self._name, error=type(failure).__name__, begun=begun)
        if not begun:
            # An answer that has begun is left unfinished instead: the server then cuts the client's connection.
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
            await problem_response(status, FAILURES[status], headers)(scope, receive, send)

    async def _begin(
        self, scope: Scope, receive: Receive, upload: _Upload | None, clock: asyncio.Timeout
    ) -> aiohttp.ClientResponse:
        """Send the request, and return the answer when it begins.

        Raise :class:`ClientDisconnect` when the client leaves before, if the request only reads: the service then need
        not go on with what is for nobody.
        """

        async def send() -> aiohttp.ClientResponse:
            return await self._http.request(
                scope["method"],
                self._address(scope),
                headers=_forwarded(scope["headers"]),
                data=upload.chunks(clock) if upload else None,
                allow_redirects=False,
                timeout=self._timeout,
            )

        is_reading = scope["method"] == "GET" and upload is None
        return await (unless_client_leaves(receive, send()) if is_reading else send())

    def _address(self, scope: Scope) -> URL:
        address = self._url + scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            address += "?" + scope["query_string"].decode("ascii")  # the server refuses anything else
        return URL(address, encoded=True)

    async def _relay(
        self, response: aiohttp.ClientResponse, receive: Receive | None, send: Send, clock: asyncio.Timeout
    ) -> None:
        """Pass the answer on. ``receive`` is None while the body is still being read from it."""
        loop = asyncio.get_running_loop()
        named = _named_in_connection(response.raw_headers)
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (lower, value)
                    for name, value in response.raw_headers
                    if (lower := name.lower()) not in _NOT_RELAYED and lower not in named
                ],
            }
        )
        leaving: asyncio.Task[None] | None = None
        more = True
        try:
            while more:
                clock.reschedule(loop.time() + self._patience.answer)
                chunk = await response.content.readany()
                clock.reschedule(None)
                more = not response.content.at_eof()
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
                if more and receive and not leaving:
                    leaving = asyncio.create_task(client_left(receive))
                if leaving and leaving.done():
                    return  # the rest would be for nobody
        finally:
            if leaving:
                leaving.cancel()


FAILURES = {
    502: "The service gave no proper answer. Please try again in a few seconds.",
    503: "The service is briefly unavailable. Please try again in a few seconds.",
    504: "The service took too long to answer. Please try again in a few seconds.",
}


def _forwarded(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    named = _named_in_connection(headers) - _NEVER_NAMED
    return [
        # aiohttp writes UTF-8, which keeps ASCII and UTF-8 values as they came.
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in headers
        if name not in _NOT_FORWARDED and name not in named
    ]


def _named_in_connection(headers: "list[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...]") -> set[bytes]:
    return {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
