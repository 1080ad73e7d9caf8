"""`gateway chargeback`: a month's costs in the columns of FOCUS, for finance's own tools."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from gateway.app.installation import load_policy_files
from gateway.cli.console import err, explained, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.formats import Format
from gateway.cli.holders import Holders
from gateway.cli.months import Written, asked_month
from gateway.cli.output import Output, write_records
from gateway.cli.progress import counted
from gateway.cli.wording import dollars, many, spelled
from gateway.core.clock import SystemClock
from gateway.metering.reports.chargeback import Chargeback, Row
from gateway.metering.reports.closing import Closings
from gateway.metering.reports.focus import COLUMNS, Seller, charge
from gateway.metering.reports.month import Month
from gateway.settings.tree import Settings

_OPENAI: Final = Seller("OpenAI", "OpenAI", "OpenAI API")
_AZURE: Final = Seller("Microsoft", "OpenAI", "Azure OpenAI")
_OPENAI_HOST: Final = "api.openai.com"


class ChargebackFormat(StrEnum):
    """How it is written."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(slots=True)
class _Told:
    """What went into the file."""

    rows: int = 0
    cost: int = 0
    corrections: int = 0
    corrected: int = 0
    unpriced: int = 0

    def of(self, rows: Iterable[Row], *, correction: bool) -> Iterator[Row]:
        for row in rows:
            self.unpriced += row["unpriced"]
            if correction:
                self.corrections += 1
                self.corrected += row["cost"]
            else:
                self.rows += 1
                self.cost += row["cost"]
            yield row


def chargeback(
    month: Written,
    output_format: Annotated[
        ChargebackFormat, typer.Option("--format", help="How to write it.")
    ] = ChargebackFormat.CSV,
    output: Output = None,
    restatements: Annotated[
        bool, typer.Option(help="Add to a closed month what the ledger says beyond it today, as corrections.")
    ] = False,
) -> None:
    """Write a month's costs in FOCUS columns, with cost centres. A closed month's are its frozen figures."""
    asked, form = asked_month(month), Format(output_format)
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        closing = Closings(database=database, clock=SystemClock()).find(asked)
        _warn_of_open(asked, closing is not None, restatements)
        source = Chargeback(database)
        as_charge = _charges(settings, asked, Holders(load_policy_files(settings), source.key_names()))
        is_closed, told = closing is not None, _Told()
        charges = as_charge(told.of(source.rows(asked, closed=is_closed), correction=False), False)
        if is_closed and restatements:
            corrections = as_charge(told.of(source.restatements(asked), correction=True), True)
            charges = chain(charges, corrections)
        total = source.count(asked, closed=is_closed) if err.is_terminal else None
        records = counted(charges, what="Writing", unit="rows", total=total)
        write_records(records, columns=COLUMNS, form=form, output=output)
    _tell(asked, told, f"closed since {spelled(closing.closed_at)}" if closing else "not closed")


def _charges(
    settings: Settings, month: Month, holders: Holders
) -> Callable[[Iterable[Row], bool], Iterator[Mapping[str, Any]]]:
    sellers = {name: _seller(name, each.kind, each.base_url) for name, each in settings.all_upstreams.items()}

    def charges(rows: Iterable[Row], correction: bool) -> Iterator[Mapping[str, Any]]:
        for row in rows:
            upstream = row["upstream"]
            yield charge(
                row,
                month=month,
                seller=sellers.get(upstream) or Seller(upstream, upstream, upstream),
                cost_centre=holders.cost_centre(row["team"], row["key_id"]),
                correction=correction,
            )

    return charges


def _seller(name: str, kind: str, base_url: str) -> Seller:
    if kind == "azure":
        return _AZURE
    return _OPENAI if urlsplit(base_url).hostname == _OPENAI_HOST else Seller(name, name, name)


def _warn_of_open(month: Month, is_closed: bool, restatements: bool) -> None:
    if is_closed:
        return
    more = " There are no restatements of it." if restatements else ""
    say(
        f"[bold yellow]![/] {month} is not closed: these figures may still change.{more} "
        f"`gateway months close {month}` freezes them."
    )


def _tell(month: Month, told: _Told, state: str) -> None:
    if not told.rows:
        say(f"Nothing was spent in {month}.")
        return
    say(f"{month} ({state}): {many(told.rows, 'row')}, {dollars(told.cost)} USD.")
    if told.corrections:
        say(f"Corrections: {many(told.corrections, 'row')}, {dollars(told.corrected, sign=True)} USD.")
    if told.unpriced:
        sentence = (
            f"The cost of {many(told.unpriced, 'attempt')} is not known and not in it; where a row has no "
            "other, its cost is empty, which FOCUS does not allow. Add what has no price to prices.yaml, "
            f"then `gateway prices rerate --since {month} --until {month.next}`."
        )
        say(f"[bold yellow]![/] {escape(sentence)}")
