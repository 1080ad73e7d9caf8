"""A table for people, in the console and in Markdown; and the machine that it was measured on."""

import os
import platform
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

_COLOURS: Final = {"within": "[green]{}[/]", "over": "[yellow]{}[/]"}


class Cells(NamedTuple):
    """Words in rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Collection[int]
    """Columns that are not numbers."""

    def show(self, console: Console) -> None:
        """Print them."""
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for number, title in enumerate(self.head):
            table.add_column(title, justify="left" if number in self.words else "right")
        for row in self.rows:
            table.add_row(*(_COLOURS.get(cell, "{}").format(cell) for cell in row))
        console.print(table)

    def markdown(self) -> str:
        """As a page of docs/ has them."""
        rule = ["---" if number in self.words else "---:" for number in range(len(self.head))]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (self.head, rule, *self.rows))


def measured_on(rounds: int) -> str:
    """A sentence: how often, when, and on which machine."""
    return (
        f"Medians of {rounds} interleaved rounds, {datetime.now(UTC):%Y-%m-%d}: {_cpu()}, "
        f"{os.cpu_count()} cores, Linux {platform.release()}, {platform.python_implementation()} "
        f"{platform.python_version()}."
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
