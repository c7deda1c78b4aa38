"""Waiting for something that happens by itself, instead of sleeping and hoping."""

import asyncio
from collections.abc import Callable

LONGEST_SECONDS = 30.0


async def until(condition: Callable[[], bool], seconds: float = LONGEST_SECONDS) -> None:
    """Return as soon as ``condition()`` holds; fail after ``seconds``, far longer than it takes when all is well."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
