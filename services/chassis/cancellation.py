"""Cancellations that a library loses, and such as nobody asked for.

``asyncio.wait_for`` of Python 3.11, under the drivers of MySQL and RabbitMQ, forgets a cancellation that comes in the
same moment as what it waits for. A loop that tries again after an error would then outlive its stop. And RabbitMQ's
driver raises :class:`asyncio.CancelledError` where its connection was lost. A loop that takes that for its stop would
end for good, without a word.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class NobodyCancelledError(Exception):
    """A library gave up what it was asked for as if we had cancelled it, and nobody had."""


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """A cancellation of the present task in the block leaves it, at its end at the latest, and no other does.

    One that came before does not count: what cleans up after it may still do its work. Raises
    :class:`NobodyCancelledError`.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("only tasks are cancelled")
    before = task.cancelling()
    try:
        yield
    except asyncio.CancelledError as error:
        if task.cancelling() == before:
            raise NobodyCancelledError from error
        raise
    except Exception as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError
