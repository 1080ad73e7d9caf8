"""Statements that end when their time is over, on both engines."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, text

from gateway.core.errors import StoreUnavailable
from gateway.database.deadline import deadline
from gateway.database.engine import Database
from tests.support.database import open_url

FOR_EVER = text(
    "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers)"
    " SELECT count(*) FROM numbers"
)
SOME_TIME = text(
    "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT 2000000)"
    " SELECT count(*) FROM numbers"
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_url(database_url) as database:
        yield database


def count_for_ever(connection: Connection) -> None:
    with deadline(connection, 0.05):
        connection.execute(FOR_EVER)


async def test_what_takes_too_long_ends_as_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(StoreUnavailable):
        await database.read(count_for_ever, timeout=30)


async def test_the_connection_is_as_good_as_before(database: Database) -> None:
    with pytest.raises(StoreUnavailable):
        await database.read(count_for_ever, timeout=30)
    assert await database.read(lambda connection: connection.execute(text("SELECT 5")).scalar()) == 5


async def test_what_is_done_in_time_is_let_be(database: Database) -> None:
    def work(connection: Connection) -> object:
        with deadline(connection, 30):
            return connection.execute(text("SELECT 5")).scalar()

    assert await database.read(work) == 5


async def test_a_deadline_holds_for_its_block_alone(database: Database) -> None:
    def work(connection: Connection) -> object:
        with deadline(connection, 0.05):
            connection.execute(text("SELECT 5"))
        return connection.execute(SOME_TIME).scalar()

    if database.engine.dialect.name == "sqlite":  # with PostgreSQL it holds to the end of the transaction
        assert await database.read(work, timeout=30) == 2_000_000
