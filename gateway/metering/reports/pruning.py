"""Retention: the ledger's lines end by age; its sums (`daily`) and closed months stay.

An attempt goes as a whole, with its admission, settlement, charge and corrections, and only once it is
settled. Days go as a whole too, and a month only after it was closed: what finance has signed must stay
provable until then. In small lots with pauses, so that nobody who writes is held up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from sqlalchemy import Connection, delete, func, select, text

from gateway.audit.long_work import LongWork
from gateway.audit.trail import GATEWAY
from gateway.core.clock import Clock
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, CHARGES, CLOSINGS, DAILY, SETTLEMENTS
from gateway.metering.reports.month import Month
from gateway.metering.reports.ranges import DAY

LEAST_DAYS: Final = 35
"""Younger lines stay: budgets of a month are counted from them."""

_LOT: Final = 500
"""Attempts of one transaction."""
_PAUSE: Final = 0.05
_SECONDS: Final = 120.0
"""How long counting may take."""
_LOCK: Final = 0x7072_756E
"""PostgreSQL's advisory lock under which a lot goes, so that two who prune never lock each other out."""

Pause = Callable[[float], Awaitable[None]]
_Lot = Sequence[tuple[int, str]]
"""When attempts were settled, and their ids; the oldest first."""


@dataclass(frozen=True, slots=True)
class Prunable:
    """What there is to prune."""

    before: int
    """Lines of attempts that were settled before this, in milliseconds since 1970; a midnight."""
    attempts: int
    oldest: int | None
    """When the first of them was settled; None when there is none."""
    still_open: Sequence[Month]
    """Months that have such lines and are not closed."""


class Pruning:
    """Over the house's database. Every method raises StoreUnavailable."""

    def __init__(self, *, database: Database, clock: Clock, pause: Pause = asyncio.sleep) -> None:
        self._database = database
        self._clock = clock
        self._pause = pause

    async def look(self, days: int) -> Prunable:
        """What is older than so many days, today not counted. Raises ValueError below LEAST_DAYS."""
        if days < LEAST_DAYS:
            raise ValueError(
                f"Lines of the last {LEAST_DAYS} days stay: budgets of a month are counted from them."
            )
        before = max((int(self._clock.now() * 1000) // DAY - days) * DAY, 0)
        return await self._database.read(partial(_prunable, before), timeout=_SECONDS)

    async def prune(
        self, before: int, *, by: str, told: Callable[[int], None] = lambda attempts: None
    ) -> int:
        """Delete the lines of all attempts that were settled before then, and say how many those were.

        `by`: who has it done, for the audit trail. `told` hears of each lot. When it is cut short, what is
        gone is gone, and the rest is as it was.
        """
        work, since = self._work(before, by), 0
        while lot := await self._database.read(partial(_find, since, before)):
            await work.write(partial(_delete, lot))
            since = lot[-1][0]
            told(len(lot))
            await self._pause(_PAUSE)
        await work.end()
        return work.changed["attempts"]

    async def retain(self, days: int) -> int:
        """Prune what is older, but nothing of a month that is not closed, nor of any after it."""
        found = await self.look(days)
        before = min((found.before, *(month.since for month in found.still_open)))
        return await self.prune(before, by=GATEWAY) if found.attempts else 0

    def _work(self, before: int, by: str) -> LongWork:
        return LongWork(
            database=self._database,
            clock=self._clock,
            actor=by,
            begins="ledger.pruning",
            ends="ledger.pruned",
            target="ledger",
            details={"settled_before": f"{datetime.fromtimestamp(before / 1000, UTC):%Y-%m-%d}"},
        )


def _prunable(before: int, connection: Connection) -> Prunable:
    old = SETTLEMENTS.c.settled_at < before
    attempts, oldest = connection.execute(
        select(func.count(), func.min(SETTLEMENTS.c.settled_at)).where(old)
    ).one()
    if oldest is None:
        return Prunable(before, 0, None, ())
    some = select(DAILY.c.day).where(DAILY.c.day >= oldest // DAY, DAILY.c.day < before // DAY).distinct()
    months = {Month.of(day * DAY) for day in connection.execute(some).scalars()}
    closed = set(connection.execute(select(CLOSINGS.c.month)).scalars())
    return Prunable(before, attempts, oldest, sorted(month for month in months if str(month) not in closed))


def _find(since: int, before: int, connection: Connection) -> _Lot:
    settled_at, attempt_id = SETTLEMENTS.c.settled_at, SETTLEMENTS.c.attempt_id
    query = (
        select(settled_at, attempt_id)
        .where(settled_at >= since, settled_at < before)
        .order_by(settled_at, attempt_id)
        .limit(_LOT)
    )
    return [(moment, attempt) for moment, attempt in connection.execute(query)]


def _delete(lot: _Lot, connection: Connection) -> Mapping[str, int]:
    """How many attempts there were: others may have been quicker."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    ids = [attempt_id for _, attempt_id in lot]
    its_time = CHARGES.c.settled_at.between(lot[0][0], lot[-1][0])
    connection.execute(delete(ADJUSTMENTS).where(ADJUSTMENTS.c.attempt_id.in_(ids)))
    connection.execute(delete(CHARGES).where(its_time, CHARGES.c.attempt_id.in_(ids)))
    connection.execute(delete(ADMISSIONS).where(ADMISSIONS.c.attempt_id.in_(ids)))
    gone = connection.execute(delete(SETTLEMENTS).where(SETTLEMENTS.c.attempt_id.in_(ids)))
    return {"attempts": gone.rowcount}
