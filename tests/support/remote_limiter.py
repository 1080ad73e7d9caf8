"""A store of limits, in memory, that a test can take away, slow down and empty; and replicas' ways to it."""

from collections.abc import Sequence

from gateway.core.errors import StoreUnavailable
from gateway.core.spending import Spending
from gateway.limits.bucket import MICRO
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Look,
    More,
    Pulse,
    Refusal,
    Share,
    Spent,
    Unloaded,
)
from gateway.limits.memory.limiter import MemoryLimiter
from tests.support.clock import ManualClock


class MemoryStore:
    """What all replicas share."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.inner = MemoryLimiter(clock=clock)
        self.away = False
        self.runs_without_answering = False
        """Away, it may still do what it is told."""
        self.takes = 0.0
        """Seconds for each answer."""
        self.asked = 0
        """Calls that came."""
        self.fails_next = 0
        """So many calls more get no answer."""
        self.good_for: int | None = None
        """So many calls more get one. None: all."""
        self.ahead = 0.0
        """Seconds by which its clock is."""
        self.number = 0
        """Of the times it was emptied."""
        self.living: set[str] = set()

    def lose_everything(self) -> None:
        self.inner = MemoryLimiter(clock=self.clock)
        self.number += 1
        self.living.clear()

    def answer(self) -> None:
        """Raises StoreUnavailable when it does not."""
        self.asked += 1
        self.clock.advance(self.takes)
        if self.fails_next:
            self.fails_next -= 1
            raise StoreUnavailable("gone")
        if self.good_for is not None:
            self.good_for -= 1
        if self.away or (self.good_for is not None and self.good_for < 0):
            raise StoreUnavailable("gone")


class MemoryRemote:
    """A RemoteLimiter of one replica."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._seen: int | None = None
        self._restored = 0

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        if self.store.runs_without_answering:
            await self.store.inner.reserve(hold)
        self.store.answer()
        return await self.store.inner.reserve(hold)

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        self.store.answer()
        return await self.store.inner.extend(mores)

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        self.store.answer()
        return await self.store.inner.settle(spents)

    async def renew(self, holds: Sequence[Hold]) -> None:
        self.store.answer()
        await self.store.inner.renew(holds)

    async def load(self, demand: Demand, spending: Spending) -> None:
        self.store.answer()
        await self.store.inner.load(demand, spending)

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        self.store.answer()
        return await self.store.inner.look(demands)

    async def buckets(self, tag: str) -> Sequence[str]:
        self.store.answer()
        return await self.store.inner.buckets(tag)

    async def probe(self) -> None:
        self.store.answer()

    async def beat(self, replica: str) -> Pulse:
        self.store.answer()
        living, number = self.store.living, self.store.number
        living.add(replica)
        seen, self._seen = self._seen, number
        share = Share(sorted(living).index(replica), len(living))
        return Pulse(share, seen not in (None, number), self.store.clock.now() + self.store.ahead)

    async def restore(self, debts: Sequence[tuple[Demand, int]]) -> None:
        self.store.answer()
        for demand, debt in debts:
            (look,) = await self.store.inner.look([demand])
            missing = -(-(debt - look.level) // MICRO)
            if missing > 0:
                self._restored += 1
                lost = Hold(f"restored_{id(self)}_{self._restored}", (demand,))
                await self.store.inner.settle([Spent(lost, (missing,))])
