"""The line of an exchange."""

import io
from typing import Any

import msgspec
import pytest

from gateway.core.attempt import Attempt
from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode, Refused
from gateway.core.exchange import Exchange, Outcome
from gateway.telemetry.exchange_log import log_exchange
from gateway.telemetry.logging import LogSink, make_logger
from tests.support.exchanges import served_exchange

SECRET = "sk-and-what-was-said"


def line_of(exchange: Exchange) -> dict[str, Any]:
    stream = io.BytesIO()
    sink = LogSink(stream)
    log_exchange(make_logger(sink, "info"), exchange)
    sink.close()
    (line,) = stream.getvalue().splitlines()
    told: dict[str, Any] = msgspec.json.decode(line)
    del told["time"]
    return told


def test_a_served_exchange_is_told_whole() -> None:
    assert line_of(served_exchange({"stream": True})) == {
        "level": "info",
        "event": "exchange",
        "request_id": "req_1",
        "method": "POST",
        "endpoint": "chat_completions",
        "outcome": "served",
        "status": 200,
        "ms": 1000.0,
        "team": "search",
        "key_id": "k7",
        "policy_version": "5f3c",
        "model": "gpt-4o",
        "stream": True,
        "upstream": "openai",
        "attempts": 1,
        "upstream_request_id": "up_1",
        "first_byte_ms": 200.0,
        "cost_microdollars": 1234,
        "input_tokens": 90,
        "output_tokens": 11,
        "usage_source": "provider",
    }


def test_an_exchange_that_ended_at_its_first_step_is_told_too() -> None:
    error = Refused(ErrorCode.UNKNOWN_ENDPOINT, "no such path")
    over = Exchange(id="req_1", method="GET", received_at=0.0, started=1.0, finished=1.5)
    over.conclude(Outcome.REFUSED, error)
    assert line_of(over) == {
        "level": "info",
        "event": "exchange",
        "request_id": "req_1",
        "method": "GET",
        "endpoint": None,
        "outcome": "refused",
        "status": 404,
        "ms": 500.0,
        "code": "unknown_endpoint",
        "rule": None,
    }


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Outcome.SERVED, "info"),
        (Outcome.REFUSED, "info"),
        (Outcome.CLIENT_LEFT, "info"),
        (Outcome.CUT, "info"),
        (Outcome.UPSTREAM_FAILED, "warning"),
        (Outcome.FAILED, "error"),
    ],
)
def test_the_level_says_who_should_look(outcome: Outcome, level: str) -> None:
    assert line_of(served_exchange(outcome=outcome))["level"] == level


def test_a_refusal_names_its_rule() -> None:
    error = Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "slow down", rule="limits.team-requests")
    line = line_of(served_exchange(outcome=Outcome.REFUSED, error=error))
    assert (line["code"], line["rule"]) == ("rate_limit_exceeded", "limits.team-requests")


def test_what_rules_would_have_done_is_told() -> None:
    note = Deny(ErrorCode.MODEL_NOT_ALLOWED, SECRET, "models", Mode.SHADOW)
    assert line_of(served_exchange(notes=[note]))["notes"] == ["models shadow"]


def test_the_last_attempt_is_the_one_that_is_told() -> None:
    attempts = [Attempt("a", "openai", 1, 503), Attempt("b", "azure", 2, 200, "up_2")]
    line = line_of(served_exchange(attempts=attempts))
    assert (line["attempts"], line["upstream"], line["upstream_request_id"]) == (2, "azure", "up_2")


def test_a_cost_that_nobody_knows_is_no_zero() -> None:
    assert line_of(served_exchange(cost=None))["cost_microdollars"] is None


def test_nothing_that_was_said_is_told() -> None:
    exchange = served_exchange(
        {"messages": [{"role": "user", "content": SECRET}], "user": SECRET},
        asked_model=SECRET,
        error=Refused(ErrorCode.CONTENT_POLICY_VIOLATION, SECRET, param=SECRET),
        notes=[Deny(ErrorCode.CONTENT_POLICY_VIOLATION, SECRET, "secrets", Mode.WARN, SECRET)],
    )
    assert SECRET not in str(line_of(exchange))
