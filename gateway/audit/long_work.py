"""Work that takes many transactions, on record twice: that it is under way, in the transaction of its first
change, and what it came to, at its end.

So nothing is changed without a line. A beginning without an end was cut short, or goes on. What finds nothing
to change leaves no line.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from gateway.audit.trail import append
from gateway.core.actor import Act
from gateway.core.clock import Clock
from gateway.database.engine import Database


class LongWork:
    """One piece of it, by one who does one thing after the other. Every method raises StoreUnavailable."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        actor: str,
        begins: str,
        ends: str,
        target: str,
        details: Mapping[str, Any],
    ) -> None:
        """`begins`, `ends`: the actions of both lines. `details`: known beforehand; they stand in both."""
        self._database = database
        self._clock = clock
        self._actor = actor
        self._begins = begins
        self._ends = ends
        self._target = target
        self._details = details
        self._begun = False
        self.changed: Counter[str] = Counter()
        """By what is counted: how much was changed so far."""

    async def write(
        self, work: Callable[[Connection], Mapping[str, int]], *, timeout: float | None = None
    ) -> None:
        """As `Database.write`. `work` says how much it changed, by what is counted."""

        def recorded(connection: Connection) -> Mapping[str, int]:
            changed = work(connection)
            if not self._begun and any(changed.values()):
                append(connection, self._act(self._begins, {}), self._now())
            return changed

        changed = await self._database.write(recorded, timeout=timeout)
        self._begun = self._begun or any(changed.values())
        self.changed.update(changed)

    async def end(self) -> None:
        """It is done."""
        if not self._begun:
            return
        act, now = self._act(self._ends, self.changed), self._now()
        await self._database.write(lambda connection: append(connection, act, now))

    def _act(self, action: str, changed: Mapping[str, int]) -> Act:
        return Act(self._actor, action, self._target, details={**self._details, **changed})

    def _now(self) -> int:
        return int(self._clock.now() * 1000)
