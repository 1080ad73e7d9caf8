"""The tables as code uses them are the tables as migrations make them, on either engine."""

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from gateway.database.engine import Database
from gateway.database.tables import METADATA
from tests.support.database import closing_database

ONLY_ON_POSTGRESQL = {"charges_by_team"}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing_database(database_url) as database:
        yield database


def test_migrations_make_exactly_these_tables(database: Database) -> None:
    with database.transaction(writes=False) as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    assert [
        difference
        for difference in differences
        if difference[0] != "remove_index" or difference[1].name not in ONLY_ON_POSTGRESQL
    ] == []


def test_a_migrated_table_has_its_columns_in_the_order_of_the_code(database: Database) -> None:
    """Rows are written as tuples, so the order counts."""
    migrated = inspect(database.engine)
    assert {name: [column["name"] for column in migrated.get_columns(name)] for name in METADATA.tables} == {
        name: [column.name for column in table.columns] for name, table in METADATA.tables.items()
    }


def test_a_migrated_table_has_the_key_of_the_code_in_its_order(database: Database) -> None:
    """Lines of a time, and sums of a day, lie together."""
    migrated = inspect(database.engine)
    assert {name: migrated.get_pk_constraint(name)["constrained_columns"] for name in METADATA.tables} == {
        name: [column.name for column in table.primary_key] for name, table in METADATA.tables.items()
    }


def test_quantities_and_times_are_integers() -> None:
    kinds = {column.type.python_type for table in METADATA.tables.values() for column in table.columns}
    assert kinds == {int, str, bytes, bool}
