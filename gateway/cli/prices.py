"""`gateway prices`: the price book, as it holds on a day."""

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from gateway.app.installation import load_policy_files
from gateway.cli.console import explained, settings_or_exit
from gateway.cli.output import write_content
from gateway.cli.prices_table import print_outlook
from gateway.metering.prices.outlook import outlook

command = typer.Typer(help="The price book: what holds, and what changes.", no_args_is_help=True)


class Form(StrEnum):
    """How the book is printed."""

    TABLE = "table"
    JSON = "json"


@command.callback()
def prices() -> None:
    """The price book: what holds, and what changes."""


@command.command()
def check(
    at: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="On which day, such as 2026-12-24 (UTC).", show_default="today"),
    ] = None,
    output_format: Annotated[Form, typer.Option("--format", help="How to print it.")] = Form.TABLE,
) -> None:
    """Show what the price book holds, what has no price, and what changes in the next 30 days. When the files
    are wrong, name every mistake, with file and line.
    """
    moment = time.time() if at is None else _midnight(at)
    settings = settings_or_exit()
    with explained(settings):
        found = outlook(load_policy_files(settings).catalogue, moment)
    if output_format is Form.JSON:
        write_content(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    else:
        print_outlook(found)


def _midnight(day: str) -> float:
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise typer.BadParameter("must be a day, such as 2026-12-24.", param_hint="--at") from None
