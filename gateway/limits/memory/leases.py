"""Who holds something for a time, in memory.

All leases that are kept together are equally long, so those that began first end first: whoever looks for
ended ones looks at no others. Ticks are microseconds.
"""

from collections import OrderedDict
from collections.abc import Iterable

from gateway.limits.bucket import MICRO
from gateway.limits.interfaces import MOST_SHOWN, Holder


class Leases(OrderedDict[str, tuple[int, int]]):
    """What each holder holds, and the tick at which its lease ends."""

    def begin(self, holder: str, amount: int, ends: int) -> None:
        """It holds so much from now on, under a lease that begins."""
        self[holder] = amount, ends
        self.move_to_end(holder)

    def ended(self, tick: int) -> list[str]:
        """Whose leases have ended."""
        holders: list[str] = []
        if not self:
            return holders
        for holder, (_, ends) in self.items():
            if ends > tick:
                break
            holders.append(holder)
        return holders

    def drop_ended(self, tick: int) -> None:
        """Those whose leases have ended hold nothing."""
        for holder in self.ended(tick):
            del self[holder]

    def live(self, tick: int) -> list[Holder]:
        """Whose leases have not ended."""
        return [
            Holder(holder, amount, (ends - tick) / MICRO)
            for holder, (amount, ends) in self.items()
            if ends > tick
        ]

    @property
    def held(self) -> int:
        """By all of them together."""
        return sum(amount for amount, _ in self.values())


def shown(holders: Iterable[Holder]) -> tuple[Holder, ...]:
    """Those whose leases end first."""
    return tuple(sorted(holders, key=lambda holder: (holder.seconds, holder.exchange_id))[:MOST_SHOWN])
