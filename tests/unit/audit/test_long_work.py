"""Work of many transactions: its first change and its line are one; its end says what it came to. On both
engines."""

from collections.abc import AsyncIterator, Mapping

import pytest
from sqlalchemy import Connection, update

from gateway.audit.long_work import LongWork
from gateway.database.engine import Database
from gateway.database.tables import KEY_EPOCH
from tests.support.acts import acts
from tests.support.clock import ManualClock
from tests.support.database import open_url
from tests.support.written_lines import rows


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as opened:
        yield opened


@pytest.fixture
def work(database: Database) -> LongWork:
    return LongWork(
        database=database,
        clock=ManualClock(),
        actor="cli:ops",
        begins="ledger.pruning",
        ends="ledger.pruned",
        target="ledger",
        details={"settled_before": "2026-06-02"},
    )


def changing(lines: int) -> Mapping[str, int]:
    return {"lines": lines}


async def told(database: Database) -> list[tuple[str, dict[str, object]]]:
    return [(act.action, act.details) for act in acts(database)]


async def test_the_beginning_is_told_with_the_first_change(database: Database, work: LongWork) -> None:
    await work.write(lambda connection: changing(0))
    assert await told(database) == []
    for lines in (2, 3):
        await work.write(lambda connection, lines=lines: changing(lines))
        assert await told(database) == [("ledger.pruning", {"settled_before": "2026-06-02"})]


async def test_the_end_tells_the_sums(database: Database, work: LongWork) -> None:
    for lines in (2, 0, 3):
        await work.write(lambda connection, lines=lines: changing(lines))
    await work.end()
    assert (await told(database))[1:] == [("ledger.pruned", {"settled_before": "2026-06-02", "lines": 5})]
    assert work.changed == {"lines": 5}


async def test_what_changed_nothing_leaves_no_line(database: Database, work: LongWork) -> None:
    await work.write(lambda connection: changing(0))
    await work.end()
    assert await told(database) == []


async def test_what_fails_leaves_neither_change_nor_line_and_the_next_one_begins(
    database: Database, work: LongWork
) -> None:
    before = rows(database, KEY_EPOCH)

    def failing(connection: Connection) -> Mapping[str, int]:
        connection.execute(update(KEY_EPOCH).values(epoch=99))
        raise LookupError

    with pytest.raises(LookupError):
        await work.write(failing)
    assert (await told(database), rows(database, KEY_EPOCH)) == ([], before)
    await work.write(lambda connection: changing(1))
    assert [action for action, _ in await told(database)] == ["ledger.pruning"]
