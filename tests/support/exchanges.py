"""An exchange as it stands when it is over, for what logs, counts and records it."""

from collections.abc import Mapping
from typing import Any

from gateway.core.attempt import Attempt
from gateway.core.call import Call
from gateway.core.exchange import Exchange, Outcome
from gateway.core.policy import Catalogue, Model, Policy
from gateway.core.principal import Principal
from gateway.core.usage import Usage, UsageSource
from gateway.wire.endpoints import CHAT_COMPLETIONS

MODEL = Model(name="gpt-4o", upstream="openai", upstream_model="gpt-4o-2024-08-06")
POLICY = Policy(team="search", version="5f3c", catalogue=Catalogue({"gpt-4o": MODEL}))
PRINCIPAL = Principal(subject="search-bot", team="search", key_id="k7", key_name="bot")
USAGE = Usage(UsageSource.PROVIDER, input_tokens=90, cached_tokens=30, output_tokens=11, reasoning_tokens=5)


def chat_call(**members: Any) -> Call:
    return Call(CHAT_COMPLETIONS, "application/json", b"{}", {"model": "gpt-4o", **members})


def served_exchange(members: Mapping[str, Any] | None = None, **changes: Any) -> Exchange:
    """One second in all, 0.2 s to the first byte, one attempt."""
    exchange = Exchange(
        id="req_1",
        method="POST",
        received_at=1_795_000_000.0,
        started=100.0,
        endpoint=CHAT_COMPLETIONS,
        principal=PRINCIPAL,
        policy=POLICY,
        call=chat_call(**(members or {})),
        asked_model="gpt-4o",
        model=MODEL,
        attempts=[Attempt(id="att_1", upstream="openai", number=1, status=200, upstream_request_id="up_1")],
        answered=100.2,
        finished=101.0,
        usage=USAGE,
        cost=1234,
        status=200,
        outcome=Outcome.SERVED,
    )
    for name, value in changes.items():
        setattr(exchange, name, value)
    return exchange
