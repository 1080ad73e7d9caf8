"""The house's database in a SQLite file, its tables made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade


@asynccontextmanager
async def open_file(path: Path) -> AsyncIterator[Database]:
    """Open, or made anew. Several may be open on one file, as if each belonged to a process."""
    database = open_database(f"sqlite:///{path}")
    try:
        upgrade(database)
        yield database
    finally:
        await database.close()
