"""Tables for people. Their law: no figure is ever cut. In a narrow terminal words are folded, and when that
is not enough, lines run beyond its edge.
"""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_FOLDED: Final = 16
"""Characters to which words are folded at the least."""
_GAP: Final = 2
"""Characters between columns."""


class _Uncut(Table):
    """As wide as its columns must be, however narrow the console."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = sum((column.min_width or 0) + _GAP for column in self.columns)
        return super().__rich_console__(console, options.update(width=max(least, options.max_width)))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, total: Sequence[str] = ()) -> Table:
    """Columns of words, of numbers (`>`), and of words that may be folded (`~`). One in which nothing stands
    is left out. `total`: a last row, which stands out.

    What stands in brackets says how it looks: `plain` names.
    """
    every = [*rows, *([total] if total else [])]
    made = _Uncut(box=None, header_style="bold", padding=(0, _GAP, 0, 0), pad_edge=False)
    used = [number for number in range(len(headings)) if any(row[number] for row in every)]
    for number in used:
        name, folds = headings[number].lstrip(">~"), headings[number].startswith("~")
        longest = max(
            cell_len(Text.from_markup(cell).plain) for cell in (name, *(row[number] for row in every))
        )
        made.add_column(
            name,
            justify="right" if headings[number].startswith(">") else "left",
            no_wrap=not folds,
            overflow="fold",
            min_width=min(longest, _FOLDED) if folds else longest,
        )
    for row in rows:
        made.add_row(*(row[number] for number in used))
    if total:
        made.add_row(*(total[number] for number in used), style="bold")
    return made


def plain(name: str) -> str:
    """What others have named, without what a terminal would obey; `-` where there is none."""
    return escape("".join(char if char.isprintable() else "?" for char in name)) or "-"
