"""What a month's chargeback is made of: its rows, one after the other, in an order that never changes.

A closed month's rows are the frozen ones, for ever the same; an open month's are today's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, collate, func, select

from gateway.database.engine import Database
from gateway.database.tables import CLOSED, DAILY, KEYS
from gateway.metering.reports.closing import both_sums, restated_of
from gateway.metering.reports.daily import KEY, MEASURES
from gateway.metering.reports.month import Month

_KEY: Final = tuple(KEY)
_AT_ONCE: Final = 1000
"""Rows that are fetched together."""

Row = Mapping[str, Any]
"""By the names of the columns of `daily`."""


class Chargeback:
    """Over the house's database. Every method waits, and raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, month: Month, *, closed: bool) -> int:
        """How many rows there are."""
        query = select(func.count()).select_from(_rows(month, closed).subquery())
        with self._database.transaction(writes=False) as connection:
            return connection.execute(query).scalar_one()

    def rows(self, month: Month, *, closed: bool) -> Iterator[Row]:
        """Frozen rows of a month that is `closed`, else those of today."""
        for row in self._in_order(_rows(month, closed)):
            yield dict(zip((*_KEY, *MEASURES), row, strict=True))

    def restatements(self, month: Month) -> Iterator[Row]:
        """What a closed month's rows must be changed by to be those of today."""
        for row in self._in_order(both_sums(month, _KEY)):
            restated = restated_of(row, len(_KEY))
            if restated.changed:
                yield {**dict(zip(_KEY, restated.group, strict=True)), **restated.difference}

    def key_names(self) -> Mapping[str, str]:
        """The names of keys by their ids, of those that are revoked too."""
        with self._database.transaction(writes=False) as connection:
            return {row.id: row.name for row in connection.execute(select(KEYS.c.id, KEYS.c.name))}

    def _in_order(self, query: Select[Any]) -> Iterator[Any]:
        """By the key, texts by their characters' numbers, whatever language the database sorts by."""
        postgresql = self._database.engine.dialect.name == "postgresql"
        by = [_sorted(column, postgresql) for column in list(query.selected_columns)[: len(_KEY)]]
        with self._database.transaction(writes=False) as connection:
            yield from connection.execution_options(yield_per=_AT_ONCE).execute(query.order_by(*by))


def _rows(month: Month, closed: bool) -> Select[Any]:
    if closed:
        return select(*(CLOSED.c[name] for name in (*_KEY, *MEASURES))).where(CLOSED.c.month == str(month))
    within = DAILY.c.day >= month.first_day, DAILY.c.day < month.end_day
    return select(*(DAILY.c[name] for name in (*_KEY, *MEASURES))).where(*within)


def _sorted(column: ColumnElement[Any], postgresql: bool) -> ColumnElement[Any]:
    return collate(column, "C") if postgresql and column.type.python_type is str else column
