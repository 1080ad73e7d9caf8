"""The gateway, its limits in memory or in Redis, beside nginx and a bare aiohttp relay: in interleaved rounds
on two cores.

The contestant runs alone on the first core; load client, fake upstream and the Redis of a contestant that has
one on the second. Figures are reported, never judged, for a busy machine is no mistake. A failed request or a
wrong byte is one: exit 1.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.bench import report
from tests.bench.contestants import (
    CONTESTANTS,
    GATEWAY_REDIS,
    NGINX,
    BenchFailed,
    Place,
    Running,
    free_port,
    nginx_program,
    output_of,
    started,
)
from tests.bench.cores import Cores, pinned, two_cores
from tests.bench.figures import Figures
from tests.bench.load import MEASURES
from tests.bench.own_redis import redis_is_there, redis_on
from tests.bench.payloads import UPSTREAM_KEY

_OPEN_FILES: Final = 8192


class Length(NamedTuple):
    """How long each measure takes, in seconds, and how often all are taken."""

    rounds: int
    seconds: dict[str, float]


FULL: Final = Length(5, {"memory": 4, "json": 6, "stream": 8, "latency": 10})
SHORT: Final = Length(3, {"memory": 1, "json": 2, "stream": 3, "latency": 3})


class Bench:
    """Takes the measures, one at a time."""

    def __init__(self, *, length: Length, cores: Cores, folder: Path, console: Console) -> None:
        self._length = length
        self._cores = cores
        self._folder = folder
        self._console = console

    async def rounds(self, names: list[str]) -> dict[str, list[Figures]]:
        """A B C A B C …: so that what the machine does meanwhile hits all alike."""
        figures: dict[str, list[Figures]] = {name: [] for name in (report.DIRECT, *names)}
        for number in range(self._length.rounds):
            self._console.print(f"round {number + 1} of {self._length.rounds}: ", end="")
            async with self._upstream() as upstream:
                direct = Running(os.getpid(), upstream, UPSTREAM_KEY)
                figures[report.DIRECT].append(await self._measure("latency", direct, upstream))
                for name in names:
                    self._console.print(name, end="  ")
                    figures[name].append(await self._contestant(name, upstream))
            self._console.print()
        return figures

    @asynccontextmanager
    async def _upstream(self) -> AsyncIterator[int]:
        with pinned(self._cores.other):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.upstream", stdout=asyncio.subprocess.PIPE
            )
        assert process.stdout
        try:
            yield int(await process.stdout.readline())
        finally:
            process.kill()
            await process.wait()

    async def _contestant(self, name: str, upstream: int) -> Figures:
        figures: Figures = {}
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, self._redis(name, folder) as redis:
            place = Place(Path(folder), free_port(), upstream, redis)
            async with started(name, place, self._cores.measured) as running:
                for measure in MEASURES:
                    figures |= await self._measure(measure, running, upstream)
        return figures

    def _redis(self, name: str, folder: str) -> AbstractContextManager[str]:
        """Where the contestant's Redis is; empty for one that has none."""
        needs_one = name == GATEWAY_REDIS
        return redis_on(self._cores.other, Path(folder)) if needs_one else nullcontext("")

    async def _measure(self, name: str, running: Running, upstream: int) -> Figures:
        command = [sys.executable, "-m", "tests.bench.load", name, "--port", str(running.port)]
        command += ["--pid", str(running.pid), "--key", running.client_key, "--upstream-port", str(upstream)]
        command += ["--redis", running.redis]
        with pinned(self._cores.other):
            measured: Figures = json.loads(
                await output_of([*command, "--seconds", str(self._length.seconds[name])])
            )
        return measured


def _raise_open_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, most), most))


def _names(asked: list[str], console: Console) -> list[str]:
    if NGINX in asked and nginx_program() is None:
        console.print("nginx is not installed: the gateway is compared with the bare relay alone.")
        asked = [name for name in asked if name != NGINX]
    if GATEWAY_REDIS in asked and not redis_is_there():
        console.print("redis-server is not installed: what limits in Redis cost is not measured.")
        asked = [name for name in asked if name != GATEWAY_REDIS]
    return asked


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer seconds, the same table")
    parser.add_argument(
        "--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="whom to measure"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("var/bench"), help="folder for bench.json and bench.md"
    )
    asked = parser.parse_args()
    console = Console(highlight=False)
    cores = two_cores(console)
    _raise_open_files()
    names = _names(asked.only, console)
    length = SHORT if asked.short else FULL
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        bench = Bench(length=length, cores=cores, folder=Path(folder), console=console)
        try:
            rounds = asyncio.run(bench.rounds(names))
        except BenchFailed as error:
            console.print()
            sys.exit(f"The bench failed. {error}")
    console.print()
    report.show(rounds, console)
    report.write(rounds, asked.output)
    console.print(
        f"\nEvery round is in {asked.output}/bench.json, the table for the docs in {asked.output}/bench.md."
    )


if __name__ == "__main__":
    main()
