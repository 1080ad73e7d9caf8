"""The house's database, for commands, which may wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.settings import Settings


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """Open, its tables those of this release. Raises StoreUnavailable, ValueError."""
    database = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
        yield database
    finally:
        database.release()
        database.engine.dispose()
