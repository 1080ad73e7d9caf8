"""The monthly close: a month's figures are frozen once and for ever.

Closing copies the month's rows of `daily` into `closed`. Nothing changes them afterwards (the database itself
refuses to); what `daily` says beyond them later, by late lines or a corrected price, is a restatement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, func, insert, literal, select, text, union_all

from gateway.audit.trail import append
from gateway.core.actor import Act
from gateway.core.clock import Clock
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, CLOSED, CLOSINGS, DAILY, UNDER_WAY
from gateway.metering.reports.daily import KEY, MEASURES
from gateway.metering.reports.month import Month

GRACE: Final = 3_600_000
"""Milliseconds after a month's end before it can be closed: journals are shipped within seconds, and what a
dead process left is settled within a minute, while the database is there."""

WHOSE: Final = tuple(name for name in KEY if name != "day")
"""By what sums are told apart, besides the day."""

LOCK: Final = 0x636C_6F73
"""PostgreSQL's advisory lock under which a month is closed. For SQLite its own write lock does."""
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Closing:
    """A closed month."""

    month: Month
    closed_at: int
    """Milliseconds since 1970."""
    attempts: int
    cost: int
    """Micro-dollars of the priced attempts."""
    unpriced: int
    """Attempts whose cost is missing in it."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of an order to close."""

    closing: Closing
    before: bool
    """It was closed already; nothing was changed."""
    unsettled: int = 0
    """Attempts that were admitted before the month's end and had no settlement when it was closed."""
    unsettled_named: Sequence[str] = ()
    """Some of them."""


@dataclass(frozen=True, slots=True)
class Restated:
    """Frozen sums of one group, and what the ledger says today. Both by the names of `MEASURES`."""

    group: tuple[Any, ...]
    frozen: Mapping[str, int]
    today: Mapping[str, int]

    @property
    def difference(self) -> Mapping[str, int]:
        return {name: self.today[name] - frozen for name, frozen in self.frozen.items()}

    @property
    def changed(self) -> bool:
        return self.today != self.frozen


class Closings:
    """Closed months in the house's database. Every method waits, and raises StoreUnavailable."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self, month: Month, *, by: str) -> Closed:
        """Freeze the month. Once closed it stays so, and closing it again changes nothing.

        `by`: who closes it, for the audit trail. Raises ValueError, with a sentence, for a month that is not
        over since GRACE.
        """
        now = int(self._clock.now() * 1000)
        if now < month.until + GRACE:
            raise ValueError(_too_early(month, now))
        with self._database.transaction(writes=True) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            before = _find(connection, month)
            if before is not None:
                return Closed(before, before=True)
            _freeze(connection, month, now)
            closing = _find(connection, month) or Closing(month, now, 0, 0, 0)
            closed = Closed(closing, False, *_unsettled(connection, month))
            append(connection, _act(closed, by), now)
            return closed

    def find(self, month: Month) -> Closing | None:
        """None when it is not closed."""
        with self._database.transaction(writes=False) as connection:
            return _find(connection, month)

    def all(self) -> Sequence[Closing]:
        """Every closed month, the oldest first."""
        with self._database.transaction(writes=False) as connection:
            return [_closing(row) for row in connection.execute(_CLOSINGS.order_by(CLOSINGS.c.month))]

    def restated(self, month: Month, by: Sequence[str] = ("team", "model")) -> Sequence[Restated]:
        """The month's frozen sums and today's, grouped by any of `WHOSE`, in their order."""
        with self._database.transaction(writes=False) as connection:
            rows = [restated_of(row, len(by)) for row in connection.execute(both_sums(month, by))]
        return sorted(rows, key=lambda row: row.group)


def both_sums(month: Month, by: Sequence[str]) -> Select[Any]:
    """Rows of the groups, their frozen sums, and today's."""
    nothing = [literal(0).label(f"no_{name}") for name in MEASURES]
    frozen = select(
        *(CLOSED.c[name] for name in by),
        *(CLOSED.c[name].label(f"frozen_{name}") for name in MEASURES),
        *nothing,
    ).where(CLOSED.c.month == str(month))
    today = select(
        *(DAILY.c[name] for name in by),
        *nothing,
        *(DAILY.c[name] for name in MEASURES),
    ).where(DAILY.c.day >= month.first_day, DAILY.c.day < month.end_day)
    both = union_all(frozen, today).subquery()
    columns = list(both.c)
    groups, sums = columns[: len(by)], columns[len(by) :]
    return select(*groups, *(func.sum(column) for column in sums)).group_by(*groups)


def restated_of(row: Sequence[Any], groups: int) -> Restated:
    """Of a row of `both_sums`."""
    sums = [int(value) for value in row[groups:]]
    frozen, today = sums[: len(MEASURES)], sums[len(MEASURES) :]
    return Restated(
        tuple(row[:groups]),
        dict(zip(MEASURES, frozen, strict=True)),
        dict(zip(MEASURES, today, strict=True)),
    )


_CLOSINGS: Final = (
    select(
        CLOSINGS.c.month,
        CLOSINGS.c.closed_at,
        *(func.coalesce(func.sum(CLOSED.c[name]), 0) for name in ("attempts", "cost", "unpriced")),
    )
    .select_from(CLOSINGS.outerjoin(CLOSED, CLOSED.c.month == CLOSINGS.c.month))
    .group_by(CLOSINGS.c.month, CLOSINGS.c.closed_at)
)


def _find(connection: Connection, month: Month) -> Closing | None:
    row = connection.execute(_CLOSINGS.where(CLOSINGS.c.month == str(month))).one_or_none()
    return None if row is None else _closing(row)


def _closing(row: Sequence[Any]) -> Closing:
    month, closed_at, *sums = row
    return Closing(Month.written(month), closed_at, *map(int, sums))


def _freeze(connection: Connection, month: Month, now: int) -> None:
    """First the figures, then the closing: from then on the database refuses further rows."""
    rows = select(literal(str(month)), *DAILY.columns).where(
        DAILY.c.day >= month.first_day, DAILY.c.day < month.end_day
    )
    connection.execute(insert(CLOSED).from_select([column.name for column in CLOSED.columns], rows))
    connection.execute(insert(CLOSINGS).values(month=str(month), closed_at=now))


def _unsettled(connection: Connection, month: Month) -> tuple[int, Sequence[str]]:
    both = UNDER_WAY.join(ADMISSIONS, ADMISSIONS.c.attempt_id == UNDER_WAY.c.attempt_id)
    query = select(UNDER_WAY.c.attempt_id).select_from(both).where(ADMISSIONS.c.admitted_at < month.until)
    ids = sorted(connection.execute(query).scalars())
    return len(ids), ids[:_MOST_NAMED]


def _act(closed: Closed, by: str) -> Act:
    closing = closed.closing
    details = {
        "attempts": closing.attempts,
        "cost_microdollars": closing.cost,
        "unpriced": closing.unpriced,
        "unsettled": closed.unsettled,
    }
    return Act(by, "month.closed", f"month:{closing.month}", details=details)


def _too_early(month: Month, now: int) -> str:
    if now < month.until:
        return f"{month} is not over: it can be closed from {month.next}-01 01:00 (UTC) on."
    return (
        f"{month} has only just ended, and journals may hold lines of it that are not shipped yet: "
        f"it can be closed from {month.next}-01 01:00 (UTC) on."
    )
