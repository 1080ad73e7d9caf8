"""Amounts as bars and lines of block characters, for terminals."""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"


def bar(part: float, *, width: int) -> str:
    """A bar that is full at 1, to an eighth of a character. What is more than nothing is seen."""
    eighths = round(min(1.0, max(0.0, part)) * width * 8)
    whole, rest = divmod(max(eighths, 1) if part > 0 else 0, 8)
    return ("█" * whole + _EIGHTHS[rest]).strip().ljust(width)


def sparkline(amounts: Sequence[float]) -> str:
    """One character for each amount, the largest as high as can be. Nothing, and less, is a space."""
    most = max(amounts, default=0)
    if most <= 0:
        return " " * len(amounts)
    top = len(_HEIGHTS) - 1
    return "".join(_HEIGHTS[round(top * each / most)] if each > 0 else " " for each in amounts)
