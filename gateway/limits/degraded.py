"""Redis away is a state, not an error: then this replica goes on by itself, at its own share of every limit.

The breaker opens after three failures or slow replies in a row, so that nobody waits for a Redis that is
not there; it is probed in the background, never by a request, and closes after five good probes. What was
reserved in one place is settled in that place; settlements that Redis missed are kept, and delivered when
it is back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Demand, Grant, Hold, Limiter, Refusal, RemoteLimiter, Spent

OnChange = Callable[[bool, str], None]
"""Told whether the limits are degraded from now on, and why: one log line and one gauge, each way."""

_DELIVERED_TOGETHER: Final = 256
_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Breaker:
    """When the primary counts as away, and as back."""

    failures: int = 3
    """So many failures or slow calls in a row open it."""
    slow: float = 0.08
    """Seconds from which a call is slow."""
    good_probes: int = 5
    """So many good probes in a row close it."""
    interval: float = 0.1
    """Seconds between probes."""


class ResilientLimiter:
    """A Limiter that is never away. `run` must be kept going while it is used."""

    def __init__(
        self,
        *,
        primary: RemoteLimiter,
        fallback: Limiter,
        clock: Clock,
        on_change: OnChange,
        share: float = 1.0,
        breaker: Breaker | None = None,
        most_owed: int = 10_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`share`: this replica's part of each limit while the primary is away, 1 / replicas. `most_owed`:
        settlements kept for the primary; the oldest is dropped (its slot ends with its lease)."""
        self._primary = primary
        self._fallback = fallback
        self._clock = clock
        self._on_change = on_change
        self._share = share
        self._breaker = breaker or Breaker()
        self._sleep = sleep
        self._bad = 0
        self._good = 0
        self._here: dict[str, Hold] = {}
        """Exchanges whose reservation is the fallback's, as it was made there."""
        self._owed: deque[Spent] = deque(maxlen=most_owed)
        self._work = asyncio.Event()
        self.degraded = False

    async def reserve(self, hold: Hold) -> Grant | Refusal:
        if not self.degraded:
            try:
                return await self._watch(self._primary.reserve(hold))
            except StoreUnavailable:
                # It may have been held all the same, by a reply that was lost.
                self._owe(Spent(hold, (0,) * len(hold.demands)))
        own = self._own(hold)
        decision = await self._fallback.reserve(own)
        if isinstance(decision, Grant):
            self._here[hold.exchange_id] = own
        return decision

    async def settle(self, spents: Sequence[Spent]) -> None:
        here, there = [], []
        for spent in spents:
            own = self._here.pop(spent.hold.exchange_id, None)
            if own is None:
                there.append(spent)
            else:
                here.append(Spent(own, spent.amounts))
        await self._fallback.settle(here)
        await self._settle_there(there)

    async def renew(self, holds: Sequence[Hold]) -> None:
        here = [own for hold in holds if (own := self._here.get(hold.exchange_id)) is not None]
        there = [hold for hold in holds if hold.exchange_id not in self._here]
        await self._fallback.renew(here)
        if there and not self.degraded:
            with suppress(StoreUnavailable):  # the next round comes long before the leases end
                await self._watch(self._primary.renew(there))

    async def run(self) -> None:
        """Probe the primary while it is away; deliver what it missed. Never returns."""
        while True:
            await self._work.wait()
            await self._sleep(self._breaker.interval)
            await (self._probe() if self.degraded else self._deliver())

    async def _watch(self, call: Awaitable[_Reply]) -> _Reply:
        """The call's result; a failure, or a reply that was long in coming, counts against the primary."""
        began = self._clock.monotonic()
        try:
            reply = await call
        except StoreUnavailable as error:
            self._note_bad(str(error))
            raise
        if self._clock.monotonic() - began >= self._breaker.slow:
            self._note_bad("slow replies")
        else:
            self._bad = 0
        return reply

    def _note_bad(self, why: str) -> None:
        self._bad += 1
        if self._bad >= self._breaker.failures and not self.degraded:
            self._good = 0
            self._change(degraded=True, why=why)
            self._work.set()

    def _change(self, *, degraded: bool, why: str) -> None:
        self.degraded = degraded
        self._on_change(degraded, why)

    async def _probe(self) -> None:
        try:
            await self._primary.probe()
        except StoreUnavailable:
            self._good = 0
            return
        self._good += 1
        if self._good >= self._breaker.good_probes:
            self._bad = 0
            self._change(degraded=False, why=f"{self._good} good probes")

    async def _deliver(self) -> None:
        spents = [self._owed.popleft() for _ in range(min(len(self._owed), _DELIVERED_TOGETHER))]
        if not self._owed:
            self._work.clear()
        await self._settle_there(spents)

    async def _settle_there(self, spents: Sequence[Spent]) -> None:
        if self.degraded:
            self._owe(*spents)
        elif spents:
            try:
                await self._watch(self._primary.settle(spents))
            except StoreUnavailable:
                self._owe(*spents)

    def _owe(self, *spents: Spent) -> None:
        self._owed.extend(spents)
        self._work.set()

    def _own(self, hold: Hold) -> Hold:
        """The same demands, of limits that are this replica's share."""
        if self._share == 1.0:
            return hold
        return hold._replace(demands=tuple(_part(demand, self._share) for demand in hold.demands))


def _part(demand: Demand, share: float) -> Demand:
    """The demand on a part of its limit. What fits the whole limit still fits a part that nobody uses."""
    limit = demand.limit
    if demand.rate is None:
        return demand._replace(limit=replace(limit, amount=max(1, int(limit.amount * share))))
    burst = max(int(limit.burst * share), min(demand.cost, limit.burst), 1)
    part = replace(limit, seconds=limit.seconds / share, burst=burst)
    return demand_of(part, demand.bucket, demand.cost)
