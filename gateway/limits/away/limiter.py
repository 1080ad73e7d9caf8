"""What this replica decides by itself while Redis is away, and what it tells Redis of that afterwards.

Law: rates keep to this replica's share, slots to its part of them, enforced budgets to its slice; budgets
that do not refuse go on and are charged later. What was reserved here is settled here, whenever that is, and
Redis is charged with the sums. Nothing in this file waits.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, cast

from gateway.core.clock import Clock
from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.ids import new_id
from gateway.limits.away.shares import Shares
from gateway.limits.away.slices import Slices
from gateway.limits.away.slots import Slots
from gateway.limits.bucket import MICRO
from gateway.limits.interfaces import Demand, Grant, Hold, More, Refusal, Share, Spent
from gateway.limits.verdict import Fit, judge, too_soon

_NOT_HELD: Final = -1
_SOONEST: Final = 1.0
_LATEST: Final = 5.0
"""Seconds after which to come again for what a slice has no room for: as many as Redis is away already."""
_ENFORCE: Final = Mode.ENFORCE
_SHADOW: Final = Mode.SHADOW
_YES: Final = Fit.YES


class _Found(NamedTuple):
    """A demand on this replica's part of a limit."""

    demand: Demand
    fits: Fit
    level: int


class _Own:
    """One exchange that was reserved here."""

    __slots__ = ("alias", "held", "is_there")

    def __init__(self, hold: Hold, found: Sequence[_Found]) -> None:
        self.held = [each.demand.cost if each.fits is _YES else _NOT_HELD for each in found]
        """Of each demand."""
        nothing = tuple([demand._replace(cost=0) for demand in hold.demands])
        self.alias = Hold(f"{hold.exchange_id}:away", nothing)
        """As Redis knows it since its return, to hold a slot, and what it needs beyond what it has here. Not
        by its own id: a call that seemed to fail may have reserved that, and is taken back."""
        self.is_there = False
        """Whether Redis knows the alias."""


class AwayLimiter:
    """Of one replica."""

    def __init__(self, *, clock: Clock, shares: Shares, slices: Slices, most: int = 10_000) -> None:
        """`most`: budgets of which sums are kept, and exchanges whose settlement is remembered."""
        self._clock = clock
        self._shares = shares
        self._slices = slices
        self._slots = Slots()
        self._most = most
        self._share = Share(0, 1)
        self._since: float | None = None
        """When the outage began; None while there is none."""
        self._here: dict[str, _Own] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._sums: OrderedDict[str, tuple[Demand, int]] = OrderedDict()
        """What was spent of budgets, beside slices, and not charged to Redis."""

    @property
    def is_alone(self) -> bool:
        """Whether an outage has begun, and is not over."""
        return self._since is not None

    def begin(self, share: Share) -> None:
        """Redis has failed to answer: from now on this share counts, unless one does already."""
        if self._since is None:
            self._since = self._clock.monotonic()
            self._share = share
            self._shares.begin(share.of, self._now())

    def confirm(self) -> None:
        """Redis has lost nothing: what it told so far is true."""
        self._shares.confirm()

    def end(self, seconds: float) -> None:
        """The outage is over; in so many seconds, for all replicas."""
        if self._since is not None:
            self._since = None
            self._shares.end(self._now() + int(seconds * MICRO))

    def forget(self) -> list[Spent]:
        """Redis came back empty, and is told of budgets by the ledger. What was reserved here is as good as
        reserved there from now on: unknown to Redis in both cases, and charged when it is settled.

        What was spent of budgets is told at once all the same: another replica may have loaded one before the
        ledger knew of it. If none has, the one that does lets Redis forget it."""
        self._here.clear()
        return self._take_sums() + self._slices.forget()

    # While Redis decides.

    def note(self, hold: Hold, decision: Grant | Refusal) -> None:
        """What Redis decided tells how full its rates are, which budgets are in use, and who has a slot."""
        now = self._now()
        standings = iter(decision.standings)
        for demand in hold.demands:
            if demand.rate is not None:
                if demand.limit.mode is not _SHADOW:
                    self._shares.saw(demand, next(standings).reset, now)
            elif demand.window is not None:
                if demand.limit.mode is _ENFORCE:
                    self._slices.use(demand)
            elif isinstance(decision, Grant):
                self._slots.take(demand, hold.exchange_id)

    def claim(self, hold: Hold, seconds: float) -> Sequence[Demand] | Refusal:
        """Take what this replica's share gives when Redis is asked as well, since for so many seconds others
        may not be back. To be given up when Redis does not grant it."""
        shared = [demand for demand in hold.demands if demand.window is None]
        found = [self._find(demand) for demand in shared]
        if _refuses(found):
            return _at_most(seconds, self._refusal(found))
        claimed = [demand for demand, each in zip(shared, found, strict=True) if each.fits is _YES]
        for demand in claimed:
            self._take(demand, hold.exchange_id, charged=True)
        return claimed

    def give_up(self, hold: Hold, claimed: Sequence[Demand]) -> None:
        """Redis did not grant it."""
        for demand in claimed:
            if demand.rate is not None:
                self._shares.spend(demand, demand.rate, -demand.cost, self._now(), charged=True)
            else:
                self._slots.free(demand, hold.exchange_id)

    # While it is away.

    def reserve(self, hold: Hold) -> Grant | Refusal:
        """As a Limiter does, of this replica's part of every limit."""
        if hold.exchange_id in self._here or hold.exchange_id in self._settled:
            return Grant(())
        found = [self._find(demand) for demand in hold.demands]
        if _refuses(found):
            return self._refusal(found)
        self._here[hold.exchange_id] = _Own(hold, found)
        for demand, each in zip(hold.demands, found, strict=True):
            if each.fits is _YES:
                self._take(demand, hold.exchange_id)
        return cast(Grant, _judged([_taken(each) for each in found]))

    def extend(self, more: More) -> Demand | None:
        """As a Limiter does. What Redis holds is charged to rates, and to budgets that do not refuse, when it
        is settled there."""
        exchange_id = more.hold.exchange_id
        wanted = list(zip(more.hold.demands, more.amounts, strict=True))
        for demand, amount in wanted:
            if _is_enforced(demand) and not self._slices.fits(demand.bucket, amount):
                return demand
        own = self._here.get(exchange_id)
        for index, (demand, amount) in enumerate(wanted):
            if _is_enforced(demand):
                self._slices.hold(demand.bucket, exchange_id, amount)
            elif own is not None and demand.rate is not None and own.held[index] != _NOT_HELD:
                own.held[index] += amount
                self._shares.spend(demand, demand.rate, amount, self._now())
        return None

    # Whichever it is.

    def settle(self, spent: Spent) -> Spent | None:
        """What Redis has to be told of this exchange beside the dues; None when nothing."""
        exchange_id = spent.hold.exchange_id
        for demand in spent.hold.demands:
            if demand.rate is None and demand.window is None:
                self._slots.free(demand, exchange_id)
        own = self._here.pop(exchange_id, None)
        if own is not None:
            return self._settle_own(own, spent)
        return None if exchange_id in self._settled else self._beside_slices(spent)

    def in_redis(self, hold: Hold) -> Hold:
        """The hold as Redis knows it, or is to know it from now on."""
        own = self._here.get(hold.exchange_id)
        if own is None:
            return hold
        own.is_there = True
        return own.alias

    def dues(self) -> list[Spent]:
        """What is to be charged to Redis, each under an id of its own. Told once."""
        rates = self._charges(self._shares.dues(self._now()))
        return rates + self._take_sums() + self._slices.finished()

    def debts(self) -> list[tuple[Demand, int]]:
        """What rates in Redis still owe of what they were last known to owe, for RemoteLimiter.restore."""
        return self._shares.debts(self._now())

    def _take_sums(self) -> list[Spent]:
        sums = self._charges(self._sums.values())
        self._sums.clear()
        return sums

    def _charges(self, dues: Iterable[tuple[Demand, int]]) -> list[Spent]:
        return [Spent(Hold(new_id("away", self._clock), (demand,)), (amount,)) for demand, amount in dues]

    def _now(self) -> int:
        return int(self._clock.monotonic() * MICRO)

    def _find(self, demand: Demand) -> _Found:
        rate = demand.rate
        if rate is not None:
            cost, level = demand.cost * MICRO, self._shares.level(demand, rate, self._now())
            part = self._shares.part(rate, cost)
            fits = cost <= rate.size and part.fits(level, cost)
            return _Found(demand._replace(rate=part), Fit(fits), level)
        if demand.window is None:
            return _Found(demand, Fit(self._slots.fits(demand, self._share)), self._slots.taken(demand))
        if _is_enforced(demand) and not self._slices.fits(demand.bucket, demand.cost):
            return _Found(demand, Fit.SET_ASIDE, 0)
        return _Found(demand, _YES, 0)

    def _take(self, demand: Demand, exchange_id: str, *, charged: bool = False) -> None:
        if demand.rate is not None:
            self._shares.spend(demand, demand.rate, demand.cost, self._now(), charged=charged)
        elif demand.window is None:
            self._slots.take(demand, exchange_id)
        elif _is_enforced(demand):
            self._slices.hold(demand.bucket, exchange_id, demand.cost)

    def _settle_own(self, own: _Own, spent: Spent) -> Spent | None:
        exchange_id = spent.hold.exchange_id
        self._settled[exchange_id] = None
        if len(self._settled) > self._most:
            self._settled.popitem(last=False)
        for index, (demand, amount) in enumerate(zip(spent.hold.demands, spent.amounts, strict=True)):
            if demand.rate is not None:
                if own.held[index] != _NOT_HELD:
                    self._shares.spend(demand, demand.rate, amount - own.held[index], self._now())
            elif demand.window is not None:
                self._spend(demand, exchange_id, amount)
        return Spent(own.alias, (0,) * len(own.held)) if own.is_there else None

    def _spend(self, demand: Demand, exchange_id: str, amount: int) -> None:
        """So much of a budget: from its slice, or charged later."""
        if _is_enforced(demand) and self._slices.settle(demand.bucket, exchange_id, amount):
            return
        _, before = self._sums.pop(demand.bucket, (demand, 0))
        if before + amount:
            self._sums[demand.bucket] = demand, before + amount
        if len(self._sums) > self._most:
            self._sums.popitem(last=False)

    def _beside_slices(self, spent: Spent) -> Spent:
        """What is charged where the exchange was reserved: not what it spent of slices."""
        exchange_id = spent.hold.exchange_id
        amounts = list(spent.amounts)
        for index, demand in enumerate(spent.hold.demands):
            held = self._slices.held(demand.bucket, exchange_id)
            if held:
                part = min(held, max(0, amounts[index] - demand.cost))
                self._slices.settle(demand.bucket, exchange_id, part)
                amounts[index] -= part
        return Spent(spent.hold, tuple(amounts))

    def _refusal(self, found: Sequence[_Found]) -> Refusal:
        refusal = cast(Refusal, _judged(found))
        if refusal.deny.code is not ErrorCode.BUDGET_UNAVAILABLE:
            return refusal
        name = refusal.demand.limit.name
        reason = f"The budget `{name}` cannot be looked up at the moment. Send the request again."
        elapsed = self._clock.monotonic() - (self._since or 0.0)
        retry_after = min(max(_SOONEST, elapsed), _LATEST)
        return replace(refusal, deny=replace(refusal.deny, reason=reason, retry_after=retry_after))


def _is_enforced(demand: Demand) -> bool:
    return demand.window is not None and demand.limit.mode is _ENFORCE


def _refuses(found: Sequence[_Found]) -> bool:
    return any(each.fits is not _YES and each.demand.limit.mode is _ENFORCE for each in found)


def _taken(found: _Found) -> _Found:
    """With the level that it has once it is held."""
    demand, fits, level = found
    return found._replace(level=level + demand.cost * MICRO) if demand.rate and fits is _YES else found


def _at_most(seconds: float, refusal: Refusal) -> Refusal:
    """The refusal, with no longer a wait than this."""
    deny = refusal.deny
    if deny.retry_after is None or deny.retry_after <= seconds:
        return refusal
    reason = too_soon(refusal.demand, seconds) if refusal.demand.rate is not None else deny.reason
    return replace(refusal, deny=replace(deny, reason=reason, retry_after=seconds))


def _judged(found: Sequence[_Found]) -> Grant | Refusal:
    demands, fit, levels = zip(*found, strict=True)
    return cast(Grant | Refusal, judge(demands, fit, levels))  # away, no budget is unloaded
