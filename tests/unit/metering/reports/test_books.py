"""How the books are read. What they say: tests/conformance/test_books.py."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Counted
from gateway.core.spending import Spending, SpendingQuery, UnderWay
from gateway.database.engine import Database
from gateway.metering.reports.books import SqlBooks, spending_query
from tests.support.clock import ManualClock
from tests.support.database import closing_database, open_url
from tests.support.ledger_lines import DAY, NOON, a_settlement, an_admission
from tests.support.ledgers import begun

SINCE, UNTIL = NOON // 1000, (NOON + DAY) // 1000
ALL = SpendingQuery(Counted.DOLLARS, SINCE, UNTIL)
SEARCH = SpendingQuery(Counted.DOLLARS, SINCE, UNTIL, team="search")
IN_LEDGER = [counts for counts in Counted if counts is not Counted.CONCURRENT]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Of either engine."""
    async with open_url(database_url) as database:
        yield database


def plan_of(sqlite_url: str, query: SpendingQuery) -> list[str]:
    with closing_database(sqlite_url) as database, database.transaction(writes=False) as connection:
        statement = spending_query(query).compile(database.engine, compile_kwargs={"literal_binds": True})
        return [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]


@pytest.mark.parametrize(
    "query",
    [
        *(SpendingQuery(counts, SINCE, UNTIL, team="search") for counts in IN_LEDGER),
        SpendingQuery(Counted.DOLLARS, SINCE, UNTIL, team="search", subject="ann"),
        SpendingQuery(Counted.DOLLARS, SINCE, UNTIL, team="search", key_id="k1", model="o3"),
        SpendingQuery(Counted.REQUESTS, SINCE, UNTIL, team="search", models=("gpt*",)),
        ALL,
        SpendingQuery(Counted.REQUESTS, SINCE, UNTIL, models=("gpt*",)),
        SpendingQuery(Counted.DOLLARS, SINCE, UNTIL, subject="ann"),
    ],
)
def test_of_the_past_only_the_window_is_read(sqlite_url: str, query: SpendingQuery) -> None:
    plan = plan_of(sqlite_url, query)
    assert "SEARCH charges USING PRIMARY KEY (settled_at>? AND settled_at<?)" in plan
    assert not [step for step in plan if step.startswith("SCAN charges")]


@pytest.mark.parametrize(
    ("counts", "team", "models"), [*product(IN_LEDGER, (None, "search"), (("*",), ("gpt*", "o3")))]
)
def test_the_same_is_asked_of_postgresql(counts: Counted, team: str | None, models: tuple[str, ...]) -> None:
    query = SpendingQuery(counts, SINCE, UNTIL, team=team, subject="ann", key_id="k1", models=models)
    dialect = create_engine("postgresql+psycopg://host/name").dialect
    statement = str(spending_query(query).compile(dialect=dialect))
    assert statement.count("charges.subject = ") == statement.count("under_way.subject = ") == 1
    assert ("GROUP BY charges.model" in statement) is ("*" not in models)


def test_slots_are_not_in_the_ledger() -> None:
    with pytest.raises(ValueError, match="slots"):
        spending_query(SpendingQuery(Counted.CONCURRENT, SINCE, UNTIL))


async def test_an_attempt_that_is_settled_meanwhile_is_counted_once(
    database: Database, clock: ManualClock, database_url: str, tmp_path: Path
) -> None:
    ledger = begun(database, tmp_path, clock=clock)
    for number in range(200):
        await ledger.admit(an_admission(f"att_{number}", exchange_id=f"ex_{number}", estimated_cost=1))
    async with open_url(database_url) as other:
        books = SqlBooks(other)
        await ledger.flush()
        for number in range(200):
            ledger.settle(a_settlement(f"att_{number}", cost=1))
            if number % 10 == 0:
                await ledger.flush()
            spending = await books.spending(ALL)
            assert spending.spent + len(spending.under_way) == 200
        await ledger.close()
        assert await books.spending(ALL) == Spending(200)


async def test_an_attempt_is_under_way_until_its_settlement_is_shipped(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    ledger = begun(database, tmp_path, clock=clock)
    await ledger.admit(an_admission("att_1", exchange_id="ex_1"))
    await ledger.flush()
    books = SqlBooks(database)
    ledger.settle(a_settlement("att_1"))
    assert await books.spending(ALL) == Spending(0, (UnderWay("ex_1", 400),))
    await ledger.close()
    assert await books.spending(ALL) == Spending(340)


async def test_what_a_dead_process_left_is_under_way_until_it_is_recovered(
    database: Database, clock: ManualClock, database_url: str, tmp_path: Path
) -> None:
    dead = begun(database, tmp_path, clock=clock)
    await dead.admit(an_admission("att_1", exchange_id="ex_1", estimated_cost=400))
    await dead.flush()
    books = SqlBooks(database)
    assert await books.spending(ALL) == Spending(0, (UnderWay("ex_1", 400),))
    clock.advance(60)
    async with open_url(database_url) as other:
        living = begun(other, tmp_path / "other", clock=clock)
        assert len(await living.recover()) == 1
    now = int(clock.now())
    recovered = SpendingQuery(Counted.DOLLARS, now, now + 1)
    assert await books.spending(recovered) == Spending(400)


async def test_sums_are_exact_beyond_what_a_float_holds(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    ledger = begun(database, tmp_path, clock=clock)
    for number, cost in enumerate((2**53, 1, 2)):
        await ledger.admit(an_admission(f"att_{number}"))
        ledger.settle(a_settlement(f"att_{number}", cost=cost))
    await ledger.close()
    assert await SqlBooks(database).spending(SEARCH) == Spending(2**53 + 3)


async def test_a_database_that_is_away_is_told(database: Database) -> None:
    def break_it(connection: Connection) -> None:
        connection.execute(text("DROP TABLE charges"))

    await database.write(break_it)
    with pytest.raises(StoreUnavailable):
        await SqlBooks(database).spending(ALL)
