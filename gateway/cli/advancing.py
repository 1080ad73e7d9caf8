"""A bar for work that tells itself how far it is: on standard error, and only where somebody looks at it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.console import err


@contextmanager
def advancing(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """What the work calls with the number of items that it has done since."""
    left = TimeRemainingColumn(compact=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), left
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda items: progress.advance(task, items)
