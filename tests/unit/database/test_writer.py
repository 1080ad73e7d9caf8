"""The fast lane: whole transactions in order, and a fresh start after a failure."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.statements import insertion, replacement
from gateway.database.tables import WORKERS
from gateway.database.writer import Writer


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Writer]:
    writer = Writer(database)
    yield writer
    writer.close()


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
        await writer.write([(insert, [("a", 1)]), ("INSERT INTO nowhere VALUES (?)", [(1,)])])
    assert await database.read(leases) == {}


async def test_the_next_hand_over_begins_afresh(writer: Writer, database: Database, insert: str) -> None:
    with pytest.raises(StoreUnavailable):
        await writer.write([("INSERT INTO nowhere VALUES (?)", [(1,)])])
    await writer.write([(insert, [("a", 1)])])
    assert await database.read(leases) == {"a": 1}


async def test_a_value_that_the_driver_cannot_take_is_told_to_the_one_who_waits(
    writer: Writer, insert: str
) -> None:
    with pytest.raises(OverflowError):
        await writer.write([(insert, [("a", 2**63)])])


async def test_what_was_handed_over_before_the_close_is_written(
    writer: Writer, database: Database, insert: str
) -> None:
    written = writer.write([(insert, [("a", 1)])])
    writer.close()
    await written
    assert await database.read(leases) == {"a": 1}


async def test_a_file_that_was_replaced_meanwhile_is_an_error_and_not_a_hang(
    writer: Writer, database: Database, path: Path, insert: str
) -> None:
    await database.write(lambda connection: connection.execute(text("DROP TABLE workers")))
    with pytest.raises(StoreUnavailable, match="no such table"):
        await writer.write([(insert, [("a", 1)])])
