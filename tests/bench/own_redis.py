"""A Redis of the bench's own, and what it has done so far, as it tells by itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.cores import pinned
from tests.support.redis_server import RedisServer, ask, binary, free_port


class Work(NamedTuple):
    """What a Redis has done since it began, or between two moments."""

    cpu_seconds: float
    scripts: int
    """Runs of scripts."""
    reads: int
    """Times that it took something off a connection: a pipeline is one, unless it has more than 16 KB."""

    def since(self, before: "Work") -> "Work":
        """What was done between."""
        return Work(
            self.cpu_seconds - before.cpu_seconds, self.scripts - before.scripts, self.reads - before.reads
        )


def redis_is_there() -> bool:
    """Whether this machine has a redis-server."""
    try:
        binary()
    except RuntimeError:
        return False
    return True


@contextmanager
def redis_on(core: int, folder: Path) -> Iterator[str]:
    """The URL of an empty Redis, alone in the folder, on that core; it is reached by TCP, as in earnest."""
    server = RedisServer(folder, port=free_port())
    try:
        with pinned(core):
            server.start()
        yield f"redis://127.0.0.1:{server.port}"
    finally:
        server.stop()


async def work_of(url: str) -> Work:
    """What it has done so far."""
    return work_in(await ask(url, "INFO", "ALL"))


def work_in(info: Mapping[str, Any]) -> Work:
    """What its INFO tells of it."""
    scripts = sum(info.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
    cpu = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
    return Work(cpu, scripts, info["total_reads_processed"])
