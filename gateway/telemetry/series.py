"""Counters and histograms that cost a list access to write and are put into words only when Prometheus asks.

The library's own take a lock, two checks and three calls for each change; ours are all written by the event
loop's thread.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

MOST_SERIES: Final = 20_000
"""Label sets of one family. Labels come from what is configured, so there are never so many; if there are,
the rest is counted together under `other`."""
_OTHER: Final = "other"

Labels = tuple[str, ...]


class _Family(Collector):
    def __init__(
        self, name: str, meaning: str, labels: Sequence[str], size: int, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = tuple(labels)
        self._size = size
        self._cells: dict[Labels, list[float]] = {}
        registry.register(self)

    def _new(self, labels: Labels) -> list[float]:
        if len(self._cells) >= MOST_SERIES:
            labels = (_OTHER,) * len(self._labels)
        return self._cells.setdefault(labels, [0.0] * self._size)


class CounterSeries(_Family):
    """A family of counters."""

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        super().__init__(name, meaning, labels, 1, registry)
        if not labels:
            self._new(())

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count so many more under these labels, given in the family's order."""
        cell = self._cells.get(labels) or self._new(labels)
        cell[0] += amount

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, (count,) in list(self._cells.items()):
            family.add_metric(labels, count)
        yield family


class HistogramSeries(_Family):
    """A family of histograms with the same buckets."""

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """`bounds`: the buckets' upper bounds, rising; one without bound is added."""
        self._bounds = tuple(float(bound) for bound in bounds)
        super().__init__(name, meaning, labels, len(self._bounds) + 2, registry)
        if not labels:
            self._new(())

    def observe(self, labels: Labels, value: float) -> None:
        """Count one observation under these labels, given in the family's order."""
        cell = self._cells.get(labels) or self._new(labels)
        cell[0] += value
        cell[bisect_left(self._bounds, value) + 1] += 1

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labels)
        names = [*map(str, self._bounds), "+Inf"]
        for labels, (total, *counts) in list(self._cells.items()):
            buckets, seen = [], 0.0
            for name, count in zip(names, counts, strict=True):
                seen += count
                buckets.append((name, seen))
            family.add_metric(labels, buckets=buckets, sum_value=total)
        yield family
