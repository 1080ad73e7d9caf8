"""Figures, and the one that stands for many: of several rounds, and of many waits."""

import statistics
from collections.abc import Sequence

Figures = dict[str, float]
"""What one measure found, by name; a name that ends in `_us` is in microseconds."""


def medians(rounds: Sequence[Figures]) -> Figures:
    """Of each figure that every round has."""
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that is above so large a share of all."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
