"""The price book, as tables for people."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from rich.console import RenderableType
from rich.table import Table

from gateway.cli.console import say
from gateway.cli.output import print_tables
from gateway.cli.tables import plain, table
from gateway.metering.prices.outlook import DAYS, Change, Gap, Line, ModelPrices, Outlook, units_of

_COLUMNS: Final = {"input": "input", "cached_input": "cached", "cache_write": "write", "output": "output"}
"""What has a column of its own; all else stands in the last one, by name."""
_STANDARD: Final = "standard"


def print_outlook(found: Outlook) -> None:
    """The whole answer."""
    print_tables(*_parts(found))
    say("US dollars: tokens and characters by the million, images by the piece, audio by the minute.")


def _parts(found: Outlook) -> Iterator[RenderableType]:
    yield f"price book [bold]{found.price_version}[/]  [dim]{found.at} UTC[/]"
    tables = {
        "Prices": _prices(found.models),
        "Gaps": _gaps(found.gaps),
        f"Changes in the next {DAYS} days": _changes(found.changes),
    }
    for heading, each in tables.items():
        if each.row_count:
            yield f"\n[bold]{heading}[/]"
            yield each
    if found.ceiling:
        yield f"\n[bold]Ceiling[/]\n{_spoken(found.ceiling)}"
    if found.without_price:
        yield "\n[bold]Without a price[/]"
        yield from (f"[red]{plain(model)}[/]" for model in found.without_price)


def _prices(models: Sequence[ModelPrices]) -> Table:
    units = units_of([line for model in models for line in model.lines])
    shown = [unit for unit in _COLUMNS if unit in units]
    prices = [f">{_COLUMNS[unit]}" for unit in shown]
    rows = [
        (
            f"[bold]{plain(model.model)}[/]" if first else "",
            *_whose(line),
            *(_dollars(line.rates.get(unit)) for unit in shown),
            _spoken({unit: price for unit, price in line.rates.items() if unit not in shown}),
            *(line.since or "", line.until or ""),
            (model.next_change or "") if first else "",
        )
        for model in models
        for first, line in _marked(model.lines)
    ]
    return table(("model", "tier", ">above", "upstream", *prices, "~", "since", "until", "next change"), rows)


def _marked(lines: Sequence[Line]) -> Sequence[tuple[bool, Line]]:
    """Each with whether it is the first, beside which the model's name stands."""
    return [(number == 0, line) for number, line in enumerate(lines)]


def _gaps(gaps: Sequence[Gap]) -> Table:
    rows = [
        (
            plain(gap.model),
            plain(gap.tier or _STANDARD),
            f"[red]{gap.since}[/]",
            gap.until or "[red]no end[/]",
        )
        for gap in gaps
    ]
    return table(("model", "tier", "no price from", "until"), rows)


def _changes(changes: Sequence[Change]) -> Table:
    rows = [
        (
            change.day,
            f"[bold]{plain(change.model)}[/]",
            *_whose(change),
            _spoken(change.before, but=_kept(change)),
            _spoken(change.after, but=_kept(change)),
        )
        for change in changes
    ]
    return table(("day", "model", "tier", ">above", "upstream", "~before", "~after"), rows)


def _kept(change: Change) -> Collection[str]:
    """The units whose price stays."""
    before, after = change.before or {}, change.after or {}
    return {unit for unit, price in before.items() if after.get(unit) == price}


def _whose(line: Line | Change) -> tuple[str, str, str]:
    """The tier, the step and the upstream."""
    above = f"{line.above:,}" if line.above else ""
    tier = plain(line.tier) if line.tier else f"[dim]{_STANDARD}[/]"
    return tier, above, plain(line.upstream) if line.upstream else ""


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
