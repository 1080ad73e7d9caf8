"""`gateway months`: the monthly close. A closed month's figures stay; what comes later stands beside them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from gateway.cli.actor import at_the_keyboard
from gateway.cli.console import explained, fail, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.formats import Format
from gateway.cli.output import AsFormat, Output, print_tables, write_records
from gateway.cli.tables import plain, table
from gateway.cli.wording import dollars, many, spelled
from gateway.core.clock import SystemClock
from gateway.metering.reports.closing import Closed, Closing, Closings, Restated
from gateway.metering.reports.daily import MEASURES
from gateway.metering.reports.month import Month

command = typer.Typer(help="Close months, and show what was frozen.", no_args_is_help=True)

Written = Annotated[str, typer.Argument(metavar="MONTH", help="The month, in UTC: 2026-10.")]

_BY: Final = ("team", "model")


def _named(measure: str) -> str:
    """As files call it: with its unit."""
    return "cost_microdollars" if measure == "cost" else measure


_COLUMNS: Final[dict[str, type]] = {
    "month": str,
    **dict.fromkeys(_BY, str),
    **{f"{state}_{_named(measure)}": int for state in ("frozen", "restated") for measure in MEASURES},
}
_CLOSING_COLUMNS: Final[dict[str, type]] = {
    "month": str,
    "closed_at": datetime,
    "attempts": int,
    "cost_microdollars": int,
    "unpriced": int,
}


@command.command()
def close(month: Written) -> None:
    """Freeze a month's figures, once and for ever.

    From one hour after its end on. Doing it twice is doing it once.
    """
    asked = asked_month(month)
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        closings = Closings(database=database, clock=SystemClock())
        _tell(closings.close(asked, by=at_the_keyboard().name))


@command.command("list")
def list_months(output_format: AsFormat = Format.TABLE, output: Output = None) -> None:
    """List the months that are closed."""
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        closings = Closings(database=database, clock=SystemClock()).all()
    if not closings:
        say("No month is closed yet. `gateway months close 2026-10` closes one.")
    if output_format is not Format.TABLE:
        records = (_closing_record(closing) for closing in closings)
        write_records(records, columns=_CLOSING_COLUMNS, form=output_format, output=output)
    elif closings:
        print_tables(_closings_table(closings), output=output)


@command.command()
def show(month: Written, output_format: AsFormat = Format.TABLE, output: Output = None) -> None:
    """Show a closed month: its frozen figures by team and model, and what the ledger says beyond them now."""
    asked = asked_month(month)
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        closings = Closings(database=database, clock=SystemClock())
        closing = closings.find(asked)
        if closing is None:
            fail([f"{asked} is not closed. `gateway months close {asked}` closes it when it is over."])
        rows = closings.restated(asked, _BY)
    if output_format is not Format.TABLE:
        write_records(_records(asked, rows), columns=_COLUMNS, form=output_format, output=output)
        return
    if rows:
        print_tables(_table(rows), output=output)
    say(f"{asked} is closed since {spelled(closing.closed_at)}. {_restatement(rows)}")


def asked_month(written: str) -> Month:
    """Ends the command with status 2 and a sentence when it is no month."""
    try:
        return Month.written(written)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="MONTH") from None


def _tell(closed: Closed) -> None:
    closing = closed.closing
    if closed.before:
        say(f"{closing.month} is closed since {spelled(closing.closed_at)}. Nothing was changed.")
        return
    if not closing.attempts:
        say(f"{closing.month} is closed. Nothing was settled in it.")
    else:
        say(
            f"{closing.month} is closed: {many(closing.attempts, 'attempt')}, {dollars(closing.cost)} USD. "
            f"`gateway months show {closing.month}` shows it."
        )
    for warning in _warnings(closed):
        say(f"[bold yellow]![/] {escape(warning)}")


def _warnings(closed: Closed) -> Iterator[str]:
    month = closed.closing.month
    if closed.closing.unpriced:
        yield (
            f"The cost of {many(closed.closing.unpriced, 'attempt')} is not known, and not in the figures. "
            "Add what has no price to prices.yaml, then "
            f"`gateway prices rerate --since {month} --until {month.next}`: it will be a restatement."
        )
    if closed.unsettled:
        more = " ..." if closed.unsettled > len(closed.unsettled_named) else ""
        yield (
            f"Admitted before the month's end and not settled: {many(closed.unsettled, 'attempt')} "
            f"({', '.join(closed.unsettled_named)}{more}). What is settled later counts on that day."
        )


def _restatement(rows: Sequence[Restated]) -> str:
    if not any(row.changed for row in rows):
        return "The ledger says the same today."
    cost = sum(row.difference["cost"] for row in rows)
    attempts = sum(row.difference["attempts"] for row in rows)
    more = f", {many(attempts, 'attempt')} more" if attempts else ""
    return f"Restated since: {dollars(cost, sign=True)} USD{more}."


def _table(rows: Sequence[Restated]) -> Table:
    headings = (
        "~team",
        "~model",
        ">attempts",
        ">input",
        ">output",
        ">frozen USD",
        ">restated",
        ">USD today",
        "~",
    )
    frozen = sum(row.frozen["cost"] for row in rows)
    today = sum(row.today["cost"] for row in rows)
    attempts = sum(row.frozen["attempts"] for row in rows)
    restated = dollars(today - frozen, sign=True) if any(row.changed for row in rows) else ""
    money = (dollars(frozen), restated, dollars(today))
    return table(
        headings, [_cells(row) for row in rows], total=("all", "", f"{attempts:,}", "", "", *money, "")
    )


def _cells(row: Restated) -> Sequence[str]:
    frozen, difference = row.frozen, row.difference
    restated = dollars(difference["cost"], sign=True) if row.changed else ""
    return (
        *map(plain, row.group),
        *(f"{frozen[name]:,}" for name in ("attempts", "input_tokens", "output_tokens")),
        dollars(frozen["cost"]),
        f"[yellow]{restated}[/]" if restated else "",
        dollars(row.today["cost"]),
        _remarks(row),
    )


def _remarks(row: Restated) -> str:
    remarks = []
    if unpriced := row.frozen["unpriced"]:
        remarks.append(f"[red]{unpriced:,} unpriced[/]")
    if estimated := row.frozen["estimated"]:
        remarks.append(f"[yellow]{estimated:,} estimated[/]")
    if since := row.difference["attempts"]:
        remarks.append(f"[yellow]{since:+,} attempts since[/]")
    return ", ".join(remarks)


def _records(month: Month, rows: Sequence[Restated]) -> Iterator[dict[str, Any]]:
    for row in rows:
        difference = row.difference
        yield {
            "month": str(month),
            **dict(zip(_BY, row.group, strict=True)),
            **{f"frozen_{_named(name)}": row.frozen[name] for name in MEASURES},
            **{f"restated_{_named(name)}": difference[name] for name in MEASURES},
        }


def _closings_table(closings: Sequence[Closing]) -> Table:
    rows = [
        (
            str(closing.month),
            spelled(closing.closed_at),
            f"{closing.attempts:,}",
            dollars(closing.cost),
            f"[red]{closing.unpriced:,} unpriced[/]" if closing.unpriced else "",
        )
        for closing in closings
    ]
    return table(("month", "closed", ">attempts", ">USD", "~"), rows)


def _closing_record(closing: Closing) -> dict[str, Any]:
    return {
        "month": str(closing.month),
        "closed_at": datetime.fromtimestamp(closing.closed_at / 1000, UTC),
        "attempts": closing.attempts,
        "cost_microdollars": closing.cost,
        "unpriced": closing.unpriced,
    }
