"""Settled attempts and what they cost by all of their lines, to be reckoned again; and corrections, added."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select, tuple_

from gateway.core.attempt import Cause
from gateway.core.usage import UNITS, Usage, UsageSource
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS
from gateway.metering.interfaces import Adjustment
from gateway.metering.ledger.insertion import insert_lines
from gateway.metering.ledger.rows import adjustment_json
from gateway.metering.prices.rerating import Rated
from gateway.metering.reports.daily import SETTLED_LINES, within
from gateway.metering.reports.ranges import Range

_SOURCES: Final = {source.value: source for source in UsageSource}
_COLUMNS: Final = (
    *(SETTLEMENTS.c[name] for name in ("attempt_id", "settled_at", "cause", "source", *UNITS)),
    *(SETTLEMENTS.c[name] for name in ("cost", "service_tier")),
    *(ADMISSIONS.c[name] for name in ("admitted_at", "team", "key_id", "model", "endpoint", "upstream")),
)
_WHOSE_FROM: Final = len(_COLUMNS) - 5
_CORRECTIONS: Final = select(
    ADJUSTMENTS.c.attempt_id, func.sum(ADJUSTMENTS.c.cost), func.sum(ADJUSTMENTS.c.unpriced), func.count()
).group_by(ADJUSTMENTS.c.attempt_id)


Place = tuple[int, str]
"""Where an attempt stands in the order of time: when it was settled, and its id."""


@dataclass(frozen=True, slots=True)
class Line:
    """A settled attempt."""

    rated: Rated
    crashed: bool
    """Whoever made it has died: it was settled by its estimate."""

    @property
    def place(self) -> Place:
        return self.rated.settled_at, self.rated.attempt_id


def settled() -> Select[Any]:
    """All of them."""
    return select(*_COLUMNS).select_from(SETTLED_LINES)


def narrowed(query: Select[Any], asked: Range, models: Collection[str]) -> Select[Any]:
    """To those that were settled in that time; of all models, unless some are named."""
    query = query.where(*within(SETTLEMENTS.c.settled_at, asked))
    return query.where(ADMISSIONS.c.model.in_(models)) if models else query


def page(query: Select[Any], after: Place | None, most: int, connection: Connection) -> Sequence[Line]:
    """The next so many, in the order of time."""
    order = SETTLEMENTS.c.settled_at, SETTLEMENTS.c.attempt_id
    if after is not None:
        query = query.where(SETTLEMENTS.c.settled_at >= after[0], tuple_(*order) > tuple_(*after))
    return lines_of(connection, query.order_by(*order).limit(most))


def lines_of(connection: Connection, query: Select[Any]) -> Sequence[Line]:
    """What the query finds, with all corrections."""
    lines = {row.attempt_id: _line(row) for row in connection.execute(query)}
    for attempt_id, cost, unpriced, number in connection.execute(
        _CORRECTIONS.where(ADJUSTMENTS.c.attempt_id.in_(list(lines)))
    ):
        line = lines[attempt_id]
        lines[attempt_id] = Line(line.rated.corrected(int(cost), int(unpriced), number), line.crashed)
    return list(lines.values())


def _line(row: Row[Any]) -> Line:
    attempt_id, settled_at, cause, source, *used, cost, tier, admitted_at = row[:_WHOSE_FROM]
    team, key_id, model, endpoint, upstream = row[_WHOSE_FROM:]
    rated = Rated(
        attempt_id=attempt_id,
        admitted_at=admitted_at,
        settled_at=settled_at,
        team=team,
        key_id=key_id,
        model=model,
        endpoint=endpoint,
        upstream=upstream,
        tier=tier,
        usage=Usage(_SOURCES[source], *used),
        cost=cost,
    )
    return Line(rated, cause == Cause.CRASH)


def add(connection: Connection, corrections: Sequence[Adjustment]) -> None:
    """Write corrections; one that is there already is left."""
    if corrections:
        insert_lines(connection, ADJUSTMENTS, [adjustment_json(each) for each in corrections])
