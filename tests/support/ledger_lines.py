"""Lines of the ledger to begin with."""

from typing import Any

from gateway.core.attempt import Cause
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import Admission, PricedBy, Settlement

NOON = 1_795_003_200_000
"""2026-11-18 12:00 UTC, in milliseconds."""
DAY = 86_400_000

USAGE = Usage(UsageSource.PROVIDER, input_tokens=90, cached_tokens=30, output_tokens=11, reasoning_tokens=5)
ESTIMATE = Usage(UsageSource.ESTIMATED, input_tokens=80, output_tokens=20)


def an_admission(attempt_id: str = "att_1", **changes: Any) -> Admission:
    values: dict[str, Any] = {
        "attempt_id": attempt_id,
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
        "estimate": ESTIMATE,
        "estimated_cost": 400,
    }
    return Admission(**(values | changes))


def a_settlement(attempt_id: str = "att_1", **changes: Any) -> Settlement:
    values: dict[str, Any] = {
        "attempt_id": attempt_id,
        "settled_at": NOON + 1000,
        "cause": Cause.SERVED,
        "status": 200,
        "usage": USAGE,
        "cost": 340,
        "answered_model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "upstream_request_id": "up_1",
        "priced_by": PricedBy.BOOK,
        "price_version": "77d1",
    }
    return Settlement(**(values | changes))
