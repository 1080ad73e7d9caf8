"""The bench's figures as a table for people, JSON for machines, and Markdown for docs/performance.md."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.contestants import BARE, GATEWAY, NGINX

DIRECT: Final = "direct"
"""The fake upstream, asked without anything between."""

Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""For each contestant, the figures of each round."""


class Bar(NamedTuple):
    """What the gateway should stay below: so many times the bare relay, or so much by itself."""

    most: float
    of_bare: bool

    def __str__(self) -> str:
        return f"≤ {self.most:g} × bare" if self.of_bare else f"≤ {self.most:g}"


class Row(NamedTuple):
    """One line of the table."""

    title: str
    key: str
    digits: int
    bar: Bar | None = None
    added: bool = False
    """Shown as what is added to the same figure of a direct connection."""


ROWS: Final = [
    Row("CPU per JSON request, µs", "json_cpu_us", 1, Bar(1.6, of_bare=True)),
    Row("CPU per streamed event, µs", "event_cpu_us", 1, Bar(1.25, of_bare=True)),
    Row("memory per open stream, KiB", "stream_kib", 1, Bar(64, of_bare=False)),
    Row("added latency p50, µs", "p50_us", 0, added=True),
    Row("added latency p99, µs", "p99_us", 0, added=True),
    Row("requests/s on one core", "json_per_second", 0),
    Row("share of the core at that load", "json_core_share", 2),
    Row("idle memory, MiB", "idle_mib", 1),
    Row("upstream connections per 1,000 requests", "upstream_connections_per_1000", 1),
]


class Line(NamedTuple):
    """A row with its figures: medians over the rounds."""

    row: Row
    values: dict[str, float]

    def ratio(self, other: str) -> float | None:
        """The gateway's figure over another's."""
        mine, theirs = self.values.get(GATEWAY), self.values.get(other)
        return mine / theirs if mine is not None and theirs and theirs > 0 else None

    @property
    def verdict(self) -> str:
        """Whether the gateway is below its bar; empty when there is no bar or nothing to hold against it."""
        bar = self.row.bar
        value = (self.ratio(BARE) if bar.of_bare else self.values.get(GATEWAY)) if bar else None
        return "" if bar is None or value is None else "within" if value <= bar.most else "over"


def lines(rounds: Rounds) -> Iterator[Line]:
    """The table's lines."""
    contestants = [name for name in rounds if name != DIRECT]
    for row in ROWS:
        yield Line(row, {name: _median(rounds, name, row) for name in contestants})


def _median(rounds: Rounds, name: str, row: Row) -> float:
    """Over the rounds; what is added is reckoned within each round, where the machine's mood was the same."""
    return statistics.median(
        mine[row.key] - (direct[row.key] if row.added else 0)
        for mine, direct in zip(rounds[name], rounds[DIRECT], strict=True)
    )


def _cells(rounds: Rounds) -> Iterator[list[str]]:
    names = [name for name in rounds if name != DIRECT]
    yield ["", *names, "÷ nginx", "÷ bare relay", "bar", ""]
    for line in lines(rounds):
        figures = [f"{line.values[name]:,.{line.row.digits}f}" for name in names]
        ratios = [f"{ratio:.2f}" if (ratio := line.ratio(other)) else "" for other in (NGINX, BARE)]
        yield [line.row.title, *figures, *ratios, str(line.row.bar or ""), line.verdict]


def show(rounds: Rounds, console: Console) -> None:
    """Print the table."""
    head, *rest = _cells(rounds)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for number, title in enumerate(head):
        table.add_column(title, justify="left" if number in (0, len(head) - 2, len(head) - 1) else "right")
    colours: dict[str, Callable[[str], str]] = {
        "within": "[green]{}[/]".format,
        "over": "[yellow]{}[/]".format,
    }
    for *cells, verdict in rest:
        table.add_row(*cells, colours.get(verdict, str)(verdict))
    console.print(table)


def _markdown(rounds: Rounds) -> str:
    head, *rest = _cells(rounds)
    rule = ["---", *["---:"] * (len(head) - 3), "---", "---"]
    return (
        "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rest)) + f"\n\n{_machine(rounds)}.\n"
    )


def _machine(rounds: Rounds) -> str:
    cpu = next(
        (t.split(":")[1].strip() for t in _cpuinfo() if t.startswith("model name")), platform.machine()
    )
    return (
        f"Medians of {len(rounds[DIRECT])} interleaved rounds, {datetime.now(UTC):%Y-%m-%d}: {cpu}, "
        f"{os.cpu_count()} cores, Linux {platform.release()}, {platform.python_implementation()} "
        f"{platform.python_version()}"
    )


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def write(rounds: Rounds, folder: Path) -> None:
    """Write `bench.json` (every round) and `bench.md` (the table) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    medians = {line.row.key: line.values | {"verdict": line.verdict} for line in lines(rounds)}
    content = {"machine": _machine(rounds), "medians": medians, "rounds": rounds}
    (folder / "bench.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "bench.md").write_text(_markdown(rounds))
