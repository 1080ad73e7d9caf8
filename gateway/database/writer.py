"""The fast lane for lines that come by the hundred: one thread, one connection, one transaction a hand-over.

Below SQLAlchemy's own statements, because those cost several times what the database itself costs per line.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import PoolProxiedConnection

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database, translated

Change = tuple[str, Sequence[tuple[Any, ...]]]
"""A statement (see `statements.py`), and the rows for which it is executed."""


class Writer:
    """Writes changes in the order in which they are handed over: all of one hand-over, or nothing of it."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._begin = "BEGIN IMMEDIATE" if database.engine.dialect.name == "sqlite" else "BEGIN"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._connection: PoolProxiedConnection | None = None

    def write(self, changes: Sequence[Change]) -> "asyncio.Future[None]":
        """Done when the changes are committed. Fails with StoreUnavailable when nothing of them is."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, changes)

    def close(self) -> None:
        """Give the connection back after what was handed over. Waits for nothing."""
        self._thread.submit(self._drop)
        self._thread.shutdown(wait=False)

    def _write(self, changes: Sequence[Change]) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.cursor()
            cursor.execute(self._begin)
            for statement, rows in changes:
                cursor.executemany(statement, rows)
            cursor.execute("COMMIT")
            cursor.close()
        except BaseException as error:
            self._drop()  # and with it the open transaction; the next hand-over begins afresh
            if isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                raise StoreUnavailable(f"the database failed: {error}") from error
            raise

    def _connect(self) -> PoolProxiedConnection:
        """A connection of our own, which begins and commits only where we say so."""
        with translated():
            connection = self._engine.raw_connection()
        if connection.dbapi_connection is not None:
            self._engine.dialect.set_isolation_level(connection.dbapi_connection, "AUTOCOMMIT")
        connection.detach()
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
