"""How lines get into their tables: many at once, each only if it is not there yet.

PostgreSQL reads them from one JSON parameter, in one statement, so that its triggers run once for all of them
and change each sum of a day once, in the order of the sums. SQLite is given rows.
"""

from collections.abc import Sequence
from operator import itemgetter

import msgspec
from sqlalchemy import Connection, Table

from gateway.database.statements import insertion


def insert_lines(connection: Connection, table: Table, lines: Sequence[bytes]) -> int:
    """How many were not there yet. `lines`: JSON objects whose names are the table's columns, all of them.

    Raises for what a line says: sqlalchemy's IntegrityError and DataError, ValueError, LookupError and
    OverflowError.
    """
    if connection.dialect.name == "postgresql":
        array = (b"[" + b",".join(lines) + b"]").decode()
        return connection.exec_driver_sql(_insertion_of_json(table), (array,)).rowcount
    row_of = itemgetter(*(column.name for column in table.columns))
    rows = [row_of(msgspec.json.decode(line)) for line in lines]
    return connection.exec_driver_sql(insertion(connection.engine, table), rows).rowcount


def _insertion_of_json(table: Table) -> str:
    """Of two lines with one key the first counts."""
    key, names = table.columns[0].name, ", ".join(column.name for column in table.columns)
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {names}"  # noqa: S608 - our own tables' names
        f" FROM json_populate_recordset(NULL::{table.name}, %s::json) WITH ORDINALITY"
        f" ORDER BY {key}, ordinality ON CONFLICT DO NOTHING"
    )
