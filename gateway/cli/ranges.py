"""`--since` and `--until`, the same for every command."""

import time
from typing import Annotated

import typer

from gateway.metering.reports.ranges import Range, parse_range

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From when on: a day (2026-10-01), a month (2026-10), or how far back (30d, 12h). In UTC.",
        show_default=False,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Up to when; this is not included. As for --since.", show_default=False
    ),
]


def asked_range(since: str | None, until: str | None, *, default: str | None = None) -> Range:
    """What the options say. `default`: for --since, when it is not given; None: from the beginning.

    Ends the command with status 2 and a sentence when they say no time.
    """
    try:
        return parse_range(since or default, until, now=time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since, --until") from None
