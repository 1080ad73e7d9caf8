"""The one log line of an exchange. Its fields are named here, one by one: what is not named cannot leak."""

from typing import Any

import structlog

from gateway.core.exchange import Exchange, Outcome


def log_exchange(log: structlog.stdlib.BoundLogger, exchange: Exchange) -> None:
    """Tell how an exchange ended. Our own faults are errors, the upstream's are warnings."""
    fields = _fields(exchange)
    if exchange.outcome is Outcome.FAILED:
        log.error("exchange", fields=fields)
    elif exchange.outcome is Outcome.UPSTREAM_FAILED:
        log.warning("exchange", fields=fields)
    else:
        log.info("exchange", fields=fields)


def _fields(exchange: Exchange) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_id": exchange.id,
        "method": exchange.method,
        "endpoint": exchange.endpoint.name if exchange.endpoint else None,
        "outcome": exchange.outcome,
        "status": exchange.status,
        "ms": _milliseconds(exchange.started, exchange.finished),
    }
    if exchange.principal is not None:
        fields["team"] = exchange.principal.team
        fields["key_id"] = exchange.principal.key_id
    if exchange.policy is not None:
        fields["policy_version"] = exchange.policy.version
    if exchange.model is not None:
        fields["model"] = exchange.model.name
    if exchange.call is not None:
        fields["stream"] = exchange.call.stream
    if exchange.error is not None:
        fields["code"] = exchange.error.code
        fields["rule"] = exchange.error.rule
    if exchange.notes:
        fields["notes"] = [f"{note.rule} {note.mode}" for note in exchange.notes]
    if exchange.attempts:
        fields |= _spent(exchange)
    return fields


def _spent(exchange: Exchange) -> dict[str, Any]:
    last = exchange.attempts[-1]
    fields: dict[str, Any] = {
        "upstream": last.upstream,
        "attempts": len(exchange.attempts),
        "upstream_request_id": last.upstream_request_id,
        "first_byte_ms": _milliseconds(exchange.started, exchange.answered),
        "cost_microdollars": exchange.cost,
    }
    usage = exchange.usage
    if usage is not None:
        fields["input_tokens"] = usage.input_tokens
        fields["output_tokens"] = usage.output_tokens
        fields["usage_source"] = usage.source
    return fields


def _milliseconds(start: float, end: float | None) -> float | None:
    return None if end is None else round((end - start) * 1000, 3)
