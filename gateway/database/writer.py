"""The fast lane for lines that come by the hundred: one thread, one connection, one transaction a hand-over.

Below SQLAlchemy's statements, because these cost several times what the database itself costs per line.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from sqlalchemy import Table

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database, translated

Change = tuple[str, Sequence[tuple[Any, ...]]]
"""A statement, and the rows for which it is executed."""


class Writer:
    """Writes changes in the order in which they are handed over: all of one hand-over, or nothing of it."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._is_sqlite: Final = database.engine.dialect.name == "sqlite"
        self._mark: Final = "?" if self._is_sqlite else "%s"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._connection: Any = None

    def insertion(self, table: Table) -> str:
        """The statement that adds a row (values in the order of the columns) unless its key is there."""
        return f"{self._insert(table)} ON CONFLICT DO NOTHING"

    def replacement(self, table: Table) -> str:
        """The statement that adds a row, or puts it in the place of the one with its first column's value."""
        key, *others = (column.name for column in table.columns)
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        return f"{self._insert(table)} ON CONFLICT ({key}) DO UPDATE SET {changes}"

    def write(self, changes: Sequence[Change]) -> "asyncio.Future[None]":
        """Done when the changes are committed. Fails with StoreUnavailable when nothing of them is."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, changes)

    def close(self) -> None:
        """After what was handed over. Waits for nothing."""
        self._thread.submit(self._drop)
        self._thread.shutdown(wait=False)

    def _insert(self, table: Table) -> str:
        names = ", ".join(column.name for column in table.columns)
        marks = ", ".join([self._mark] * len(table.columns))
        return f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own tables

    def _write(self, changes: Sequence[Change]) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.cursor()
            cursor.execute("BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN")
            for statement, rows in changes:
                cursor.executemany(statement, rows)
            cursor.execute("COMMIT")
            cursor.close()
        except BaseException as error:
            self._drop()  # and with it the open transaction; the next hand-over begins afresh
            if isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                raise StoreUnavailable(f"the database failed: {error}") from error
            raise

    def _connect(self) -> Any:
        with translated(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            return connection.connection.dbapi_connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
