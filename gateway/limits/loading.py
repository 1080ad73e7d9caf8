"""Budgets that the store does not know are loaded from the ledger, by the first exchange that needs them.

Its law: the ledger is asked once for each budget, however many exchanges wait for it; for few budgets at a
time; and not again for a moment after it failed. Nobody waits for longer than a load may take. The store is
told before the ledger is asked, so nothing that is settled meanwhile is lost between the two.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.core.ids import new_id
from gateway.core.policy import Budget, Scope
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.limits.budget import window_of
from gateway.limits.demands import name_of
from gateway.limits.interfaces import LOAD, Books, Demand, Limiter

_AT_ONCE: Final = 2
"""Sums are the longest questions that the database is asked; others wait for it too."""
_PAUSE: Final = 1.0
"""Seconds for which a budget that could not be loaded is not tried again."""


class BudgetLoader:
    """A Loader."""

    def __init__(
        self, *, books: Books, limiter: Limiter, clock: Clock, seconds: float = 1.0, most: int = 10_000
    ) -> None:
        """`seconds`: how long one load may take, waiting for its turn included. `most`: failures that are
        remembered; of more, the oldest is forgotten."""
        self._books = books
        self._limiter = limiter
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._loads: dict[str, asyncio.Future[StoreUnavailable | None]] = {}
        self._failed: dict[str, float] = {}
        """Until when each is not tried again, the oldest first."""

    async def load(self, demands: Sequence[Demand]) -> None:
        for trouble in await asyncio.gather(*map(self._load_once, demands)):
            if trouble is not None:
                raise StoreUnavailable(str(trouble)) from trouble

    async def _load_once(self, demand: Demand) -> StoreUnavailable | None:
        """One load at a time for each budget: who comes meanwhile shares what becomes of it."""
        bucket = demand.bucket
        while (load := self._loads.get(bucket)) is not None:
            await asyncio.wait([load])
            if not load.cancelled():
                return load.result()
        if self._clock.monotonic() < self._failed.get(bucket, 0.0):
            return StoreUnavailable("the budget could not be loaded a moment ago")
        self._failed.pop(bucket, None)
        load = self._loads[bucket] = asyncio.get_running_loop().create_future()
        try:
            load.set_result(await self._outcome(demand))
        finally:
            del self._loads[bucket]
            load.cancel()  # of no effect, unless our own client has left: then another loads in our place
        return load.result()

    async def _outcome(self, demand: Demand) -> StoreUnavailable | None:
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                await self._load(demand)
        except TimeoutError:
            trouble = StoreUnavailable("the budget could not be loaded in time")
        except StoreUnavailable as error:
            trouble = error
        else:
            return None
        self._remember(demand.bucket)
        return trouble

    async def _load(self, demand: Demand) -> None:
        query, demand = question(demand, self._clock.now())
        mark = UnderWay(new_id(LOAD, self._clock), 0)
        await self._limiter.load(demand, Spending(0, (mark,)))
        spent, under_way = await self._books.spending(query)
        await self._limiter.load(demand, Spending(spent, (mark, *under_way)))

    def _remember(self, bucket: str) -> None:
        self._failed[bucket] = self._clock.monotonic() + _PAUSE
        if len(self._failed) > self._most:
            del self._failed[next(iter(self._failed))]


def question(demand: Demand, now: float) -> tuple[SpendingQuery, Demand]:
    """What the ledger is asked of a budget at this moment, and the demand with the window that is asked for.

    Raises ValueError for what is no budget's.
    """
    name, budget = name_of(demand.bucket), demand.limit
    if name is None or not isinstance(budget, Budget):
        raise ValueError(f"`{demand.bucket}` is no budget's")
    window = window_of(budget, now)
    _, since, until, _ = window.edges
    query = SpendingQuery(
        counts=budget.counts,
        since=since,
        until=until,
        team=name.whose.get(Scope.TEAM),
        subject=name.whose.get(Scope.USER),
        key_id=name.whose.get(Scope.KEY),
        model=name.whose.get(Scope.MODEL),
        models=("*",) if Scope.MODEL in name.whose else budget.models,
    )
    return query, demand._replace(window=window)
