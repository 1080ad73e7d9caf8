"""The ledger's lines as rows of its tables, in the order of their columns, and back."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import select

from gateway.core.usage import Usage, UsageSource
from gateway.database.tables import ADMISSIONS, UNDER_WAY
from gateway.metering.interfaces import Admission, Settlement

Row = tuple[Any, ...]

UNSETTLED: Final = (
    select(ADMISSIONS)
    .join(UNDER_WAY, UNDER_WAY.c.attempt_id == ADMISSIONS.c.attempt_id)
    .order_by(ADMISSIONS.c.attempt_id)
)
"""Admissions without a settlement, in the order of their keys."""

_SIMPLE: Final = (
    "attempt_id",
    "exchange_id",
    "number",
    "admitted_at",
    "team",
    "key_id",
    "subject",
    "endpoint",
    "asked_model",
    "model",
    "upstream",
    "policy_version",
    "stream",
)
_ESTIMATED: Final = ("input_tokens", "output_tokens", "images", "audio_milliseconds", "characters")

_admission: Final = attrgetter(*_SIMPLE, *(f"estimate.{unit}" for unit in _ESTIMATED), "estimated_cost")
_settlement: Final = attrgetter(
    "attempt_id",
    "settled_at",
    "cause.value",
    "status",
    "usage.source.value",
    "usage.input_tokens",
    "usage.cached_tokens",
    "usage.cache_write_tokens",
    "usage.audio_input_tokens",
    "usage.image_input_tokens",
    "usage.output_tokens",
    "usage.reasoning_tokens",
    "usage.audio_output_tokens",
    "usage.image_output_tokens",
    "usage.images",
    "usage.audio_milliseconds",
    "usage.characters",
    "cost",
    "answered_model",
    "service_tier",
    "upstream_request_id",
    "priced_by.value",
    "price_version",
)


def admission_row(admission: Admission, worker: str) -> Row:
    row: Row = _admission(admission)
    return (*row, worker, admission.retry_of)


def settlement_row(settlement: Settlement) -> Row:
    row: Row = _settlement(settlement)
    return row


def admission_of(row: Mapping[str, Any]) -> Admission:
    """Of a row by the names of its columns."""
    return Admission(
        **{name: row[name] for name in _SIMPLE},
        estimate=Usage(UsageSource.ESTIMATED, **{unit: row[f"estimated_{unit}"] for unit in _ESTIMATED}),
        estimated_cost=row["estimated_cost"],
        retry_of=row["retry_of"],
    )
