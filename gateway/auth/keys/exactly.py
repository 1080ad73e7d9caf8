"""A pause that ends when it should, to some microseconds.

The timers of an event loop are a millisecond coarse, and count from the moment at which the loop went to
sleep: how late they are tells, to the microsecond, how long it was busy before. Where the length of a pause
is to tell nothing, its last two milliseconds are waited turn by turn. That costs what an idle loop has; so
that a flood cannot make a loop do nothing else, of pauses that end close together one alone is so exact. Who
measures has to ask one thing at a time, and finds every one exact.
"""

import asyncio
from typing import Final

from gateway.core.clock import Clock, SystemClock

_COARSE: Final = 0.002
APART: Final = 0.01
"""Seconds between the ends of two pauses that are both exact."""


class ExactPause:
    """A Pause. Others go on meanwhile; not at all for what is not above 0."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._last = float("-inf")
        """When the last one ends, or ended, that is exact."""

    async def __call__(self, seconds: float) -> None:
        due = self._clock.monotonic() + seconds
        if seconds <= 0:
            return
        if due < self._last + APART:
            await asyncio.sleep(seconds)
            return
        self._last = due
        if seconds > _COARSE:
            await asyncio.sleep(seconds - _COARSE)
        while self._clock.monotonic() < due:  # noqa: ASYNC110 - what is waited for is nothing but the time
            await asyncio.sleep(0)
