"""What the ledger says, summed by the database.

Whole days are read from their sums (`daily`), which stay when the lines have ended by age, by the beginning
of that table's key. Where a range begins or ends within a day, that day's lines are read: its settlements by
their index on the time, and each one's admission and corrections by theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Text

from gateway.database.engine import Database
from gateway.database.tables import DAILY, SETTLEMENTS
from gateway.metering.interfaces import GROUPS, NARROWING, Admission, UsageRow
from gateway.metering.ledger.rows import UNSETTLED, admission_of
from gateway.metering.reports.daily import (
    CORRECTED,
    CORRECTED_LINES,
    KEY,
    MEASURES,
    SETTLED,
    SETTLED_LINES,
    Columns,
    within,
)
from gateway.metering.reports.ranges import DAY, Range

_SECONDS: Final = 120.0
"""How long a report may take."""

_NAMED: Final[Mapping[str, str]] = {"user": "subject", "key": "key_id", "tier": "service_tier"}
"""The columns that have another name than their group."""


class SqlUsageReports:
    """UsageReports over the house's database, also while other processes write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(
        self,
        by: Sequence[str],
        since: int | None,
        until: int | None,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[UsageRow]:
        query = usage_query(by, since, until, only)

        def work(connection: Connection) -> Sequence[UsageRow]:
            rows = [_usage_row(by, row) for row in connection.execute(query)]
            return sorted((row for row in rows if row.attempts), key=lambda row: row.group)

        return await self._database.read(work, timeout=_SECONDS)

    async def unsettled(self) -> Sequence[Admission]:
        def work(connection: Connection) -> Sequence[Admission]:
            return [admission_of(row._asdict()) for row in connection.execute(UNSETTLED)]

        return await self._database.read(work, timeout=_SECONDS)


def usage_query(
    by: Sequence[str],
    since: int | None,
    until: int | None,
    only: Mapping[str, str] = MappingProxyType({}),
) -> Select[Any]:
    """Groups first, then the sums. Raises ValueError for a group that there is not."""
    _check(by, GROUPS, "grouped by")
    _check(only, NARROWING, "narrowed to")
    parts = list(_parts(since, until, only))
    source = (parts[0] if len(parts) == 1 else union_all(*parts)).subquery()
    groups = [_Month(source.c.day) if name == "month" else source.c[_NAMED.get(name, name)] for name in by]
    return select(*groups, *(func.sum(source.c[name]) for name in MEASURES)).group_by(*groups)


def _check(names: Sequence[str] | Mapping[str, str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"usage cannot be {what} `{name}`, only {what.split()[1]} {', '.join(known)}")


def _parts(since: int | None, until: int | None, only: Mapping[str, str]) -> Iterator[Select[Any]]:
    """Rows as those of `daily`: lines up to the first midnight, sums of days, lines after the last."""
    if since is not None and until is not None and _midnight_after(since) > until:
        yield from _lines(since, until, only)  # it begins and ends within one day
        return
    if since is not None and since % DAY:
        yield from _lines(since, _midnight_after(since), only)
    yield _days(since, until, only)
    if until is not None and until % DAY:
        yield from _lines(until - until % DAY, until, only)


def _days(since: int | None, until: int | None, only: Mapping[str, str]) -> Select[Any]:
    """The sums of whole days."""
    query = select(DAILY).where(*_only(DAILY.c, only))
    if since is not None:
        query = query.where(DAILY.c.day >= _midnight_after(since) // DAY)
    if until is not None:
        query = query.where(DAILY.c.day < until // DAY)
    return query


def _midnight_after(moment: int) -> int:
    """This very moment, when it is midnight."""
    return -(-moment // DAY) * DAY


def _lines(since: int, until: int, only: Mapping[str, str]) -> Iterator[Select[Any]]:
    """Settlements, and the corrections of settlements, as the triggers add them to `daily`."""
    where = *within(SETTLEMENTS.c.settled_at, Range(since, until)), *_only(KEY, only)
    for source, sums in ((SETTLED_LINES, SETTLED), (CORRECTED_LINES, CORRECTED)):
        yield select(*KEY.values(), *sums.values()).select_from(source).where(*where)


def _only(columns: Columns, only: Mapping[str, str]) -> Iterator[ColumnElement[bool]]:
    return (columns[_NAMED.get(name, name)] == value for name, value in only.items())


class _Month(FunctionElement[str]):
    """The month of a day: `2026-10`."""

    type = Text()
    name = "month"
    inherit_cache = True


@compiles(_Month, "sqlite")
def _month_in_sqlite(element: _Month, compiler: SQLCompiler, **options: Any) -> str:
    return f"strftime('%Y-%m', {compiler.process(element.clauses, **options)} * 86400, 'unixepoch')"


@compiles(_Month, "postgresql")
def _month_in_postgresql(element: _Month, compiler: SQLCompiler, **options: Any) -> str:
    seconds = f"{compiler.process(element.clauses, **options)} * 86400"
    return f"to_char(to_timestamp({seconds}) AT TIME ZONE 'UTC', 'YYYY-MM')"


def _usage_row(by: Sequence[str], row: Row[Any]) -> UsageRow:
    group = tuple(_day(value) if name == "day" else value for name, value in zip(by, row, strict=False))
    return UsageRow(group, *(int(value or 0) for value in row[len(by) :]))


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY / 1000, UTC).date().isoformat()
