"""Usage rows with every column named, as CSV, JSON and the operators' API give them."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.metering.interfaces import UsageRow

MEASURES: Final = (
    "attempts",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "cost_microdollars",
    "unpriced",
    "estimated",
)
"""The columns after the groups."""


def as_record(groups: Sequence[str], row: UsageRow) -> dict[str, Any]:
    """One row: its groups by name, then every measure."""
    measures = [row.cost if name == "cost_microdollars" else getattr(row, name) for name in MEASURES]
    return dict(zip((*groups, *MEASURES), (*row.group, *measures), strict=True))
