"""Whether this process is late itself. Then a slow reply says nothing of whoever sent it."""

from typing import Final

from gateway.core.clock import Clock

INTERVAL: Final = 0.05
"""Seconds between two ticks."""
_TOLERATED: Final = 0.03
"""Seconds by which a tick may be late."""


class Lateness:
    """Notices by ticks that come late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ticked = clock.monotonic()
        self._late_until = 0.0

    async def tick(self) -> None:
        """To be called every `INTERVAL`."""
        now = self._clock.monotonic()
        if self._is_overdue(now):
            self._late_until = now + 2 * INTERVAL
        self._ticked = now

    def is_late(self) -> bool:
        """Whether the process was held up a moment ago, or has just been."""
        now = self._clock.monotonic()
        return now < self._late_until or self._is_overdue(now)

    def _is_overdue(self, now: float) -> bool:
        return now - self._ticked > INTERVAL + _TOLERATED
