"""The ledger's lines as rows of its tables: by the order of their columns, or as JSON by their names."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Table, select

from gateway.core.usage import TOTALS, Usage, UsageSource
from gateway.database.tables import ADMISSIONS, SETTLEMENTS, UNDER_WAY
from gateway.metering.interfaces import Adjustment, Admission, Settlement

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

_admission: Final = attrgetter(*_SIMPLE, *(f"estimate.{unit}" for unit in TOTALS), "estimated_cost")
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


def _line_of(table: Table) -> type[msgspec.Struct]:
    return msgspec.defstruct(table.name, [(str(column.name), Any) for column in table.columns])


_AdmissionLine: Final = _line_of(ADMISSIONS)
_SettlementLine: Final = _line_of(SETTLEMENTS)
_encode: Final = msgspec.json.Encoder().encode


def admission_row(admission: Admission, worker: str) -> Row:
    """In the order of the columns."""
    row: Row = _admission(admission)
    return (*row, worker, admission.retry_of)


def settlement_row(settlement: Settlement) -> Row:
    """In the order of the columns."""
    row: Row = _settlement(settlement)
    return row


def admission_json(admission: Admission, worker: str) -> bytes:
    """An object whose names are the table's columns."""
    return _encode(_AdmissionLine(*admission_row(admission, worker)))


def settlement_json(settlement: Settlement) -> bytes:
    """An object whose names are the table's columns."""
    return _encode(_SettlementLine(*settlement_row(settlement)))


def adjustment_json(adjustment: Adjustment) -> bytes:
    """An object whose names are the table's columns."""
    fields = msgspec.structs.asdict(adjustment)
    usage: Usage = fields.pop("usage")
    return _encode({**fields, **usage._asdict()})


def admission_of(row: Mapping[str, Any]) -> Admission:
    """Of a row by the names of its columns."""
    return Admission(
        **{name: row[name] for name in _SIMPLE},
        estimate=Usage(UsageSource.ESTIMATED, **{unit: row[f"estimated_{unit}"] for unit in TOTALS}),
        estimated_cost=row["estimated_cost"],
        retry_of=row["retry_of"],
    )
