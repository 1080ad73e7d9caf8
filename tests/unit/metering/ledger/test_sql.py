"""The ledger on a real file: waiters that leave, a database that fails, leases.

What every ledger does: tests/conformance/test_ledger.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.tables import ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.ledger.group_commit import Batch
from gateway.metering.ledger.sql import SqlLedger
from gateway.metering.reports.sql import SqlUsageReports
from tests.support.clock import ManualClock
from tests.support.database import open_file
from tests.support.ledger_lines import a_settlement, an_admission
from tests.unit.metering.conftest import PATIENT


class Told:
    """What the ledger tells of its trouble, as it happens."""

    def __init__(self) -> None:
        self.news: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, trouble: StoreUnavailable | None) -> None:
        self.news.append("over" if trouble is None else "trouble")
        self._changed.set()

    async def until(self, news: str) -> None:
        async with asyncio.timeout(PATIENT):
            while news not in self.news:
                self._changed.clear()
                await self._changed.wait()


class WatchedLedger(SqlLedger):
    """Something can be done in the very moment in which it has heard of a write."""

    after_write: Callable[[], object] = staticmethod(lambda: None)

    def _confirm(self, batch: Batch) -> None:
        super()._confirm(batch)
        self.after_write()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def ledger(database: Database, clock: ManualClock, told: Told) -> AsyncIterator[SqlLedger]:
    ledger = SqlLedger(database=database, clock=clock, on_trouble=told, patience=PATIENT)
    yield ledger
    await ledger.close()


async def written(database: Database) -> dict[str, str | None]:
    """Attempts in the ledger, and the cause of their settlement."""

    def work(connection: Connection) -> dict[str, str | None]:
        both = ADMISSIONS.outerjoin(SETTLEMENTS, SETTLEMENTS.c.attempt_id == ADMISSIONS.c.attempt_id)
        rows = connection.execute(select(ADMISSIONS.c.attempt_id, SETTLEMENTS.c.cause).select_from(both))
        return {row.attempt_id: row.cause for row in rows}

    return await database.read(work)


async def leases(database: Database) -> dict[str, int]:
    def work(connection: Connection) -> dict[str, int]:
        return {row.id: row.lease_until for row in connection.execute(select(WORKERS))}

    return await database.read(work)


async def break_it(database: Database) -> None:
    await database.write(
        lambda connection: connection.execute(text("ALTER TABLE settlements RENAME TO away"))
    )


async def mend_it(database: Database) -> None:
    await database.write(
        lambda connection: connection.execute(text("ALTER TABLE away RENAME TO settlements"))
    )


async def test_an_admission_is_on_record_when_admit_returns(ledger: SqlLedger, database: Database) -> None:
    await ledger.admit(an_admission("att_1"))
    assert await written(database) == {"att_1": None}


async def test_what_is_open_is_counted(ledger: SqlLedger) -> None:
    await ledger.admit(an_admission("att_1"))
    await ledger.admit(an_admission("att_2"))
    ledger.settle(a_settlement("att_1"))
    await ledger.admit(an_admission("att_3"))
    assert ledger.open == 2


async def test_who_leaves_while_waiting_is_settled_as_having_used_nothing(
    ledger: SqlLedger, database: Database
) -> None:
    admitting = asyncio.gather(ledger.admit(an_admission("att_1")))
    await asyncio.sleep(0)
    admitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await admitting
    await ledger.close()
    assert await written(database) == {"att_1": "client_left"}
    (row,) = await SqlUsageReports(database).usage(("team",), None, None)
    assert (row.cost, row.unpriced, row.estimated, row.input_tokens) == (0, 0, 0, 0)


async def test_who_leaves_in_the_moment_of_the_writing_is_settled_too(
    database: Database, clock: ManualClock
) -> None:
    ledger = WatchedLedger(database=database, clock=clock, patience=PATIENT)
    admitting = asyncio.gather(ledger.admit(an_admission("att_1")))
    ledger.after_write = admitting.cancel
    with pytest.raises(asyncio.CancelledError):
        await admitting
    ledger.after_write = lambda: None
    await ledger.close()
    assert await written(database) == {"att_1": "client_left"}


async def test_without_the_database_nothing_is_admitted(
    ledger: SqlLedger, database: Database, told: Told
) -> None:
    await break_it(database)
    ledger.settle(a_settlement("att_0"))
    with pytest.raises(StoreUnavailable):
        await ledger.admit(an_admission("att_1"))
    with pytest.raises(StoreUnavailable):
        await ledger.admit(an_admission("att_2"))
    await mend_it(database)
    await told.until("over")
    assert await written(database) == {}


async def test_settlements_outlast_the_trouble(ledger: SqlLedger, database: Database, told: Told) -> None:
    await ledger.admit(an_admission("att_1"))
    await break_it(database)
    ledger.settle(a_settlement("att_1"))
    await told.until("trouble")
    await mend_it(database)
    await told.until("over")
    assert await written(database) == {"att_1": "served"}
    assert told.news == ["trouble", "over"]


async def test_trouble_ends_by_itself_though_nothing_waits_to_be_written(
    database: Database, clock: ManualClock, told: Told
) -> None:
    ledger = SqlLedger(database=database, clock=clock, on_trouble=told, patience=PATIENT, lease=3600)
    await ledger.admit(an_admission("att_1"))
    await database.write(lambda connection: connection.execute(text("ALTER TABLE admissions RENAME TO away")))
    with pytest.raises(StoreUnavailable):
        await ledger.admit(an_admission("att_2"))
    await database.write(lambda connection: connection.execute(text("ALTER TABLE away RENAME TO admissions")))
    await told.until("over")
    await ledger.admit(an_admission("att_3"))
    await ledger.close()


async def test_who_was_refused_for_lack_of_time_is_settled_when_it_was_written_after_all(
    database: Database, clock: ManualClock, told: Told, path: Path
) -> None:
    ledger = SqlLedger(database=database, clock=clock, on_trouble=told, patience=0.05)
    async with open_file(path) as other:
        with other.transaction(writes=True):
            with pytest.raises(StoreUnavailable, match="in time"):
                await ledger.admit(an_admission("att_1"))
            with pytest.raises(StoreUnavailable, match="in time"):
                await ledger.admit(an_admission("att_2"))
    await told.until("over")
    await ledger.close()
    assert await written(database) == {"att_1": "client_left"}


async def test_closing_with_a_failing_database_says_that_lines_are_missing(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.metering.ledger.sql.CLOSING", 0.05)
    ledger = SqlLedger(database=database, clock=clock, patience=PATIENT)
    await ledger.admit(an_admission("att_1"))
    await break_it(database)
    ledger.settle(a_settlement("att_1"))
    with pytest.raises(StoreUnavailable, match="could not write everything"):
        await ledger.close()


async def test_nothing_is_admitted_after_the_close(database: Database, clock: ManualClock) -> None:
    ledger = SqlLedger(database=database, clock=clock)
    await ledger.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await ledger.admit(an_admission("att_1"))


async def test_a_process_that_admits_has_a_lease(
    ledger: SqlLedger, database: Database, clock: ManualClock
) -> None:
    await ledger.admit(an_admission("att_1"))
    assert list((await leases(database)).values()) == [int((clock.now() + 15) * 1000)]


async def test_an_overdue_lease_is_renewed_with_the_next_admission(
    ledger: SqlLedger, database: Database, clock: ManualClock
) -> None:
    await ledger.admit(an_admission("att_1"))
    clock.advance(3600)
    await ledger.admit(an_admission("att_2"))
    assert list((await leases(database)).values()) == [int((clock.now() + 15) * 1000)]


async def test_a_lease_is_renewed_while_nothing_else_happens(database: Database, clock: ManualClock) -> None:
    ledger = WatchedLedger(database=database, clock=clock, patience=PATIENT, lease=0.03)
    await ledger.admit(an_admission("att_1"))
    clock.advance(60)
    renewed = asyncio.Event()
    ledger.after_write = renewed.set
    await asyncio.wait_for(renewed.wait(), PATIENT)
    assert min((await leases(database)).values()) > clock.now() * 1000
    await ledger.close()


async def test_a_process_that_leaves_nothing_open_leaves_no_lease(
    ledger: SqlLedger, database: Database
) -> None:
    await ledger.admit(an_admission("att_1"))
    ledger.settle(a_settlement("att_1"))
    await ledger.close()
    assert await leases(database) == {}


async def test_what_a_process_leaves_open_can_be_recovered_at_once(
    ledger: SqlLedger, database: Database, clock: ManualClock
) -> None:
    await ledger.admit(an_admission("att_1"))
    await ledger.close()
    assert len(await SqlLedger(database=database, clock=clock).recover()) == 1
    assert await written(database) == {"att_1": "crash"}


async def test_after_a_long_sleep_of_the_machine_a_process_does_not_bury_itself(
    ledger: SqlLedger, database: Database, clock: ManualClock
) -> None:
    await ledger.admit(an_admission("att_1"))
    clock.advance(3600)
    assert len(await ledger.recover()) == 0
    await ledger.admit(an_admission("att_2"))
    assert len(await ledger.recover()) == 0
    assert await written(database) == {"att_1": None, "att_2": None}


async def test_after_trouble_the_others_get_time_to_renew_their_leases(
    ledger: SqlLedger, database: Database, clock: ManualClock, told: Told
) -> None:
    other = SqlLedger(database=database, clock=clock, patience=PATIENT)
    await other.admit(an_admission("att_1"))
    await other.close()
    await ledger.admit(an_admission("att_2"))
    await break_it(database)
    ledger.settle(a_settlement("att_2"))
    await told.until("trouble")
    assert len(await ledger.recover()) == 0
    await mend_it(database)
    await told.until("over")
    assert len(await ledger.recover()) == 0
    clock.advance(15)
    assert len(await ledger.recover()) == 1
