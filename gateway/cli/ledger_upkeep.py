"""`gateway ledger prune` and `gateway ledger erase`: what the ledger may forget."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.markup import escape

from gateway.cli.actor import at_the_keyboard
from gateway.cli.confirmation import confirmed
from gateway.cli.console import explained, fail, say, settings_or_exit
from gateway.cli.database import opened_database
from gateway.cli.progress import advancing, waiting
from gateway.cli.wording import many
from gateway.core.clock import SystemClock
from gateway.metering.reports.erasure import PREFIX, Erasure
from gateway.metering.reports.month import Month
from gateway.metering.reports.pruning import LEAST_DAYS, Prunable, Pruning

_AGE: Final = re.compile(r"([0-9]{1,5})d", re.ASCII)
_KEYS_OWN: Final = "key:"
"""How the subject of a key begins that stands for no person."""


def prune(
    older_than: Annotated[
        str,
        typer.Option(metavar="DAYS", help=f"How old lines must be to go: 400d. Never below {LEAST_DAYS}d."),
    ],
    even_if_open: Annotated[
        bool, typer.Option("--even-if-open", help="Also lines of months that were not closed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete lines of attempts that were settled so long ago.

    Reports by day and closed months stay, and so does what is not settled.
    """
    days = _days(older_than)
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        pruning = Pruning(database=database, clock=SystemClock())
        with waiting("Counting"):
            found = asyncio.run(pruning.look(days))
        if not found.attempts:
            say(f"There is nothing to delete: no attempt was settled before {_day(found.before)} (UTC).")
            return
        if found.still_open and not even_if_open:
            fail([_not_closed(found.still_open)])
        if dry_run:
            say(f"Would be deleted: the lines of {many(found.attempts, 'attempt')} {_age(found)}.")
            return
        confirmed(f"Delete the lines of {many(found.attempts, 'attempt')} {_age(found)}, for ever?", yes=yes)
        with advancing("Deleting", unit="attempts", total=found.attempts) as told:
            work = pruning.prune(found.before, by=at_the_keyboard().name, told=told)
            pruned = asyncio.run(work)
    say(f"Deleted: the lines of {many(pruned, 'attempt')}. The sums of their days stay in every report.")


def erase(
    user: Annotated[
        str, typer.Option(metavar="SUBJECT", help="The user, as `gateway usage --by user` names them.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Put a random pseudonym in a user's place wherever the ledger names them.

    All sums stay; nobody can undo it. Doing it again is safe, and finds what was still on its way.
    """
    if not user.strip():
        raise typer.BadParameter("say which user.", param_hint="--user")
    settings = settings_or_exit()
    with explained(settings), opened_database(settings) as database:
        confirmed(f"Forget `{user}` in every table, for ever?", yes=yes)
        with waiting("Looking through the ledger"):
            erasure = Erasure(database=database, clock=SystemClock())
            changed = asyncio.run(erasure.erase(user, by=at_the_keyboard().name))
    _tell_erased(user, changed)


def _days(written: str) -> int:
    found = _AGE.fullmatch(written.strip())
    if found is None:
        raise typer.BadParameter("say it in days: 400d.", param_hint="--older-than")
    if int(found[1]) < LEAST_DAYS:
        raise typer.BadParameter(
            f"the last {LEAST_DAYS} days stay: budgets of a month are counted from them.",
            param_hint="--older-than",
        )
    return int(found[1])


def _not_closed(months: Sequence[Month]) -> str:
    return (
        f"Nothing was deleted: {', '.join(map(str, months))} "
        f"{'is' if len(months) == 1 else 'are'} not closed, and its lines prove its figures. "
        f"`gateway months close {months[0]}` closes a month; --even-if-open deletes all the same."
    )


def _age(found: Prunable) -> str:
    return f"settled from {_day(found.oldest or 0)} on and before {_day(found.before)} (UTC)"


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d}"


def _tell_erased(user: str, changed: Mapping[str, int]) -> None:
    if not any(changed.values()):
        say(f"The ledger has nothing of `{escape(user)}`.")
    else:
        rows = ", ".join(f"{count:,} in {table}" for table, count in changed.items() if count)
        say(f"`{escape(user)}` is forgotten: {PREFIX}… stands there now ({rows}). All sums are as before.")
    say(
        "Lines that a running gateway still has in its journal may bring the name back: run this again when "
        "they are shipped."
    )
    if user.startswith(_KEYS_OWN):
        say("The key keeps its name (`gateway keys list`): revoke it, if it is named after a person.")
