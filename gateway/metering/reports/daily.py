"""The ledger's lines as rows of `daily`, for whoever reads lines: what the database's triggers add to the
sums of days, said once more, for queries.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, and_, case, func, literal
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from gateway.core.usage import TOTALS, UNITS, UsageSource
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, DAILY, SETTLEMENTS
from gateway.metering.reports.ranges import DAY, Range

Columns = ReadOnlyColumnCollection[str, Column[Any]] | Mapping[str, ColumnElement[Any]]
"""By name: those of a table, or of a query."""

MEASURES: Final = tuple(column.name for column in DAILY.columns if not column.primary_key)
"""What is summed, in the order of UsageRow's fields."""

SETTLED_LINES: Final = SETTLEMENTS.join(ADMISSIONS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id)
"""Settlements, each with its admission."""
CORRECTED_LINES: Final = SETTLED_LINES.join(ADJUSTMENTS, SETTLEMENTS.c.attempt_id == ADJUSTMENTS.c.attempt_id)
"""Corrections, each with those two."""

KEY: Final[Mapping[str, ColumnElement[Any]]] = {
    "day": (SETTLEMENTS.c.settled_at // DAY).label("day"),
    **{name: ADMISSIONS.c[name] for name in ("team", "subject", "key_id", "model")},
    "answered_model": func.coalesce(SETTLEMENTS.c.answered_model, "").label("answered_model"),
    **{name: ADMISSIONS.c[name] for name in ("endpoint", "upstream")},
    "service_tier": func.coalesce(SETTLEMENTS.c.service_tier, "").label("service_tier"),
}
"""The key of `daily`, in its order, of a line."""


def one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


USED: Final = sum((SETTLEMENTS.c[unit] for unit in TOTALS[1:]), start=SETTLEMENTS.c[TOTALS[0]])
"""Above zero where anything was used."""
ESTIMATED: Final = and_(SETTLEMENTS.c.source != UsageSource.PROVIDER.value, USED > 0)

SETTLED: Final[Mapping[str, ColumnElement[Any]]] = {
    "attempts": literal(1).label("attempts"),
    "requests": one_if(ADMISSIONS.c.number == 1).label("requests"),
    **{unit: SETTLEMENTS.c[unit] for unit in UNITS},
    "cost": func.coalesce(SETTLEMENTS.c.cost, 0).label("cost"),
    "unpriced": one_if(SETTLEMENTS.c.cost.is_(None)).label("unpriced"),
    "estimated": one_if(ESTIMATED).label("estimated"),
}
"""The measures of a settlement."""
CORRECTED: Final[Mapping[str, ColumnElement[Any]]] = {
    "attempts": literal(0).label("attempts"),
    "requests": literal(0).label("requests"),
    **{name: ADJUSTMENTS.c[name] for name in (*UNITS, "cost", "unpriced", "estimated")},
}
"""Those of a correction."""


def within(column: ColumnElement[int], asked: Range) -> Iterator[ColumnElement[bool]]:
    """That the moment in this column is in the range."""
    if asked.since is not None:
        yield column >= asked.since
    if asked.until is not None:
        yield column < asked.until
