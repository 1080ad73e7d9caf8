"""Brings a database's schema up to this release: forward, and once, however many processes start together."""

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text

from gateway.database.engine import Database

_LOCK: Final = 0x6761_7465
"""PostgreSQL's advisory lock under which migrations run. For SQLite its own write lock does."""


def is_current(database: Database) -> bool:
    """Whether the tables are those of this release. Waits. Raises StoreUnavailable."""
    with database.transaction(writes=False) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    return found == ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(database: Database) -> None:
    """Make or change the tables until they are those of this release, in one transaction. Waits.

    Raises StoreUnavailable when the database is away, ValueError when a newer release has been at it.
    """
    with database.transaction(writes=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        try:
            command.upgrade(_config(connection=connection), "head")
        except CommandError as error:
            raise ValueError("the database was made by a newer release of the gateway") from error


def _config(**attributes: object) -> Config:
    config = Config(attributes=attributes)
    config.set_main_option("script_location", "gateway.database:migrations")
    return config
