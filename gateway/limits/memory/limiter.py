"""Limits of one process. Decides as `redis/` does, by the process's own clock.

What is kept is bounded: rates that owe nothing are forgotten, and so are slots, holds, settlements and
budgets whose time has passed (looked at once in `forget` seconds).
"""

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.decision import Mode
from gateway.core.spending import Spending
from gateway.limits.bucket import MICRO, MOST_DEBT, settled
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Look,
    More,
    Refusal,
    Spent,
    Unloaded,
)
from gateway.limits.memory.budget import MemoryBudget
from gateway.limits.memory.leases import Leases, shown
from gateway.limits.memory.rates import MemoryRates
from gateway.limits.verdict import Fit, judge

_ENFORCE: Final = Mode.ENFORCE
_YES: Final = Fit.YES
_UNLOADED: Final = Fit.UNLOADED


class _Record:
    """One exchange between its reservation and its settlement."""

    __slots__ = ("amounts", "expires")

    def __init__(self, amounts: list[int], expires: int) -> None:
        self.amounts = amounts
        """What is held of each demand; of one that is not held, the complement of why: `~Fit.NO`."""
        self.expires = expires


class MemoryLimiter:
    """A Limiter whose store is never away."""

    def __init__(
        self,
        *,
        clock: Clock,
        lease: float = 12.0,
        slice_lease: float = 600.0,
        keep: float = 3600.0,
        forget: float = 60.0,
    ) -> None:
        """Seconds: `lease`, after which a slot is free, and what is held of a budget is given back, unless
        renewed; `slice_lease`, the same for slices; `keep`, for which a hold that is never settled is
        remembered; `forget`, for which at least a second settlement is known for what it is."""
        self._clock = clock
        self._lease = int(lease * MICRO)
        self._slice_lease = int(slice_lease * MICRO)
        self._keep = int(keep * MICRO)
        self._forget = int(forget * MICRO)
        self._rates = MemoryRates()
        self._slots: dict[str, Leases] = {}
        self._budgets: dict[str, MemoryBudget] = {}
        self._blank = MemoryBudget(clock=clock)
        """What is known of a budget that is not among them."""
        self._records: dict[str, _Record] = {}
        self._settled: set[str] = set()
        self._settled_before: set[str] = set()
        self._sweep_at = 0

    @property
    def size(self) -> int:
        """How many things are remembered: buckets, slots, holds and settlements."""
        slots = sum(map(len, self._slots.values()))
        budgets = len(self._budgets) + sum(map(len, self._budgets.values()))
        settlements = len(self._settled) + len(self._settled_before)
        return len(self._rates) + slots + budgets + len(self._records) + settlements

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        now = self._now()
        fit: list[int] = []
        levels: list[int] = []
        stopped = False
        for limit, bucket, cost, rate, window in hold.demands:
            fits: int
            if rate is not None:
                level = self._rates.owed(bucket, rate, now)
                fits = rate.fits(level, cost * MICRO)
            elif window is None:
                level = self._taken(bucket, now)
                fits = level < limit.amount
            else:
                budget = self._known_budget(bucket, now)
                more = max(0, cost - budget.mine(hold.exchange_id))
                fits, level = budget.room(more, window)
            if fits != _YES and (limit.mode is _ENFORCE or fits == _UNLOADED):
                stopped = True
            fit.append(fits)
            levels.append(level)
        known = self._known(hold)
        if known is None and not stopped:
            self._take(hold, fit, levels, now)
        return judge(hold.demands, fit if known is None else known, levels)

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        now = self._now()
        return [self._extend(more, now) for more in mores]

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        now = self._now()
        return [charged for spent in spents for charged in self._settle(spent, now)]

    async def renew(self, holds: Sequence[Hold]) -> None:
        now = self._now()
        for hold in holds:
            if not self._is_settled(hold.exchange_id):
                self._renew(hold, now)

    async def load(self, demand: Demand, spending: Spending) -> None:
        now = self._now()
        if demand.window is not None:
            budget, edges = self._budget(demand.bucket, now), demand.window.edges
            if not budget.is_loaded(edges):
                budget.load(spending, now + self._lease, edges)

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        now = self._now()
        return [self._look(demand, now) for demand in demands]

    async def buckets(self, tag: str) -> Sequence[str]:
        prefix = f"{{{tag}}}:"
        kept = [*self._rates.buckets, *self._slots, *self._budgets]
        return [bucket for bucket in kept if bucket.startswith(prefix)]

    def _now(self) -> int:
        now = int(self._clock.monotonic() * MICRO)
        if now >= self._sweep_at:
            self._sweep(now)
        return now

    def _lease_of(self, hold: Hold) -> int:
        return self._slice_lease if hold.slice else self._lease

    def _is_settled(self, exchange_id: str) -> bool:
        return exchange_id in self._settled or exchange_id in self._settled_before

    def _known(self, hold: Hold) -> list[int] | None:
        """What this exchange was told already. After its settlement everything fits, and nothing is held."""
        record = self._records.get(hold.exchange_id)
        if record is not None:
            return [_YES if amount >= 0 else ~amount for amount in record.amounts]
        return [_YES] * len(hold.demands) if self._is_settled(hold.exchange_id) else None

    def _taken(self, bucket: str, now: int) -> int:
        """Slots in use."""
        slots = self._slots.get(bucket)
        if slots is None:
            return 0
        slots.drop_ended(now)
        return len(slots)

    def _budget(self, bucket: str, now: int) -> MemoryBudget:
        """To be changed."""
        budget = self._budgets.get(bucket)
        if budget is None:
            budget = self._budgets[bucket] = MemoryBudget(clock=self._clock)
        budget.take_back_ended(now)
        return budget

    def _known_budget(self, bucket: str, now: int) -> MemoryBudget:
        """To be asked."""
        budget = self._budgets.get(bucket, self._blank)
        budget.take_back_ended(now)
        return budget

    def _take(self, hold: Hold, fit: list[int], levels: list[int], now: int) -> None:
        """Hold what fits, and bring `levels` up to date."""
        amounts: list[int] = []
        for index, (_, bucket, cost, rate, window) in enumerate(hold.demands):
            if fit[index] != _YES:
                amounts.append(~fit[index])
                continue
            amounts.append(cost)
            if rate is not None:
                if cost:
                    levels[index] += cost * MICRO
                    self._rates.owe(bucket, rate, levels[index], now)
            elif window is None:
                self._take_slot(bucket, hold.exchange_id, now)
                levels[index] += 1
            else:
                ends = now + self._lease_of(hold)
                levels[index] += self._budgets[bucket].hold(hold.exchange_id, cost, ends, window.edges)
        self._records[hold.exchange_id] = _Record(amounts, now + self._keep)

    def _extend(self, more: More, now: int) -> Demand | None:
        hold, added = more
        if self._is_settled(hold.exchange_id):
            return None
        record = self._records.get(hold.exchange_id) or _lost(hold)
        grown = [
            held + amount if held >= 0 else held for held, amount in zip(record.amounts, added, strict=True)
        ]
        for index, demand in enumerate(hold.demands):
            if demand.window is not None and grown[index] > record.amounts[index]:
                budget = self._known_budget(demand.bucket, now)
                lacking = max(0, grown[index] - budget.mine(hold.exchange_id))
                fits, _ = budget.room(lacking, demand.window)
                if demand.limit.mode is _ENFORCE and fits not in (_YES, _UNLOADED):
                    return demand
        for index, (_, bucket, _, rate, window) in enumerate(hold.demands):
            amount = grown[index] - record.amounts[index]
            if rate is not None and amount:
                debt = self._rates.owed(bucket, rate, now) + amount * MICRO
                self._rates.owe(bucket, rate, min(debt, MOST_DEBT), now)
            elif window is not None and amount:
                ends = now + self._lease_of(hold)
                self._budget(bucket, now).hold(hold.exchange_id, grown[index], ends, window.edges)
        self._records[hold.exchange_id] = _Record(grown, now + self._keep)
        return None

    def _settle(self, spent: Spent, now: int) -> Iterator[Charged]:
        (exchange_id, demands), amounts = spent.hold[:2], spent.amounts
        if self._is_settled(exchange_id):
            return
        self._settled.add(exchange_id)
        record = self._records.pop(exchange_id, None)
        for index, demand in enumerate(demands):
            _, bucket, _, rate, window = demand
            if rate is not None:
                held = 0 if record is None else record.amounts[index]
                if held >= 0 and held != amounts[index]:
                    owed = self._rates.owed(bucket, rate, now)
                    debt = settled(owed, held * MICRO, amounts[index] * MICRO)
                    self._rates.owe(bucket, rate, debt, now)
            elif window is None:
                self._free(bucket, exchange_id)
            else:
                budget = self._budget(bucket, now)
                before, after = budget.settle(exchange_id, amounts[index], window.edges)
                if after != before:
                    yield Charged(demand, before, after)

    def _renew(self, hold: Hold, now: int) -> None:
        """What the record says is not held is not taken; without a record it is what was wanted."""
        record = self._records.get(hold.exchange_id)
        if record is not None:
            record.expires = now + self._keep
        for index, (_, bucket, cost, rate, window) in enumerate(hold.demands):
            amount = cost if record is None else record.amounts[index]
            if rate is not None or amount < 0:
                continue
            if window is None:
                self._take_slot(bucket, hold.exchange_id, now)
            else:
                ends = now + self._lease_of(hold)
                self._budget(bucket, now).renew(hold.exchange_id, amount, ends, window.edges)

    def _look(self, demand: Demand, now: int) -> Look:
        _, bucket, _, rate, window = demand
        if rate is not None:
            return Look(self._rates.look(bucket, rate, now))
        if window is not None:
            return self._budgets.get(bucket, self._blank).look(window.edges, now)
        slots = self._slots.get(bucket)
        holders = slots.live(now) if slots else []
        return Look(len(holders), holders=shown(holders))

    def _take_slot(self, bucket: str, exchange_id: str, now: int) -> None:
        slots = self._slots.get(bucket)
        if slots is None:
            slots = self._slots[bucket] = Leases()
        slots.begin(exchange_id, 1, now + self._lease)

    def _free(self, bucket: str, exchange_id: str) -> None:
        slots = self._slots.get(bucket)
        if slots is not None:
            slots.pop(exchange_id, None)
            if not slots:
                del self._slots[bucket]

    def _sweep(self, now: int) -> None:
        self._sweep_at = now + self._forget
        self._settled_before, self._settled = self._settled, set()
        for exchange_id in [known for known, record in self._records.items() if record.expires <= now]:
            del self._records[exchange_id]
        for bucket, slots in list(self._slots.items()):
            slots.drop_ended(now)
            if not slots:
                del self._slots[bucket]
        for bucket in [bucket for bucket, budget in self._budgets.items() if budget.is_over(now)]:
            del self._budgets[bucket]


def _lost(hold: Hold) -> _Record:
    """Of a hold that is not known any more: what it began with, and of rates nothing."""
    return _Record([0 if demand.rate is not None else demand.cost for demand in hold.demands], 0)
