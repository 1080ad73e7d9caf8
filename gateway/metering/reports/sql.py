"""What the ledger says, summed by the database.

Whole days are read from their sums (`daily`), which stay when the lines have ended by age, by the beginning
of that table's key. Where a range begins or ends within a day, that day's lines are read: its settlements by
their index on the time, and each one's admission and corrections by theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Text

from gateway.core.usage import UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, DAILY, SETTLEMENTS
from gateway.metering.interfaces import GROUPS, NARROWING, Admission, UsageRow
from gateway.metering.ledger.rows import UNSETTLED, admission_of

_DAY: Final = 86_400_000
_SECONDS: Final = 120.0
"""How long a report may take."""

_Columns = ReadOnlyColumnCollection[str, Column[Any]] | Mapping[str, ColumnElement[Any]]

_WHOSE: Final[Mapping[str, str]] = {"user": "subject", "key": "key_id", "tier": "service_tier"}
"""The columns that have another name than their group."""

_SUMS: Final = tuple(column.name for column in DAILY.columns if not column.primary_key)
"""In the order of UsageRow's fields."""
_UNITS: Final = _SUMS[_SUMS.index("input_tokens") : _SUMS.index("characters") + 1]


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
    groups = [_Month(source.c.day) if name == "month" else source.c[_WHOSE.get(name, name)] for name in by]
    return select(*groups, *(func.sum(source.c[name]) for name in _SUMS)).group_by(*groups)


def _check(names: Sequence[str] | Mapping[str, str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"usage cannot be {what} `{name}`, only {what.split()[1]} {', '.join(known)}")


def _parts(since: int | None, until: int | None, only: Mapping[str, str]) -> Iterator[Select[Any]]:
    """Rows as those of `daily`: lines up to the first midnight, sums of days, lines after the last."""
    if since is not None and until is not None and _midnight_after(since) > until:
        yield from _lines(since, until, only)  # it begins and ends within one day
        return
    if since is not None and since % _DAY:
        yield from _lines(since, _midnight_after(since), only)
    yield _days(since, until, only)
    if until is not None and until % _DAY:
        yield from _lines(until - until % _DAY, until, only)


def _days(since: int | None, until: int | None, only: Mapping[str, str]) -> Select[Any]:
    """The sums of whole days."""
    query = select(DAILY).where(*_only(DAILY.c, only))
    if since is not None:
        query = query.where(DAILY.c.day >= _midnight_after(since) // _DAY)
    if until is not None:
        query = query.where(DAILY.c.day < until // _DAY)
    return query


def _midnight_after(moment: int) -> int:
    """This very moment, when it is midnight."""
    return -(-moment // _DAY) * _DAY


def _lines(since: int, until: int, only: Mapping[str, str]) -> Iterator[Select[Any]]:
    """Settlements, and the corrections of settlements, as the triggers add them to `daily`."""
    settled = SETTLEMENTS.join(ADMISSIONS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id)
    corrected = settled.join(ADJUSTMENTS, SETTLEMENTS.c.attempt_id == ADJUSTMENTS.c.attempt_id)
    where = (SETTLEMENTS.c.settled_at >= since, SETTLEMENTS.c.settled_at < until, *_only(_LINES, only))
    for source, sums in ((settled, _SETTLED), (corrected, _CORRECTED)):
        yield select(*_LINES.values(), *sums).select_from(source).where(*where)


def _only(columns: _Columns, only: Mapping[str, str]) -> Iterator[ColumnElement[bool]]:
    return (columns[_WHOSE.get(name, name)] == value for name, value in only.items())


_LINES: Final[Mapping[str, ColumnElement[Any]]] = {
    "day": (SETTLEMENTS.c.settled_at // _DAY).label("day"),
    **{name: ADMISSIONS.c[name] for name in ("team", "subject", "key_id", "model")},
    "answered_model": func.coalesce(SETTLEMENTS.c.answered_model, "").label("answered_model"),
    **{name: ADMISSIONS.c[name] for name in ("endpoint", "upstream")},
    "service_tier": func.coalesce(SETTLEMENTS.c.service_tier, "").label("service_tier"),
}
"""The key of `daily`, in its order, of a line."""


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


_used: Final = sum(
    (SETTLEMENTS.c[unit] for unit in ("output_tokens", "images", "audio_milliseconds", "characters")),
    start=SETTLEMENTS.c.input_tokens,
)
_SETTLED: Final[Sequence[ColumnElement[Any]]] = (
    literal(1).label("attempts"),
    _one_if(ADMISSIONS.c.number == 1).label("requests"),
    *(SETTLEMENTS.c[unit] for unit in _UNITS),
    func.coalesce(SETTLEMENTS.c.cost, 0).label("cost"),
    _one_if(SETTLEMENTS.c.cost.is_(None)).label("unpriced"),
    _one_if(and_(SETTLEMENTS.c.source != UsageSource.PROVIDER.value, _used > 0)).label("estimated"),
)
_CORRECTED: Final[Sequence[ColumnElement[Any]]] = (
    literal(0).label("attempts"),
    literal(0).label("requests"),
    *(ADJUSTMENTS.c[name] for name in (*_UNITS, "cost", "unpriced", "estimated")),
)


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
    return datetime.fromtimestamp(number * _DAY / 1000, UTC).date().isoformat()
