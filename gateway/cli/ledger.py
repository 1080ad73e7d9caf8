"""`gateway ledger`: the lines themselves."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from typing import Annotated

import typer
from rich.markup import escape

from gateway.cli.console import err, explained, out, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.formats import Format, Record
from gateway.cli.output import Output, write_records
from gateway.cli.progress import counted, waiting
from gateway.cli.ranges import Since, Until, asked_range
from gateway.metering.reports.lines import ROW, LedgerLines, as_lines, as_rows
from gateway.metering.reports.ranges import Range

command = typer.Typer(help="The ledger's own lines.", no_args_is_help=True)


class LinesFormat(StrEnum):
    """How lines are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@command.callback()
def ledger() -> None:
    """The ledger's own lines."""


@command.command()
def export(
    since: Since = None,
    until: Until = None,
    output_format: Annotated[
        LinesFormat, typer.Option("--format", help="How to write it.")
    ] = LinesFormat.JSONL,
    output: Output = None,
) -> None:
    """Write every line with all its fields: of what was settled in this time, and is not settled yet."""
    asked = asked_range(since, until)
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        lines = LedgerLines(database=database)
        tally = _Tally(_records(lines, asked, output_format))
        told = _told(tally, lines, asked, output_format) if output or not out.is_terminal else tally
        write_records(told, columns=ROW, form=Format(output_format), output=output)
    if not tally.count:
        say(f"The ledger has no line {asked}.")
    elif output is not None:
        say(escape(f"{tally.count:,} {_unit(output_format)} are in {output}."))


class _Tally:
    """Records, and how many have passed."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self.count = 0

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            self.count += 1
            yield record


def _records(lines: LedgerLines, asked: Range, form: LinesFormat) -> Iterator[Record]:
    """JSON's objects may differ, so a line is one; a table has one shape for all of its rows."""
    shape = as_lines if form is LinesFormat.JSONL else as_rows
    return chain.from_iterable(map(shape, lines.attempts(asked)))


def _told(records: Iterable[Record], lines: LedgerLines, asked: Range, form: LinesFormat) -> Iterator[Record]:
    """With a bar, where somebody looks."""
    total = None
    if err.is_terminal:
        with waiting("Counting"):
            count = lines.count(asked)
        total = count.lines if form is LinesFormat.JSONL else count.rows
    return counted(records, what="Exporting", unit=_unit(form), total=total)


def _unit(form: LinesFormat) -> str:
    return "lines" if form is LinesFormat.JSONL else "rows"
