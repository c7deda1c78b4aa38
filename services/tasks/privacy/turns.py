"""Turns at something that only a few may do at a time, shared out fairly among people."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """``most`` turns at a time, and no more than ``share`` of them for one person.

    A turn that becomes free goes to the person who has waited longest since their last turn. So the wait grows with
    the number of people, and not with how much any of them asks for.
    """

    def __init__(self, most: int, share: int) -> None:
        self._free = most
        self._share = share
        self._taken: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # the next person first

    @asynccontextmanager
    async def turn(self, person: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the context lasts."""
        await self._take(person)
        try:
            yield
        finally:
            self._give_back(person)

    async def _take(self, person: str) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(person, deque()).append(granted)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._leave(person, granted)
            else:
                self._give_back(person)
            raise

    def _give_back(self, person: str) -> None:
        self._free += 1
        self._taken[person] -= 1
        if not self._taken[person]:
            del self._taken[person]
        if person in self._waiting:
            self._waiting.move_to_end(person)
        self._grant()

    def _leave(self, person: str, granted: asyncio.Future[None]) -> None:
        queue = self._waiting.get(person, deque())
        if granted in queue:
            queue.remove(granted)
            self._forget_if_empty(person)

    def _forget_if_empty(self, person: str) -> None:
        if not self._waiting[person]:
            del self._waiting[person]

    def _grant(self) -> None:
        while self._free:
            person = next((p for p in self._waiting if self._taken.get(p, 0) < self._share), None)
            if person is None:
                return
            granted = self._waiting[person].popleft()
            if not granted.done():  # it may be cancelled, and its request not have heard of it yet
                self._free -= 1
                self._taken[person] = self._taken.get(person, 0) + 1
                self._waiting.move_to_end(person)
                granted.set_result(None)
            self._forget_if_empty(person)
