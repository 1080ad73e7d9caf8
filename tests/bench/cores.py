"""The two cores of a bench: the first for who is measured, the last for all else."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console


class Cores(NamedTuple):
    """Their numbers; the same twice on a machine that gives one."""

    measured: int
    other: int


def two_cores(console: Console) -> Cores:
    """Those that this machine gives. Ends the program where neither cores nor CPU time can be known."""
    if sys.platform != "linux":
        sys.exit("The bench needs Linux: it reads CPU time from /proc and pins processes to cores.")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        console.print(
            "This machine gives one core: load and contestant share it, and the figures mean little."
        )
    return Cores(usable[0], usable[-1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and those that it starts meanwhile, run on `core` alone if the machine has that many."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
