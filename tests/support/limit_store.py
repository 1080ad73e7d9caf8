"""What a limiter knows, as a test says it: for whoever only looks."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.limits.interfaces import Demand, Look
from gateway.limits.overview import Overview


class LimitStore:
    """A limiter that was told what to know, and the loader of its budgets."""

    def __init__(self, looks: Mapping[str, Look] | None = None) -> None:
        self.looks = dict(looks or {})
        self.ledger: dict[str, int] = {}
        """What was spent, by bucket."""
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.away = False

    async def buckets(self, tag: str) -> Sequence[str]:
        self._answer()
        self.tags.append(tag)
        return list(self.looks)

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        self._answer()
        return [self._of(demand) for demand in demands]

    async def load(self, demands: Sequence[Demand]) -> None:
        for demand in demands:
            spent = self.ledger.get(demand.bucket, 0)
            self.looks[demand.bucket] = Look(spent, spent)
            self.loaded.append(demand.bucket)

    def _of(self, demand: Demand) -> Look:
        return self.looks.get(demand.bucket, Look(0, loaded=demand.window is None))

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("no answer")

    def overview(self, clock: Clock) -> Overview:
        """Over this store; it is its own loader."""
        itself: Any = self
        return Overview(limiter=itself, loader=itself, clock=clock)
