"""Transactions that lose a race against another one, and are tried again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import IntegrityError, OperationalError

log = structlog.get_logger(__name__)

T = TypeVar("T")

ATTEMPTS = 5
RACE_SECONDS = 5.0  # after them nobody is kept waiting for another attempt
_LOST_RACE = (1205, 1213)  # MySQL: lock wait timeout, deadlock


def _lost_a_race(error: Exception) -> bool:
    if isinstance(error, IntegrityError):
        return True  # two first submissions of one task; the second try finds the first one's row
    if isinstance(error, OperationalError) and error.orig is not None and error.orig.args:
        return error.orig.args[0] in _LOST_RACE
    return False


async def again_when_lost(change: Callable[[], Awaitable[T]]) -> T:
    """Return what ``change`` returns; repeat it, with jittered pauses, when another transaction got in its way."""
    clock = asyncio.get_running_loop().time
    give_up = clock() + RACE_SECONDS
    for number in range(1, ATTEMPTS):
        try:
            return await change()
        except (IntegrityError, OperationalError) as error:
            if not _lost_a_race(error) or clock() > give_up:
                raise
            log.info("a transaction lost a race; it is tried again", attempt=number, error=type(error).__name__)
        await asyncio.sleep(random.uniform(0, 0.02 * 2**number))  # noqa: S311 - jitter, not a secret
    return await change()
