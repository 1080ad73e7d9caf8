"""How long work is told of while it lasts: on standard error, and only where somebody looks at it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final, TypeVar

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from gateway.cli.console import err

T = TypeVar("T")

_LOT: Final = 1000
"""Items after which the bar is told."""


class _Speed(ProgressColumn):
    """Items done, and how many in a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed or 0
        return Text(f"{task.completed:,.0f} {self._unit}, {speed:,.0f}/s", style="dim")


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner, for work of which nobody knows how much is left."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def advancing(what: str, *, unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """What the work calls with the number of items that it has done since: a bar says how many of about
    `total` that makes, and how fast.

    `unit`: what they are, in the plural. `total`: None where nobody knows it.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        _Speed(unit),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda items: progress.advance(task, items)


def counted(items: Iterable[T], *, what: str, unit: str, total: int | None) -> Iterator[T]:
    """The items, and the same bar as they pass."""
    if not err.is_terminal:
        yield from items
        return
    with advancing(what, unit=unit, total=total) as told:
        each = iter(items)
        while lot := list(islice(each, _LOT)):
            yield from lot
            told(len(lot))
