"""A process's sign of life, which others read in the table `workers`. Knows when it is due; writes nothing.

By the calendar: other processes compare it with theirs, and a clock that stands still while a machine
sleeps would hide that the lease has ended meanwhile.
"""

from gateway.core.clock import Clock
from gateway.core.ids import new_id


class Lease:
    """The right of this process to have unsettled attempts: as long as it lasts, others leave them alone."""

    def __init__(self, *, clock: Clock, seconds: float) -> None:
        self.worker = new_id("wrk", clock)
        self.seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self._next = float("-inf")

    @property
    def pause(self) -> float:
        """Seconds between renewals while nothing else is written: two of them may fail."""
        return self.seconds / 3

    def renewal(self) -> int | None:
        """Until when to renew it with the next write, in milliseconds since 1970; None while it is fresh."""
        until = self._clock.now() + self.seconds
        if until - self._until < self.seconds / 4:
            return None
        self._next = until
        return int(until * 1000)

    def doubt(self) -> None:
        """Writing failed: renew it with the next write, however fresh it is."""
        self._until = self._next = float("-inf")

    def renewed(self) -> None:
        """What `renewal` said last is on record."""
        self._until = self._next
