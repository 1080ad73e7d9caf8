"""How many exchanges are under way, whether another may begin, and how those end that would take too long
when the process stops.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from gateway.core.errors import ErrorCode, Refused


class _Waiting:
    """An exchange that waits for its upstream or its client, and ends early when the gate is cleared."""

    __slots__ = ("_others", "_task", "_told")

    def __init__(self, others: "set[_Waiting]", task: "asyncio.Task[object]") -> None:
        self._others = others
        self._task = task
        self._told = False

    def end(self) -> None:
        self._told = True
        self._task.cancel()

    def __enter__(self) -> Self:
        self._others.add(self)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._others.discard(self)
        if self._told and isinstance(error, asyncio.CancelledError):
            self._task.uncancel()
            raise Refused(
                ErrorCode.DRAINING, "The gateway is restarting. Send the request again.", retry_after=1
            ) from None


class Gate:
    """Every exchange is inside from its first event to its last, even one that is turned away at once."""

    def __init__(self, *, most: int, on_change: Callable[[int], None]) -> None:
        """`most`: exchanges that may be inside at once. `on_change` is told how many there are."""
        self._most = most
        self._on_change = on_change
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._waiting: set[_Waiting] = set()
        self._cleared = False
        self.draining = False
        """Set when the process is stopping: who comes now is told to come again."""

    @property
    def inside(self) -> int:
        """Exchanges under way."""
        return self._inside

    def __enter__(self) -> None:
        """Count an exchange in."""
        self._inside += 1
        self._empty.clear()
        self._on_change(self._inside)

    def __exit__(self, *_: object) -> None:
        """Count it out."""
        self._inside -= 1
        self._on_change(self._inside)
        if not self._inside:
            self._empty.set()

    def check(self) -> None:
        """Raises Refused: `draining`, `overloaded`."""
        if self.draining:
            raise Refused(
                ErrorCode.DRAINING, "The gateway is stopping. Send the request again.", retry_after=1
            )
        if self._inside > self._most:
            raise Refused(ErrorCode.OVERLOADED, "The gateway is full. Send the request again.", retry_after=1)

    def until_cleared(self) -> _Waiting:
        """For the current task's wait, in a `with`. Raises Refused (`draining`) when it is told to end."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an exchange is a task's work")
        waiting = _Waiting(self._waiting, task)
        if self._cleared:
            waiting.end()
        return waiting

    def clear(self) -> None:
        """End whoever still waits, or begins to."""
        self._cleared = True
        for waiting in list(self._waiting):
            waiting.end()

    async def empty(self) -> None:
        """Wait until nobody is inside."""
        await self._empty.wait()
