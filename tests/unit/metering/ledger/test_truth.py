"""What the database makes of lines: each once, the truth that comes late, what is refused."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import Connection, text

from gateway.core.attempt import Cause
from gateway.core.errors import StoreUnavailable
from gateway.core.usage import Usage, UsageSource
from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS, WORKERS
from gateway.metering.interfaces import PricedBy
from gateway.metering.ledger.rows import admission_json, settlement_json
from gateway.metering.ledger.truth import Refused, Truth
from gateway.metering.reports.sql import SqlUsageReports
from tests.support.database import migrated, open_url
from tests.support.ledger_lines import ESTIMATE, NOON, a_settlement, an_admission
from tests.support.written_lines import rows


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as database:
        yield Database(database.engine, threads=1)


@pytest.fixture
def truth(database: Database) -> Truth:
    return Truth(database)


def admitted(*names: str, **changes: Any) -> list[bytes]:
    return [admission_json(an_admission(name, **changes), "wrk_1") for name in names]


def settled(*names: str, **changes: Any) -> list[bytes]:
    return [settlement_json(a_settlement(name, **changes)) for name in names]


def crashed(**changes: Any) -> list[bytes]:
    values = {"cause": Cause.CRASH, "usage": ESTIMATE, "cost": 400, "status": None, "settled_at": NOON + 500}
    return settled("att_1", **(values | changes))


async def sums(database: Database) -> Any:
    (row,) = await SqlUsageReports(database).usage((), None, None)
    return row


def without(line: bytes, name: str) -> bytes:
    fields = msgspec.json.decode(line)
    del fields[name]
    return msgspec.json.encode(fields)


async def test_taking_lines_twice_is_taking_them_once(truth: Truth, database: Database) -> None:
    for _ in range(2):
        await truth.take(admitted("att_1", "att_2"), settled("att_1"), now=NOON)
    row = await sums(database)
    assert (row.attempts, row.cost, rows(database, ADJUSTMENTS)) == (1, 340, [])
    assert [line["attempt_id"] for line in rows(database, ADMISSIONS)] == ["att_1", "att_2"]


async def test_a_lease_is_what_was_said_last(truth: Truth, database: Database) -> None:
    for until in (NOON, 0, NOON + 7):
        await truth.renew("wrk_1", until)
        assert rows(database, WORKERS) == [{"id": "wrk_1", "lease_until": until}]


LATE = [
    ("all is as estimated", {}, {"usage": ESTIMATE, "cost": 400}, (0, 0, 0)),
    ("it cost less", {}, {"cost": 340}, (-60, 0, -1)),
    ("the crash had no price", {"cost": None, "priced_by": PricedBy.NOTHING}, {"cost": 340}, (340, -1, -1)),
    ("the truth has no price", {}, {"cost": None, "priced_by": PricedBy.NOTHING}, (-400, 1, -1)),
    (
        "it is an estimate as well",
        {},
        {"usage": Usage(UsageSource.PARTIAL, input_tokens=1), "cost": 9},
        (-391, 0, 0),
    ),
    ("nothing was used", {}, {"usage": Usage(UsageSource.ESTIMATED), "cost": 0}, (-400, 0, -1)),
]


@pytest.mark.parametrize(
    ("found", "told", "differences"), [case[1:] for case in LATE], ids=[case[0] for case in LATE]
)
async def test_a_late_truth_makes_up_the_difference(
    truth: Truth, database: Database, found: Any, told: Any, differences: Any
) -> None:
    late = a_settlement(**told)
    await truth.take(admitted("att_1"), crashed(**found), now=NOON)
    for later in (NOON + 9000, NOON + 9001):
        await truth.take([], [settlement_json(late)], now=later)
    (line,) = rows(database, ADJUSTMENTS)
    assert (line["cost"], line["unpriced"], line["estimated"]) == differences
    assert (line["id"], line["reason"], line["settled_at"]) == ("late_att_1", "late", NOON + 500)
    assert (line["adjusted_at"], line["source"], line["priced_by"]) == (
        NOON + 9000,
        late.usage.source,
        late.priced_by,
    )
    row = await sums(database)
    units = [unit for unit in Usage._fields if unit != "source"]
    assert [getattr(row, unit) for unit in units] == [getattr(late.usage, unit) for unit in units]
    assert (row.attempts, row.cost, row.unpriced) == (1, late.cost or 0, int(late.cost is None))


@pytest.mark.parametrize("first", [settled("att_1"), crashed()], ids=["told", "crashed twice"])
async def test_only_a_crash_is_corrected_and_by_no_other_crash(
    truth: Truth, database: Database, first: list[bytes]
) -> None:
    await truth.take(admitted("att_1"), first, now=NOON)
    again = crashed(cost=1) if first == crashed() else settled("att_1", cost=999)
    await truth.take([], again, now=NOON)
    assert rows(database, ADJUSTMENTS) == []


@pytest.mark.parametrize(
    ("admissions", "settlements"),
    [
        ([without(admitted("att_2")[0], "team")], []),
        ([], [without(settled("att_2")[0], "cost")[:-1]]),
        ([], settled("att_2", cost=2**70)),
        ([], [without(settled("att_2")[0], "cause")]),
    ],
    ids=["of a release without a column", "half", "too large", "without its cause"],
)
async def test_a_line_that_cannot_be_is_refused_and_nothing_of_its_lot_is_there(
    truth: Truth, database: Database, admissions: list[bytes], settlements: list[bytes]
) -> None:
    with pytest.raises(Refused) as refused:
        await truth.take(admitted("att_1") + admissions, settled("att_1") + settlements, now=NOON)
    assert (rows(database, ADMISSIONS), rows(database, SETTLEMENTS)) == ([], [])
    assert "search" not in str(refused.value), "values stay where they are"


async def test_what_a_newer_release_says_beyond_is_left_out(truth: Truth, database: Database) -> None:
    line = msgspec.json.encode(msgspec.json.decode(settled("att_1")[0]) | {"mood": "good"})
    await truth.take(admitted("att_1"), [line], now=NOON)
    assert (await sums(database)).attempts == 1


async def test_a_database_that_is_away_is_no_refusal() -> None:
    async with open_url("postgresql://nobody@127.0.0.1:1/nothing") as away:
        with pytest.raises(StoreUnavailable):
            await Truth(away).take(admitted("att_1"), [], now=NOON)


async def test_behind_a_lock_a_thread_gives_up_in_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing could be shipped, nor the process end, for as long as somebody else likes."""
    monkeypatch.setattr("gateway.metering.ledger.truth.SECONDS", 0.3)
    async with open_url(postgres_url) as opened:
        database = Database(opened.engine, threads=1)
        with psycopg.connect(postgres_url) as operator:
            operator.execute("LOCK TABLE settlements IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StoreUnavailable):
                await Truth(database).take(admitted("att_1"), settled("att_1"), now=NOON)
            await database.read(lambda connection: connection.execute(text("SELECT 1")), timeout=5)


@pytest.mark.parametrize("others_place", [False, True], ids=["gone", "replaced"])
async def test_a_sqlite_file_that_is_not_there_any_more_takes_nothing(
    tmp_path: Path, others_place: bool
) -> None:
    file = tmp_path / "gateway.db"
    async with open_url(migrated(f"sqlite:///{file}")) as opened:
        database = Database(opened.engine, threads=1)
        truth = Truth(database)
        shutil.copy(file, tmp_path / "copy")
        await truth.take(admitted("att_1"), [], now=NOON)
        for name in ("gateway.db", "gateway.db-wal", "gateway.db-shm"):
            (tmp_path / name).rename(tmp_path / f"away-{name}")
        if others_place:
            shutil.copy(tmp_path / "copy", file)
        with pytest.raises(StoreUnavailable):
            await truth.take(admitted("att_2"), [], now=NOON)
        if others_place:
            await truth.take(admitted("att_2"), [], now=NOON)
            assert [line["attempt_id"] for line in rows(database, ADMISSIONS)] == ["att_2"]


async def test_shippers_that_meet_do_not_lock_each_other_out(postgres_url: str) -> None:
    """Lines of the same teams in opposite orders, and the very same lines at once."""

    async def ship(name: str, order: list[int]) -> None:
        async with open_url(postgres_url) as database:
            for turn in range(5):
                own = [f"att_{name}_{turn}_{number}" for number in order]
                lines = [admitted(each, team=f"team-{each[-1]}")[0] for each in own]
                both = [f"att_{turn}_{number}" for number in order]
                await Truth(database).take([*lines, *admitted(*both)], settled(*own, *both), now=NOON)

    orders = [list(range(50)), list(range(50))[::-1]]
    await asyncio.gather(*[ship(f"{number}", orders[number % 2]) for number in range(4)])
    async with open_url(postgres_url) as database:
        assert (await sums(database)).attempts == 5 * 5 * 50
        assert await database.read(_deadlocks) == 0


def _deadlocks(connection: Connection) -> int:
    query = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(connection.execute(query).scalar_one())
