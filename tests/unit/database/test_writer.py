"""The fast lane: whole transactions in order, and a fresh start after a failure."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, select, text

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.statements import insertion, replacement
from gateway.database.tables import WORKERS
from gateway.database.writer import Writer
from tests.support.database import open_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Of either engine."""
    async with open_url(database_url) as database:
        yield database


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Writer]:
    writer = Writer(database)
    yield writer
    writer.close()


NOWHERE = "INSERT INTO nowhere VALUES (1)"


@pytest.fixture
def insert(database: Database) -> str:
    return insertion(database.engine, WORKERS)


def leases(connection: Connection) -> dict[str, int]:
    return {row.id: row.lease_until for row in connection.execute(select(WORKERS))}


async def test_a_hand_over_is_written_when_its_future_is_done(
    writer: Writer, database: Database, insert: str
) -> None:
    await writer.write([(insert, [("a", 1), ("b", 2)])])
    assert await database.read(leases) == {"a": 1, "b": 2}


async def test_hand_overs_are_written_in_their_order(writer: Writer, database: Database) -> None:
    replace = replacement(database.engine, WORKERS)
    futures = [writer.write([(replace, [("a", number)])]) for number in range(50)]
    await futures[-1]
    assert await database.read(leases) == {"a": 49}


async def test_of_a_hand_over_that_fails_nothing_is_written(
    writer: Writer, database: Database, insert: str
) -> None:
    with pytest.raises(StoreUnavailable):
        await writer.write([(insert, [("a", 1)]), (NOWHERE, [()])])
    assert await database.read(leases) == {}


async def test_the_next_hand_over_begins_afresh(writer: Writer, database: Database, insert: str) -> None:
    with pytest.raises(StoreUnavailable):
        await writer.write([(NOWHERE, [()])])
    await writer.write([(insert, [("a", 1)])])
    assert await database.read(leases) == {"a": 1}


async def test_a_value_that_the_driver_cannot_take_is_told_to_the_one_who_waits(
    writer: Writer, insert: str
) -> None:
    with pytest.raises((OverflowError, StoreUnavailable)):
        await writer.write([(insert, [("a", 2**63)])])


async def test_what_was_handed_over_before_the_close_is_written(
    writer: Writer, database: Database, insert: str
) -> None:
    written = writer.write([(insert, [("a", 1)])])
    writer.close()
    await written
    assert await database.read(leases) == {"a": 1}


async def test_after_the_wait_the_thread_has_ended(writer: Writer, insert: str) -> None:
    await writer.write([(insert, [("a", 1)])])
    writer.close()
    writer.wait(30.0)
    assert not writer._thread.is_alive()


async def test_a_table_that_is_gone_is_an_error_and_not_a_hang(
    writer: Writer, database: Database, insert: str
) -> None:
    await database.write(lambda connection: connection.execute(text("DROP TABLE workers")))
    with pytest.raises(StoreUnavailable, match="workers"):
        await writer.write([(insert, [("a", 1)])])
