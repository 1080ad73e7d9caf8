"""Series of our own: they read as the library's do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from gateway.telemetry import series
from gateway.telemetry.series import CounterSeries, HistogramSeries

BOUNDS = (0.1, 1.0, 10.0)


def text(registry: CollectorRegistry) -> str:
    told: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return "\n".join(line for line in told.decode().splitlines() if "_created" not in line)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1000))))
def test_counters_read_as_the_librarys(counts: list[tuple[str, int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = CounterSeries("x", "Meaning.", ("label",), registry=ours)
    library = Counter("x", "Meaning.", ("label",), registry=theirs)
    for label, count in counts:
        mine.add((label,), count)
        library.labels(label).inc(count)
    assert text(ours) == text(theirs)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0, 0.1, 0.5, 1.0, 1.5, 10.0, 99.0]))))
def test_histograms_read_as_the_librarys(values: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = HistogramSeries("x", "Meaning.", ("label",), bounds=BOUNDS, registry=ours)
    library = Histogram("x", "Meaning.", ("label",), buckets=BOUNDS, registry=theirs)
    for label, value in values:
        mine.observe((label,), value)
        library.labels(label).observe(value)
    assert text(ours) == text(theirs)


def test_a_series_without_labels_is_there_before_anything_happened() -> None:
    registry = CollectorRegistry()
    CounterSeries("x", "Meaning.", registry=registry)
    HistogramSeries("y", "Meaning.", bounds=BOUNDS, registry=registry)
    assert registry.get_sample_value("x_total") == 0
    assert registry.get_sample_value("y_count") == 0


def test_labels_beyond_the_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_SERIES", 2)
    registry: Any = CollectorRegistry()
    counter = CounterSeries("x", "Meaning.", ("team", "model"), registry=registry)
    for number in range(5):
        counter.add((f"team-{number}", "gpt"))
    assert registry.get_sample_value("x_total", {"team": "team-1", "model": "gpt"}) == 1
    assert registry.get_sample_value("x_total", {"team": "other", "model": "other"}) == 3
