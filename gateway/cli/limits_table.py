"""What is left, as tables for people: rates, requests at once, budgets, and who holds them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.table import Table

from gateway.cli.console import say
from gateway.cli.output import print_tables
from gateway.cli.tables import plain, table
from gateway.core.decision import Mode
from gateway.limits.left import BudgetLeft, Left, RateLeft, SlotsLeft, TeamLimits

_MICRODOLLARS: Final = "microdollars"
_LARGE: Final = 10_000_000
"""Microdollars from which cents will do."""
_BAR: Final = 10
"""Characters of a whole bar."""
_NEARLY: Final = 80
"""Percent from which a bar warns."""
_WINDOWS: Final = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


def print_limits(limits: TeamLimits) -> None:
    """The whole answer."""
    tables = {
        "Rates": _rates(limits.rates),
        "At once": _slots(limits.concurrency),
        "Budgets": _budgets(limits.budgets),
        "Held": _held((*limits.concurrency, *limits.budgets)),
    }
    shown = {heading: each for heading, each in tables.items() if each.row_count}
    parts = [part for heading, each in shown.items() for part in (f"\n[bold]{heading}[/]", each)]
    print_tables(f"{_asked(limits)}  [dim]{_clock(limits.at)} UTC[/]", *parts)
    if not shown:
        say("Nothing limits it.")
    if limits.not_shown:
        say(f"{limits.not_shown:,} more are not shown. Narrow it with --key, --user or --model.")


def _rates(lefts: Sequence[RateLeft]) -> Table:
    rows = [
        (
            *_names(each),
            *(f"{each.left:,}", f"{each.burst:,}"),
            f"{_spoken(each.unit)}, {each.amount:,} a {_window(each.window_seconds)}",
            _span(each.full_in_seconds),
            *_used(100 - 100 * each.left / each.burst),
            _remarks(each),
        )
        for each in lefts
    ]
    return table(("limit", "~whose", ">left", ">burst", "unit", ">full in", "used", ">", "~"), rows)


def _slots(lefts: Sequence[SlotsLeft]) -> Table:
    rows = [
        (
            *_names(each),
            *(f"{each.taken:,}", f"{each.amount:,}"),
            *_used(100 * each.taken / each.amount),
            _remarks(each),
        )
        for each in lefts
    ]
    return table(("limit", "~whose", ">taken", ">of", "used", ">", "~"), rows)


def _budgets(lefts: Sequence[BudgetLeft]) -> Table:
    figures = (">spent", ">held", ">set aside", ">left", ">of")
    rows = [
        (
            *_names(each),
            *(
                _figure(each.unit, amount, places=_places(each))
                for amount in (each.spent, each.held, each.set_aside, each.left, each.amount)
            ),
            *(_spoken(each.unit), *_used(each.percent)),
            _clock(each.ends_at),
            _remarks(each, *_more(each)),
        )
        for each in lefts
    ]
    return table(("budget", "~whose", *figures, "unit", "used", ">", "begins anew", "~"), rows)


def _held(lefts: Sequence[SlotsLeft | BudgetLeft]) -> Table:
    rows = [
        (
            *(*_names(each), _holder(holder.request_id)),
            "1" if isinstance(each, SlotsLeft) else _figure(each.unit, holder.amount, places=6),
            *(_spoken(each.unit), _span(holder.lease_seconds)),
        )
        for each in lefts
        for holder in each.holders
    ]
    return table(("limit", "~whose", "request", ">amount", "unit", ">lease ends in"), rows)


def _holder(request_id: str) -> str:
    """A slice's name says nothing to anybody."""
    return "[dim]set aside by a replica[/]" if request_id.startswith("slice:") else plain(request_id)


def _names(left: Left) -> tuple[str, str]:
    scopes = {scope: value for scope, value in left.whose.items() if scope != "team" or len(left.whose) == 1}
    spelled = [f"{scope} {_whose(left, scope, value)}" for scope, value in scopes.items()]
    return plain(left.limit), ", ".join(spelled) or "all teams"


def _whose(left: Left, scope: str, value: str | None) -> str:
    if value is None:
        return "[dim](each)[/]"
    return plain(left.key_name if scope == "key" and left.key_name else value)


def _used(percent: float) -> tuple[str, str]:
    """A bar, and the number beside it."""
    filled = min(_BAR, max(0, int(percent * _BAR / 100)))
    colour = "green" if percent < _NEARLY else "yellow" if percent < 100 else "red"
    return f"[{colour}]{'█' * filled}[/][dim]{'░' * (_BAR - filled)}[/]", f"{percent:,.1f} %"


def _remarks(left: Left, *more: str) -> str:
    remarks = list(more)
    if left.unused:
        remarks.append("[dim]unused[/]")
    if left.mode is not Mode.ENFORCE:
        remarks.append(f"[yellow]{left.mode}[/]")
    if left.models != ("*",):
        remarks.append(f"only {plain(', '.join(left.models))}")
    if left.keys:
        remarks.append(f"for key {plain(', '.join(left.keys))}")
    return ", ".join(remarks)


def _more(left: BudgetLeft) -> list[str]:
    places = _places(left)
    raised = [
        f"+{_figure(left.unit, each.amount, places=places)} until {_clock(each.until)}"
        for each in left.increases
    ]
    strict = ["strict"] if left.strict else []
    return [*raised, *strict, plain(left.zone)]


def _places(left: BudgetLeft) -> int:
    """A small budget is spent by fractions of a cent."""
    return 2 if left.amount >= _LARGE else 6


def _figure(unit: str, amount: int, *, places: int = 2) -> str:
    return f"{amount / 1_000_000:,.{places}f}" if unit == _MICRODOLLARS else f"{amount:,}"


def _spoken(unit: str) -> str:
    return "USD" if unit == _MICRODOLLARS else unit.replace("_", " ")


def _window(seconds: float) -> str:
    return _WINDOWS.get(seconds, f"{seconds:g} s")


def _span(seconds: float) -> str:
    """So long: "0.4 s", "12 min 5 s", "3 h 20 min"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _clock(moment: str) -> str:
    """A moment as it is said where it belongs: its own zone's clocks."""
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M")


def _asked(limits: TeamLimits) -> str:
    given = [(name, getattr(limits, name)) for name in ("team", "key", "user", "model")]
    return ", ".join(f"{name} [bold]{plain(value)}[/]" for name, value in given if value)
