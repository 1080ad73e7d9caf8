"""A real master with a replica and three real sentinels of the tests' own, on free ports of 127.0.0.1.

async with running_sentinels() as group:
    client = connect(group.url)
    group.master.stop()             # or freeze(): its replica is the master within some two seconds
    await group.hand_over()         # the same without a fault
"""

import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer, ask, binary, free_port, started

NAME: Final = "main"
"""What the sentinels call the master."""

PASSWORD: Final = "of-the-sentinels"
"""The sentinels' own. The servers have none, unless they are given users."""

_SENTINELS: Final = 3
_QUORUM: Final = 2
_CONFIG: Final = """\
port {port}
bind 127.0.0.1
dir {folder}
requirepass {password}
sentinel sentinel-pass {password}
sentinel monitor {name} 127.0.0.1 {master} {quorum}
sentinel down-after-milliseconds {name} 500
sentinel failover-timeout {name} 2000
"""


@dataclass
class Sentinel:
    """One sentinel process."""

    port: int
    process: subprocess.Popen[str] | None = None

    async def ask(self, *words: object) -> Any:
        """The reply to one command, on a connection of its own, text decoded."""
        return await ask(f"redis://:{PASSWORD}@127.0.0.1:{self.port}", *words)

    def stop(self) -> None:
        """As if it had crashed."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@dataclass
class SentinelGroup:
    """Two servers, of which the first begins as the master, and those who watch them."""

    servers: list[RedisServer]
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"

    @property
    def master(self) -> RedisServer:
        """Who began as one."""
        return self.servers[0]

    async def master_port(self) -> int:
        """Of whoever is the master, as the first sentinel that runs knows."""
        sentinel = next(each for each in self.sentinels if each.process is not None)
        _, port = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    async def hand_over(self) -> None:
        """Make the replica the master, which lives on as its replica. Returns when the sentinels say so."""
        before = await self.master_port()
        await self.sentinels[0].ask("SENTINEL", "FAILOVER", NAME)
        await eventually(lambda: self._is_led_by_another(before))

    async def is_whole(self) -> bool:
        """Whether every sentinel knows the replica, and enough others to decide with."""
        return all([await _is_ready(sentinel) for sentinel in self.sentinels])

    async def _is_led_by_another(self, port: int) -> bool:
        return await self.master_port() != port


async def _is_ready(sentinel: Sentinel) -> bool:
    flat = await sentinel.ask("SENTINEL", "MASTER", NAME)
    state = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    return (state["num-slaves"], state["num-other-sentinels"], state["flags"]) == ("1", "2", "master")


@asynccontextmanager
async def running_sentinels(*options: str) -> AsyncIterator[SentinelGroup]:
    """A group that can fail over, gone at the end. `options`: of both servers, as RedisServer has them."""
    with tempfile.TemporaryDirectory(prefix="redis-sentinel-") as folder, ExitStack() as stack:
        servers = [_server(Path(folder) / name, options) for name in ("first", "second")]
        for server in servers:
            stack.callback(server.stop)
            server.start()
        first, second = servers
        await ask(second.url, "REPLICAOF", "127.0.0.1", first.port)
        await eventually(lambda: _is_replicating(second))
        group = SentinelGroup(servers, [])
        for _ in range(_SENTINELS):
            group.sentinels.append(Sentinel(free_port()))
            stack.callback(group.sentinels[-1].stop)
            _start(group.sentinels[-1], Path(folder), first.port)
        await eventually(group.is_whole)
        yield group


def _server(folder: Path, options: tuple[str, ...]) -> RedisServer:
    folder.mkdir()
    at_once = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
    return RedisServer(folder, port=free_port(), options=(*at_once, *options))


async def _is_replicating(server: RedisServer) -> bool:
    return (await ask(server.url, "ROLE"))[3] == "connected"


def _start(sentinel: Sentinel, folder: Path, master: int) -> None:
    config = folder / f"sentinel-{sentinel.port}.conf"
    config.write_text(
        _CONFIG.format(
            port=sentinel.port,
            folder=folder,
            password=PASSWORD,
            name=NAME,
            master=master,
            quorum=_QUORUM,
        )
    )
    sentinel.process = started([str(binary()), str(config), "--sentinel"], "+monitor")
