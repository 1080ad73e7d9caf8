"""Every fact of a line is in the column of its name."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import Table

from gateway.core.usage import Usage, UsageSource
from gateway.database.tables import ADMISSIONS, SETTLEMENTS
from gateway.metering.ledger.rows import admission_json, admission_of, settlement_json
from tests.support.ledger_lines import NOON, a_settlement, an_admission

ALL = Usage(UsageSource.PARTIAL, *range(1, 13))


def read(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(line)
    return found


def test_an_admission_stands_in_its_columns() -> None:
    estimate = Usage(UsageSource.ESTIMATED, input_tokens=1, output_tokens=2, images=3, characters=4)
    assert read(admission_json(an_admission(estimate=estimate, retry_of="att_0"), "wrk_1")) == {
        "attempt_id": "att_1",
        "exchange_id": "req_1",
        "number": 1,
        "admitted_at": NOON,
        "team": "search",
        "key_id": "k1",
        "subject": "key:search/web",
        "endpoint": "create_chat_completion",
        "asked_model": "fast",
        "model": "gpt-4o",
        "upstream": "openai",
        "policy_version": "5f3c",
        "stream": True,
        "estimated_input_tokens": 1,
        "estimated_output_tokens": 2,
        "estimated_images": 3,
        "estimated_audio_milliseconds": 0,
        "estimated_characters": 4,
        "estimated_cost": 400,
        "worker": "wrk_1",
        "retry_of": "att_0",
    }


def test_a_settlement_stands_in_its_columns() -> None:
    units = {unit: getattr(ALL, unit) for unit in Usage._fields if unit != "source"}
    assert read(settlement_json(a_settlement(usage=ALL))) == units | {
        "attempt_id": "att_1",
        "settled_at": NOON + 1000,
        "cause": "served",
        "status": 200,
        "source": "partial",
        "cost": 340,
        "answered_model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "upstream_request_id": "up_1",
        "priced_by": "book",
        "price_version": "77d1",
    }


@pytest.mark.parametrize(
    ("table", "line"),
    [(ADMISSIONS, admission_json(an_admission(), "wrk_1")), (SETTLEMENTS, settlement_json(a_settlement()))],
    ids=["admission", "settlement"],
)
def test_a_line_has_every_column_and_in_its_order(table: Table, line: bytes) -> None:
    assert list(read(line)) == [column.name for column in table.columns]


def test_an_admission_comes_back_as_it_was() -> None:
    admission = an_admission()
    assert admission_of(read(admission_json(admission, "wrk_1"))) == admission
