"""`GET /admin/usage?by=team,model&since=2026-10&until=2026-11&team=search`: sums of the ledger.

The parameters are the options of `gateway usage`, and more to narrow it by. A wrong question is a 400 that
says what can be asked. What a team admin is told are the sums of its own teams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from gateway.admin.interfaces import Asked, Handler
from gateway.admin.problems import Problem
from gateway.admin.roles import teams_in_view
from gateway.admin.shapes import UsageSums
from gateway.core.clock import Clock
from gateway.metering.interfaces import NARROWING, UsageReports, UsageRow
from gateway.metering.reports.ranges import Range, parse_range
from gateway.metering.reports.records import as_record

_DEFAULT_DAYS: Final = 30
_MEASURES: Final = tuple(field.name for field in fields(UsageRow) if field.name != "group")


class UsagePage:
    """Answers one question."""

    def __init__(self, *, reports: UsageReports, clock: Clock) -> None:
        self._reports = reports
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {"usage": self.usage}

    async def usage(self, asked: Asked) -> UsageSums:
        """Raises Problem, and StoreUnavailable."""
        teams = teams_in_view(asked.actor, asked.query.get("team"))
        by = [name.strip() for name in asked.query.get("by", "team").split(",")]
        only = {name: asked.query[name] for name in NARROWING if name in asked.query}
        if len(set(by)) < len(by):
            raise Problem(400, "by: each group at most once.", field="by")
        try:
            span = _range(asked.query, self._clock.now())
            rows = await self._rows(by, span, only, teams)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        records = [as_record(by, row) for row in rows]
        return UsageSums(by=by, since=span.since, until=span.until, only=only, rows=records)

    async def _rows(
        self, by: Sequence[str], span: Range, only: Mapping[str, str], teams: Sequence[str] | None
    ) -> Sequence[UsageRow]:
        """`teams`: whose; None: everybody's."""
        if teams is None:
            return await self._reports.usage(by, span.since, span.until, only)
        found = [
            row
            for team in teams
            for row in await self._reports.usage(by, span.since, span.until, {**only, "team": team})
        ]
        return found if len(teams) == 1 else _added(found)


def _added(rows: Sequence[UsageRow]) -> list[UsageRow]:
    """One row a group, by its name: those of several teams may have the same."""
    by_group: dict[tuple[str, ...], list[UsageRow]] = {}
    for row in rows:
        by_group.setdefault(row.group, []).append(row)
    return [
        UsageRow(group, **{name: sum(getattr(row, name) for row in same) for name in _MEASURES})
        for group, same in sorted(by_group.items())
    ]


def _range(query: Mapping[str, Any], now: float) -> Range:
    """Raises ValueError."""
    days, since = query.get("days"), query.get("since")
    if since and days:
        raise ValueError("Say either days or since.")
    return parse_range(since or f"{days or _DEFAULT_DAYS}d", query.get("until"), now=now)
