"""This replica's part of every rate while Redis is away. Pure, whole numbers.

Law: whenever Redis goes and returns, no span of time lets through more than 102.5 % of a rate's size and what
time pays back in it, over all N replicas. Said by a bucket that nobody empties: it never owes more than that.

- A share is an Nth of the bucket and of what is paid back to it. It begins an outage as if the bucket were
  empty, since the others may have just emptied it; what may be spent beyond that is its credit.
- On return it charges what was spent, or what the share still owes, if that is less: the rest is paid back,
  as it would have been in the bucket. The credit is in it, so Redis refuses until that is paid back too, and
  a Redis that comes and goes gives nobody more.
- Replicas do not return at one moment. So each stays within its share for as long as they may differ
  (`margin`), and charges what Redis may have paid back too early in that time.

Why no less is charged than the bucket would owe: let it owe D when Redis goes; each share begins with at
least D/N. One that owes less than it has spent was paid for longer than what it began with; then so was D.

Costs beyond a share are let through when nothing is owed of it, one at a time: such a rate is kept to on
average alone.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from gateway.core.decision import Mode
from gateway.limits.bucket import MICRO, MOST_DEBT, Rate
from gateway.limits.interfaces import Demand

CREDIT: Final = 40
"""One part in so many of a rate's size may be spent at once when Redis goes."""


class _Seen(NamedTuple):
    """What Redis told of a bucket."""

    reset: float
    """Seconds after which it was to be full again …"""
    at: int
    """… at this microsecond; 0: it has told nothing."""


_UNSEEN: Final = _Seen(0.0, 0)


class _Bucket:
    """What is known of one rate's bucket."""

    __slots__ = ("at", "beat", "debt", "demand", "known", "outage", "seen", "unpaid")

    def __init__(self, demand: Demand, beat: int) -> None:
        self.demand = demand
        self.seen = _UNSEEN
        """What Redis told last …"""
        self.beat = beat
        """… since this beat …"""
        self.known = _UNSEEN
        """… and before it: of a Redis that had not lost anything."""
        self.outage = 0
        """The number of the outage that `debt` is about."""
        self.debt = 0
        """What the share owed, in micro-tokens …"""
        self.at = 0
        """… at this microsecond."""
        self.unpaid = 0
        """What was spent, in what the limit counts, and not charged to Redis. Below 0: what was charged of
        exchanges that turned out to spend less."""


class Shares:
    """Of one replica. Times are microseconds that never jump."""

    def __init__(self, *, margin: float, most: int = 10_000) -> None:
        """`margin`: seconds by which returns of replicas may differ. `most`: buckets that are remembered; the
        one longest unused is forgotten, and begins anew if it is used again."""
        self._margin = int(margin * MICRO)
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._unpaid: dict[str, None] = {}
        """Buckets of which something is to be charged."""
        self._beat = 0
        """How often Redis has said that it lost nothing."""
        self._outage = 0
        self._of = 1
        self._began = 0
        self._ended: int | None = None
        """Since when all replicas are taken to be back from the last outage …"""
        self._ended_before: int | None = None
        """… and from the one before this."""
        self._forgot = False
        """Whether a bucket was forgotten in this outage."""

    @property
    def size(self) -> int:
        """How many buckets are remembered."""
        return len(self._buckets)

    def saw(self, demand: Demand, reset: float, now: int) -> None:
        """Redis was asked: the bucket will be full again in `reset` seconds."""
        bucket = self._bucket(demand)
        bucket.demand = demand
        if bucket.beat != self._beat:
            bucket.known, bucket.beat = bucket.seen, self._beat
        bucket.seen = _Seen(reset, now)

    def confirm(self) -> None:
        """What was seen so far is what it was: Redis has not lost anything."""
        self._beat += 1

    def begin(self, of: int, now: int) -> None:
        """An outage begins, in which each of so many replicas has its share."""
        self._outage += 1
        self._of = of
        self._began = now
        self._ended_before = self._ended
        self._forgot = False

    def end(self, now: int) -> None:
        """The outage is over; at this moment, which may lie ahead, for all replicas."""
        self._ended = now

    def part(self, rate: Rate, cost: int) -> Rate:
        """The share's own numbers, for a cost in micro-tokens."""
        size = (rate.size + rate.size // CREDIT) // self._of
        return Rate(max(size, min(cost, rate.size)), rate.gain, rate.per * self._of)

    def level(self, demand: Demand, rate: Rate, now: int) -> int:
        """What the share owes."""
        bucket = self._in_outage(demand, rate, now)
        return self.part(rate, 0).owed(bucket.debt, bucket.at, now)

    def spend(self, demand: Demand, rate: Rate, amount: int, now: int, *, charged: bool = False) -> None:
        """So much is spent, in what the limit counts; given back, if below 0. `charged`: in Redis as well."""
        bucket = self._in_outage(demand, rate, now)
        debt = self.part(rate, 0).owed(bucket.debt, bucket.at, now)
        bucket.debt = min(max(0, debt + amount * MICRO), MOST_DEBT)
        bucket.at = now
        if not charged:
            bucket.unpaid += amount
            self._unpaid[demand.bucket] = None

    def dues(self, now: int) -> list[tuple[Demand, int]]:
        """What is to be charged to Redis, of each bucket. Told once."""
        buckets = [self._buckets[name] for name in self._unpaid]
        self._unpaid.clear()
        dues = [(bucket.demand, self._due(bucket, now)) for bucket in buckets]
        return [due for due in dues if due[1] > 0]

    def debts(self, now: int) -> list[tuple[Demand, int]]:
        """What each bucket in Redis still owes of what it owed when it was last asked, in micro-tokens. What
        was told since the last beat may be of a Redis that had just lost everything: the more counts."""
        debts = [
            (bucket.demand, min(_remembered(bucket, bucket.demand.rate, now), MOST_DEBT))
            for bucket in self._buckets.values()
            if bucket.demand.rate is not None
        ]
        return [debt for debt in debts if debt[1] > 0]

    def _bucket(self, demand: Demand) -> _Bucket:
        bucket = self._buckets.get(demand.bucket)
        if bucket is not None:
            self._buckets.move_to_end(demand.bucket)
            return bucket
        bucket = self._buckets[demand.bucket] = _Bucket(demand, self._beat)
        if len(self._buckets) > self._most:
            forgotten, _ = self._buckets.popitem(last=False)
            self._unpaid.pop(forgotten, None)
            self._forgot = True
        return bucket

    def _in_outage(self, demand: Demand, rate: Rate, now: int) -> _Bucket:
        """The bucket, with what its share owes in this outage."""
        bucket = self._bucket(demand)
        if bucket.outage != self._outage:
            is_known = bucket.seen.at or bucket.outage
            bucket.outage = self._outage
            bucket.at = now if self._forgot and not is_known else self._began
            bucket.debt = self._begins_with(bucket, rate)
            bucket.unpaid = max(0, bucket.unpaid)
        bucket.demand = demand
        return bucket

    def _begins_with(self, bucket: _Bucket, rate: Rate) -> int:
        """An Nth of the most that the bucket may owe: it was full of debt; or overdrawn when Redis was last
        asked; or it still is from the last return, when all replicas had spent their credit."""
        most = max(rate.size, _remembered(bucket, rate, self._began))
        if self._ended_before is not None:
            overdrawn = rate.size + rate.size // CREDIT
            most = max(most, rate.owed(overdrawn, self._ended_before, self._began))
        return -(-most // self._of)

    def _due(self, bucket: _Bucket, now: int) -> int:
        rate = bucket.demand.rate
        if rate is None or bucket.unpaid <= 0:
            return 0
        part = self.part(rate, 0)
        owes = part.owed(bucket.debt, bucket.at, now) + self._gained(part)
        unpaid, bucket.unpaid = bucket.unpaid, 0
        return min(unpaid, -(-owes // MICRO))

    def _gained(self, rate: Rate) -> int:
        """What is paid back while replicas return."""
        return -(-self._margin * rate.gain // rate.per)


def _remembered(bucket: _Bucket, rate: Rate | None, now: int) -> int:
    """What is left of the debt that Redis told of. Not of limits in shadow mode: nothing is told of those."""
    if rate is None or bucket.demand.limit.mode is Mode.SHADOW:
        return 0
    return max(
        rate.owed(round(told.reset * MICRO) * rate.gain // rate.per, told.at, now)
        for told in (bucket.known, bucket.seen)
    )
