"""What the ledger costs by itself, at 1,000 attempts a second: both lines of each, to SQLite and PostgreSQL.

In one process on the first core, its threads included; PostgreSQL is on the second. Without a ledger the same
attempts come and write nothing: that is taken off. Rounds are interleaved, and figures never judged.
"""

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import uvloop
from rich.console import Console

from gateway.core.errors import StoreUnavailable
from tests.bench.attempts import Arrivals
from tests.bench.cores import pinned, two_cores
from tests.bench.figures import Figures, medians, percentile
from tests.bench.ledgers import Way, kept, own_postgres
from tests.bench.tables import Cells, measured_on

_PER_SECOND: Final = 1000.0
_WARM: Final = 200


class Length(NamedTuple):
    """How often each way is measured, and with how many attempts."""

    rounds: int
    attempts: int


FULL: Final = Length(7, 5000)
SHORT: Final = Length(3, 2000)

Rounds = Mapping[Way, Sequence[Figures]]


async def measured(folder: Path, url: str, length: Length, console: Console) -> Rounds:
    """A B C A B C …: so that what the machine does meanwhile hits all alike."""
    _settle_memory()
    rounds: dict[Way, list[Figures]] = {way: [] for way in Way}
    for number in range(length.rounds):
        console.print(f"round {number + 1} of {length.rounds}")
        for way in Way:
            gc.collect()
            async with kept(way, folder / f"{way.name}-{number}", url) as ledger:
                arrivals = Arrivals(ledger, per_second=_PER_SECOND)
                await arrivals.come(_WARM)
                rounds[way].append(await _figures(arrivals, length.attempts))
    return rounds


async def _figures(arrivals: Arrivals, attempts: int) -> Figures:
    cpu = time.process_time()
    waits = await arrivals.come(attempts)
    await asyncio.sleep(0.3)  # what lingers is written and shipped on the same account
    cpu = time.process_time() - cpu
    return {
        "cpu_us": cpu / attempts * 1e6,
        "p50_us": percentile(waits, 0.5) * 1e6,
        "p99_us": percentile(waits, 0.99) * 1e6,
    }


def cells(rounds: Rounds) -> Cells:
    """Medians over the rounds; CPU beyond that of the round without a ledger."""
    rows = []
    for way, found in rounds.items():
        figures = medians(found)
        pairs = zip(found, rounds[Way.NOTHING], strict=True)
        added = medians([{"us": each["cpu_us"] - bare["cpu_us"]} for each, bare in pairs])["us"]
        rows.append([way, f"{added:,.1f}", f"{figures['p50_us']:,.0f}", f"{figures['p99_us']:,.0f}"])
    return Cells(["ledger", "CPU an attempt, µs", "waited p50, µs", "waited p99, µs"], rows, {0})


def write(rounds: Rounds, folder: Path) -> None:
    """Write `ledger.json` (every round) and `ledger.md` (the table) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = measured_on(len(rounds[Way.NOTHING]))
    (folder / "ledger.json").write_text(json.dumps({"machine": machine, "rounds": rounds}, indent=2) + "\n")
    (folder / "ledger.md").write_text(f"{cells(rounds).markdown()}\n{machine}\n")


def _settle_memory() -> None:
    """As the gateway does when it has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less time, the same table")
    parser.add_argument(
        "--output", type=Path, default=Path("var/bench"), help="folder for ledger.json and ledger.md"
    )
    asked = parser.parse_args()
    console = Console(highlight=False)
    cores = two_cores(console)
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
        own_postgres(cores.other) as url,
        pinned(cores.measured),
    ):
        try:
            rounds = uvloop.run(measured(Path(folder), url, SHORT if asked.short else FULL, console))
        except StoreUnavailable as error:
            sys.exit(f"The bench failed. {error}")
    cells(rounds).show(console)
    write(rounds, asked.output)
    console.print(
        f"\nEvery round is in {asked.output}/ledger.json, the table for the docs in {asked.output}/ledger.md."
    )


if __name__ == "__main__":
    main()
