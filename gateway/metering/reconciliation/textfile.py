"""The differences as metrics, in a file for node_exporter's textfile collector: a reconciliation is a command
that ends, so nobody could scrape it. The format is OpenMetrics; all of it are gauges.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from gateway.metering.reconciliation.amounts import NOTHING, Amounts
from gateway.metering.reconciliation.explain import Explained
from gateway.metering.reconciliation.verdict import judge

METRICS: Final[Mapping[str, str]] = {
    "gateway_reconciliation_difference_microdollars": (
        "What the provider charges less what the ledger has, in micro-dollars."
    ),
    "gateway_reconciliation_difference_tokens": (
        "Input and output tokens that the provider counts less those of the ledger."
    ),
    "gateway_reconciliation_difference_requests": (
        "Requests that the provider counts less those of the ledger."
    ),
    "gateway_reconciliation_ratio": (
        "How much of requests, tokens or cost is off, whichever is worst; 1 is all of it."
    ),
    "gateway_reconciliation_within_tolerance": (
        "Whether the reconciliation found the books to agree within its tolerance."
    ),
    "gateway_reconciliation_timestamp_seconds": "When the reconciliation was made.",
}
"""Names and meanings. The first four are by upstream and model."""

_Value = Decimal | int


def textfile(explained: Sequence[Explained], *, now: float, within_tolerance: bool) -> bytes:
    """Sums over all days. `now`: Unix time of the reconciliation."""
    groups: dict[tuple[str, str], list[Explained]] = {}
    for each in explained:
        place = each.comparison.place
        groups.setdefault((place.upstream, place.model), []).append(each)
    columns = zip(*(_of_model(group) for group in groups.values()), strict=True) if groups else [()] * 4
    samples = [list(zip(map(_labels, groups), column, strict=True)) for column in columns]
    samples += [[("", int(within_tolerance))], [("", int(now))]]
    lines = [
        line
        for (name, meaning), family in zip(METRICS.items(), samples, strict=True)
        for line in _family(name, meaning, family)
    ]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _of_model(group: Sequence[Explained]) -> tuple[_Value, _Value, _Value, _Value]:
    """In the order of METRICS."""
    total = _difference(group)
    return total.cost, total.tokens, total.requests, judge(group).ratio


def _difference(group: Iterable[Explained]) -> Amounts:
    total = NOTHING
    for each in group:
        total = total.plus(each.comparison.difference)
    return total


def _family(name: str, meaning: str, samples: Iterable[tuple[str, _Value]]) -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    yield f"# HELP {name} {meaning}"
    for labels, value in samples:
        yield f"{name}{labels} {value:.6f}" if isinstance(value, Decimal) else f"{name}{labels} {value}"


def _labels(of: tuple[str, str]) -> str:
    upstream, model = map(_escaped, of)
    return f'{{upstream="{upstream}",model="{model}"}}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
