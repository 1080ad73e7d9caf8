"""The door to SQL. Nothing on the event loop waits for a database but through `Database.read` and `.write`.

SQLite is opened so that several processes share one file (serve, `keys revoke`, `usage`): WAL, so that
readers and the writer do not wait for each other; `synchronous=NORMAL`, so that a commit survives the death
of every process (after a power cut the last moments may be missing, the file stays whole); a busy time-out
instead of an error; transactions that write take the write lock when they begin, never half-way.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.core.errors import StoreUnavailable

T = TypeVar("T")

SECONDS: Final = 5.0
"""How long a transaction may take, waiting for its turn included, unless its caller knows better."""

_SILENCE: Final = 10
"""Seconds after which a PostgreSQL that says nothing is asked for a sign of life, and one that takes nothing
is given up: else a connection whose other end has vanished would hold its thread for many minutes."""

_WRITES: Final = "gateway_writes"
"""The execution option that marks a connection whose transaction will change something."""


class Database:
    """An engine, and a few threads of its own in which transactions run off the loop."""

    def __init__(self, engine: Engine, *, threads: int = 4, timeout: float = SECONDS) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<Database {self.engine.url.render_as_string(hide_password=True)}>"

    async def read(self, work: Callable[[Connection], T], *, timeout: float | None = None) -> T:
        """What `work` returns, run in a thread inside a transaction that only reads.

        Raises StoreUnavailable when the database is away, or not done within `timeout` seconds; the thread
        may then still be at it.
        """
        return await self._run(work, writes=False, timeout=timeout)

    async def write(self, work: Callable[[Connection], T], *, timeout: float | None = None) -> T:
        """As `read`, in a transaction that may write: committed when `work` returns, else rolled back.

        A violated constraint is sqlalchemy's IntegrityError, for the caller to put into words. After
        StoreUnavailable for lack of time it is unknown whether the change was made.
        """
        return await self._run(work, writes=True, timeout=timeout)

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """The same for code that may wait: threads, commands, migrations. Raises StoreUnavailable."""
        with translated(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITES: writes})
            with connection.begin():
                yield connection

    async def close(self) -> None:
        """Give everything back. Transactions under way end by themselves."""
        self.release()
        self.engine.dispose()

    def release(self) -> None:
        """End the threads alone: for one of several that share an engine."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[Connection], T], *, writes: bool, timeout: float | None) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout if timeout is None else timeout):
                return await loop.run_in_executor(self._threads, self._transact, work, writes)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error

    def _transact(self, work: Callable[[Connection], T], writes: bool) -> T:
        with self.transaction(writes=writes) as connection:
            return work(connection)


def open_database(url: str, *, threads: int = 4, timeout: float = SECONDS) -> Database:
    """The database at `sqlite:///relative/file`, `sqlite:////absolute/file` or `postgresql://user@host/name`.

    A SQLite file and its folder are made when they are missing, for the owner's eyes alone. Nothing is
    connected yet. Raises ValueError, with a sentence and without the URL's password, for a URL that cannot
    be used.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("a database URL begins with sqlite:/// or postgresql://") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = _sqlite(parsed)
    elif backend == "postgresql":
        engine = _postgresql(parsed, threads)
    else:
        raise ValueError(f"databases are SQLite or PostgreSQL (sqlite:/// or postgresql://), not {backend}")
    return Database(engine, threads=threads, timeout=timeout)


@contextmanager
def translated() -> Iterator[None]:
    """What drivers and the pool raise, in our words. IntegrityError is a fact about the data and passes."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        first, _, _ = str(error.orig).partition("\n")
        raise StoreUnavailable(f"the database failed: {first}") from error
    except PoolTimeout as error:
        raise StoreUnavailable("no database connection was free in time") from error


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("a SQLite database needs a file that processes can share: sqlite:///var/gateway.db")
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise ValueError(f"the database file {path} cannot be made: {error.strerror}") from error
    engine = create_engine(url.set(drivername="sqlite+pysqlite"), hide_parameters=True)
    event.listen(engine, "connect", partial(_prepare_sqlite, path.parent))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(folder: Path, connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    connection.execute(f"PRAGMA busy_timeout={int(SECONDS * 1000)}")
    with _alone(folder):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """For the change of a new file to WAL, which SQLite's busy time-out does not cover: of several that open
    the file at once all but one would fail. So they take turns, by a lock that ends with its process; where
    a file system has no such lock, without."""
    lock = None
    try:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL, threads: int) -> Engine:
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_size=threads,
            pool_timeout=SECONDS,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": int(SECONDS),
                "tcp_user_timeout": _SILENCE * 1000,
                "keepalives_idle": _SILENCE,
            },
        )
    except ModuleNotFoundError as error:
        raise ValueError("PostgreSQL needs its driver: .venv/bin/pip install 'psycopg[binary]'") from error
