"""The house's database, its tables made: in a SQLite file, or wherever a URL says."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.metering.reports.sql import SqlUsageReports
from gateway.settings.tree import Settings


@asynccontextmanager
async def open_file(path: Path) -> AsyncIterator[Database]:
    """Open, or made anew. Several may be open on one file, as if each belonged to a process."""
    async with open_url(f"sqlite:///{path}") as database:
        upgrade(database)
        yield database


@asynccontextmanager
async def open_url(url: str) -> AsyncIterator[Database]:
    """As it is: nothing is made in it."""
    with closing_database(url) as database:
        yield database


@contextmanager
def closing_database(url: str) -> Iterator[Database]:
    """The same for tests that wait."""
    database = open_database(url)
    try:
        yield database
    finally:
        database.release()
        database.engine.dispose()


def migrated(url: str) -> str:
    """The same URL, our tables made there."""
    with closing_database(url) as database:
        upgrade(database)
    return url


@asynccontextmanager
async def usage_reports(settings: Settings) -> AsyncIterator[SqlUsageReports]:
    """What the ledger of an installation says."""
    async with open_url(settings.database_url.get_secret_value()) as database:
        yield SqlUsageReports(database)
