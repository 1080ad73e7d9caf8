"""What the ledger says, as reconciliation asks it: the sums of days, and what only the lines can tell.

Sums come from `daily`, however long ago. Lines are read for single days, where the sums leave a question.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, or_, select

from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, DAILY, SETTLEMENTS
from gateway.metering.reconciliation.amounts import Amounts, Lines, Place, Recorded
from gateway.metering.reports.daily import ESTIMATED, SETTLED_LINES, USED, one_if, within
from gateway.metering.reports.ranges import DAY, Range

_SECONDS: Final = 300.0
"""How long a question may take."""
_REFUSED: Final = 400

_COMPARED: Final = ("input_tokens", "cached_tokens", "output_tokens", "cost")

_corrected = (
    select(literal(1))
    .where(ADJUSTMENTS.c.attempt_id == SETTLEMENTS.c.attempt_id, ADJUSTMENTS.c.estimated < 0)
    .exists()
)
_failed = and_(or_(SETTLEMENTS.c.status.is_(None), SETTLEMENTS.c.status >= _REFUSED), USED == 0)
_estimated = and_(ESTIMATED, ~_corrected)


class LedgerSums:
    """The ledger of this installation, for these upstreams."""

    def __init__(
        self, database: Database, *, labels: Mapping[str, str], upstream_models: Mapping[str, str]
    ) -> None:
        """`labels`: as what each upstream is compared; others are left out. `upstream_models`: what upstreams
        call the catalogue's models, for attempts whose answer named none.
        """
        self._database = database
        self._labels = labels
        self._upstream_models = upstream_models

    async def books(self, since: int, until: int) -> Mapping[Place, Recorded]:
        """By day (since 1970) from `since` on and before `until`. Raises StoreUnavailable."""
        query = _sums(self._labels, since, until)

        def work(connection: Connection) -> Mapping[Place, Recorded]:
            books: dict[Place, Recorded] = {}
            for day, upstream, model, answered, *sums in connection.execute(query):
                *amounts, estimated, unpriced = map(int, sums)
                place = self._place(day, upstream, model, answered)
                recorded = Recorded(Amounts(*amounts), estimated, unpriced)
                books[place] = books[place].plus(recorded) if place in books else recorded
            return books

        return await self._database.read(work, timeout=_SECONDS)

    async def lines(self, day: int) -> Mapping[Place, Lines]:
        """Of the lines of that day that are still there. Raises StoreUnavailable."""
        query = _lines(self._labels, day)

        def work(connection: Connection) -> Mapping[Place, Lines]:
            told: dict[Place, Lines] = {}
            for upstream, model, answered, *sums in connection.execute(query):
                number, failed, *amounts = (int(each or 0) for each in sums)
                place = self._place(day, upstream, model, answered or "")
                lines = Lines(number, failed, Amounts(*amounts[:5]), Amounts(*amounts[5:]))
                told[place] = told[place].plus(lines) if place in told else lines
            return told

        return await self._database.read(work, timeout=_SECONDS)

    def _place(self, day: int, upstream: str, model: str, answered: str) -> Place:
        return Place(int(day), self._labels[upstream], answered or self._upstream_models.get(model, model))


def _sums(upstreams: Mapping[str, str], since: int, until: int) -> Select[Any]:
    groups = (DAILY.c.day, DAILY.c.upstream, DAILY.c.model, DAILY.c.answered_model)
    names = ("attempts", *_COMPARED, "estimated", "unpriced")
    return (
        select(*groups, *(func.sum(DAILY.c[name]) for name in names))
        .where(DAILY.c.day >= since, DAILY.c.day < until, DAILY.c.upstream.in_(list(upstreams)))
        .group_by(*groups)
        .having(func.sum(DAILY.c.attempts) > 0)
    )


def _lines(upstreams: Mapping[str, str], day: int) -> Select[Any]:
    groups = (ADMISSIONS.c.upstream, ADMISSIONS.c.model, SETTLEMENTS.c.answered_model)
    before = ADMISSIONS.c.admitted_at < day * DAY
    return (
        select(
            *groups,
            func.count(),
            _count(_failed),
            _count(_estimated),
            _bound(SETTLEMENTS.c.input_tokens, ADMISSIONS.c.estimated_input_tokens),
            _bound(SETTLEMENTS.c.input_tokens, ADMISSIONS.c.estimated_input_tokens),
            _bound(SETTLEMENTS.c.output_tokens, ADMISSIONS.c.estimated_output_tokens),
            _bound(SETTLEMENTS.c.cost, ADMISSIONS.c.estimated_cost),
            _count(before & ~_failed),
            *(func.sum(case((before, SETTLEMENTS.c[name]), else_=0)) for name in _COMPARED),
        )
        .select_from(SETTLED_LINES)
        .where(*within(SETTLEMENTS.c.settled_at, Range(day * DAY, (day + 1) * DAY)))
        .where(ADMISSIONS.c.upstream.in_(list(upstreams)))
        .group_by(*groups)
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(one_if(condition))


def _bound(counted: ColumnElement[Any], admitted: ColumnElement[Any]) -> ColumnElement[int]:
    """Of the estimated attempts: what was counted or what was admitted, whichever is more."""
    first, second = func.coalesce(counted, 0), func.coalesce(admitted, 0)
    return func.sum(case((~_estimated, 0), (first >= second, first), else_=second))
