"""The bench's figures as a table for people, JSON for machines, and Markdown for docs/performance.md."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.bench.contestants import BARE, GATEWAY, GATEWAY_REDIS, NGINX
from tests.bench.tables import Cells, measured_on

DIRECT: Final = "direct"
"""The fake upstream, asked without anything between."""

Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""For each contestant, the figures of each round."""


class Bar(NamedTuple):
    """What the gateway should stay below: so many times the bare relay, or so much by itself."""

    most: float
    of_bare: bool = False

    def __str__(self) -> str:
        return f"≤ {self.most:g} × bare" if self.of_bare else f"≤ {self.most:g}"


class Row(NamedTuple):
    """One line of the table."""

    title: str
    key: str
    digits: int
    bar: Bar | None = None
    beyond: str | None = None
    """Shown as what it is beyond the same figure of this one."""
    only: str | None = None
    """The one that it tells of; None: everybody who has the figure, and the bar is the gateway's."""


ROWS: Final = [
    Row("CPU per JSON request, µs", "json_cpu_us", 1, Bar(1.6, of_bare=True)),
    Row("CPU that limits in Redis add, µs", "json_cpu_us", 1, Bar(40), beyond=GATEWAY, only=GATEWAY_REDIS),
    Row("CPU per streamed event, µs", "event_cpu_us", 1, Bar(1.25, of_bare=True)),
    Row("memory per open stream, KiB", "stream_kib", 1, Bar(64)),
    Row("added latency p50, µs", "p50_us", 0, beyond=DIRECT),
    Row("p50 that limits in Redis add, µs", "p50_us", 0, beyond=GATEWAY, only=GATEWAY_REDIS),
    Row("added latency p99, µs", "p99_us", 0, beyond=DIRECT),
    Row("p99 that limits in Redis add, µs", "p99_us", 0, beyond=GATEWAY, only=GATEWAY_REDIS),
    Row("requests/s on one core", "json_per_second", 0),
    Row("share of the core at that load", "json_core_share", 2),
    Row("idle memory, MiB", "idle_mib", 1),
    Row("upstream connections per 1,000 requests", "upstream_connections_per_1000", 1),
    Row("CPU of Redis per JSON request, µs", "redis_cpu_us", 1, only=GATEWAY_REDIS),
    # One to reserve, one to settle; beats and renewed leases are a few each second.
    Row("scripts in Redis per JSON request", "redis_scripts", 2, Bar(2.05), only=GATEWAY_REDIS),
    Row("round trips to Redis per JSON request", "redis_trips", 2, only=GATEWAY_REDIS),
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
        """Whether it is below its bar; empty when there is no bar or nothing to hold against it."""
        bar, whose = self.row.bar, self.row.only or GATEWAY
        value = (self.ratio(BARE) if bar.of_bare else self.values.get(whose)) if bar else None
        return "" if bar is None or value is None else "within" if value <= bar.most else "over"


def lines(rounds: Rounds) -> Iterator[Line]:
    """The table's lines: those of which there is a figure."""
    for row in ROWS:
        names = [name for name in rounds if name != DIRECT and row.only in (None, name)]
        found = {name: list(_found(rounds, name, row)) for name in names}
        values = {name: statistics.median(figures) for name, figures in found.items() if figures}
        if values:
            yield Line(row, values)


def _found(rounds: Rounds, name: str, row: Row) -> Iterator[float]:
    """The figure of each round. What it is beyond another's is reckoned within the round, where the
    machine's mood was the same."""
    nothing = [{row.key: 0.0}] * len(rounds[name])
    others = rounds.get(row.beyond, ()) if row.beyond else nothing
    for mine, other in zip(rounds[name], others, strict=False):
        if row.key in mine and row.key in other:
            yield mine[row.key] - other[row.key]


def cells(rounds: Rounds) -> Cells:
    """The whole table."""
    names = [name for name in rounds if name != DIRECT]
    head = ["", *names, "÷ nginx", "÷ bare relay", "bar", ""]
    rows = [_cells_of(line, names) for line in lines(rounds)]
    return Cells(head, rows, {0, len(head) - 2, len(head) - 1})


def _cells_of(line: Line, names: Sequence[str]) -> list[str]:
    values, digits = line.values, line.row.digits
    figures = [f"{values[name]:,.{digits}f}" if name in values else "" for name in names]
    ratios = [f"{ratio:.2f}" if (ratio := line.ratio(other)) else "" for other in (NGINX, BARE)]
    return [line.row.title, *figures, *ratios, str(line.row.bar or ""), line.verdict]


def show(rounds: Rounds, console: Console) -> None:
    """Print the table."""
    cells(rounds).show(console)


def write(rounds: Rounds, folder: Path) -> None:
    """Write `bench.json` (every round) and `bench.md` (the table) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = measured_on(len(rounds[DIRECT]))
    medians = [
        {"title": line.row.title, "key": line.row.key, **line.values, "verdict": line.verdict}
        for line in lines(rounds)
    ]
    content = {"machine": machine, "medians": medians, "rounds": rounds}
    (folder / "bench.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "bench.md").write_text(f"{cells(rounds).markdown()}\n{machine}\n")
