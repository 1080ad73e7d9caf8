"""What this replica keeps set aside of enforced budgets, to spend while Redis is away. Pure.

Law: what is spent away was held in Redis before, under a lease that has not ended: so no budget is overspent.
A slice is small, it is kept of budgets in use alone, and given back as soon as the budget runs low. Once
something of it was spent it is settled, when nothing of it is held any more, and a new one is taken.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.ids import new_id
from gateway.limits.interfaces import Demand, Hold, Look, Spent

PART: Final = 20
"""All replicas together set aside one part in so many of a budget …"""
LEAST: Final = 10
"""… while at least one part in so many is left of it."""

_IDLE: Final = 60.0
"""Seconds after which a budget that nobody asks for is no longer in use."""
_PAUSE: Final = 60.0
"""Seconds for which nothing is set aside after a slice was in somebody's way."""
_RENEWED_WITHIN: Final = 10
"""A slice is renewed after one part in so many of its lease, and unusable in the last one."""


class _Slice:
    """What is set aside of one budget."""

    __slots__ = ("amount", "held", "hold", "renewed", "spent")

    def __init__(self, hold: Hold, now: float) -> None:
        self.hold = hold
        """As Redis knows it."""
        self.amount = hold.demands[0].cost
        self.held: dict[str, int] = {}
        """What exchanges hold of it, by their ids."""
        self.spent = 0
        """By those that are settled."""
        self.renewed = now

    @property
    def left(self) -> int:
        return self.amount - self.spent - sum(self.held.values())

    @property
    def is_untouched(self) -> bool:
        return not self.spent and not self.held


class Slices:
    """Of one replica."""

    def __init__(self, *, replica: str, clock: Clock, lease: float = 600.0, most: int = 1000) -> None:
        """`lease`: seconds for which Redis holds a slice that is not renewed. `most`: budgets of which
        something is set aside: those last used."""
        self._replica = replica
        self._clock = clock
        self._lease = lease
        self._most = most
        self._in_use: OrderedDict[str, tuple[Demand, float]] = OrderedDict()
        """Enforced budgets, and when they were last asked for. The one longest unused comes first."""
        self._paused: dict[str, float] = {}
        """Budgets of which nothing is set aside, and until when."""
        self._slices: dict[str, _Slice] = {}
        self._spent: set[str] = set()
        """Budgets of whose slice something was spent."""

    # While Redis is there.

    def use(self, demand: Demand) -> None:
        """An enforced budget was asked for."""
        self._in_use[demand.bucket] = demand, self._clock.monotonic()
        self._in_use.move_to_end(demand.bucket)
        if len(self._in_use) > self._most:
            self._in_use.popitem(last=False)

    def in_use(self) -> list[Demand]:
        """Budgets that are to be looked at, once a second."""
        now = self._clock.monotonic()
        self._paused = {bucket: until for bucket, until in self._paused.items() if now < until}
        for bucket, (_, used) in list(self._in_use.items()):
            if now - used < _IDLE:
                break
            del self._in_use[bucket]
        return [demand for demand, _ in self._in_use.values()]

    def surplus(self, demands: Sequence[Demand], looks: Sequence[Look]) -> list[Spent]:
        """Slices to give back: of budgets that run low, or are not in use. They are spent of no more."""
        found = zip(demands, looks, strict=True)
        kept = {demand.bucket for demand, look in found if _has_plenty(demand, look)}
        return [spent for bucket in set(self._slices) - kept for spent in self.give_back(bucket)]

    def wanted(self, demands: Sequence[Demand], looks: Sequence[Look], of: int) -> Iterator[Hold]:
        """Slices to reserve, by one of so many replicas."""
        for demand, look in zip(demands, looks, strict=True):
            has_none = demand.bucket not in self._slices and demand.bucket not in self._paused
            amount = _amount(demand) // (PART * of)
            if amount and has_none and _has_plenty(demand, look):
                slice_id = new_id(f"slice:{self._replica}", self._clock)
                yield Hold(slice_id, (demand._replace(cost=amount),), slice=True)

    def granted(self, hold: Hold) -> None:
        """Redis holds this slice."""
        self._slices[hold.demands[0].bucket] = _Slice(hold, self._clock.monotonic())

    def call_in(self, bucket: str) -> list[Spent]:
        """Give this slice back, if there is one: it is in somebody's way. Takes no new one for a while."""
        self._paused[bucket] = self._clock.monotonic() + _PAUSE
        return self.give_back(bucket)

    def give_back(self, bucket: str) -> list[Spent]:
        """The settlement of this slice, if there is one and nothing of it is used."""
        kept = self._slices.get(bucket)
        if kept is None or not kept.is_untouched:
            return []
        return [self._end(bucket)]

    def give_back_all(self) -> list[Spent]:
        """The settlements of all that are not used."""
        return [spent for bucket in list(self._slices) for spent in self.give_back(bucket)]

    def finished(self) -> list[Spent]:
        """The settlements of those of which something was spent and nothing is held any more."""
        done = [bucket for bucket in self._spent if not self._slices[bucket].held]
        return [self._end(bucket) for bucket in done]

    def aging(self) -> list[Hold]:
        """Those to renew."""
        before = self._clock.monotonic() - self._lease / _RENEWED_WITHIN
        return [kept.hold for kept in self._slices.values() if kept.renewed <= before]

    def all(self) -> list[Hold]:
        """Everything that is set aside."""
        return [kept.hold for kept in self._slices.values()]

    def renewed(self, holds: Sequence[Hold], at: float) -> None:
        """Their leases began anew, not before this moment."""
        for hold in holds:
            kept = self._slices.get(hold.demands[0].bucket)
            if kept is not None:
                kept.renewed = at

    def forget(self) -> list[Spent]:
        """Redis has lost them all. The settlements of those of which something was spent."""
        ended = [self._end(bucket) for bucket in list(self._spent)]
        self._slices.clear()
        return ended

    # While it is away.

    def fits(self, bucket: str, amount: int) -> bool:
        """Whether so much can be spent. What costs nothing always can."""
        kept = self._slices.get(bucket)
        if not amount:
            return True
        if kept is None or amount > kept.left:
            return False
        usable = self._lease - self._lease / _RENEWED_WITHIN
        return self._clock.monotonic() < kept.renewed + usable

    def hold(self, bucket: str, exchange_id: str, amount: int) -> None:
        """An exchange holds so much, or so much more, of a slice that has it."""
        kept = self._slices.get(bucket)
        if kept is not None and amount:
            kept.held[exchange_id] = kept.held.get(exchange_id, 0) + amount

    def held(self, bucket: str, exchange_id: str) -> int:
        """What this exchange holds."""
        kept = self._slices.get(bucket)
        return 0 if kept is None else kept.held.get(exchange_id, 0)

    def settle(self, bucket: str, exchange_id: str, amount: int) -> bool:
        """An exchange has spent so much of it. False when there is no slice that it could be charged to."""
        kept = self._slices.get(bucket)
        if kept is None:
            return False
        kept.held.pop(exchange_id, None)
        if amount:
            kept.spent += amount
            self._spent.add(bucket)
        return True

    def _end(self, bucket: str) -> Spent:
        self._spent.discard(bucket)
        kept = self._slices.pop(bucket)
        return Spent(kept.hold, (kept.spent,))


def _has_plenty(demand: Demand, look: Look) -> bool:
    """Whether enough is left, were nothing set aside."""
    amount = _amount(demand)
    return look.loaded and (amount - look.level + look.set_aside) * LEAST >= amount


def _amount(demand: Demand) -> int:
    return demand.window.amount if demand.window is not None else 0
