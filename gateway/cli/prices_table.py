"""The price book, as tables for people."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from gateway.cli.console import out, say
from gateway.metering.prices.outlook import DAYS, Change, Gap, Line, ModelPrices, Outlook, units_of

_COLUMNS: Final = {"input": "input", "cached_input": "cached", "cache_write": "write", "output": "output"}
"""What has a column of its own; all else stands in the last one, by name."""
_STANDARD: Final = "standard"


def print_outlook(found: Outlook) -> None:
    """The whole answer."""
    out.print(f"price book [bold]{found.price_version}[/]  [dim]{found.at} UTC[/]")
    tables = {
        "Prices": _prices(found.models),
        "Gaps": _gaps(found.gaps),
        f"Changes in the next {DAYS} days": _changes(found.changes),
    }
    for heading, table in tables.items():
        if table.row_count:
            out.print(f"\n[bold]{heading}[/]")
            out.print(table)
    if found.ceiling:
        out.print(f"\n[bold]Ceiling[/]\n {_spoken(found.ceiling)}")
    if found.without_price:
        out.print("\n[bold]Without a price[/]")
        for model in found.without_price:
            out.print(f" [red]{escape(model)}[/]")
    say("US dollars: tokens and characters by the million, images by the piece, audio by the minute.")


def _prices(models: Sequence[ModelPrices]) -> Table:
    units = units_of([line for model in models for line in model.lines])
    shown = [unit for unit in _COLUMNS if unit in units]
    prices = [f">{_COLUMNS[unit]}" for unit in shown]
    rows = [
        (
            f"[bold]{escape(model.model)}[/]" if first else "",
            *_whose(line),
            *(_dollars(line.rates.get(unit)) for unit in shown),
            _spoken({unit: price for unit, price in line.rates.items() if unit not in shown}),
            *(line.since or "", line.until or ""),
            (model.next_change or "") if first else "",
        )
        for model in models
        for first, line in _marked(model.lines)
    ]
    return _table(
        ("model", "tier", ">above", "upstream", *prices, "~", "since", "until", "next change"), rows
    )


def _marked(lines: Sequence[Line]) -> Sequence[tuple[bool, Line]]:
    """Each with whether it is the first, beside which the model's name stands."""
    return [(number == 0, line) for number, line in enumerate(lines)]


def _gaps(gaps: Sequence[Gap]) -> Table:
    rows = [
        (
            escape(gap.model),
            escape(gap.tier or _STANDARD),
            f"[red]{gap.since}[/]",
            gap.until or "[red]no end[/]",
        )
        for gap in gaps
    ]
    return _table(("model", "tier", "no price from", "until"), rows)


def _changes(changes: Sequence[Change]) -> Table:
    rows = [
        (
            change.day,
            f"[bold]{escape(change.model)}[/]",
            *_whose(change),
            _spoken(change.before, but=_kept(change)),
            _spoken(change.after, but=_kept(change)),
        )
        for change in changes
    ]
    return _table(("day", "model", "tier", ">above", "upstream", "~before", "~after"), rows)


def _kept(change: Change) -> Collection[str]:
    """The units whose price stays."""
    before, after = change.before or {}, change.after or {}
    return {unit for unit, price in before.items() if after.get(unit) == price}


def _whose(line: Line | Change) -> tuple[str, str, str]:
    """The tier, the step and the upstream."""
    above = f"{line.above:,}" if line.above else ""
    return escape(line.tier) or f"[dim]{_STANDARD}[/]", above, escape(line.upstream)


def _spoken(rates: Mapping[str, int] | None, *, but: Collection[str] = ()) -> str:
    """`input 2.00, output 10.00`."""
    if rates is None:
        return "[dim]none[/]"
    told = {unit: price for unit, price in rates.items() if unit not in but}
    return ", ".join(f"[dim]{unit.replace('_', ' ')}[/] {_dollars(price)}" for unit, price in told.items())


def _dollars(price: int | None) -> str:
    """Two decimal places, or as many as it has: 2.00, 0.0625."""
    if price is None:
        return ""
    whole, rest = divmod(price, 1_000_000)
    return f"{whole:,}.{f'{rest:06}'.rstrip('0'):0<2}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Columns of words, of numbers (`>`), and of words that may be folded in a narrow terminal (`~`). One in
    which nothing stands is left out.
    """
    table = Table(box=None, header_style="bold", padding=(0, 1))
    used = [number for number in range(len(headings)) if any(row[number] for row in rows)]
    for heading in (headings[number] for number in used):
        name, folds = heading.lstrip(">~"), heading.startswith("~")
        justify: JustifyMethod = "right" if heading.startswith(">") else "left"
        table.add_column(name, justify=justify, no_wrap=not folds, overflow="fold")
    for row in rows:
        table.add_row(*(row[number] for number in used))
    return table
