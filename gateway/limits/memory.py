"""Limits of one process. Decides as `redis.py` does, by the process's own clock.

What is kept is bounded: a bucket that is full again is forgotten (each new one pays for a look at two old
ones), and so are holds and settlements whose time has passed (looked at once in `forget` seconds).
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.decision import Mode
from gateway.limits.bucket import MICRO, Rate, settled
from gateway.limits.interfaces import Grant, Hold, Refusal, Spent
from gateway.limits.verdict import judge

_LOOKED_AT: Final = 2
_ENFORCE: Final = Mode.ENFORCE


class _Record:
    """One exchange between its reservation and its settlement."""

    __slots__ = ("expires", "fit")

    def __init__(self, fit: list[bool], expires: int) -> None:
        self.fit = fit
        """Which of its demands are held."""
        self.expires = expires


class MemoryLimiter:
    """A Limiter whose store is never away."""

    def __init__(
        self, *, clock: Clock, lease: float = 60.0, keep: float = 3600.0, forget: float = 60.0
    ) -> None:
        """Seconds: `lease`, after which a slot is free unless renewed; `keep`, for which a hold that is never
        settled is remembered; `forget`, for which at least a second settlement is known for what it is."""
        self._clock = clock
        self._lease = int(lease * MICRO)
        self._keep = int(keep * MICRO)
        self._forget = int(forget * MICRO)
        self._debts: dict[str, tuple[int, int, Rate]] = {}
        self._turns: deque[str] = deque()
        """Every bucket once, in the order in which they are looked at."""
        self._slots: dict[str, dict[str, int]] = {}
        """Who holds a slot, and until when."""
        self._records: dict[str, _Record] = {}
        self._settled: set[str] = set()
        self._settled_before: set[str] = set()
        self._sweep_at = 0

    @property
    def size(self) -> int:
        """How many things are remembered: buckets, slots, holds and settlements."""
        slots = sum(map(len, self._slots.values()))
        return len(self._debts) + slots + len(self._records) + len(self._settled) + len(self._settled_before)

    async def reserve(self, hold: Hold) -> Grant | Refusal:
        now = self._now()
        fit: list[bool] = []
        levels: list[int] = []
        refused = False
        for limit, bucket, cost, rate in hold.demands:
            if rate is None:
                level = self._taken(bucket, limit.amount, now)
                fits = level < limit.amount
            else:
                level = self._owed(bucket, rate, now)
                fits = rate.fits(level, cost * MICRO)
            if not fits and limit.mode is _ENFORCE:
                refused = True
            fit.append(fits)
            levels.append(level)
        known = self._known(hold)
        if known is not None:
            return judge(hold.demands, known, levels)
        if not refused:
            self._take(hold, fit, levels, now)
        return judge(hold.demands, fit, levels)

    async def settle(self, spents: Sequence[Spent]) -> None:
        now = self._now()
        for spent in spents:
            exchange_id = spent.hold.exchange_id
            if not self._is_settled(exchange_id):
                self._settled.add(exchange_id)
                self._settle(spent, self._records.pop(exchange_id, None), now)

    async def renew(self, holds: Sequence[Hold]) -> None:
        now = self._now()
        for hold in holds:
            if not self._is_settled(hold.exchange_id):
                self._renew(hold, now)

    def _now(self) -> int:
        now = int(self._clock.monotonic() * MICRO)
        if now >= self._sweep_at:
            self._sweep(now)
        return now

    def _is_settled(self, exchange_id: str) -> bool:
        return exchange_id in self._settled or exchange_id in self._settled_before

    def _known(self, hold: Hold) -> list[bool] | None:
        """What this exchange holds already. After its settlement everything fits, and nothing is held."""
        record = self._records.get(hold.exchange_id)
        if record is not None:
            return record.fit
        return [True] * len(hold.demands) if self._is_settled(hold.exchange_id) else None

    def _owed(self, bucket: str, rate: Rate, now: int) -> int:
        written = self._debts.get(bucket)
        return 0 if written is None else rate.owed(written[0], written[1], now)

    def _taken(self, bucket: str, amount: int, now: int) -> int:
        """Slots in use. Those whose lease has ended are only looked for when all seem to be taken."""
        slots = self._slots.get(bucket)
        if slots is None:
            return 0
        if len(slots) >= amount:
            _drop_ended(slots, now)
        return len(slots)

    def _take(self, hold: Hold, fit: list[bool], levels: list[int], now: int) -> None:
        """Hold what fits, and bring `levels` up to date."""
        self._records[hold.exchange_id] = _Record(fit, now + self._keep)
        for index, (_, bucket, cost, rate) in enumerate(hold.demands):
            if not fit[index]:
                continue
            if rate is None:
                self._slots.setdefault(bucket, {})[hold.exchange_id] = now + self._lease
                levels[index] += 1
            elif cost:
                levels[index] += cost * MICRO
                self._write(bucket, levels[index], now, rate)

    def _settle(self, spent: Spent, record: _Record | None, now: int) -> None:
        (exchange_id, demands), amounts = spent
        for index, (_, bucket, cost, rate) in enumerate(demands):
            if rate is None:
                self._free(bucket, exchange_id)
            elif record is None or record.fit[index]:
                held = 0 if record is None else cost
                amount = amounts[index]
                if amount != held:
                    debt = settled(self._owed(bucket, rate, now), held * MICRO, amount * MICRO)
                    self._write(bucket, debt, now, rate)

    def _renew(self, hold: Hold, now: int) -> None:
        record = self._records.get(hold.exchange_id)
        if record is not None:
            record.expires = now + self._keep
        for demand in hold.demands:
            if demand.rate is None:
                self._slots.setdefault(demand.bucket, {})[hold.exchange_id] = now + self._lease

    def _free(self, bucket: str, exchange_id: str) -> None:
        slots = self._slots.get(bucket)
        if slots is not None:
            slots.pop(exchange_id, None)
            if not slots:
                del self._slots[bucket]

    def _write(self, bucket: str, debt: int, now: int, rate: Rate) -> None:
        if bucket not in self._debts:
            self._make_room(now)
            self._turns.append(bucket)
        self._debts[bucket] = debt, now, rate

    def _make_room(self, now: int) -> None:
        for _ in range(min(_LOOKED_AT, len(self._turns))):
            bucket = self._turns.popleft()
            debt, at, rate = self._debts[bucket]
            if rate.owed(debt, at, now):
                self._turns.append(bucket)
            else:
                del self._debts[bucket]

    def _sweep(self, now: int) -> None:
        self._sweep_at = now + self._forget
        self._settled_before, self._settled = self._settled, set()
        for exchange_id in [known for known, record in self._records.items() if record.expires <= now]:
            del self._records[exchange_id]
        for bucket, slots in list(self._slots.items()):
            _drop_ended(slots, now)
            if not slots:
                del self._slots[bucket]


def _drop_ended(slots: dict[str, int], now: int) -> None:
    for exchange_id in [holder for holder, ends in slots.items() if ends <= now]:
        del slots[exchange_id]
