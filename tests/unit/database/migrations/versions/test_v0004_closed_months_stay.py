"""A closed month stays as it was closed, whoever tries, on either engine."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database
from gateway.database.tables import CLOSED, CLOSINGS
from tests.support.database import closing_database

ROW: dict[str, Any] = {
    column.name: ("anna" if column.name == "subject" else "x") if column.type.python_type is str else 20
    for column in CLOSED.columns
} | {"month": "2026-10"}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """October is closed, September is not."""
    with closing_database(database_url) as database:
        with database.transaction(writes=True) as connection:
            connection.execute(insert(CLOSED).values(ROW))
            connection.execute(insert(CLOSINGS).values(month="2026-10", closed_at=1))
        yield database


def run(database: Database, statement: str) -> None:
    with database.transaction(writes=True) as connection:
        connection.execute(text(statement))


def frozen(database: Database) -> list[dict[str, Any]]:
    with database.transaction(writes=False) as connection:
        return [dict(row._mapping) for row in connection.execute(select(CLOSED))]


@pytest.mark.parametrize("column", [column.name for column in CLOSED.columns if column.name != "subject"])
def test_no_column_of_a_closed_month_can_be_changed(database: Database, column: str) -> None:
    value = "'y'" if CLOSED.c[column].type.python_type is str else "7"
    with pytest.raises(Exception, match="a closed month stays as it is"):
        run(database, f"UPDATE closed SET {column} = {value}")
    assert frozen(database) == [ROW]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM closed",
        "DELETE FROM closings",
        "UPDATE closings SET closed_at = 2",
        "UPDATE closings SET month = '2026-09'",
    ],
)
def test_a_closing_cannot_be_undone(database: Database, statement: str) -> None:
    with pytest.raises(Exception, match="a closed month stays as it is"):
        run(database, statement)
    assert frozen(database) == [ROW]


def test_nothing_is_added_to_a_closed_month(database: Database) -> None:
    with (
        pytest.raises(Exception, match="a closed month stays as it is"),
        database.transaction(writes=True) as connection,
    ):
        connection.execute(insert(CLOSED).values(ROW | {"day": 21}))
    assert frozen(database) == [ROW]


def test_another_month_can_be_closed(database: Database) -> None:
    with database.transaction(writes=True) as connection:
        connection.execute(insert(CLOSED).values(ROW | {"month": "2026-09"}))
        connection.execute(insert(CLOSINGS).values(month="2026-09", closed_at=1))
    assert len(frozen(database)) == 2


def test_who_a_user_was_may_be_forgotten(database: Database) -> None:
    run(database, "UPDATE closed SET subject = 'erased-1' WHERE subject = 'anna'")
    assert frozen(database) == [ROW | {"subject": "erased-1"}]


def test_postgresql_does_not_empty_the_tables_either(postgres_url: str) -> None:
    with (
        closing_database(postgres_url) as database,
        pytest.raises(StoreUnavailable, match="a closed month stays as it is"),
    ):
        run(database, "TRUNCATE closings, closed")
