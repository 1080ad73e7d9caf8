"""The tables as code uses them are the tables as migrations make them."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from gateway.database.engine import Database
from gateway.database.tables import METADATA


async def test_migrations_make_exactly_these_tables(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    assert await database.read(differences) == []


async def test_a_migrated_table_has_its_columns_in_the_order_of_the_code(database: Database) -> None:
    """Rows are written as tuples, so the order counts."""

    def columns(connection: Connection) -> dict[str, list[str]]:
        return {
            table: [row.name for row in connection.execute(text(f"PRAGMA table_info({table})"))]
            for table in METADATA.tables
        }

    assert await database.read(columns) == {
        name: [column.name for column in table.columns] for name, table in METADATA.tables.items()
    }


def test_quantities_and_times_are_integers() -> None:
    kinds = {column.type.python_type for table in METADATA.tables.values() for column in table.columns}
    assert kinds == {int, str, bytes, bool}
