"""What was spent, as a table for people: who spent most comes first, days and months in their order.

It is made to fit: in a narrow terminal what matters least is left out. Figures are rounded; the other formats
have every digit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.chart import bar, sparkline
from gateway.cli.tables import plain
from gateway.cli.wording import many
from gateway.metering.interfaces import UsageRow

_LONGEST_BAR: Final = 24
_SHORTEST_BAR: Final = 6
_BOUNDLESS: Final = 10_000
"""Characters that no table needs."""
_NAME: Final = 8
"""Characters to which a long name is folded at the least."""
_TIMES: Final = ("day", "month")
_LARGE: Final = 100_000
"""From here on a figure is rounded to three digits."""

_SUMMED: Final = tuple(field.name for field in fields(UsageRow) if field.name != "group")


@dataclass(frozen=True, slots=True)
class _Figure:
    """A column of numbers."""

    heading: str
    of: Callable[[UsageRow], int]


_FIGURES: Final = (
    _Figure("requests", lambda row: row.requests),
    _Figure("input", lambda row: row.input_tokens),
    _Figure("cached", lambda row: row.cached_tokens),
    _Figure("output", lambda row: row.output_tokens),
)
_LEFT_OUT: Final = (
    (),
    ("cached",),
    ("cached", "remarks"),
    ("cached", "remarks", "requests"),
    ("cached", "remarks", "requests", "input", "output"),
)
"""What is left out: of these, as much as has to be."""


def usage_tables(
    groups: Sequence[str], rows: Sequence[UsageRow], *, console: Console
) -> Iterator[RenderableType]:
    """What is printed, part by part, as it fits the console. There is at least one row."""
    total = _total(rows)
    line = _over_time(groups, rows)
    if line is not None and line.cell_len <= console.width:
        yield line
    for left_out in _LEFT_OUT:
        table = _table(groups, rows, total, left_out=left_out, bar_width=_SHORTEST_BAR)
        room = (
            console.width - console.measure(table, options=console.options.update(width=_BOUNDLESS)).maximum
        )
        if room >= 0:
            width = min(_SHORTEST_BAR + room, _LONGEST_BAR)
            yield _table(groups, rows, total, left_out=left_out, bar_width=width)
            return
    yield _table(groups, rows, total, left_out=(*_LEFT_OUT[-1], "share"), bar_width=0)


def remarks_on(rows: Sequence[UsageRow]) -> Iterator[str]:
    """What is to be known of the figures, in sentences."""
    total = _total(rows)
    if total.unpriced:
        yield (
            f"The cost of {many(total.unpriced, 'attempt')} is not known, and not in these figures: add what "
            "has no price to prices.yaml, then `gateway prices rerate`."
        )
    if total.estimated:
        yield f"By our own count, since the provider told none: {many(total.estimated, 'attempt')}."


def _table(
    groups: Sequence[str],
    rows: Sequence[UsageRow],
    total: UsageRow,
    *,
    left_out: Sequence[str],
    bar_width: int,
) -> Table:
    figures = [figure for figure in _FIGURES if figure.heading not in left_out]
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for place, name in enumerate(groups):
        longest = max(len(row.group[place]) for row in rows)
        table.add_column(name, overflow="fold", no_wrap=name in _TIMES, min_width=min(longest, _NAME))
    for heading in (*(figure.heading for figure in figures), "USD"):
        table.add_column(heading, justify="right", no_wrap=True)
    weigh, what = _weighed(rows)
    most, all_ = max(map(weigh, rows)), weigh(total)
    shows = {
        "bar": bar_width > 0,
        "share": "share" not in left_out,
        "remarks": "remarks" not in left_out and any(map(_remarks, rows)),
    }
    if shows["bar"]:
        table.add_column(what, style="cyan", no_wrap=True)
    if shows["share"]:
        table.add_column("" if shows["bar"] else what, justify="right", no_wrap=True)
    if shows["remarks"]:
        table.add_column("")
    places = _places(total.cost)

    def cells(row: UsageRow, names: Sequence[Text]) -> Iterator[Text]:
        yield from names
        yield from (Text(_short(figure.of(row))) for figure in figures)
        yield Text(f"{row.cost / 1_000_000:,.{places}f}")
        if shows["bar"]:
            yield Text("" if row is total else bar(weigh(row) / most if most else 0, width=bar_width))
        if shows["share"]:
            yield Text("" if row is total else f"{100 * weigh(row) / all_ if all_ else 0:.1f} %")
        if shows["remarks"]:
            yield _remarks(row)

    for row in _ordered(groups, rows):
        table.add_row(*cells(row, [Text.from_markup(plain(name)) for name in row.group]))
    if groups and len(rows) > 1:
        table.add_row(*cells(total, [Text("total"), *[Text("")] * (len(groups) - 1)]), style="bold")
    return table


def _ordered(groups: Sequence[str], rows: Sequence[UsageRow]) -> Sequence[UsageRow]:
    """By time, where it is by time first; else by what it cost."""
    if groups and groups[0] in _TIMES:
        return rows
    weigh, _ = _weighed(rows)
    return sorted(rows, key=lambda row: (-weigh(row), row.group))


def _weighed(rows: Sequence[UsageRow]) -> tuple[Callable[[UsageRow], int], str]:
    """By what bars are long: the cost, or the tokens when nothing has a price."""
    if any(row.cost for row in rows):
        return lambda row: row.cost, "of USD"
    return lambda row: row.input_tokens + row.output_tokens, "of tokens"


def _over_time(groups: Sequence[str], rows: Sequence[UsageRow]) -> Text | None:
    """All of it by day or month, in one line, where the rows are divided further."""
    times = [name for name in groups if name in _TIMES]
    if len(times) != 1 or len(groups) == 1:
        return None
    place, (weigh, what) = groups.index(times[0]), _weighed(rows)
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.group[place]] = sums.get(row.group[place], 0) + weigh(row)
    periods = _periods(times[0], min(sums), max(sums))
    if len(periods) == 1:
        return None
    line = sparkline([sums.get(period, 0) for period in periods])
    heading = f"{'USD' if 'USD' in what else 'tokens'} by {times[0]}  "
    return Text.assemble((heading, "bold"), (line, "cyan"), (f"  {periods[0]} to {periods[-1]}\n", "dim"))


def _periods(unit: str, first: str, last: str) -> Sequence[str]:
    """All of them, also those in which nothing happened."""
    if unit == "day":
        begin, days = date.fromisoformat(first), date.fromisoformat(last) - date.fromisoformat(first)
        return [(begin + timedelta(number)).isoformat() for number in range(days.days + 1)]
    from_, to = (12 * int(each[:4]) + int(each[5:]) - 1 for each in (first, last))
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(from_, to + 1)]


def _total(rows: Sequence[UsageRow]) -> UsageRow:
    sums: Mapping[str, int] = {name: sum(getattr(row, name) for row in rows) for name in _SUMMED}
    return UsageRow((), **sums)


def _remarks(row: UsageRow) -> Text:
    remarks = []
    if row.unpriced:
        remarks.append((f"{row.unpriced:,} unpriced", "red"))
    if row.estimated:
        remarks.append((f"{row.estimated:,} estimated", "yellow"))
    if row.attempts > row.requests:
        remarks.append((f"{row.attempts - row.requests:,} retries", "dim"))
    return Text(", ").join(Text(*each) for each in remarks)


def _places(cost: int) -> int:
    """Of dollars: a little money is spent by fractions of a cent."""
    dollars = abs(cost) // 1_000_000
    return 2 if dollars >= 1000 else 4 if dollars >= 1 else 6


def _short(number: int) -> str:
    """As a person says it: 99,999, then 123k, 4.57M, 1.20G."""
    if abs(number) < _LARGE:
        return f"{number:,}"
    amount, signs = number / 1000, iter("kMGT")
    sign = next(signs)
    while abs(amount) >= 999.5 and (larger := next(signs, "")):
        amount, sign = amount / 1000, larger
    places = 0 if abs(amount) >= 99.95 else 1 if abs(amount) >= 9.995 else 2
    return f"{amount:,.{places}f}{sign}"
