"""What dead processes leave is settled once, and the living are left alone. The processes are real ones."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select, update

from gateway.core.attempt import Cause
from gateway.core.clock import SystemClock
from gateway.core.usage import UsageSource
from gateway.database.engine import Database
from gateway.database.tables import SETTLEMENTS, WORKERS
from gateway.metering.ledger.recovery import settle_abandoned
from gateway.metering.reports.sql import SqlUsageReports
from tests.support.clock import ManualClock
from tests.support.database import open_file
from tests.support.ledger_lines import an_admission
from tests.support.ledgers import begun
from tests.unit.metering.conftest import PATIENT

ROOT = Path(__file__).parents[4]

T = TypeVar("T")


@asynccontextmanager
async def process(path: Path, admitted: int, settled: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process on the same file, once it has written its lines."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.metering_process", str(path), str(admitted), str(settled)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert await asyncio.wait_for(child.stdout.readline(), PATIENT) == b"ready\n"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def in_seconds(seconds: float) -> int:
    return int((SystemClock().now() + seconds) * 1000)


async def attempts(database: Database) -> int:
    return sum(row.attempts for row in await SqlUsageReports(database).usage((), None, None))


async def test_what_a_killed_process_left_unsettled_is_found_after_its_lease(
    database: Database, path: Path
) -> None:
    async with process(path, 50, 30) as child:
        child.kill()
    assert len(await settle_abandoned(database, now=in_seconds(0))) == 0
    assert len(await settle_abandoned(database, now=in_seconds(16))) == 20
    assert await attempts(database) == 50
    assert list(await SqlUsageReports(database).unsettled()) == []


async def test_what_was_recovered_is_not_recovered_again(database: Database, path: Path) -> None:
    async with process(path, 5, 2) as child:
        child.kill()
    assert len(await settle_abandoned(database, now=in_seconds(16))) == 3
    assert len(await settle_abandoned(database, now=in_seconds(32))) == 0
    assert await attempts(database) == 5


async def test_of_two_who_recover_at_once_one_does(database: Database, path: Path) -> None:
    async with process(path, 50, 0) as child:
        child.kill()
    async with open_file(path) as other:
        now = in_seconds(16)
        settled = await asyncio.gather(settle_abandoned(database, now=now), settle_abandoned(other, now=now))
    assert sorted(map(len, settled)) == [0, 50]


async def test_a_living_process_keeps_its_attempts(database: Database, path: Path) -> None:
    async with process(path, 5, 2):
        assert len(await settle_abandoned(database, now=in_seconds(0))) == 0
        assert len(await SqlUsageReports(database).unsettled()) == 3


async def test_a_process_that_ended_properly_needs_no_lease_to_end(database: Database, path: Path) -> None:
    async with process(path, 5, 2) as child:
        assert child.stdin is not None
        child.stdin.close()
        await child.wait()
    assert len(await settle_abandoned(database, now=in_seconds(0))) == 3


async def test_two_processes_write_to_one_file(database: Database, path: Path) -> None:
    async with process(path, 400, 399) as first, process(path, 400, 399) as second:
        for child in (first, second):
            assert child.stdin is not None
            child.stdin.close()
            await child.wait()
    assert await attempts(database) == 2 * 399
    assert len(await SqlUsageReports(database).unsettled()) == 2


async def test_a_crash_is_settled_with_what_was_estimated(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    await _leave(database, tmp_path, clock)
    assert len(await settle_abandoned(database, now=int(clock.now() * 1000) + 15_001)) == 1

    def read(connection: Connection) -> dict[str, object]:
        return dict(connection.execute(select(SETTLEMENTS)).one()._mapping)

    row = await database.read(read)
    assert {name: value for name, value in row.items() if value} == {
        "attempt_id": "att_1",
        "settled_at": int(clock.now() * 1000) + 15_001,
        "cause": Cause.CRASH.value,
        "source": UsageSource.ESTIMATED.value,
        "input_tokens": 80,
        "output_tokens": 20,
        "cost": 400,
        "priced_by": "book",
    }


async def _leave(database: Database, folder: Path, clock: ManualClock) -> None:
    """A ledger that admitted an attempt, and of which nothing was heard since."""
    ledger = begun(database, folder, clock=clock)
    await ledger.admit(an_admission("att_1"))
    await ledger.flush()


class LateDatabase(Database):
    """Something happens before each write."""

    def __init__(self, database: Database, before_write: Callable[[Connection], object]) -> None:
        super().__init__(database.engine)
        self._before_write = before_write

    async def write(self, work: Callable[[Connection], T], *, timeout: float | None = None) -> T:
        await super().write(self._before_write)
        return await super().write(work, timeout=timeout)


async def test_a_process_that_renews_while_it_is_searched_for_is_left_alone(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    await _leave(database, tmp_path, clock)
    later = int(clock.now() * 1000) + 15_001
    renewal = update(WORKERS).values(lease_until=later + 1)
    late = LateDatabase(database, lambda connection: connection.execute(renewal))
    assert len(await settle_abandoned(late, now=later)) == 0
    assert len(await SqlUsageReports(database).unsettled()) == 1
