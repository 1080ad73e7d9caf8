"""Migrations: one step forward for all, however many begin at once, and never back."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from tests.support.database import open_file


def versions(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


async def test_several_processes_may_begin_at_once(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    databases = [open_database(f"sqlite:///{path}") for _ in range(4)]
    await asyncio.gather(*[asyncio.to_thread(upgrade, database) for database in databases])
    assert await databases[0].read(versions) == ["0002"]
    for database in databases:
        await database.close()


async def test_what_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_file(path) as database:
        await database.write(lambda connection: connection.execute(text("UPDATE key_epoch SET epoch = 7")))
    async with open_file(path) as database:
        epoch = await database.read(
            lambda connection: connection.execute(text("SELECT epoch FROM key_epoch")).scalar_one()
        )
    assert epoch == 7


async def test_a_database_of_a_newer_release_is_refused_in_words(tmp_path: Path) -> None:
    async with open_file(tmp_path / "gateway.db") as database:
        await _pretend_newer(database)
        with pytest.raises(ValueError, match="newer release"):
            upgrade(database)


async def _pretend_newer(database: Database) -> None:
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'gateway.db'}")
    await database.write(lambda connection: connection.execute(text("CREATE TABLE settlements (a INTEGER)")))
    with pytest.raises(Exception, match="already exists"):
        upgrade(database)
    tables = await database.read(
        lambda connection: connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
    )
    assert tables == ["settlements"]
    await database.close()
