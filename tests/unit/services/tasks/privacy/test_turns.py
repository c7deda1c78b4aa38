"""Turns are shared out fairly: whoever asks for much waits for it, and not the others."""

import asyncio
import contextlib

from services.tasks.privacy.turns import Turns


class Queue:
    """People who take turns, each until told to end."""

    def __init__(self, most: int, share: int) -> None:
        self.turns = Turns(most, share)
        self.served: list[str] = []
        self.at_once: list[str] = []
        self.go_on: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str) -> None:
        """``name`` is a person's, and a number."""
        self.go_on[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._take(name))
        await asyncio.sleep(0)

    async def _take(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.served.append(name)
            self.at_once.append(name)
            await self.go_on[name].wait()
            self.at_once.remove(name)

    async def end(self, name: str) -> None:
        self.go_on[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def end_all(self) -> None:
        while self.at_once:
            await self.end(self.at_once[0])


async def asked(queue: Queue, names: str) -> None:
    for name in names.split():
        await queue.ask(name)


async def test_one_person_holds_no_more_than_a_share() -> None:
    queue = Queue(most=4, share=2)
    await asked(queue, "a1 a2 a3 a4 b1")
    assert queue.at_once == ["a1", "a2", "b1"]
    await queue.end_all()
    assert sorted(queue.served) == ["a1", "a2", "a3", "a4", "b1"]


async def test_a_newcomer_is_served_before_the_second_turn_of_those_who_wait_already() -> None:
    queue = Queue(most=1, share=1)
    await asked(queue, "a1 a2 a3 b1 b2 c1")
    await queue.end_all()
    assert queue.served == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_hundred_requests_of_one_person_keep_another_waiting_for_one_turn() -> None:
    queue = Queue(most=1, share=1)
    await asked(queue, " ".join(f"a{number}" for number in range(100)))
    await queue.ask("b")
    await queue.end("a0")
    assert queue.at_once == ["b"]
    await queue.end_all()


async def test_who_leaves_while_waiting_gets_no_turn() -> None:
    queue = Queue(most=1, share=1)
    await asked(queue, "a1 b1 c1")
    queue.tasks["b1"].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await queue.tasks["b1"]
    await queue.end_all()
    assert queue.served == ["a1", "c1"]


async def test_who_leaves_in_the_moment_of_the_turn_gives_it_back() -> None:
    turns = Turns(1, 1)

    async def take(person: str) -> None:
        async with turns.turn(person):
            pass

    async with turns.turn("a"):
        leaving, waiting = asyncio.create_task(take("b")), asyncio.create_task(take("c"))
        await asyncio.sleep(0)
    leaving.cancel()  # it has the turn, and has not been resumed yet
    async with asyncio.timeout(1):
        await waiting
    assert leaving.cancelled()


async def test_turns_go_on_when_all_who_wait_leave_in_one_moment() -> None:
    queue = Queue(most=1, share=1)
    await asked(queue, "a1 a2 a3 b1 b2")
    for task in queue.tasks.values():
        task.cancel()
    await asyncio.gather(*queue.tasks.values(), return_exceptions=True)
    await queue.ask("a4")
    assert queue.served == ["a1", "a4"]
    await queue.end("a4")
    await queue.ask("b3")
    assert queue.served == ["a1", "a4", "b3"]
