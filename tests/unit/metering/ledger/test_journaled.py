"""The ledger of one process: what is promised when its journal fails, when the database does, and at the end.

What every ledger does: tests/conformance/test_ledger.py.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from gateway.core.attempt import Cause
from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, DAILY, SETTLEMENTS, WORKERS
from gateway.metering.ledger.journaled import JournaledLedger
from tests.support.clock import ManualClock
from tests.support.database import open_url
from tests.support.disk import full_disk
from tests.support.ledger_lines import ESTIMATE, USAGE, a_settlement, an_admission
from tests.support.ledgers import Told, a_ledger, begun, turn_over


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


async def order(database: Database, statement: str) -> None:
    await database.write(lambda connection: connection.execute(text(statement)))


BREAK = "ALTER TABLE settlements RENAME TO away"
MEND = "ALTER TABLE away RENAME TO settlements"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """On both engines."""
    async with open_url(database_url) as database:
        yield database


async def test_what_was_handed_over_is_in_the_database_after_a_flush(
    database: Database, tmp_path: Path
) -> None:
    async with a_ledger(database, tmp_path) as ledger:
        await ledger.admit(an_admission("att_1"))
        await ledger.admit(an_admission("att_2"))
        ledger.settle(a_settlement("att_1"))
        await ledger.flush()
        assert await written(database) == {"att_1": "served", "att_2": None}


async def test_without_the_database_attempts_are_admitted_all_the_same(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, told=told) as ledger:
        await order(database, BREAK)
        await ledger.admit(an_admission("att_1"))
        ledger.settle(a_settlement("att_1"))
        with pytest.raises(StoreUnavailable):
            await ledger.flush()
        assert told.news == ["shipping stands still"]
        await order(database, MEND)
        await ledger.flush()
        assert told.news == ["shipping stands still", "shipping again"]
        assert await written(database) == {"att_1": "served"}


async def test_when_the_disk_is_full_nothing_is_admitted_and_settlements_are_kept(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, told=told) as ledger:
        await ledger.admit(an_admission("att_1"))
        with full_disk():
            ledger.settle(a_settlement("att_1"))
            with pytest.raises(StoreUnavailable):
                await ledger.admit(an_admission("att_2"))
            with pytest.raises(StoreUnavailable):
                await ledger.flush()
        await ledger.flush()
        assert await written(database) == {"att_1": "served"}
        own = [news.partition(":")[0] for news in told.news if news.startswith("ledger")]
        assert own == ["ledger", "ledger back"]


async def test_a_full_journal_admits_nothing_until_it_is_shipped(database: Database, tmp_path: Path) -> None:
    async with a_ledger(database, tmp_path, most=20_000) as ledger:
        with pytest.raises(StoreUnavailable, match="full"):
            await admit_all(ledger, (f"att_{number:03}" for number in range(100)))
        ledger.settle(a_settlement("att_000"))
        await ledger.flush()
        assert (await written(database))["att_000"] == "served"
        await ledger.admit(an_admission("att_100"))


async def admit_all(ledger: JournaledLedger, names: Iterable[str]) -> None:
    for name in names:
        await ledger.admit(an_admission(name))


async def test_what_cannot_be_shipped_at_the_end_is_left_to_the_next_process(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, told=told) as ledger:
        await ledger.admit(an_admission("att_1"))
        ledger.settle(a_settlement("att_1"))
        await order(database, BREAK)
    assert told.news == ["shipping stands still", "left"]
    await order(database, MEND)
    async with a_ledger(database, tmp_path) as ledger:
        assert list(await ledger.recover()) == []
    assert await written(database) == {"att_1": "served"}
    assert list((tmp_path / "journal").iterdir()) == []


async def test_after_the_close_nothing_is_taken(database: Database, tmp_path: Path) -> None:
    async with a_ledger(database, tmp_path) as ledger:
        await ledger.close()
        with pytest.raises(StoreUnavailable):
            await ledger.admit(an_admission("att_1"))
        ledger.settle(a_settlement("att_1"))
        assert ledger.lost == 1


async def test_a_lease_is_renewed_with_the_lines(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    async with a_ledger(database, tmp_path, clock=clock, lease=15.0) as ledger:
        await ledger.admit(an_admission("att_1"))
        await ledger.flush()
        assert list((await leases(database)).values()) == [int((clock.now() + 15) * 1000)]
        clock.advance(5)
        await ledger.flush()
        assert list((await leases(database)).values()) == [int((clock.now() + 15) * 1000)]
    assert list((await leases(database)).values()) == [0]


async def test_what_another_had_settled_as_crashed_is_corrected_once(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    """A replica that could not reach the database for longer than its lease, and lives."""
    async with a_ledger(database, tmp_path / "one", clock=clock) as slow:
        await slow.admit(an_admission("att_1", estimate=ESTIMATE, estimated_cost=400))
        await slow.flush()
        clock.advance(16)
        async with a_ledger(database, tmp_path / "other", clock=clock) as other:
            assert [each.attempt_id for each in await other.recover()] == ["att_1"]
        slow.settle(a_settlement("att_1", usage=USAGE, cost=340))
        slow.settle(a_settlement("att_1", usage=USAGE, cost=340))
        await slow.flush()
    assert await written(database) == {"att_1": Cause.CRASH.value}
    (correction,) = await database.read(lambda connection: connection.execute(select(ADJUSTMENTS)).all())
    assert (correction.reason, correction.source) == ("late", "provider")
    assert (correction.input_tokens, correction.output_tokens, correction.cached_tokens) == (10, -9, 30)
    assert (correction.cost, correction.unpriced, correction.estimated) == (-60, 0, -1)
    (day,) = await database.read(lambda connection: connection.execute(select(DAILY)).all())
    assert (day.attempts, day.input_tokens, day.output_tokens, day.cost, day.estimated) == (1, 90, 11, 340, 0)


async def test_a_crash_whose_price_was_not_known_becomes_priced(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    async with a_ledger(database, tmp_path / "one", clock=clock) as slow:
        await slow.admit(an_admission("att_1", estimated_cost=None))
        await slow.flush()
        clock.advance(16)
        async with a_ledger(database, tmp_path / "other", clock=clock) as other:
            await other.recover()
        slow.settle(a_settlement("att_1", cost=340))
        await slow.flush()
    (day,) = await database.read(lambda connection: connection.execute(select(DAILY)).all())
    assert (day.cost, day.unpriced) == (340, 0)


async def test_a_line_that_the_database_will_not_have_holds_up_no_other(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    huge = Usage(UsageSource.PROVIDER, input_tokens=2**70)
    async with a_ledger(database, tmp_path, told=told) as ledger:
        for name in ("att_1", "att_2", "att_3"):
            await ledger.admit(an_admission(name))
        ledger.settle(a_settlement("att_1"))
        ledger.settle(a_settlement("att_2", usage=huge))
        ledger.settle(a_settlement("att_3"))
        await ledger.flush()
        assert await written(database) == {"att_1": "served", "att_2": None, "att_3": "served"}
    (news,) = told.news
    assert news.startswith("1 damaged in wrk_")
    (kept,) = (tmp_path / "journal").glob("*.damaged")
    assert b"att_2" in kept.read_bytes()


async def test_a_dead_processs_journal_is_shipped_and_its_attempts_settled(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    dead = begun(database, tmp_path, clock=clock)
    await dead.admit(an_admission("att_1"))
    await dead.flush()
    await dead.admit(an_admission("att_2"))
    await dead.admit(an_admission("att_3"))
    dead.settle(a_settlement("att_3"))
    await turn_over()
    dead._journal.close()
    async with a_ledger(database, tmp_path, clock=clock) as ledger:
        clock.advance(1)
        assert sorted(each.attempt_id for each in await ledger.recover()) == ["att_1", "att_2"]
        assert list(await ledger.recover()) == []
    assert await written(database) == {"att_1": "crash", "att_2": "crash", "att_3": "served"}


async def test_a_living_processs_attempts_are_left_alone(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    async with (
        a_ledger(database, tmp_path, clock=clock) as living,
        a_ledger(database, tmp_path, clock=clock) as other,
    ):
        await living.admit(an_admission("att_1"))
        await living.flush()
        clock.advance(14)
        assert list(await other.recover()) == []


async def test_who_could_not_renew_its_own_lease_judges_nobody(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    async with a_ledger(database, tmp_path / "one", clock=clock) as one:
        await one.admit(an_admission("att_1"))
        await one.flush()
        async with a_ledger(database, tmp_path / "other", clock=clock) as other:
            await other.flush()
            clock.advance(16)
            assert list(await other.recover()) == []
            await other.flush()
            clock.advance(14)
            assert list(await other.recover()) == []
            await other.flush()
            clock.advance(2)
            assert [each.attempt_id for each in await other.recover()] == ["att_1"]


async def test_all_of_one_turn_is_one_write(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_ledger(database, tmp_path) as ledger:
        writes: list[int] = []
        append = ledger._journal.append

        def counted(admissions: Sequence[bytes], settlements: Sequence[bytes]) -> None:
            writes.append(len(admissions) + len(settlements))
            append(admissions, settlements)

        monkeypatch.setattr(ledger._journal, "append", counted)
        for number in range(3):
            ledger.settle(a_settlement(f"att_{number}"))
        await asyncio.gather(*(ledger.admit(an_admission(f"att_{number}")) for number in range(5)))
        assert writes == [3, 5], "the five came a turn later"


async def test_who_leaves_while_it_is_written_is_settled_as_having_used_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with a_ledger(database, tmp_path) as ledger:
        admitting = asyncio.gather(ledger.admit(an_admission("att_1")))
        await asyncio.sleep(0)
        admitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await admitting
        await ledger.flush()
        assert await written(database) == {"att_1": "client_left"}
    (day,) = await database.read(lambda connection: connection.execute(select(DAILY)).all())
    assert (day.cost, day.unpriced, day.estimated, day.input_tokens) == (0, 0, 0, 0)


async def test_who_leaves_while_it_could_not_be_written_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with a_ledger(database, tmp_path) as ledger:
        with full_disk():
            admitting = asyncio.gather(ledger.admit(an_admission("att_1")))
            await asyncio.sleep(0)
            admitting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await admitting
        await ledger.flush()
        assert await written(database) == {}
