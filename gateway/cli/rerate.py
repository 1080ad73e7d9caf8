"""`gateway prices rerate`: attempts of the past, reckoned again by today's price book."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from gateway.app.installation import load_policy_files
from gateway.cli.actor import at_the_keyboard
from gateway.cli.confirmation import confirmed
from gateway.cli.console import explained, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.formats import Format
from gateway.cli.holders import Holders
from gateway.cli.output import AsFormat, Output, print_tables, write_records
from gateway.cli.progress import advancing
from gateway.cli.ranges import Since, Until, asked_range
from gateway.cli.tables import plain, table
from gateway.cli.wording import dollars, many
from gateway.core.clock import SystemClock
from gateway.core.policy import Unpriced
from gateway.metering.reports.chargeback import Chargeback
from gateway.metering.reports.month import Month
from gateway.metering.reports.ranges import Range
from gateway.metering.reports.rerating import Change, Report, Rerating, Rules
from gateway.policies.policy_set import PolicySet
from gateway.wire.endpoints import SERVED

_METERS: Final = {endpoint.name: endpoint.meter for endpoint in SERVED}
_COLUMNS: Final[dict[str, type]] = {
    "team": str,
    "model": str,
    **dict.fromkeys(("attempts", "touched", "became_priced", "unpriced"), int),
    **dict.fromkeys((f"{when}_microdollars" for when in ("before", "after", "difference")), int),
    "price_version": str,
    "dry_run": bool,
}


def rerate(
    since: Since = None,
    until: Until = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only this model, as models.yaml calls it; may be given several times."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing, only say what would be.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before closed months are restated.")] = False,
    output_format: AsFormat = Format.TABLE,
    output: Output = None,
) -> None:
    """Reckon attempts of the past again by today's prices.yaml.

    Those that were settled in this time; differences are written as corrections. Doing it twice is doing it
    once.
    """
    if since is None:
        raise typer.BadParameter("say from when on: --since 2026-10-01.", param_hint="--since")
    asked, models = asked_range(since, until), tuple(model or ())
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        policies = load_policy_files(settings)
        _known(models, policies)
        rules = _rules(policies, Chargeback(database).key_names())
        rerating = Rerating(database=database, clock=SystemClock(), rules=rules)
        closed = asyncio.run(rerating.closed_months(asked))
        if closed and not dry_run:
            confirmed(_question(closed), yes=yes)
        total = asyncio.run(rerating.count(asked, models))
        with advancing("Reckoning", unit="attempts", total=total) as told:
            work = rerating.rerate(
                asked, models=models, writes=not dry_run, by=at_the_keyboard().name, told=told
            )
            report = asyncio.run(work)
    _show(report, dry_run, output_format, output)
    _tell(report, asked, dry_run)
    if closed and not dry_run and any(change.touched for change in report.changes.values()):
        say(f"`gateway months show {closed[0]}` shows what is restated.")


def _known(models: Sequence[str], policies: PolicySet) -> None:
    known = policies.catalogue.models
    for name in models:
        if name not in known:
            raise typer.BadParameter(f"models.yaml has no model `{name}`.", param_hint="--model")


def _rules(policies: PolicySet, key_names: Mapping[str, str]) -> Rules:
    holders = Holders(policies, key_names)

    def unpriced(team: str, key_id: str) -> Unpriced:
        policy = holders.policy(team, key_id)
        return policy.unpriced if policy else Unpriced.ALARM

    return Rules(catalogue=policies.catalogue, meters=_METERS, unpriced=unpriced)


def _question(closed: Sequence[Month]) -> str:
    months = ", ".join(map(str, closed))
    are = "is closed" if len(closed) == 1 else "are closed"
    return f"{months} {are}: what changes there becomes a restatement. Go on?"


def _show(report: Report, dry_run: bool, form: Format, output: Path | None) -> None:
    rows = sorted(report.changes.items())
    if form is not Format.TABLE:
        write_records(_records(rows, report, dry_run), columns=_COLUMNS, form=form, output=output)
    elif rows:
        print_tables(_table(rows), output=output)


def _table(rows: Sequence[tuple[tuple[str, str], Change]]) -> Table:
    headings = ("~team", "~model", ">attempts", ">touched", ">USD before", ">after", ">difference", "~")
    total = Change(
        **{each.name: sum(getattr(change, each.name) for _, change in rows) for each in fields(Change)}
    )
    cells = [(*map(plain, whose), *_figures(change), _remarks(change)) for whose, change in rows]
    return table(headings, cells, total=("all", "", *_figures(total), ""))


def _figures(change: Change) -> Sequence[str]:
    return (
        f"{change.attempts:,}",
        f"{change.touched:,}",
        dollars(change.before),
        dollars(change.after),
        dollars(change.after - change.before, sign=True),
    )


def _remarks(change: Change) -> str:
    remarks = []
    if change.priced:
        remarks.append(f"[green]{change.priced:,} became priced[/]")
    if change.unpriced:
        remarks.append(f"[red]{change.unpriced:,} unpriced[/]")
    return ", ".join(remarks)


def _records(
    rows: Sequence[tuple[tuple[str, str], Change]], report: Report, dry_run: bool
) -> Iterator[dict[str, Any]]:
    for (team, model), change in rows:
        yield {
            "team": team,
            "model": model,
            "attempts": change.attempts,
            "touched": change.touched,
            "became_priced": change.priced,
            "unpriced": change.unpriced,
            "before_microdollars": change.before,
            "after_microdollars": change.after,
            "difference_microdollars": change.after - change.before,
            "price_version": report.price_version,
            "dry_run": dry_run,
        }


def _tell(report: Report, asked: Range, dry_run: bool) -> None:
    touched = sum(change.touched for change in report.changes.values())
    attempts = sum(change.attempts for change in report.changes.values())
    if not attempts and not report.crashed:
        say(f"The ledger has no settled attempt {asked}.")
        return
    did = "Would be corrected" if dry_run else "Corrected"
    say(f"{did}: {touched:,} of {many(attempts, 'attempt')}, by price book {report.price_version}.")
    if report.crashed:
        say(
            f"Left at its estimate, since it ended in a crash and nobody knows in which service tier it was "
            f"answered: {many(report.crashed, 'attempt')}."
        )
    if report.kept:
        say(
            f"[bold yellow]![/] Left at its cost, since prices.yaml has no price for it any more: "
            f"{many(report.kept, 'attempt')}."
        )
