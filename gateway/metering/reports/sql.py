"""What the ledger says, summed by the database.

A report reads the settlements of its time range by their index on the time, and each one's admission by its
key.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, select

from gateway.core.usage import UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, SETTLEMENTS
from gateway.metering.interfaces import Admission, UsageRow
from gateway.metering.ledger.rows import UNSETTLED, admission_of

_DAY: Final = 86_400_000
_SECONDS: Final = 120.0
"""How long a report may take."""

_GROUPS: Final[Mapping[str, ColumnElement[Any]]] = {
    "team": ADMISSIONS.c.team,
    "model": ADMISSIONS.c.model,
    "key": ADMISSIONS.c.key_id,
    "endpoint": ADMISSIONS.c.endpoint,
    "day": SETTLEMENTS.c.settled_at // _DAY,
}

_used = (
    SETTLEMENTS.c.input_tokens
    + SETTLEMENTS.c.output_tokens
    + SETTLEMENTS.c.images
    + SETTLEMENTS.c.audio_milliseconds
    + SETTLEMENTS.c.characters
)
_SUMS: Final[Sequence[ColumnElement[Any]]] = (
    func.count(),
    func.sum(SETTLEMENTS.c.input_tokens),
    func.sum(SETTLEMENTS.c.cached_tokens),
    func.sum(SETTLEMENTS.c.output_tokens),
    func.sum(SETTLEMENTS.c.reasoning_tokens),
    func.sum(SETTLEMENTS.c.images),
    func.sum(SETTLEMENTS.c.audio_milliseconds),
    func.sum(SETTLEMENTS.c.characters),
    func.coalesce(func.sum(SETTLEMENTS.c.cost), 0),
    func.count() - func.count(SETTLEMENTS.c.cost),
    func.sum(case(((SETTLEMENTS.c.source != UsageSource.PROVIDER.value) & (_used > 0), 1), else_=0)),
)
"""In the order of UsageRow's fields."""

_BOTH: Final = SETTLEMENTS.join(ADMISSIONS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id)


class SqlUsageReports:
    """UsageReports over the house's database, also while other processes write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(self, by: Sequence[str], since: int | None, until: int | None) -> Sequence[UsageRow]:
        query = usage_query(by, since, until)

        def work(connection: Connection) -> Sequence[UsageRow]:
            rows = [_usage_row(by, row) for row in connection.execute(query)]
            return sorted((row for row in rows if row.attempts), key=lambda row: row.group)

        return await self._database.read(work, timeout=_SECONDS)

    async def unsettled(self) -> Sequence[Admission]:
        def work(connection: Connection) -> Sequence[Admission]:
            return [admission_of(row._asdict()) for row in connection.execute(UNSETTLED)]

        return await self._database.read(work, timeout=_SECONDS)


def usage_query(by: Sequence[str], since: int | None, until: int | None) -> Select[Any]:
    """Groups first, then the sums. Raises ValueError for a group that there is not."""
    unknown = [name for name in by if name not in _GROUPS]
    if unknown:
        raise ValueError(f"usage cannot be grouped by `{unknown[0]}`, only by {', '.join(_GROUPS)}")
    groups = [_GROUPS[name] for name in by]
    query = select(*groups, *_SUMS).select_from(_BOTH).group_by(*groups)
    if since is not None:
        query = query.where(SETTLEMENTS.c.settled_at >= since)
    if until is not None:
        query = query.where(SETTLEMENTS.c.settled_at < until)
    return query


def _usage_row(by: Sequence[str], row: Row[Any]) -> UsageRow:
    group = tuple(_day(value) if name == "day" else value for name, value in zip(by, row, strict=False))
    return UsageRow(group, *(int(value or 0) for value in row[len(by) :]))


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * _DAY / 1000, UTC).date().isoformat()
