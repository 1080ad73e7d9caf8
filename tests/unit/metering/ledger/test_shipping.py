"""On and on, in lots, through trouble: what is refused holds up nothing, and nobody waits for the dead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.ledger import journal, journaled
from gateway.metering.ledger.journaled import JournaledLedger
from gateway.metering.ledger.rows import settlement_json
from tests.support.clock import ManualClock
from tests.support.database import open_url
from tests.support.disk import full_disk
from tests.support.eventually import eventually
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.ledgers import Told, a_ledger, begun, turn_over
from tests.support.written_lines import rows

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
HUGE = Usage(UsageSource.PROVIDER, input_tokens=2**70)
NAMES = [f"att_{number:03}" for number in range(40)]
BREAK = "ALTER TABLE settlements RENAME TO away"
MEND = "ALTER TABLE away RENAME TO settlements"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as database:
        yield database


@pytest.fixture
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two lines or so."""
    monkeypatch.setattr(journal, "PORTION", 1000)


class Hurrying(ManualClock):
    """Each look at it costs a second."""

    def now(self) -> float:
        self.advance(1)
        return super().now()


async def order(database: Database, statement: str) -> None:
    await database.write(lambda connection: connection.execute(text(statement)))


async def admit(ledger: JournaledLedger, *names: str) -> None:
    for name in names:
        await ledger.admit(an_admission(name))


async def left_by_the_dead(database: Database, folder: Path, *names: str) -> str:
    """A journal in which these are admitted; whose it is."""
    dead = begun(database, folder)
    await admit(dead, *names)
    dead._journal.close()
    return dead._journal.worker


@asynccontextmanager
async def running(ledger: JournaledLedger) -> AsyncIterator[None]:
    task = asyncio.create_task(ledger.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def names_in(database: Database) -> list[str]:
    return [line["attempt_id"] for line in rows(database, ADMISSIONS)]


def settled_in(database: Database) -> dict[str, str]:
    return {line["attempt_id"]: line["cause"] for line in rows(database, SETTLEMENTS)}


# its own journal


async def test_lines_are_shipped_by_themselves(database: Database, tmp_path: Path) -> None:
    async with a_ledger(database, tmp_path) as ledger, running(ledger):
        await admit(ledger, "att_1")
        await eventually(lambda: names_in(database) == ["att_1"])


async def test_a_flush_is_of_what_was_there_when_it_began(database: Database, tmp_path: Path) -> None:
    """Else it would have no end, and meet lines that are half written."""
    async with a_ledger(database, tmp_path, segment=1000) as ledger:
        await admit(ledger, "att_1")
        flush = asyncio.create_task(ledger.flush())
        await asyncio.sleep(0)
        await admit(ledger, *NAMES)
        await flush
        assert names_in(database) == ["att_1"]


async def test_how_far_behind_is_told_also_when_new_lines_come_all_the_time(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, clock=clock, told=told) as ledger:
        for turn in range(3):
            await admit(ledger, f"att_{turn}")
            flush = asyncio.create_task(ledger.flush())
            await asyncio.sleep(0)
            await admit(ledger, f"att_new_{turn}")
            clock.advance(2)
            await flush
            assert (told.age, told.unshipped > 0) == (2, True)
            clock.advance(50)


async def test_how_far_behind_grows_while_the_database_is_away(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, clock=clock, told=told) as ledger:
        await ledger.flush()
        await order(database, BREAK)
        await admit(ledger, "att_1")
        ledger.settle(a_settlement("att_1"))
        for age in (7, 14):
            clock.advance(7)
            with pytest.raises(StoreUnavailable):
                await ledger.flush()
            assert told.age == age
        await order(database, MEND)


async def test_a_flush_that_is_given_up_loses_and_doubles_nothing(postgres_url: str, tmp_path: Path) -> None:
    async with open_url(postgres_url) as database, a_ledger(database, tmp_path) as ledger:
        await admit(ledger, *NAMES)
        for name in NAMES:
            ledger.settle(a_settlement(name))
        with psycopg.connect(postgres_url) as operator:
            operator.execute("LOCK TABLE settlements IN ACCESS EXCLUSIVE MODE")
            for seconds in (0.001, 0.05, 0.1):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await ledger.flush()
        await ledger.flush()
        assert (names_in(database), set(settled_in(database))) == (NAMES, set(NAMES))
        assert rows(database, ADJUSTMENTS) == []


# what is refused


async def test_a_lease_is_kept_although_lines_are_refused(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    async with a_ledger(database, tmp_path, clock=clock) as ledger:
        for turn in range(4):
            await admit(ledger, f"att_{turn}")
            ledger.settle(a_settlement(f"att_{turn}", usage=HUGE))
            await ledger.flush()
            (lease,) = rows(database, WORKERS)
            assert lease["lease_until"] == int((clock.now() + 15) * 1000)
            clock.advance(5)


@pytest.mark.usefixtures("small_lots")
async def test_a_lease_is_kept_while_much_is_shipped(database: Database, tmp_path: Path) -> None:
    clock = Hurrying()
    async with a_ledger(database, tmp_path, clock=clock) as ledger:
        await admit(ledger, *NAMES)
        await ledger.flush()
        (lease,) = rows(database, WORKERS)
        assert lease["lease_until"] > clock.now() * 1000


async def test_a_refused_line_is_put_aside_once_however_often_its_lot_is_tried(
    postgres_url: str, tmp_path: Path
) -> None:
    told = Told()
    async with open_url(postgres_url) as database, a_ledger(database, tmp_path, told=told) as ledger:
        await order(
            database,
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no disk' USING ERRCODE = '58030'; END $$",
        )
        await order(
            database,
            "CREATE TRIGGER fails BEFORE INSERT ON settlements FOR EACH ROW"
            " WHEN (NEW.attempt_id = 'att_002') EXECUTE FUNCTION fail()",
        )
        await admit(ledger, *NAMES[:3])
        ledger.settle(a_settlement("att_001", usage=HUGE))
        ledger.settle(a_settlement("att_002"))
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await ledger.flush()
        await order(database, "DROP TRIGGER fails ON settlements")
        await ledger.flush()
        assert settled_in(database) == {"att_002": "served"}
    (kept,) = (tmp_path / "journal").glob("*.damaged")
    assert kept.read_bytes().count(b"\n") == 1
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len([news for news in told.news if "damaged" in news]) == 1


async def test_a_damaged_line_is_put_aside_told_of_and_holds_up_no_other(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, told=told) as ledger:
        await admit(ledger, *NAMES)
        (file,) = (tmp_path / "journal").glob("*.journal")
        content = bytearray(file.read_bytes())
        content[content.index(b"att_007") + 3] ^= 1
        file.write_bytes(content)
        await ledger.flush()
        assert names_in(database) == [name for name in NAMES if name != "att_007"]
    (kept,) = (tmp_path / "journal").glob("*.damaged")
    assert told.news == [f"1 damaged in {kept.name}: it is damaged"]


# what is kept in memory


async def test_settlements_that_the_disk_had_no_room_for_are_written_when_it_has_without_any_request(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, told=told) as ledger, running(ledger):
        await admit(ledger, *NAMES)
        with full_disk():
            for name in NAMES:
                ledger.settle(a_settlement(name))
            await turn_over()
            assert told.news[-1].startswith("ledger: ")
        await eventually(lambda: set(settled_in(database)) == set(NAMES))
        assert "ledger back" in told.news


async def test_they_are_written_although_the_database_is_away(tmp_path: Path) -> None:
    told = Told()
    async with open_url(NOWHERE) as away:
        ledger = begun(away, tmp_path, told=told)
        async with running(ledger):
            await admit(ledger, "att_1")
            with full_disk():
                ledger.settle(a_settlement("att_1"))
                await turn_over()
            await eventually(lambda: "ledger back" in told.news)
        await ledger.close()
    (file,) = (tmp_path / "journal").glob("*.journal")
    assert file.read_bytes().count(b"\nS ") == 1


async def test_they_are_written_at_the_close_when_shipping_has_made_room(
    database: Database, tmp_path: Path
) -> None:
    async with a_ledger(database, tmp_path, most=20_000) as ledger:
        await admit(ledger, *NAMES[:20])
        while ledger._journal.unshipped < 20_000:
            ledger._journal.append([], [settlement_json(a_settlement("att_002"))])
        ledger.settle(a_settlement("att_001"))
        assert ledger._kept
    assert set(settled_in(database)) == {"att_001", "att_002"}


async def test_they_are_written_in_handfuls(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand at once would hold up the loop for half a second."""
    monkeypatch.setattr(journaled, "AT_ONCE", 10)
    async with a_ledger(database, tmp_path) as ledger:
        await admit(ledger, *NAMES)
        with full_disk():
            for name in NAMES[:-1]:
                ledger.settle(a_settlement(name))
            await turn_over()
        ledger.settle(a_settlement(NAMES[-1]))
        await turn_over()
        assert len(ledger._kept) == len(NAMES) - 10
        await ledger.flush()
        assert list(settled_in(database)) == NAMES


async def test_of_more_than_can_be_kept_the_number_is_known(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journaled, "MOST_KEPT", 3)
    async with a_ledger(database, tmp_path) as ledger:
        with full_disk():
            for name in NAMES[:5]:
                ledger.settle(a_settlement(name))
        assert (ledger.lost, len(ledger._kept)) == (2, 3)


# the dead


async def test_what_could_not_be_adopted_is_adopted_later(database: Database, tmp_path: Path) -> None:
    """Each of them: none stays in the hand of whoever tried."""
    for name in NAMES[:3]:
        await left_by_the_dead(database, tmp_path, name)
    async with a_ledger(database, tmp_path) as ledger:
        await order(database, "ALTER TABLE admissions RENAME TO away")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await ledger.recover()
        await order(database, "ALTER TABLE away RENAME TO admissions")
        await ledger.recover()
        assert names_in(database) == NAMES[:3]
    assert list((tmp_path / "journal").iterdir()) == []


async def test_an_adoption_that_is_given_up_leaves_the_journal_to_the_next(
    postgres_url: str, tmp_path: Path
) -> None:
    async with open_url(postgres_url) as database:
        for name in NAMES[:3]:
            await left_by_the_dead(database, tmp_path, name)
        async with a_ledger(database, tmp_path) as ledger, a_ledger(database, tmp_path) as other:
            with psycopg.connect(postgres_url) as operator:
                operator.execute("LOCK TABLE admissions IN ACCESS EXCLUSIVE MODE")
                for seconds in (0.0, 0.05):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await ledger.recover()
            await other.recover()
            assert names_in(database) == NAMES[:3]


async def test_with_nothing_to_adopt_nothing_is_told_of_the_database(
    database: Database, tmp_path: Path
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path, told=told) as ledger:
        await order(database, BREAK)
        await admit(ledger, "att_1")
        ledger.settle(a_settlement("att_1"))
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await ledger.flush()
            await ledger.recover()
        assert told.news == ["shipping stands still"]
        await order(database, MEND)


async def test_what_cannot_be_opened_is_told_of_once_and_holds_up_nothing(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path / "elsewhere", clock=clock) as lost:
        await admit(lost, "att_lost")
        await lost.flush()
        clock.advance(16)
        await left_by_the_dead(database, tmp_path, "att_1")
        (tmp_path / "journal" / "wrk_0.lock").mkdir()
        async with a_ledger(database, tmp_path, clock=clock, told=told) as ledger:
            for _ in range(3):
                await ledger.recover()
        assert settled_in(database) == {"att_1": "crash", "att_lost": "crash"}
    assert told.news == ["0 damaged in wrk_0.lock: it fails: Is a directory"]


async def test_when_the_folder_is_gone_that_is_told_and_leases_are_still_looked_at(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    told = Told()
    async with a_ledger(database, tmp_path / "elsewhere", clock=clock) as lost:
        await admit(lost, "att_lost")
        await lost.flush()
        clock.advance(16)
        async with a_ledger(database, tmp_path, clock=clock, told=told) as ledger:
            (tmp_path / "journal").rename(tmp_path / "away")
            assert [each.attempt_id for each in await ledger.recover()] == ["att_lost"]
            await admit(ledger, "att_1")
            with pytest.raises(StoreUnavailable, match="files cannot be used"):
                await ledger.flush()
            (tmp_path / "away").rename(tmp_path / "journal")
            await ledger.flush()
        assert names_in(database) == ["att_1", "att_lost"]
    assert told.news == [
        "0 damaged in journal: it fails: No such file or directory",
        "shipping stands still",
        "shipping again",
    ]


@pytest.mark.usefixtures("small_lots")
async def test_nobodys_own_lines_wait_until_the_dead_are_done(database: Database, tmp_path: Path) -> None:
    """Nor their lease, which would end meanwhile."""
    await left_by_the_dead(database, tmp_path, *(f"dead_{number}" for number in range(200)))
    async with a_ledger(database, tmp_path) as ledger:
        recovery = asyncio.create_task(ledger.recover())
        await asyncio.sleep(0)
        await admit(ledger, "att_1")
        await ledger.flush()
        assert "att_1" in names_in(database)
        assert len(names_in(database)) < 100
        await recovery
        assert len(names_in(database)) == 201


async def test_two_who_adopt_at_once_count_everything_once(database: Database, tmp_path: Path) -> None:
    for name in NAMES[:6]:
        await left_by_the_dead(database, tmp_path, name)
    async with a_ledger(database, tmp_path) as one, a_ledger(database, tmp_path) as other:
        found = await asyncio.gather(one.recover(), other.recover(), one.recover())
        found += [await one.recover()]
        assert sorted(each.attempt_id for part in found for each in part) == NAMES[:6]
        assert settled_in(database) == dict.fromkeys(NAMES[:6], "crash")
