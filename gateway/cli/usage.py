"""`gateway usage`: what was spent, from the ledger."""

import asyncio
import csv
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from gateway.app import usage_reports
from gateway.cli.console import explained, out, say, settings_or_exit
from gateway.metering.interfaces import UsageRow
from gateway.metering.reports.records import MEASURES, as_record


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


def usage(
    by: Annotated[
        str, typer.Option(help="What to group by: team, model, key, day, endpoint; several with commas.")
    ] = "team,model",
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days back.")] = 30,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show what was spent: requests, tokens, dollars. Read from the ledger, also while the gateway runs."""
    groups = tuple(name.strip() for name in by.split(","))
    since = datetime.now(UTC) - timedelta(days=days)
    settings = settings_or_exit()

    async def read() -> Sequence[UsageRow]:
        async with usage_reports(settings) as reports:
            return await reports.usage(groups, int(since.timestamp() * 1000), None)

    with explained(settings):
        rows = asyncio.run(read())
    if not rows:
        say(f"Nothing was spent in the last {days} days.")
    _PRINTERS[output](groups, rows)


def _as_table(groups: Sequence[str], rows: Sequence[UsageRow]) -> None:
    if not rows:
        return
    table = Table(box=None, header_style="bold")
    for name in groups:
        table.add_column(name, overflow="fold")
    for heading in ("attempts", "input", "cached", "output", "USD"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(
            *row.group,
            f"{row.attempts:,}",
            f"{row.input_tokens:,}",
            f"{row.cached_tokens:,}",
            f"{row.output_tokens:,}",
            f"{row.cost / 1_000_000:,.6f}",
            _remarks(row),
        )
    out.print(table)


def _remarks(row: UsageRow) -> str:
    remarks = []
    if row.unpriced:
        remarks.append(f"[red]{row.unpriced:,} unpriced[/]")
    if row.estimated:
        remarks.append(f"[yellow]{row.estimated:,} estimated[/]")
    return ", ".join(remarks)


def _as_csv(groups: Sequence[str], rows: Sequence[UsageRow]) -> None:
    writer = csv.DictWriter(sys.stdout, fieldnames=[*groups, *MEASURES], lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_record(groups, row) for row in rows)


def _as_json(groups: Sequence[str], rows: Sequence[UsageRow]) -> None:
    records = [as_record(groups, row) for row in rows]
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(records), indent=2).decode() + "\n")


def _as_jsonl(groups: Sequence[str], rows: Sequence[UsageRow]) -> None:
    for row in rows:
        sys.stdout.write(msgspec.json.encode(as_record(groups, row)).decode() + "\n")


_PRINTERS = {
    Format.TABLE: _as_table,
    Format.CSV: _as_csv,
    Format.JSON: _as_json,
    Format.JSONL: _as_jsonl,
}
