"""The house's database, for commands, which may wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from gateway.database.engine import Database, open_database
from gateway.database.migrations import is_current
from gateway.settings.tree import Settings


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """Open, if its tables are those of this release. Raises StoreUnavailable, ValueError.

    What is not there is not made: a mistake in the address must not look like a month without costs. Nor are
    tables changed: a new release on somebody's desk must not migrate what gateways of the old one serve from.
    """
    url = settings.database_url.get_secret_value()
    _must_be_there(url)
    database = open_database(url)
    try:
        if not is_current(database):
            raise ValueError(
                "The database's tables are those of another release. A gateway of this one changes them when "
                "it starts; until then use the command of the release that runs."
            )
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
