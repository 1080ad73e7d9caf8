"""The fast lane for lines that come by the hundred: one thread, one connection, one transaction a hand-over.

Below SQLAlchemy's statements and beside its pool and the executors of the standard library, because each
of these costs several times what the database itself costs per line.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database, translated

Change = tuple[str, Sequence[tuple[Any, ...]]]
"""A statement (see `statements.py`), and the rows for which it is executed."""

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]", Sequence[Change]]


class Writer:
    """Writes changes in the order in which they are handed over: all of one hand-over, or nothing of it."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._begin = "BEGIN IMMEDIATE" if database.engine.dialect.name == "sqlite" else "BEGIN"
        self._connection: Any = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def write(self, changes: Sequence[Change]) -> "asyncio.Future[None]":
        """Done when the changes are committed. Fails with StoreUnavailable when nothing of them is."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._jobs.put((loop, done, changes))
        return done

    def close(self) -> None:
        """End the thread when it has written what was handed over. Waits for nothing."""
        self._jobs.put(None)

    def wait(self, seconds: float) -> None:
        """After `close`, for code that may wait: until the thread has ended and let go of its connection."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, done, changes = job
            error = self._outcome(changes)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, done, error)
        self._drop()

    def _outcome(self, changes: Sequence[Change]) -> Exception | None:
        try:
            self._write(changes)
        except self._engine.dialect.loaded_dbapi.Error as error:
            self._drop()
            return StoreUnavailable(f"the database failed: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits for the write must hear of it
            self._drop()
            return error
        return None

    def _write(self, changes: Sequence[Change]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        cursor = self._connection.cursor()
        cursor.execute(self._begin)
        for statement, rows in changes:
            cursor.executemany(statement, rows)
        cursor.execute("COMMIT")
        cursor.close()

    def _connect(self) -> Any:
        """A connection of our own, which begins and commits only where we say so."""
        with translated():
            pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        self._engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection

    def _drop(self) -> None:
        """Close the connection, and with it a transaction that is open. The next write begins afresh."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _tell(done: "asyncio.Future[None]", error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
