"""`gateway audit`: what was done, by whom; and whether the record of it is whole."""

import asyncio
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer
from rich.markup import escape

from gateway.audit.reading import Line, SqlAuditTrail
from gateway.cli.audit_table import audit_table
from gateway.cli.console import explained, fail, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.formats import Format, Record
from gateway.cli.output import Output, print_tables, write_content, write_records
from gateway.cli.progress import counted, waiting
from gateway.cli.wording import many

COLUMNS: Final = {
    "number": int,
    "at": int,
    **dict.fromkeys(("actor", "action", "target", "team", "details", "hash"), str),
}

command = typer.Typer(help="What was done, by whom.", no_args_is_help=True)


class LinesFormat(StrEnum):
    """How lines are written."""

    JSONL = "jsonl"
    CSV = "csv"


@command.command("list")
def list_lines(
    team: Annotated[str | None, typer.Option(help="Only what concerns this team.")] = None,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="So many lines.")] = 50,
) -> None:
    """Show the last lines, the newest first."""
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        lines = asyncio.run(SqlAuditTrail(database).list(team=team, most=last))
    if lines:
        print_tables(audit_table(lines))
    else:
        of_team = "" if team is None else f" of the team `{escape(team)}`"
        say(f"Nothing is on record{of_team}.")


@command.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="A head that was printed earlier: it must still be there.")
    ] = None,
) -> None:
    """Reckon every line's hash anew. Prints the head, to be kept elsewhere; ends with status 1 when the trail
    is not whole."""
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database, waiting("Reckoning"):
        verdict = asyncio.run(SqlAuditTrail(database).verify(head))
    if not verdict.intact:
        fail([f"{verdict.sentence} Up to there it is whole: {verdict.head}"])
    say(f"[green]✓[/] {many(verdict.lines, 'line')}, each as it was written. The head:")
    write_content(f"{verdict.head}\n".encode())


@command.command()
def export(
    output_format: Annotated[
        LinesFormat, typer.Option("--format", help="How to write it.")
    ] = LinesFormat.JSONL,
    output: Output = None,
) -> None:
    """Write every line, the oldest first."""
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        trail = SqlAuditTrail(database)
        with database.transaction(writes=False) as connection:
            lines = counted(trail.lines(connection), what="Exporting", unit="lines", total=None)
            records = map(_row if output_format is LinesFormat.CSV else asdict, lines)
            write_records(records, columns=COLUMNS, form=Format(output_format), output=output)


def _row(line: Line) -> Record:
    """What it was, in one cell."""
    return {**asdict(line), "details": msgspec.json.encode(line.details).decode()}
