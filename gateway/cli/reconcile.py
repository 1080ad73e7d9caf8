"""`gateway reconcile`: whether the provider counted and charged what the ledger has, and why not."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer
from rich.markup import escape
from rich.table import Table

from gateway.app.installation import load_policy_files
from gateway.cli.console import explained, fail, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.findings import findings
from gateway.cli.formats import Format, Record
from gateway.cli.output import AsFormat, Output, print_tables, write_content, write_records
from gateway.cli.progress import advancing
from gateway.cli.ranges import Since, Until, asked_range
from gateway.cli.tables import plain, table
from gateway.cli.wording import dollars
from gateway.metering.reconciliation.amounts import Amounts, Place
from gateway.metering.reconciliation.explain import Explained, Reason
from gateway.metering.reconciliation.http import HttpFetch
from gateway.metering.reconciliation.provider import Provider, ProviderError
from gateway.metering.reconciliation.reconcile import reconcile as reconciled
from gateway.metering.reconciliation.sums import LedgerSums
from gateway.metering.reconciliation.textfile import textfile
from gateway.metering.reconciliation.verdict import Verdict, judge
from gateway.metering.reports.ranges import DAY
from gateway.settings.sections import UpstreamSettings
from gateway.settings.tree import Settings

_DEFAULT_SINCE: Final = "8d"
"""A week up to the day before yesterday: figures that are final."""

_MEASURES: Final = tuple("cost_microdollars" if name == "cost" else name for name in Amounts._fields)
_COLUMNS: Final[Mapping[str, type]] = {
    **dict.fromkeys(("day", "upstream", "model"), str),
    **{f"{book}_{name}": int for name in _MEASURES for book in ("provider", "ledger", "difference")},
    "reasons": str,
    "price_ratio": Decimal,
    "unexplained_tokens": int,
    "unexplained_cost_microdollars": int,
}


def _tolerance(text: str) -> Decimal:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", text.strip(), re.ASCII)
    if found is None or Decimal(found[1]) > 100:
        raise typer.BadParameter(
            f"`{text[:20]}` is no part of the whole. Write a percentage: 0.5%.", param_hint="--tolerance"
        )
    return Decimal(found[1]) / 100


def reconcile(
    since: Since = None,
    until: Until = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="Only this upstream; may be given again. All that have an admin_key, else."),
    ] = None,
    tolerance: Annotated[
        str,
        typer.Option(
            metavar="PERCENT",
            help="How much of requests, tokens and cost may be off, whichever is worst.",
        ),
    ] = "0.5%",
    output_format: AsFormat = Format.TABLE,
    output: Output = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write metrics too, for node_exporter's textfile collector.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Compare what the provider counted and charged with the ledger, and say what explains the difference.

    Of the last week whose figures are final: without --until it ends where yesterday begins.

    Status 0 when they agree within the tolerance, 1 when they do not, or when it cannot be found out.
    """
    days, allowed = _days(since, until), _tolerance(tolerance)
    settings = settings_or_exit()
    accounts = _accounts(settings, upstream)
    with explained(settings):
        try:
            found = asyncio.run(_found(settings, accounts, days))
        except ProviderError as error:
            fail([str(error)])
    verdict = judge(found)
    holds = verdict.holds(allowed)
    if metrics is not None:
        write_content(textfile(found, now=time.time(), within_tolerance=holds), metrics)
    if output_format is not Format.TABLE:
        write_records(map(_record, found), columns=_COLUMNS, form=output_format, output=output)
    elif found:
        print_tables(_table(found, verdict), output=output)
    _tell(found, verdict, holds, allowed, days)
    if not holds:
        raise typer.Exit(1)


def _days(since: str | None, until: str | None) -> tuple[int, int]:
    asked = asked_range(since, until, default=_DEFAULT_SINCE)
    if not asked.days:
        raise _wrong("providers tell costs by the day: write days, such as 2026-10-01 or 30d.")
    begins = (asked.since or 0) // DAY
    ends = _today() - 1 if asked.until is None else min(asked.until // DAY, _today() + 1)
    if begins >= ends:
        raise _wrong("these days are not over, or not final: yesterday and today need an --until.")
    return begins, ends


def _wrong(sentence: str) -> typer.BadParameter:
    return typer.BadParameter(sentence, param_hint="--since, --until")


@dataclass(frozen=True, slots=True)
class _Account:
    """What is asked for at once: upstreams of one project at one place are one."""

    upstreams: Sequence[str]
    settings: UpstreamSettings

    @property
    def label(self) -> str:
        return "+".join(self.upstreams)


def _accounts(settings: Settings, wanted: Sequence[str] | None) -> Sequence[_Account]:
    """Those that can be asked."""
    every = settings.all_upstreams
    if unknown := [name for name in wanted or () if name not in every]:
        raise typer.BadParameter(
            f"there is no upstream `{unknown[0]}`, only {', '.join(every)}.", param_hint="--upstream"
        )
    chosen = {name: each for name, each in every.items() if not wanted or name in wanted}
    asked = {name: each for name, each in chosen.items() if each.admin_key and each.kind == "openai"}
    left_out = sorted({*chosen} - {*asked})
    if not asked:
        fail(
            [
                f"Nobody can be asked: {', '.join(left_out)} has no admin_key, or is no OpenAI. Set "
                "GATEWAY_UPSTREAM__ADMIN_KEY (or GATEWAY_UPSTREAMS__<NAME>__ADMIN_KEY) to an admin key of "
                "the organization at OpenAI."
            ]
        )
    if left_out:
        say(f"Not reconciled, since they have no admin_key or are no OpenAI: {escape(', '.join(left_out))}.")
    accounts: dict[tuple[str, str], list[str]] = {}
    for name, each in asked.items():
        accounts.setdefault((each.base_url, each.project), []).append(name)
    return [_Account(names, asked[names[0]]) for names in accounts.values()]


async def _found(
    settings: Settings, accounts: Sequence[_Account], days: tuple[int, int]
) -> Sequence[Explained]:
    catalogue = load_policy_files(settings).catalogue
    since, until = days
    asking = advancing("Asking the provider", unit="pages", total=None)
    with opened_database(settings) as database, asking as told:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            return await reconciled(
                [_provider(account, session, partial(told, 1)) for account in accounts],
                LedgerSums(
                    database,
                    labels={name: account.label for account in accounts for name in account.upstreams},
                    upstream_models={name: model.upstream_model for name, model in catalogue.models.items()},
                ),
                since=since,
                until=until,
                today=_today(),
            )


def _provider(account: _Account, session: aiohttp.ClientSession, on_page: Callable[[], None]) -> Provider:
    settings = account.settings
    if settings.admin_key is None:
        raise RuntimeError("only upstreams with an admin key are asked")
    return Provider(
        upstream=account.label,
        project=settings.project,
        fetch=HttpFetch(
            session=session, base_url=settings.base_url, admin_key=settings.admin_key, proxy=settings.proxy
        ),
        pause=asyncio.sleep,
        on_page=on_page,
    )


def _record(each: Explained) -> Record:
    books = zip(each.comparison.provider, each.comparison.ledger, each.comparison.difference, strict=True)
    place, rest = each.comparison.place, each.of(Reason.UNEXPLAINED)
    amounts: dict[str, Any] = {}
    for name, (theirs, ours, difference) in zip(_MEASURES, books, strict=True):
        amounts |= {f"provider_{name}": theirs, f"ledger_{name}": ours, f"difference_{name}": difference}
    return {
        "day": _date(place.day),
        "upstream": place.upstream,
        "model": place.model,
        **amounts,
        "reasons": "; ".join(share.reason for share in each.shares),
        "price_ratio": next(
            (round(share.ratio, 6) for share in each.shares if share.ratio is not None), None
        ),
        "unexplained_tokens": rest.tokens,
        "unexplained_cost_microdollars": rest.cost,
    }


def _table(found: Sequence[Explained], verdict: Verdict) -> Table:
    """The places that differ by more than rounding, and what all places together come to."""
    headings = ("day", "~upstream", "~model", ">requests", ">input", ">cached", ">output", ">USD", "~why")
    rows = [
        (*_names(each.comparison.place), *_signed(each.comparison.difference), ", ".join(why))
        for each in found
        if (why := [share.reason for share in each.shares if share.reason is not Reason.ROUNDING])
    ]
    difference = ("all", "", "difference", *_signed(verdict.provider.minus(verdict.ledger)), "")
    books = (("provider", verdict.provider), ("ledger", verdict.ledger))
    sums = [("all", "", name, *_unsigned(amounts), "") for name, amounts in books]
    return table(headings, [*rows, *sums], total=difference)


def _names(place: Place) -> Iterator[str]:
    yield from (_date(place.day), plain(place.upstream), plain(place.model or "(no model)"))


def _signed(amounts: Amounts) -> Iterator[str]:
    yield from (f"{amount:+,}" if amount else "0" for amount in amounts[:-1])
    yield dollars(amounts.cost, sign=True)


def _unsigned(amounts: Amounts) -> Iterator[str]:
    yield from (f"{amount:,}" for amount in amounts[:-1])
    yield dollars(amounts.cost)


def _tell(
    found: Sequence[Explained], verdict: Verdict, holds: bool, tolerance: Decimal, days: tuple[int, int]
) -> None:
    span = f"from {_date(days[0])} up to, and without, {_date(days[1])} (UTC)"
    if not found:
        say(f"Neither the provider nor the ledger knows of anything {span}.")
        return
    for finding in findings(found):
        say(plain(finding.sentence))
    off = f"{verdict.ratio * 100:.3f}"
    bound = f"{tolerance * 100:f}".rstrip("0").rstrip(".") if tolerance else "0"
    mark = "[green]✓[/]" if holds else "[bold red]✗[/]"
    agree = "agree" if holds else "do not agree"
    say(f"{mark} Provider and ledger {agree} {span}: {off} % is off, {bound} % may be.")


def _today() -> int:
    """Days since 1970, in UTC."""
    return int(time.time() * 1000) // DAY


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY / 1000, UTC).date().isoformat()
