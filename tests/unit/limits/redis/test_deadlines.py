"""One timer for many waits, which blames nobody for a loop that was held up."""

import asyncio
import socket
import time
from collections.abc import Callable

from gateway.limits.redis.deadlines import Deadlines


class Ends:
    """Notes when each end was called, and lets a test wait for it."""

    def __init__(self) -> None:
        self.called: list[tuple[str, float]] = []
        self._changed = asyncio.Event()

    def of(self, name: str) -> Callable[[], None]:
        def end() -> None:
            self.called.append((name, asyncio.get_running_loop().time()))
            self._changed.set()

        return end

    async def until(self, number: int) -> None:
        async with asyncio.timeout(5):
            while len(self.called) < number:
                self._changed.clear()
                await self._changed.wait()


def hold_up(seconds: float) -> None:
    """Keep the loop from going on, as a long computation does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def test_each_ends_when_it_is_due_and_in_order() -> None:
    deadlines, ends = Deadlines(seconds=0.05), Ends()
    began = asyncio.get_running_loop().time()
    for name in "abc":
        deadlines.add(ends.of(name))
    await ends.until(3)
    assert [name for name, _ in ends.called] == ["a", "b", "c"]
    assert all(at - began >= 0.05 for _, at in ends.called)


async def test_one_that_is_added_by_an_end_is_not_forgotten() -> None:
    deadlines, ends = Deadlines(seconds=0.01), Ends()

    def again() -> None:
        deadlines.add(ends.of("second"))

    deadlines.add(again)
    await ends.until(1)
    assert ends.called[0][0] == "second"


async def test_what_came_while_the_loop_was_held_up_is_read_first() -> None:
    """A socket that is readable when the loop goes on is read before anybody gives up."""
    reader_end, writer_end = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=reader_end)
    deadlines, ends = Deadlines(seconds=0.05), Ends()
    read = asyncio.ensure_future(reader.readexactly(1))
    read.add_done_callback(lambda _: ends.called.append(("read", 0.0)))
    await asyncio.sleep(0)
    deadlines.add(ends.of("gave up"))
    writer_end.sendall(b"x")
    hold_up(0.1)
    await ends.until(2)
    assert [name for name, _ in ends.called] == ["read", "gave up"]
    writer.close()
    writer_end.close()


async def test_a_loop_that_is_always_late_ends_them_too() -> None:
    deadlines, ends = Deadlines(seconds=0.01), Ends()
    deadlines.add(ends.of("a"))
    for _ in range(3):
        hold_up(0.05)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert ends.called
