"""Running apps in a process: bind, start, serve, and stop in good order well inside 10 seconds."""

import asyncio
import contextlib
import ctypes
import errno
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis.connections import OpenConnections
from services.chassis.protocol import bounded_protocol
from services.chassis.startup import StartupError

log = structlog.get_logger(__name__)

GRACE_SECONDS = 3  # for requests under way at a stop; the broker's drain and the databases have the rest of 10 s
KEEP_ALIVE_SECONDS = 75  # longer than the gateway keeps an idle connection, so that it never meets a closed one
BACKLOG = 2048
MOST_OPEN_FILES = 16384  # four times as many as connections
UNREAD_SECONDS = 30  # a client that takes nothing of its answer for so long is cut off
# The gateway holds a service back while its own client reads slowly, goes on in leaps of what the system keeps between
# the two, and cuts off who takes nothing: a service that was less patient would cut off the slow ones too.
HELD_BACK_SECONDS = 300
KEPT_BYTES = 16 * 2**20  # of free memory, at most, before any goes back to the system
LARGEST_KEPT_BYTES = 2**20  # what is larger goes back at once; sockets are read in pieces of 256 KB

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def bind(host: str, port: int, unread_seconds: int = UNREAD_SECONDS) -> socket.socket:
    """An address to listen on, or a :class:`StartupError` that says why not. Port 0 picks a free one.

    Until :func:`listening`, connections are refused: whoever comes while we wait for a server of ours can go to
    another replica, or be told at once, instead of waiting with us.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it. uvicorn itself would wait without end.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_seconds * 1000)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _refused(host, port, error) from None
    sock.setblocking(False)
    return sock


def _refused(host: str, port: int, error: OSError) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        return StartupError(f"Port {port} on {host} is taken. Choose another: PORT=<number>.")
    return StartupError(f"Cannot listen on {host}:{port}: {error.strerror}. Set HOST and PORT.")


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[ASGIApp]:
    """Run ``app``'s lifespan; inside, the app with its lifespan state.

    We do this instead of uvicorn so that a failing start raises here, a stop during the start cancels it, and one
    process can run several apps.
    """
    async with app.router.lifespan_context(app) as state:
        yield _with_state(app, state or {})


def _with_state(app: ASGIApp, state: Mapping[str, Any]) -> ASGIApp:
    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return with_state


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :func:`run`."""
        yield


@asynccontextmanager
async def listening(app: ASGIApp, sock: socket.socket, public: OpenConnections | None = None) -> AsyncIterator[None]:
    """Serve ``app`` on ``sock`` while the context lasts; on leaving, finish requests for up to GRACE_SECONDS.

    ``public``: the connections of a server that strangers reach. It cuts off who reads too slowly. A service has one
    client, the gateway, which holds the service back while a client of its own reads slowly.

    Raises :class:`StartupError` when another process that had bound the same address was faster.
    """
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        host, port = sock.getsockname()[:2]
        raise _refused(host, port, error) from None
    config = uvicorn.Config(
        app,
        http=bounded_protocol(public or OpenConnections(), is_paced=public is not None),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn offers no event to wait for
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task


class Stop:
    """An operator's wish to stop, as a process sees it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.awaited = False

    async def wait(self) -> None:
        """Return when the process is to stop. Calling it says that the start is over."""
        self.awaited = True
        await self._event.wait()

    def wish(self) -> bool:
        """Ask for a stop in good order; False when nobody listens for it (yet, or any more)."""
        if not self.awaited or self._event.is_set():
            return False
        self._event.set()
        return True


def run(main: Callable[[Stop], Awaitable[None]]) -> None:
    """Run ``main(stop)`` until it returns.

    SIGINT and SIGTERM ask for a stop in good order; during the start, or for the second time, they cancel ``main``.
    Ends the process with status 2 and one line on standard error after a :class:`StartupError`.
    """
    _keep_buffers()
    _allow_open_files()

    async def supervised() -> None:
        stop = Stop()
        task = asyncio.ensure_future(main(stop))

        def on_signal() -> None:
            if not stop.wish():
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(supervised())
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


def _allow_open_files() -> None:
    """Raise this process's limit on open files to what the system lets it have: many systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_buffers() -> None:
    """Have the allocator keep some memory between one body and the next.

    By itself it gives the buffers of each body back to the system when they are freed, and the next ones are cleared
    and mapped page by page again: a third of what it takes to pass a report's image on.

    All threads share what is kept. By itself the allocator gives each thread of a driver an arena of its own, where
    what one has freed is of no use to the others, and a service under load goes on growing for minutes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # the GNU library; the numbers are those of its malloc.h
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(_M_ARENA_MAX, 1)


async def serve(app: FastAPI, sock: socket.socket, stop: Stop, public: OpenConnections | None = None) -> None:
    """Start ``app``, serve it on ``sock`` until ``stop``, and stop it; ``public`` as in :func:`listening`."""
    async with running(app) as ready, listening(ready, sock, public):
        host, port = sock.getsockname()[:2]
        log.info("ready", host=host, port=port)
        await stop.wait()
        log.info("stopping")
