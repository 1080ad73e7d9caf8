"""The token bucket: gets the time and the level, says what is owed and whether it fits. Pure, whole numbers.

A bucket is its debt: what was spent and is not yet paid back, in micro-tokens (millionths of a request or a
token), and the microsecond at which that was written. No debt is a full bucket. Time pays `amount` back in
`seconds`, rounded down: so a limit is never passed, and a charge loses less than one micro-token by it. Debts
stay below 2**53, where the doubles of Lua are exact too: `bucket.lua` is this file once more.

Bounds: amount and burst from 1 to 10**9; windows of whole seconds up to 31 days, or of whole milliseconds up
to 8 seconds.
"""

from dataclasses import dataclass
from math import gcd
from typing import Final

from gateway.core.policy import Limit

MICRO: Final = 1_000_000
MOST_DEBT: Final = 2**52
"""Micro-tokens. How far below empty a bucket can be pushed by calls that spend more than was reserved."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The numbers of one rate limit. Debts and costs are in micro-tokens, times in microseconds."""

    size: int
    """The most that may be owed: the burst."""
    gain: int
    """So much is paid back …"""
    per: int
    """… in so many microseconds. In lowest terms."""

    def owed(self, debt: int, at: int, now: int) -> int:
        """What is left at `now` of a debt written at `at`. A clock that went back pays nothing."""
        if now <= at:
            return debt
        paid = (now - at) * self.gain // self.per
        return debt - paid if paid < debt else 0

    def fits(self, debt: int, cost: int) -> bool:
        """Whether so much more may be owed. What costs nothing always fits."""
        return debt + cost <= self.size or not cost

    def remaining(self, debt: int) -> int:
        """Whole tokens that may be spent at once."""
        return (self.size - debt) // MICRO if debt < self.size else 0

    def seconds_to_pay(self, debt: int) -> float:
        """Until this much is paid back, rounded up to the microsecond; 0 when nothing is owed."""
        return -(-debt * self.per // self.gain) / MICRO if debt > 0 else 0.0

    def seconds_until_fits(self, debt: int, cost: int) -> float:
        """Until so much fits, if nothing else is spent. For costs that the bucket is large enough for."""
        return self.seconds_to_pay(debt + cost - self.size)


def rate_of(limit: Limit) -> Rate:
    """The numbers of this limit."""
    gain, per = limit.amount * MICRO, round(limit.seconds * MICRO)
    shared = gcd(gain, per)
    return Rate(limit.burst * MICRO, gain // shared, per // shared)


def settled(debt: int, held: int, spent: int) -> int:
    """The debt when `held` turns out to have been `spent`: never less than none, never beyond the bound."""
    return min(max(0, debt - held + spent), MOST_DEBT)
