"""How long reports over millions of ledger lines take, on both engines.

Each is read often; the first time, with little in the databases' own memory, is told apart.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.progress import Progress, TaskID

from gateway.database.engine import Database, open_database
from gateway.database.migrations import upgrade
from gateway.metering.reports.lines import LedgerLines
from gateway.metering.reports.ranges import Range
from gateway.metering.reports.sql import SqlUsageReports
from tests.bench.filling import DAYS, END, fill
from tests.bench.tables import Cells, measured_on
from tests.support.postgres import fresh_database, running_postgres

_DAY: Final = 86_400_000
_OFTEN: Final = 5

Report = Callable[[Database], Awaitable[object]]
Seconds = Mapping[str, tuple[float, float]]
"""Of each report: the first time, and the median of those after it."""


def _usage(*by: str, days: float, **only: str) -> Report:
    return lambda database: SqlUsageReports(database).usage(by, END - int(days * _DAY), END, only)


async def _exported(database: Database) -> None:
    """The lines of an hour."""
    attempts = LedgerLines(database=database).attempts(Range(END - 3_600_000, END))
    await asyncio.to_thread(lambda: sum(1 for _ in attempts))


REPORTS: Final[Mapping[str, Report]] = {
    "a month, by team and model": _usage("team", "model", days=30),
    "a month, by user": _usage("user", days=30),
    "a month of one team, by day": _usage("day", days=30, team="team-7"),
    f"{DAYS} days, by month and team": _usage("month", "team", days=DAYS),
    "the last 36 hours, by team": _usage("team", days=1.5),
    "export of an hour": _exported,
}


async def measured(database: Database) -> Seconds:
    return {name: await _timed(report, database) for name, report in REPORTS.items()}


async def _timed(report: Report, database: Database) -> tuple[float, float]:
    took = []
    for _ in range(1 + _OFTEN):
        began = time.perf_counter()
        await report(database)
        took.append(time.perf_counter() - began)
    return took[0], median(took[1:])


@contextmanager
def databases(folder: Path) -> Iterator[Mapping[str, str]]:
    with running_postgres(durable=True) as server, fresh_database(server) as url:
        yield {"SQLite": f"sqlite:///{folder}/gateway.db", "PostgreSQL": url}


def main() -> None:
    """Parse the command line, fill, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reports", description=__doc__)
    parser.add_argument("--attempts", type=int, default=5_000_000, help="each has two lines")
    parser.add_argument("--output", type=Path, default=Path("var/bench"), help="folder for reports.json, .md")
    asked = parser.parse_args()
    console = Console(highlight=False)
    found: dict[str, Seconds] = {}
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder, databases(Path(folder)) as urls:
        for name, url in urls.items():
            database = open_database(url)
            upgrade(database)
            with Progress(console=console) as progress:
                task = progress.add_task(f"{name}: lines", total=asked.attempts)
                fill(database, asked.attempts, told=partial(_advance, progress, task))
            found[name] = asyncio.run(measured(database))
            asyncio.run(database.close())
    table = cells(found)
    table.show(console)
    asked.output.mkdir(parents=True, exist_ok=True)
    machine = measured_on(_OFTEN).replace("interleaved rounds", "readings")
    sentence = f"{2 * asked.attempts:,} lines of {DAYS} days. {machine}"
    (asked.output / "reports.json").write_text(json.dumps(found, indent=2) + "\n")
    (asked.output / "reports.md").write_text(f"{table.markdown()}\n{sentence}\n")


def _advance(progress: Progress, task: TaskID, count: int) -> None:
    progress.update(task, completed=count)


def cells(found: Mapping[str, Seconds]) -> Cells:
    """Milliseconds: the median, and the first time."""
    head = ["report", *(f"{name}, ms" for name in found), *(f"{name} first, ms" for name in found)]
    rows = [
        [
            report,
            *(f"{seconds[report][1] * 1000:,.0f}" for seconds in found.values()),
            *(f"{seconds[report][0] * 1000:,.0f}" for seconds in found.values()),
        ]
        for report in REPORTS
    ]
    return Cells(head, rows, {0})


if __name__ == "__main__":
    main()
