"""Every line of the ledger, with all its fields, attempt by attempt: for auditors and for archives.

What belongs to a range is what the reports say of it: attempts that were settled in it, each with its
corrections, however late those were made, so that the lines add up to the report; and attempts that were
admitted in it and are not settled yet. All is read as of one moment, page by page along the index on the time
of settlement, so that a ledger of any size takes no more memory than a page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, func, select, tuple_

from gateway.core.usage import TOTALS, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS, UNDER_WAY
from gateway.metering.reports.daily import SETTLED_LINES, within
from gateway.metering.reports.ranges import Range

Line = Mapping[str, Any]

_PAGE: Final = 2000
"""Attempts that are read at once."""


@dataclass(frozen=True, slots=True)
class AttemptLines:
    """All that the ledger has of one attempt; each line by the names of its table's columns."""

    admitted: Line
    settled: Line | None
    """None: it is under way, or whoever made it has died."""
    adjusted: Sequence[Line] = ()
    """In the order in which they were made."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many lines a range has."""

    settled: int
    unsettled: int
    adjusted: int

    @property
    def lines(self) -> int:
        return 2 * self.settled + self.unsettled + self.adjusted

    @property
    def rows(self) -> int:
        return self.settled + self.unsettled + self.adjusted


class LedgerLines:
    """Reads lines. May be used while other processes write; what they add is not in what is read."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def count(self, asked: Range) -> Count:
        """Takes a second for ten million. Raises StoreUnavailable."""
        with self._database.transaction(writes=False) as connection:
            settled = _many(connection, SETTLEMENTS, *within(SETTLEMENTS.c.settled_at, asked))
            adjusted = _many(connection, ADJUSTMENTS, *within(ADJUSTMENTS.c.settled_at, asked))
            unsettled = connection.scalar(
                select(func.count()).select_from(_UNDER_WAY).where(*within(ADMISSIONS.c.admitted_at, asked))
            )
        return Count(settled, unsettled or 0, adjusted)

    def attempts(self, asked: Range) -> Iterator[AttemptLines]:
        """In the order of their settlement; then those that are not settled, in the order of their ids.

        Raises StoreUnavailable, also half-way.
        """
        with self._database.transaction(writes=False) as connection:
            if connection.dialect.name == "postgresql":  # SQLite's transactions are of one moment by nature
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield from _settled(connection, asked)
            yield from _unsettled(connection, asked)


ADMITTED: Final = tuple(column.name for column in ADMISSIONS.columns)
SETTLED: Final = tuple(column.name for column in SETTLEMENTS.columns)
ADJUSTED: Final = tuple(column.name for column in ADJUSTMENTS.columns)


def as_lines(attempt: AttemptLines) -> Iterator[dict[str, Any]]:
    """Its lines as they were written, `line` saying which each is."""
    yield {"line": "admitted", **attempt.admitted}
    if attempt.settled is not None:
        yield {"line": "settled", **attempt.settled}
    for adjustment in attempt.adjusted:
        yield {"line": "adjusted", **adjustment}


_SHARED: Final = tuple(name for name in ADMITTED if not name.startswith("estimated_"))
"""What a correction's row repeats of its attempt: whose it is, and not what it was expected to cost."""
_ANSWERED: Final = ("answered_model", "service_tier")
"""And of the settlement."""

ROW: Final[Mapping[str, type]] = {
    "line": str,
    **{
        column.name: column.type.python_type
        for column in (*ADMISSIONS.columns, *SETTLEMENTS.columns, *ADJUSTMENTS.columns)
        if column.name != "id"
    },
    "adjustment_id": str,
}
"""The columns of `as_rows`, in their order, and what is in them."""


def as_rows(attempt: AttemptLines) -> Iterator[dict[str, Any]]:
    """The same as a table: one wide row for the attempt, and one for each correction.

    A correction's row says whose it is and has its differences in the columns of what it corrects. So the sum
    of any column, over any rows, is what a report says of them.
    """
    settled = attempt.settled or {}
    yield {"line": "attempt", **attempt.admitted, **settled, **(_counted(settled) if settled else {})}
    for adjustment in attempt.adjusted:
        yield {
            "line": "adjustment",
            **{name: attempt.admitted[name] for name in _SHARED},
            **{name: settled.get(name) for name in _ANSWERED},
            **adjustment,
            "adjustment_id": adjustment["id"],
        }


def _counted(settled: Line) -> dict[str, int]:
    """As the sums of days count it."""
    used = any(settled[unit] for unit in TOTALS)
    return {
        "unpriced": int(settled["cost"] is None),
        "estimated": int(used and settled["source"] != UsageSource.PROVIDER.value),
    }


_UNDER_WAY: Final = UNDER_WAY.join(ADMISSIONS, UNDER_WAY.c.attempt_id == ADMISSIONS.c.attempt_id)


def _settled(connection: Connection, asked: Range) -> Iterator[AttemptLines]:
    is_corrected = connection.scalar(
        select(ADJUSTMENTS.c.id).where(*within(ADJUSTMENTS.c.settled_at, asked)).limit(1)
    )
    at, attempt_id = asked.since or 0, ""
    while rows := connection.execute(_settled_page(at, attempt_id, asked.until)).all():
        page = [
            (dict(zip(ADMITTED, row, strict=False)), dict(zip(SETTLED, row[len(ADMITTED) :], strict=True)))
            for row in rows
        ]
        corrections = (
            _corrections(connection, [each["attempt_id"] for each, _ in page]) if is_corrected else {}
        )
        for admitted, settled in page:
            yield AttemptLines(admitted, settled, corrections.get(admitted["attempt_id"], ()))
        at, attempt_id = page[-1][1]["settled_at"], page[-1][1]["attempt_id"]


def _settled_page(at: int, attempt_id: str, until: int | None) -> Select[Any]:
    """The next ones after this time and id."""
    columns = SETTLEMENTS.c
    page = (
        select(ADMISSIONS, SETTLEMENTS)
        .select_from(SETTLED_LINES)
        .where(columns.settled_at >= at)
        .where(tuple_(columns.settled_at, columns.attempt_id) > tuple_(at, attempt_id))
        .order_by(columns.settled_at, columns.attempt_id)
        .limit(_PAGE)
    )
    return page if until is None else page.where(columns.settled_at < until)


def _corrections(connection: Connection, attempts: Sequence[str]) -> Mapping[str, Sequence[Line]]:
    query = (
        select(ADJUSTMENTS)
        .where(ADJUSTMENTS.c.attempt_id.in_(attempts))
        .order_by(ADJUSTMENTS.c.adjusted_at, ADJUSTMENTS.c.id)
    )
    found: dict[str, list[Line]] = {}
    for row in connection.execute(query):
        found.setdefault(row.attempt_id, []).append(dict(zip(ADJUSTED, row, strict=True)))
    return found


def _unsettled(connection: Connection, asked: Range) -> Iterator[AttemptLines]:
    last = ""
    query = (
        select(ADMISSIONS)
        .select_from(_UNDER_WAY)
        .where(*within(ADMISSIONS.c.admitted_at, asked))
        .order_by(UNDER_WAY.c.attempt_id)
        .limit(_PAGE)
    )
    while rows := connection.execute(query.where(UNDER_WAY.c.attempt_id > last)).all():
        for row in rows:
            yield AttemptLines(dict(zip(ADMITTED, row, strict=True)), None)
        last = rows[-1].attempt_id


def _many(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(*where)) or 0
