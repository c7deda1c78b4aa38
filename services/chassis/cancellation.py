"""Cancellations that a library loses.

``asyncio.wait_for`` of Python 3.11, under the drivers of MySQL and RabbitMQ, forgets a cancellation that comes in the
same moment as what it waits for. A loop that tries again after an error would then outlive its stop.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """A cancellation of the present task that comes inside the block leaves it, at its end at the latest.

    One that came before does not count: what cleans up after it may still do its work.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("only tasks are cancelled")
    before = task.cancelling()
    try:
        yield
    except Exception as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError
