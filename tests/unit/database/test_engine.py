"""How a database is opened, and what becomes of transactions that go wrong."""

import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import StoreUnavailable
from gateway.database.engine import Database, open_database
from gateway.database.tables import WORKERS
from tests.support.database import open_file, open_url
from tests.support.postgres import PostgresServer

OPENS_FILES = """
import sys
from gateway.core.errors import StoreUnavailable
from gateway.database.engine import open_database
for line in sys.stdin:
    database = open_database(f"sqlite:///{line.strip()}")
    try:
        with database.transaction(writes=True):
            print("opened", flush=True)
    except StoreUnavailable as error:
        print(error, flush=True)
    database.engine.dispose()
"""
"""A process that opens the files that it is told, and says whether it could."""


def add(worker: str, connection: Connection) -> None:
    connection.execute(insert(WORKERS).values(id=worker, lease_until=1))


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(WORKERS.c.id).order_by(WORKERS.c.id)).scalars())


def test_a_missing_folder_is_made_for_its_owner_alone(path: Path) -> None:
    open_database(f"sqlite:///{path}")
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_file_is_made_for_its_owner_alone(path: Path) -> None:
    open_database(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
async def test_sqlite_is_opened_for_several_processes(database: Database, pragma: str, value: object) -> None:
    def read(connection: Connection) -> object:
        return connection.execute(text(f"PRAGMA {pragma}")).scalar_one()

    assert await database.read(read) == value


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gateway.db", "begins with sqlite:///"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://user:hunter2@host/name", "not mysql"),
        ("sqlite:////dev/null/gateway.db", "cannot be made"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        open_database(url)
    assert "hunter2" not in str(refused.value)


def test_postgresql_is_reached_by_its_usual_url() -> None:
    assert open_database("postgresql://user:hunter2@host/name").engine.dialect.driver == "psycopg"


def test_the_password_does_not_show() -> None:
    assert "hunter2" not in repr(open_database("postgresql://user:hunter2@host/name"))


async def test_what_a_write_did_is_there_for_the_next_read(database: Database) -> None:
    await database.write(lambda connection: add("a", connection))
    assert await database.read(names) == ["a"]


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail(connection: Connection) -> None:
        add("a", connection)
        raise KeyError

    with pytest.raises(KeyError):
        await database.write(fail)
    assert await database.read(names) == []


async def test_a_violated_constraint_is_told_as_such(database: Database) -> None:
    await database.write(lambda connection: add("a", connection))
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: add("a", connection))


async def test_what_the_driver_raises_becomes_store_unavailable(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="no such table"):
        await database.read(lambda connection: connection.execute(text("SELECT * FROM nowhere")))


async def test_an_error_does_not_quote_values(database: Database) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text("SELECT :secret FROM nowhere"), {"secret": "hunter2"})

    with pytest.raises(StoreUnavailable) as refused:
        await database.read(fail)
    assert "hunter2" not in f"{refused.value} {refused.value.__cause__}"


async def test_nobody_waits_longer_than_the_time_out(database: Database) -> None:
    over = Event()
    with pytest.raises(StoreUnavailable, match="in time"):
        await database.read(lambda _: over.wait(10), timeout=0.01)
    over.set()


async def test_several_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    command = sys.executable, "-c", OPENS_FILES
    processes = [await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE) for _ in range(4)]
    said = set()
    for number in range(100):
        for process in processes:
            process.stdin.write(f"{tmp_path / str(number)}.db\n".encode())
        said |= {await process.stdout.readline() for process in processes}
    for process in processes:
        process.stdin.close()
        await process.wait()
    assert said == {b"opened\n"}


async def test_a_server_that_is_away_is_told(own_postgres_server: PostgresServer) -> None:
    own_postgres_server.stop()
    async with open_url(own_postgres_server.url()) as database:
        with pytest.raises(StoreUnavailable):
            await database.read(lambda connection: connection.execute(text("SELECT 1")))


async def test_a_server_that_was_killed_is_used_again_when_it_is_back(
    own_postgres_server: PostgresServer,
) -> None:
    def read(connection: Connection) -> object:
        return connection.execute(text("SELECT 1")).scalar_one()

    async with open_url(own_postgres_server.url()) as database:
        assert await database.read(read) == 1
        own_postgres_server.kill()
        own_postgres_server.start()
        assert await database.read(read) == 1


async def test_a_write_transaction_takes_its_turn_from_the_beginning(database: Database, path: Path) -> None:
    async with open_file(path) as other:
        with database.transaction(writes=True) as connection:
            assert names(connection) == []
            with pytest.raises(StoreUnavailable, match="in time"):
                await other.write(lambda theirs: add("theirs", theirs), timeout=0.01)
            add("ours", connection)
        assert "ours" in await other.read(names)


async def test_readers_do_not_wait_for_the_writer(database: Database, path: Path) -> None:
    async with open_file(path) as other:
        with database.transaction(writes=True) as connection:
            add("a", connection)
            assert await other.read(names) == []
