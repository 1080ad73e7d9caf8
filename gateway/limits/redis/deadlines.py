"""Deadlines that many waits share: one timer for all of them, and more time for all when it is late itself.

A loop that was held up (by a long computation, or by the machine that gives a container no processor time for
a while) finds timers due before it has read what came meanwhile. To give up then would blame whoever has
answered long ago.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

_STEP: Final = 0.01
"""Seconds between two looks: by so much a deadline may be missed."""
_LATE: Final = 0.02
"""Seconds by which a look is late when the loop was held up."""


class Deadlines:
    """All of one length. To be used in a running loop."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._looks = False
        """Whether a look is due."""
        self._excused = False
        """Whether the last look was late. Two in a row are not: the loop has been round."""

    def add(self, end: Callable[[], None]) -> None:
        """Call this in so many seconds. What it would end may be over by then; it has to see to that."""
        now = asyncio.get_running_loop().time()
        self._waiting.append((now + self._seconds, end))
        if not self._looks:
            self._look_at(now + self._seconds)

    def _look_at(self, when: float) -> None:
        self._looks = True
        asyncio.get_running_loop().call_at(when, self._look, when)

    def _look(self, due: float) -> None:
        now = asyncio.get_running_loop().time()
        self._looks = False
        self._excused = not self._excused and now - due > _LATE
        while not self._excused and self._waiting and self._waiting[0][0] <= now:
            _, end = self._waiting.popleft()
            end()
        if self._waiting and not self._looks:
            self._look_at(max(self._waiting[0][0], now + _STEP))
