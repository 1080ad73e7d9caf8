"""The house's database, for commands, which may wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.settings import Settings


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """Open, its tables those of this release. Raises StoreUnavailable, ValueError.

    What is not there is not made: a mistake in the address must not look like a month without costs.
    """
    url = settings.database_url.get_secret_value()
    _must_be_there(url)
    database = open_database(url)
    try:
        upgrade(database)
        yield database
    finally:
        database.release()
        database.engine.dispose()


def _must_be_there(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise ValueError(
            f"There is no database at {parsed.database}. No gateway has run with it yet, or "
            "GATEWAY_DATABASE_URL names another place."
        )
