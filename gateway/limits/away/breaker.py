"""Whether a store counts as away. Pure: told how calls and probes went, it says when that changes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a store counts as away, and as back."""

    failures: int = 3
    """So many failures or slow calls in a row open it."""
    slow: float = 0.08
    """Seconds from which a call is slow."""
    good_probes: int = 5
    """So many good probes in a row close it."""
    interval: float = 0.08
    """Seconds between probes: with five of them, a return is noticed within half a second."""
    returning: float = 0.4
    """Seconds by which replicas may differ in noticing a return."""


class Circuit:
    """Closed while the store is there, open while it is away."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._bad = 0
        self._good = 0
        self.is_open = False
        self.is_doubtful = False
        """Whether the last that was heard of the store was bad: worth a probe, so that a replica without
        requests learns of an outage too."""

    @property
    def good_probes(self) -> int:
        """Those in a row."""
        return self._good

    def is_slow(self, seconds: float) -> bool:
        """Whether a call that took so long counts as bad."""
        return seconds >= self._breaker.slow

    def went_well(self) -> None:
        """A call did."""
        self._bad = 0
        self.is_doubtful = False

    def went_badly(self) -> bool:
        """A call or a probe failed, or was slow. Tells whether that opened it."""
        self.is_doubtful = True
        self._good = 0
        self._bad += 1
        if self.is_open or self._bad < self._breaker.failures:
            return False
        self.is_open = True
        return True

    def probed_well(self) -> bool:
        """Tells whether it may be closed. While it is closed already, a good probe ends the doubt, but not a
        row of failures: it can be another part of the store that fails."""
        self.is_doubtful = False
        self._good += 1
        return self.is_open and self._good >= self._breaker.good_probes

    def close(self) -> None:
        """It is back."""
        self.is_open = False
        self.went_well()
