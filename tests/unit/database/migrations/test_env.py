"""Migrations: one step forward for all, however many begin at once, and never back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from gateway.database.engine import Database
from gateway.database.migrations import upgrade
from tests.support.database import closing_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing_database(database_url) as database:
        yield database


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    with closing_database(empty_database_url) as database:
        yield database


def run(database: Database, statement: str) -> None:
    with database.transaction(writes=True) as connection:
        connection.execute(text(statement))


def values(database: Database, query: str) -> list[object]:
    with database.transaction(writes=False) as connection:
        return list(connection.execute(text(query)).scalars())


def newest_version() -> str | None:
    config = Config()
    config.set_main_option("script_location", "gateway.database:migrations")
    return ScriptDirectory.from_config(config).get_current_head()


def test_several_processes_may_begin_at_once(empty_database_url: str) -> None:
    with ExitStack() as opened, ThreadPoolExecutor() as threads:
        databases = [opened.enter_context(closing_database(empty_database_url)) for _ in range(4)]
        list(threads.map(upgrade, databases))
        assert values(databases[0], "SELECT version_num FROM alembic_version") == [newest_version()]


def test_what_is_up_to_date_is_left_alone(database: Database) -> None:
    run(database, "UPDATE key_epoch SET epoch = 7")
    upgrade(database)
    assert values(database, "SELECT epoch FROM key_epoch") == [7]


def test_a_database_of_a_newer_release_is_refused_in_words(database: Database) -> None:
    run(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ValueError, match="newer release"):
        upgrade(database)


def test_a_migration_that_fails_leaves_nothing_behind(empty: Database) -> None:
    run(empty, "CREATE TABLE settlements (a INTEGER)")
    with pytest.raises(Exception, match="already exists"):
        upgrade(empty)
    assert inspect(empty.engine).get_table_names() == ["settlements"]
