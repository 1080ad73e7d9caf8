"""Re-rating: attempts of the past are reckoned again by today's price book, and differences written as
corrections, page by page.

A page is read and reckoned first. Only what differs is read once more and corrected in one transaction, in
which no other re-rating is at work: so two at once are as good as one after the other. Attempts that ended in
a crash keep what they were settled with: in which service tier they were answered, nobody knows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection, func, select, text

from gateway.audit.long_work import LongWork
from gateway.core.clock import Clock
from gateway.core.endpoint import Meter
from gateway.core.policy import Catalogue, Unpriced
from gateway.database.engine import Database
from gateway.database.tables import CLOSINGS, SETTLEMENTS
from gateway.metering.interfaces import PricedBy
from gateway.metering.prices.pricing import Charge, charge
from gateway.metering.prices.rerating import Rated, keeps_its_cost, rerated
from gateway.metering.reports.daily import SETTLED_LINES
from gateway.metering.reports.month import Month
from gateway.metering.reports.ranges import Range
from gateway.metering.reports.rated_lines import Line, add, lines_of, narrowed, page, settled

_PAGE: Final = 500
"""Attempts that are read at a time, and at most corrected in one transaction."""
_PAUSE: Final = 0.02
_SECONDS: Final = 120.0
_LOCK: Final = 0x7261_7465
"""PostgreSQL's advisory lock under which corrections are written. For SQLite its own write lock does."""


@dataclass(slots=True)
class Change:
    """What re-rating does to one team's attempts with one model. Money in micro-dollars."""

    attempts: int = 0
    touched: int = 0
    """Those whose cost is another."""
    priced: int = 0
    """Those whose cost was not known."""
    unpriced: int = 0
    """Those whose cost is not known, before and after."""
    before: int = 0
    after: int = 0


@dataclass(slots=True)
class Report:
    """What was found, or done."""

    price_version: str
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    """By team and model."""
    crashed: int = 0
    """Attempts that keep their estimate: they ended in a crash."""
    kept: int = 0
    """Attempts that keep their cost: the book has no price for them any more."""

    def note(self, rated: Rated, charged: Charge) -> None:
        """An attempt, and what it costs by today's book."""
        after = rated.cost if charged.cost is None else charged.cost
        change = self.changes.setdefault((rated.team, rated.model), Change())
        change.attempts += 1
        change.touched += after != rated.cost
        change.priced += rated.cost is None and after is not None
        change.unpriced += after is None
        change.before += rated.cost or 0
        change.after += after or 0
        self.kept += keeps_its_cost(rated, charged)


@dataclass(frozen=True, slots=True)
class Rules:
    """By what attempts are reckoned today."""

    catalogue: Catalogue
    meters: Mapping[str, Meter]
    """Of each endpoint by its name."""
    unpriced: Callable[[str, str], Unpriced]
    """What a team (by its name), for one of its keys (by its id), says of what has no price."""

    def charge(self, rated: Rated) -> Charge:
        meter = self.meters.get(rated.endpoint)
        if meter is None:  # an endpoint of an earlier release: nobody knows how it was billed
            return Charge(None, PricedBy.NOTHING, self.catalogue.price_version)
        return charge(
            rated.usage,
            self.catalogue.find(rated.model),
            meter,
            catalogue=self.catalogue,
            at=rated.admitted_at / 1000,
            tier=rated.tier,
            upstream=rated.upstream,
            unpriced=self.unpriced(rated.team, rated.key_id),
        )


class Rerating:
    """Over the house's database. Every method raises StoreUnavailable; what is corrected by then stays so."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        rules: Rules,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._pause = pause

    async def count(self, asked: Range, models: Collection[str] = ()) -> int:
        """How many settled attempts there are in that time; of all models, unless some are named."""
        query = select(func.count()).select_from(SETTLED_LINES if models else SETTLEMENTS)
        query = narrowed(query, asked, models)
        return await self._database.read(
            lambda connection: connection.execute(query).scalar_one(), timeout=_SECONDS
        )

    async def closed_months(self, asked: Range) -> Sequence[Month]:
        """Those of that time that are closed: what is corrected in them is a restatement."""
        query = select(CLOSINGS.c.month).order_by(CLOSINGS.c.month)
        written = await self._database.read(lambda connection: connection.execute(query).scalars().all())
        months = [Month.written(month) for month in written]
        return [
            month
            for month in months
            if (asked.until is None or month.since < asked.until)
            and (asked.since is None or asked.since < month.until)
        ]

    async def rerate(
        self,
        asked: Range,
        *,
        models: Collection[str] = (),
        writes: bool,
        by: str,
        told: Callable[[int], None] = lambda attempts: None,
    ) -> Report:
        """Reckon all again that was settled in that time; correct what differs, if it `writes`.

        `by`: who has it done, for the audit trail. `told` hears of each page. When it is cut short, it is
        simply done again.
        """
        work = self._work(asked, models, by) if writes else None
        report, after = Report(self._rules.catalogue.price_version), None
        query = narrowed(settled(), asked, models)
        while lines := await self._database.read(partial(page, query, after, _PAGE), timeout=_SECONDS):
            await self._look_at(lines, report, work)
            told(len(lines))
            after = lines[-1].place
        if work is not None:
            await work.end()
        return report

    async def _look_at(self, lines: Sequence[Line], report: Report, work: LongWork | None) -> None:
        """Without any work, nothing is corrected."""
        differing = []
        for line in lines:
            if line.crashed:
                report.crashed += 1
                continue
            charged = self._rules.charge(line.rated)
            report.note(line.rated, charged)
            if rerated(line.rated, charged, 0) is not None:
                differing.append(line.rated.attempt_id)
        if work is not None and differing:
            await work.write(partial(self._correct, differing))
            await self._pause(_PAUSE)

    def _work(self, asked: Range, models: Collection[str], by: str) -> LongWork:
        version = self._rules.catalogue.price_version
        return LongWork(
            database=self._database,
            clock=self._clock,
            actor=by,
            begins="prices.rerating",
            ends="prices.rerated",
            target="ledger",
            details={"settled": str(asked), "models": sorted(models), "price_version": version},
        )

    def _correct(self, ids: Sequence[str], connection: Connection) -> Mapping[str, int]:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        now = int(self._clock.now() * 1000)
        lines = lines_of(connection, settled().where(SETTLEMENTS.c.attempt_id.in_(ids)))
        found = [rerated(line.rated, self._rules.charge(line.rated), now) for line in lines]
        corrections = [each for each in found if each is not None]
        add(connection, corrections)
        return {
            "attempts": len(corrections),
            "difference_microdollars": sum(each.cost for each in corrections),
        }
