"""A pause that ends when it should, to some microseconds.

The timers of an event loop are a millisecond coarse, and count from the moment at which the loop went to
sleep: how late they are tells, to the microsecond, how long it was busy before. Where the length of a pause
is to tell nothing, its last two milliseconds are waited turn by turn.
"""

import asyncio
from typing import Final

from gateway.core.clock import SystemClock

_COARSE: Final = 0.002


async def exactly(seconds: float) -> None:
    """Others go on meanwhile. Not at all for what is not above 0."""
    due = SystemClock.monotonic() + seconds
    if seconds > _COARSE:
        await asyncio.sleep(seconds - _COARSE)
    while SystemClock.monotonic() < due:  # noqa: ASYNC110 - what is waited for is nothing but the time
        await asyncio.sleep(0)
