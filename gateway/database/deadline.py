"""Statements that end when their time is over. A thread that waits for a database cannot be interrupted from
outside: whoever gave up waiting would leave it at work, on a file that others write to.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection

_STEPS: Final = 500_000
"""Of SQLite's machine between two looks at the clock: some 20 milliseconds."""


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """Within the block, inside a transaction, what takes longer fails as a database that is away does.

    With PostgreSQL it is for each statement, and to the end of the transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        yield
        return
    over = time.monotonic() + seconds
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("a connection that is not connected")
    driver.set_progress_handler(lambda: time.monotonic() > over, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)
