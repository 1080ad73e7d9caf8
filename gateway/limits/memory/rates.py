"""Rates in memory: what `bucket.lua` keeps, in Python.

A bucket that is full again is forgotten: each new one pays for a look at two old ones. Ticks are
microseconds.
"""

from collections import deque
from typing import Final

from gateway.limits.bucket import Rate

_LOOKED_AT: Final = 2


class MemoryRates:
    """What is owed, by bucket."""

    def __init__(self) -> None:
        self._debts: dict[str, tuple[int, int, Rate]] = {}
        """Micro-tokens, and the tick at which that was written."""
        self._turns: deque[str] = deque()
        """Every bucket once, in the order in which they are looked at."""

    def __len__(self) -> int:
        return len(self._debts)

    @property
    def buckets(self) -> list[str]:
        return list(self._debts)

    def owed(self, bucket: str, rate: Rate, tick: int) -> int:
        """Micro-tokens."""
        written = self._debts.get(bucket)
        if written is None:
            return 0
        debt, at, _ = written
        if at > tick:
            # The clock was put back: without this nothing would be paid until it is where it was.
            self._debts[bucket] = debt, tick, rate
        return rate.owed(debt, at, tick)

    def owe(self, bucket: str, rate: Rate, debt: int, tick: int) -> None:
        """So much is owed from now on."""
        if bucket not in self._debts:
            self._make_room(tick)
            self._turns.append(bucket)
        self._debts[bucket] = debt, tick, rate

    def look(self, bucket: str, rate: Rate, tick: int) -> int:
        """What is owed, which changes nothing."""
        debt, at, _ = self._debts.get(bucket, (0, tick, rate))
        return rate.owed(debt, at, tick)

    def _make_room(self, tick: int) -> None:
        for _ in range(min(_LOOKED_AT, len(self._turns))):
            bucket = self._turns.popleft()
            debt, at, rate = self._debts[bucket]
            if rate.owed(debt, at, tick):
                self._turns.append(bucket)
            else:
                del self._debts[bucket]
