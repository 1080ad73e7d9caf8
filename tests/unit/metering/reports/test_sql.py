"""How reports are read. What they say: tests/conformance/test_ledger.py."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.metering.reports.sql import SqlUsageReports, usage_query
from tests.support.clock import ManualClock
from tests.support.database import open_file
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.ledgers import begun

DAY = 86_400_000


async def plan(database: Database, by: tuple[str, ...], since: int | None, until: int | None) -> str:
    query = usage_query(by, since, until).compile(database.engine, compile_kwargs={"literal_binds": True})

    def work(connection: Connection) -> str:
        return " ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}")))

    return await database.read(work)


@pytest.mark.parametrize("by", [("team",), ("day", "team"), ("month", "user")])
async def test_whole_days_are_read_from_their_sums_alone(database: Database, by: tuple[str, ...]) -> None:
    told = await plan(database, by, DAY, 2 * DAY)
    assert "SEARCH daily USING PRIMARY KEY (day>? AND day<?)" in told
    assert "settlements" not in told


async def test_within_a_day_lines_are_read_by_the_index_on_the_time(database: Database) -> None:
    told = await plan(database, ("team", "day"), 1, 2 * DAY + 1)
    assert "SEARCH daily USING PRIMARY KEY (day>? AND day<?)" in told
    assert (
        told.count("SEARCH settlements USING INDEX settlements_by_time (settled_at>? AND settled_at<?)") == 4
    )
    assert told.count("SEARCH admissions USING PRIMARY KEY") == 4
    assert told.count("SEARCH adjustments USING INDEX adjustments_by_attempt") == 2
    assert "SCAN settlements" not in told
    assert "SCAN adjustments" not in told


async def test_a_report_can_be_read_while_another_process_writes(
    database: Database, clock: ManualClock, path: Path
) -> None:
    ledger = begun(database, path.parent, clock=clock)
    async with open_file(path) as other:
        reports = SqlUsageReports(other)
        for number in range(20):
            await ledger.admit(an_admission(f"att_{number}"))
            ledger.settle(a_settlement(f"att_{number}"))
            await asyncio.gather(ledger.flush(), reports.usage((), None, None))
        await ledger.close()
        assert [row.attempts for row in await reports.usage((), None, None)] == [20]


async def test_sums_are_exact_beyond_what_a_float_holds(
    database: Database, clock: ManualClock, path: Path
) -> None:
    ledger = begun(database, path.parent, clock=clock)
    for number, cost in enumerate((2**53, 1, 2)):
        await ledger.admit(an_admission(f"att_{number}"))
        ledger.settle(a_settlement(f"att_{number}", cost=cost))
    await ledger.close()
    assert [row.cost for row in await SqlUsageReports(database).usage(("team",), None, None)] == [2**53 + 3]


async def test_a_database_that_is_away_is_told(database: Database) -> None:
    await database.write(lambda connection: connection.execute(text("DROP TABLE daily")))
    with pytest.raises(StoreUnavailable):
        await SqlUsageReports(database).usage(("team",), None, None)
