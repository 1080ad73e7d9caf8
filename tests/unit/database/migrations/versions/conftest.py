"""A database of each engine that nobody has upgraded yet, and how tests write to it at any version."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from msgspec.structs import asdict
from sqlalchemy import Table, inspect, select, text

from gateway.database.engine import Database
from gateway.database.tables import ADJUSTMENTS, ADMISSIONS, SETTLEMENTS
from gateway.metering.interfaces import Adjustment, Admission, Settlement
from gateway.metering.ledger.rows import admission_row, settlement_row
from tests.support.database import closing_database

Line = Admission | Settlement | Adjustment


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    with closing_database(empty_database_url) as database:
        yield database


def upgrade_to(database: Database, version: str) -> None:
    with database.transaction(writes=True) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gateway.database:migrations")
        command.upgrade(config, version)


def write(database: Database, *lines: Line) -> None:
    """Each in a statement of its own, in those columns that its table has by now."""
    for line in lines:
        write_together(database, [line])


def write_together(database: Database, lines: Sequence[Line]) -> None:
    """Lines of one kind in one statement, as far as they are not there."""
    table, rows = _table_of(lines[0]), [_row(line) for line in lines]
    with database.transaction(writes=True) as connection:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        names = [name for name in table.columns.keys() if name in there]  # noqa: SIM118 - it is no mapping
        marks = ", ".join(f"({', '.join(f':{name}_{at}' for name in names)})" for at in range(len(rows)))
        values = {f"{name}_{at}": row[name] for at, row in enumerate(rows) for name in names}
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {marks} ON CONFLICT DO NOTHING"
        connection.execute(text(statement), values)


def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    """Whole, in the order of their keys."""
    with database.transaction(writes=False) as connection:
        ordered = select(table).order_by(*table.primary_key.columns)
        return [dict(row._mapping) for row in connection.execute(ordered)]


def _table_of(line: Line) -> Table:
    return {Admission: ADMISSIONS, Settlement: SETTLEMENTS, Adjustment: ADJUSTMENTS}[type(line)]


def _row(line: Line) -> dict[str, Any]:
    if isinstance(line, Admission):
        return _named(ADMISSIONS, admission_row(line, "wrk_1"))
    if isinstance(line, Settlement):
        return _named(SETTLEMENTS, settlement_row(line))
    values = asdict(line) | line.usage._asdict()
    return {name: values[name] for name in ADJUSTMENTS.columns.keys()}  # noqa: SIM118 - it is no mapping


def _named(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(table.columns.keys(), row, strict=True))
