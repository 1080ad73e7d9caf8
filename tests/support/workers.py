"""Processes of a test's own, each with an event loop, that are all told what to do at once.

What they are told to do is a coroutine function of a module, called with one argument: both travel, as does
what it returns, so they have to be picklable. A worker in which something fails says so on standard error and
ends.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

import uvloop

_CONTEXT: Final = get_context("spawn")
"""A process that begins anew, as a replica does: nothing of the test's own is in it."""

P = TypeVar("P")
R = TypeVar("R")


class Workers:
    """So many processes that wait for something to do."""

    def __init__(self, lines: Sequence[Connection]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    async def all(self, act: Callable[[P], Coroutine[Any, Any, R]], parts: Sequence[P]) -> list[R]:
        """Do `act(part)`, in a process for each part; what each returned. Raises EOFError when one failed."""
        for line, part in zip(self._lines, parts, strict=True):
            line.send((act, part))
        return [await asyncio.to_thread(line.recv) for line in self._lines]


@contextmanager
def workers(count: int) -> Iterator[Workers]:
    """They are ready when told to be, and gone at the end."""
    ours, processes = [], []
    try:
        for _ in range(count):
            mine, its = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=_work, args=(its,), daemon=True)
            process.start()
            its.close()
            ours.append(mine)
            processes.append(process)
        yield Workers(ours)
    finally:
        for line in ours:
            line.close()
        for process in processes:
            process.kill()
            process.join()
            process.close()


def _work(line: Connection) -> None:
    with suppress(EOFError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while True:
            act, part = line.recv()
            line.send(runner.run(act(part)))
