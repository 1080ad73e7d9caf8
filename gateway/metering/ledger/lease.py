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
        self._until: float | None = None
        self._next = 0.0
        self._since = 0.0

    @property
    def pause(self) -> float:
        """Seconds between renewals while nothing else is written: two of them may fail."""
        return self.seconds / 3

    @property
    def steady(self) -> bool:
        """Whether this process may judge others by their leases.

        Not when its own has ended, or had ended less than a lease ago: what kept it from renewing (the
        database was away, the machine slept) may have kept others, and they get the time to renew theirs.
        """
        if self._until is None:
            return True
        return self._since + self.seconds <= self._clock.now() <= self._until

    def renewal(self) -> int | None:
        """Until when to renew it, in milliseconds since 1970; None while it is fresh."""
        until = self._clock.now() + self.seconds
        if self._until is not None and until - self._until < self.seconds / 4:
            return None
        self._next = until
        return int(until * 1000)

    def renewed(self) -> None:
        """What `renewal` said last is on record."""
        began = self._next - self.seconds
        if self._until is not None and self._until < began:
            self._since = began
        self._until = self._next

    def doubt(self) -> None:
        """Writing failed: it counts as ended until it is renewed."""
        self._until = 0.0
