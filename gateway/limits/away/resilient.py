"""Redis away is a state, not an error: then this replica goes on by itself, at its part of every limit.

The breaker opens after three failures or slow replies in a row, so that nobody waits for a Redis that is not
there; it is probed in the background, never by a request, and closes after five good probes. In between,
`limiter.py` decides. A return has an order. At the first good probe: tell that we live, restore rates to a
Redis that came back empty, keep our slices, deliver the settlements that it missed. After the last one:
charge what was spent without it, and ask it again; for a moment within our own share still, since others may
be later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeGuard

from gateway.core.clock import Clock
from gateway.core.errors import ErrorCode, StoreUnavailable
from gateway.core.spending import Spending
from gateway.limits.away.breaker import Breaker, Circuit
from gateway.limits.away.limiter import AwayLimiter
from gateway.limits.away.membership import Membership
from gateway.limits.away.owed import Owed
from gateway.limits.away.shares import Shares
from gateway.limits.away.slices import Slices
from gateway.limits.away.watch import Watch
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Look,
    More,
    Refusal,
    RemoteLimiter,
    Spent,
    Unloaded,
)

OnChange = Callable[[bool, str], None]
"""Told whether the limits are degraded from now on, and why: one log line and one gauge, each way."""

_SLICES_TAKEN: Final = 100
"""In one beat, since each is a call."""


class ResilientLimiter:
    """A Limiter that is never away. `run` must be kept going while it is used, and `beat` called about once a
    second. `load`, `look` and `buckets` are of the store alone: they raise StoreUnavailable while it is away.
    """

    def __init__(
        self,
        *,
        primary: RemoteLimiter,
        clock: Clock,
        replica: str,
        replicas: int,
        on_change: OnChange,
        on_charged: Callable[[Sequence[Charged]], None],
        on_clock: Callable[[float], None],
        on_emptied: Callable[[], None],
        on_return: Callable[[], Awaitable[None]],
        is_late: Callable[[], bool] = bool,
        breaker: Breaker | None = None,
        slice_lease: float = 600.0,
        most_owed: int = 10_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`replica`: the name of this one, among all that share the store. `replicas`: how many there are
        said to be, for one that has never heard. `slice_lease`: the primary's. `most_owed`: settlements kept
        for it; beyond them the oldest is dropped, and what it held ends with its lease.

        `on_charged`: told what late settlements did to budgets. `on_clock`: told with each beat by how many
        seconds the store's clock is ahead. `on_emptied`: told that the store has lost everything.
        `on_return`: renews all that runs, and forgets who was refused; called when the store is back, or was
        emptied. `is_late`: whether this process is slow itself; then slow replies do not count."""
        self._primary = primary
        self._clock = clock
        self._replica = replica
        self._on_change = on_change
        self._on_clock = on_clock
        self._on_emptied = on_emptied
        self._on_return = on_return
        self._breaker = breaker or Breaker()
        self._sleep = sleep
        self._work = asyncio.Event()
        self._circuit = Circuit(self._breaker)
        self._watch = Watch(
            circuit=self._circuit,
            clock=clock,
            is_late=is_late,
            on_bad=self._work.set,
            on_open=self._begin_outage,
        )
        self._membership = Membership(replicas=replicas)
        self._slices = Slices(replica=replica, clock=clock, lease=slice_lease)
        shares = Shares(margin=self._breaker.returning)
        self._away = AwayLimiter(clock=clock, shares=shares, slices=self._slices)
        self._owed = Owed(settle=self._settle_now, on_charged=on_charged, most=most_owed)
        self._returning_until = 0.0
        """Until when others may not be back yet."""
        self._lost = False
        """Whether the store was emptied, and its rates are not restored."""

    @property
    def degraded(self) -> bool:
        """Whether the store counts as away."""
        return self._circuit.is_open

    # What a Limiter does.

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        if self._circuit.is_open:
            return self._away.reserve(hold)
        returning = self._returning_until - self._clock.monotonic()
        if returning > 0:
            return await self._reserve_in_both(hold, returning)
        decision = await self._reserve_there(hold)
        return self._reserve_alone(hold) if decision is None else decision

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        if self._circuit.is_open:
            return [self._away.extend(more) for more in mores]
        try:
            return await self._extend_there(mores)
        except StoreUnavailable:
            return [self._away.extend(more) for more in mores]

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        there = [told for spent in spents if (told := self._away.settle(spent)) is not None]
        if self._circuit.is_open:
            self._owe(there)
            return ()
        dues = [] if self._is_in_doubt() else self._away.dues()
        return await self._settle_there(dues + there)

    async def renew(self, holds: Sequence[Hold]) -> None:
        if holds and not self._circuit.is_open:
            there = [self._away.in_redis(hold) for hold in holds]
            with suppress(StoreUnavailable):  # the next round comes long before the leases end
                await self._watch.over_bulk(self._primary.renew(there))

    async def load(self, demand: Demand, spending: Spending) -> None:
        self._raise_if_open()
        await self._watch.over_bulk(self._primary.load(demand, spending))

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        self._raise_if_open()
        return await self._watch.over_bulk(self._primary.look(demands))

    async def buckets(self, tag: str) -> Sequence[str]:
        self._raise_if_open()
        return await self._watch.over_bulk(self._primary.buckets(tag))

    # What goes on in the background.

    async def run(self) -> None:
        """Probe the store while it is away, or seems so; tell it what it missed. Never returns."""
        while True:
            await self._work.wait()
            with suppress(StoreUnavailable):
                await self._mend()
            await self._sleep(self._breaker.interval)

    async def beat(self) -> None:
        """Tell that this replica lives, and keep its slices. Does nothing while the store is away."""
        if not self._circuit.is_open:
            with suppress(StoreUnavailable):
                if await self._meet(hears=True):
                    await self._on_return()
                await self._keep_slices()

    async def retire(self) -> None:
        """Give back what is set aside: for a replica that is about to stop."""
        if not self._circuit.is_open:
            await self._settle_there(self._slices.give_back_all())

    # Asking the store.

    async def _reserve_there(self, hold: Hold) -> Grant | Refusal | Unloaded | None:
        """None when it did not answer."""
        try:
            decision = await self._watch.over(self._primary.reserve(hold))
            if _lacks_slices(decision) and await self._call_in([decision.demand]):
                decision = await self._watch.over(self._primary.reserve(hold))
        except StoreUnavailable:
            # It may have been held all the same, by a reply that was lost.
            self._owe([Spent(hold, (0,) * len(hold.demands))])
            return None
        if not isinstance(decision, Unloaded):
            self._away.note(hold, decision)
        return decision

    async def _reserve_in_both(self, hold: Hold, seconds: float) -> Grant | Refusal | Unloaded:
        claimed = self._away.claim(hold, seconds)
        if isinstance(claimed, Refusal):
            return claimed
        decision = await self._reserve_there(hold)
        if not isinstance(decision, Grant):
            self._away.give_up(hold, claimed)
        return self._reserve_alone(hold) if decision is None else decision

    def _reserve_alone(self, hold: Hold) -> Grant | Refusal:
        self._away.begin(self._membership.share)
        return self._away.reserve(hold)

    async def _extend_there(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        there = [More(self._away.in_redis(more.hold), more.amounts) for more in mores]
        lacking = list(await self._watch.over_bulk(self._primary.extend(there)))
        missed = [index for index, demand in enumerate(lacking) if demand is not None]
        if missed and await self._call_in([demand for demand in lacking if demand is not None]):
            again = await self._watch.over_bulk(self._primary.extend([there[index] for index in missed]))
            for index, demand in zip(missed, again, strict=True):
                lacking[index] = demand
        return lacking

    async def _settle_there(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        try:
            return await self._settle_now(spents) if spents else ()
        except StoreUnavailable:
            self._owe(spents)
            return ()

    async def _settle_now(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        return await self._watch.over_bulk(self._primary.settle(spents))

    async def _call_in(self, demands: Sequence[Demand]) -> bool:
        """Give our slices of these back. False when there are none to give."""
        if self._is_in_doubt():
            return False
        spents = [spent for demand in demands for spent in self._slices.call_in(demand.bucket)]
        await self._settle_there(spents)
        return bool(spents)

    def _is_in_doubt(self) -> bool:
        """Whether the share and the slices may still be needed, though this call was answered."""
        return self._circuit.is_doubtful or self._away.is_alone

    def _owe(self, spents: Sequence[Spent]) -> None:
        self._owed.add(spents)
        self._work.set()

    def _raise_if_open(self) -> None:
        if self._circuit.is_open:
            raise StoreUnavailable("Redis is away")

    def _begin_outage(self, why: str) -> None:
        self._away.begin(self._membership.share)
        self._on_change(True, why)

    # Mending. Each raises StoreUnavailable when the store does not answer.

    async def _mend(self) -> None:
        if self._circuit.is_open or self._circuit.is_doubtful:
            if await self._watch.over_probe(self._primary.probe()):
                await self._go_on_after_good_probe()
            return
        self._work.clear()  # before the rest, of which anything may be new while this waits
        if await self._meet():  # what a lost Redis was to undo must not reach the one in its place
            await self._on_return()
        self._owed.add(self._away.dues())
        await self._owed.deliver()
        self._away.end(0.0)

    async def _go_on_after_good_probe(self) -> None:
        if self._circuit.is_open and not self._circuit.good_probes:
            await self._meet()
            await self._renew_slices(self._slices.all())
            await self._owed.deliver()
        if self._circuit.probed_well():
            await self._return()

    async def _return(self) -> None:
        self._owed.add(self._away.dues())
        await self._owed.deliver()
        self._circuit.close()
        self._away.end(self._breaker.returning)
        self._returning_until = self._clock.monotonic() + self._breaker.returning
        self._on_change(False, f"{self._breaker.good_probes} good probes")
        await self._on_return()

    async def _meet(self, *, hears: bool = False) -> bool:
        """Tell that we live. True: the store had lost everything, and has been told what we remember.
        `hears`: whether this is one of those that are a second apart."""
        pulse = await self._watch.over(self._primary.beat(self._replica))
        self._on_clock(pulse.now - self._clock.now())
        if hears and not self._circuit.is_open:  # on a return the others may not have been heard of yet
            self._membership.hear(pulse.share)
        if pulse.emptied:
            self._lost = True
            self._owed.drop_empty()
            self._owe(self._away.forget())
            self._on_emptied()
        if not self._lost:
            self._away.confirm()
            return False
        await self._watch.over_bulk(self._primary.restore(self._away.debts()))
        self._lost = False
        return True

    async def _keep_slices(self) -> None:
        """Give back those of budgets that run low, set new ones aside, renew the others."""
        demands = self._slices.in_use()
        looks = await self._watch.over_bulk(self._primary.look(demands)) if demands else ()
        await self._settle_there(self._slices.surplus(demands, looks))
        wanted = self._slices.wanted(demands, looks, self._membership.share.of)
        for hold in list(islice(wanted, _SLICES_TAKEN)):
            decision = await self._reserve_there(hold)
            if decision is None:
                return
            if isinstance(decision, Grant):
                self._slices.granted(hold)
        await self._renew_slices(self._slices.aging())

    async def _renew_slices(self, holds: Sequence[Hold]) -> None:
        if holds:
            began = self._clock.monotonic()
            await self._watch.over_bulk(self._primary.renew(holds))
            self._slices.renewed(holds, began)


def _lacks_slices(decision: Grant | Refusal | Unloaded) -> TypeGuard[Refusal]:
    """Whether it failed only for what replicas have set aside."""
    return isinstance(decision, Refusal) and decision.deny.code is ErrorCode.BUDGET_UNAVAILABLE
