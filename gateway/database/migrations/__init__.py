"""Brings a database's schema up to this release: forward, and once, however many processes start together."""

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text

from gateway.database.engine import Database

_LOCK: Final = 0x6761_7465
"""PostgreSQL's advisory lock under which migrations run. For SQLite its own write lock does."""


def upgrade(database: Database) -> None:
    """Make or change the tables until they are those of this release, in one transaction. Waits.

    Raises StoreUnavailable when the database is away, ValueError when a newer release has been at it.
    """
    with database.transaction(writes=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gateway.database:migrations")
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ValueError("the database was made by a newer release of the gateway") from error
