"""How fast a client takes its answers: whoever takes them too slowly is cut off.

An answer that waits for its client holds buffers, a place at the door and a connection to a service. What counts is
what the client's machine has acknowledged: the kernel holds some megabytes of an answer and takes more of it in leaps,
so that an honest client on a slow line would look as if it stood still for minutes.

Only the time counts in which the client holds us up. A service that is slow to answer is not the client's fault.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

LEAST_BYTES_PER_SECOND = 8 * 2**10  # the app gives up after 20 s: at this rate it would get no report with a picture
WINDOW_SECONDS = 30.0
TICK_SECONDS = 1.0


class AnswerPace:
    """Watches what is written to ``transport``, and aborts it when its client is slower than the least rate.

    ``in_kernel`` tells how many bytes the kernel holds that the client has not acknowledged.
    """

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        loop: asyncio.AbstractEventLoop,
        in_kernel: Callable[[asyncio.WriteTransport], int] | None = None,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._in_kernel = in_kernel or unacknowledged
        self._written = 0
        self._taken_before = 0  # when the window began
        self._held_up = 0.0  # seconds of this window
        self._tick: asyncio.TimerHandle | None = None

    def count(self, size: int) -> None:
        """Count ``size`` bytes that were written to the transport."""
        self._written += size
        if self._tick is None:
            self._tick = self._loop.call_later(TICK_SECONDS, self._look)

    def stop(self) -> None:
        """Stop watching."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _look(self) -> None:
        self._tick = None
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            return  # the next write looks again
        self._held_up += TICK_SECONDS
        if self._held_up >= WINDOW_SECONDS:
            taken = self._written - waiting - self._in_kernel(self._transport)
            if taken - self._taken_before < LEAST_BYTES_PER_SECOND * self._held_up:
                log.info("an answer was taken too slowly; the connection is cut off")
                reset(self._transport)
                return
            self._taken_before, self._held_up = taken, 0.0
        self._tick = self._loop.call_later(TICK_SECONDS, self._look)


def reset(transport: asyncio.WriteTransport) -> None:
    """Cut ``transport`` off with all that was written to it.

    Without the option the kernel would go on sending what it holds, some megabytes, for as long as the client reads.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def unacknowledged(transport: asyncio.WriteTransport) -> int:
    """Return how many bytes the kernel holds for the other side; 0 where the kernel does not tell."""
    sock = transport.get_extra_info("socket")
    try:
        held = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, AttributeError):
        return 0
    return int(struct.unpack("i", held)[0])
