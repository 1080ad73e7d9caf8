"""`gateway usage`: what was spent, from the ledger."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gateway.cli.console import explained, out, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.formats import Format
from gateway.cli.output import FILE_WIDTH, AsFormat, Output, print_tables, write_records
from gateway.cli.progress import waiting
from gateway.cli.ranges import Since, Until, asked_range
from gateway.cli.usage_table import remarks_on, usage_tables
from gateway.metering.interfaces import GROUPS
from gateway.metering.reports.records import as_record, columns
from gateway.metering.reports.sql import SqlUsageReports


def usage(
    by: Annotated[
        str, typer.Option(help=f"What to group by: {', '.join(GROUPS)}; several with commas.")
    ] = "team,model",
    since: Since = None,
    until: Until = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3660, help="How many days back, instead of --since. Default 30."),
    ] = None,
    team: Annotated[str | None, typer.Option(help="Only what this team spent.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only what this model cost, by its name in models.yaml.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only what this key spent, by its id.")] = None,
    user: Annotated[str | None, typer.Option(help="Only what this user spent.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only what this endpoint cost.")] = None,
    output_format: AsFormat = Format.TABLE,
    output: Output = None,
) -> None:
    """Show what was spent: requests, tokens, dollars. Read from the ledger, also while the gateway runs."""
    groups = _groups(by)
    if days is not None and since is not None:
        raise typer.BadParameter("say either --days or --since.", param_hint="--days")
    asked = asked_range(since, until, default=f"{days or 30}d")
    given = {"team": team, "model": model, "key": key, "user": user, "endpoint": endpoint}
    only = {name: value for name, value in given.items() if value is not None}
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database, waiting("Summing"):
        rows = asyncio.run(SqlUsageReports(database).usage(groups, asked.since, asked.until, only))
    if not rows:
        whose = "".join(f" {name} {value}," for name, value in only.items())
        say(escape(f"Nothing was spent{' by' if only else ''}{whose} {asked}."))
    if output_format is not Format.TABLE:
        records = (as_record(groups, row) for row in rows)
        write_records(records, columns=columns(groups), form=output_format, output=output)
    elif rows:
        console = out if output is None else Console(width=FILE_WIDTH)
        print_tables(*usage_tables(groups, rows, console=console), output=output)
        for sentence in remarks_on(rows):
            say(f"[bold yellow]![/] {escape(sentence)}")


def _groups(by: str) -> Sequence[str]:
    """Ends the command with status 2 and a sentence for what is no group."""
    groups = tuple(name.strip() for name in by.split(","))
    for name in groups:
        if name not in GROUPS:
            raise typer.BadParameter(f"there is no `{name}`, only {', '.join(GROUPS)}.", param_hint="--by")
    if len(set(groups)) < len(groups):
        raise typer.BadParameter("each at most once.", param_hint="--by")
    return groups
