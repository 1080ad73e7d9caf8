"""Settlements that the store has missed: kept in their order, bounded, and delivered when it is back."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.core.errors import StoreUnavailable
from gateway.limits.interfaces import Charged, Spent

_TOGETHER: Final = 256


class Owed:
    """Of one replica."""

    def __init__(
        self,
        *,
        settle: Callable[[Sequence[Spent]], Awaitable[Sequence[Charged]]],
        on_charged: Callable[[Sequence[Charged]], None],
        most: int,
    ) -> None:
        """`settle`: the store's. `on_charged`: told what deliveries did to budgets. `most`: beyond so many
        the oldest is dropped; what it held ends with its lease."""
        self._settle = settle
        self._on_charged = on_charged
        self._spents: deque[Spent] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._spents)

    def add(self, spents: Sequence[Spent]) -> None:
        """Keep these too."""
        self._spents.extend(spents)

    def drop_empty(self) -> None:
        """Those that would only give something back, to a store that has lost it anyhow."""
        kept = [spent for spent in self._spents if any(spent.amounts)]
        self._spents.clear()
        self._spents.extend(kept)

    async def deliver(self) -> None:
        """All of them. Raises StoreUnavailable; then what may not have arrived stays. A store that is told of
        a settlement twice counts it once."""
        while self._spents:
            spents = [self._spents.popleft() for _ in range(min(len(self._spents), _TOGETHER))]
            try:
                charged = await self._settle(spents)
            except StoreUnavailable:
                self._spents.extendleft(reversed(spents))
                raise
            if charged:
                self._on_charged(charged)
