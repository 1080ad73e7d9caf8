"""How many exchanges are under way, and whether another may begin."""

import asyncio
from collections.abc import Callable

from gateway.core.errors import ErrorCode, Refused


class Gate:
    """Every exchange is inside from its first event to its last, even one that is turned away at once."""

    def __init__(self, *, most: int, on_change: Callable[[int], None]) -> None:
        """`most`: exchanges that may be inside at once. `on_change` is told how many there are."""
        self._most = most
        self._on_change = on_change
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
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

    async def empty(self) -> None:
        """Wait until nobody is inside."""
        await self._empty.wait()
