"""What a budget asks of the ledger: what was spent in its window, and what is under way.

Both are read in one statement, so they are of one moment on either engine, and an attempt is in one of them:
it goes from `under_way` to `charges` in the transaction that writes its settlement.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Row,
    Select,
    Table,
    distinct,
    func,
    literal,
    null,
    select,
    union_all,
)

from gateway.core.patterns import matches
from gateway.core.policy import Counted
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.database.engine import Database
from gateway.database.tables import CHARGES, UNDER_WAY

Flush = Callable[[], Awaitable[None]]

_MILLISECONDS: Final = 1000


class SqlBooks:
    """The books that budgets are loaded from, over the house's database."""

    def __init__(self, database: Database, *, flush: Flush | None = None) -> None:
        """`flush`: brings what this process has written where it is read."""
        self._database = database
        self._flush = flush

    async def spending(self, query: SpendingQuery) -> Spending:
        """What was spent, and what is under way: of this process all, of others what they have shipped.

        Raises StoreUnavailable when the database is away; ValueError for what is not in the ledger (slots).
        """
        statement = spending_query(query)
        if self._flush is not None:
            await self._flush()

        def work(connection: Connection) -> Spending:
            return _added_up(query, connection.execute(statement))

        return await self._database.read(work)


def spending_query(query: SpendingQuery) -> CompoundSelect[Any, Any, Any]:
    """Rows of exchange, model and amount. No exchange: what was spent. Models are told apart when the query
    picks them by pattern; an exchange has one.

    An exchange of which anything is under way is counted as a request there alone.
    """
    spent = (
        _select(query, CHARGES, null())
        .where(CHARGES.c.settled_at >= query.since * _MILLISECONDS)
        .where(CHARGES.c.settled_at < query.until * _MILLISECONDS)
    )
    if query.counts is Counted.REQUESTS:
        spent = spent.where(CHARGES.c.exchange_id.not_in(select(UNDER_WAY.c.exchange_id)))
    under_way = _select(query, UNDER_WAY, UNDER_WAY.c.exchange_id).group_by(UNDER_WAY.c.exchange_id)
    return union_all(spent, under_way)


def _select(query: SpendingQuery, table: Table, exchange: ColumnElement[Any]) -> Select[Any, Any, Any]:
    whose = {"team": query.team, "subject": query.subject, "key_id": query.key_id, "model": query.model}
    picks = "*" not in query.models
    statement = select(exchange, table.c.model if picks else literal(""), _amount(table, query.counts)).where(
        *(table.c[name] == value for name, value in whose.items() if value is not None)
    )
    return statement.group_by(table.c.model) if picks else statement


def _amount(table: Table, counts: Counted) -> ColumnElement[Any]:
    columns = table.c
    match counts:
        case Counted.REQUESTS:
            return func.count(distinct(columns.exchange_id))
        case Counted.TOKENS:
            return func.sum(columns.input_tokens + columns.output_tokens)
        case Counted.INPUT_TOKENS | Counted.OUTPUT_TOKENS | Counted.IMAGES:
            return func.sum(columns[counts])
        case Counted.AUDIO_SECONDS:
            return func.sum((columns.audio_milliseconds + (_MILLISECONDS - 1)) // _MILLISECONDS)
        case Counted.DOLLARS:
            return func.sum(columns.cost)
        case Counted.CONCURRENT:
            raise ValueError("slots are not in the ledger")


def _added_up(query: SpendingQuery, rows: Iterable[Row[Any, Any, Any]]) -> Spending:
    spent, under_way = 0, []
    for exchange_id, model, amount in rows:
        if not matches(query.models, model):
            continue
        if exchange_id is None:
            spent += int(amount or 0)
        else:
            under_way.append(UnderWay(exchange_id, int(amount or 0)))
    return Spending(spent, tuple(under_way))
