"""For every suite: how hypothesis behaves, and the databases that tests may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.database import migrated
from tests.support.postgres import PostgresServer, fresh_database, running_postgres

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests of a worker: its databases are theirs, the server is to be left alone."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """One that a test may stop. A commit is on the disk."""
    with running_postgres(durable=True) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database with our tables, of which the databases of tests are copies."""
    name = postgres_server.create()
    migrated(postgres_server.url(name))
    return name


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """Of a database of the test's own: our tables, and no line."""
    with fresh_database(postgres_server, template=postgres_template) as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture
def sqlite_url(empty_sqlite_url: str) -> str:
    return migrated(empty_sqlite_url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Of a database with our tables: who asks for it is run on both engines."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """Of a database in which nothing is, on both engines."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url
