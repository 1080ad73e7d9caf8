"""Time, as something that is handed in, so that no test has to wait for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the gateway reads the time."""

    def now(self) -> float:
        """Seconds since 1970, UTC: for records that people and other machines read."""

    def monotonic(self) -> float:
        """Seconds that never jump: for durations and deadlines."""


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
