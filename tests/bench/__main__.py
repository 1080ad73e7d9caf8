"""The gateway beside nginx and a bare aiohttp relay, in interleaved rounds on two cores.

The contestant runs alone on the first core, load client and fake upstream on the second. Figures are
reported, never judged, for a busy machine is no mistake. A failed request or a wrong byte is one: exit 1.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.bench import report
from tests.bench.contestants import (
    CONTESTANTS,
    NGINX,
    BenchFailed,
    Place,
    Running,
    free_port,
    nginx_program,
    output_of,
    pinned,
    started,
)
from tests.bench.load import MEASURES, Figures
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

    def __init__(self, *, length: Length, cores: tuple[int, int], folder: Path, console: Console) -> None:
        self._length = length
        self._contestant_core, self._load_core = cores
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
        with pinned(self._load_core):
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
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            async with started(
                name, Place(Path(folder), free_port(), upstream), self._contestant_core
            ) as running:
                for measure in MEASURES:
                    figures |= await self._measure(measure, running, upstream)
        return figures

    async def _measure(self, name: str, running: Running, upstream: int) -> Figures:
        command = [sys.executable, "-m", "tests.bench.load", name, "--port", str(running.port)]
        command += ["--pid", str(running.pid), "--key", running.client_key, "--upstream-port", str(upstream)]
        with pinned(self._load_core):
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
        return [name for name in asked if name != NGINX]
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
    if sys.platform != "linux":
        sys.exit("The bench needs Linux: it reads CPU time from /proc and pins processes to cores.")
    _raise_open_files()
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        console.print(
            "This machine gives one core: load and contestant share it, and the figures mean little."
        )
    names = _names(asked.only, console)
    length = SHORT if asked.short else FULL
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        bench = Bench(length=length, cores=(usable[0], usable[-1]), folder=Path(folder), console=console)
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
