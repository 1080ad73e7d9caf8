"""What is said when a limit is reached."""

from dataclasses import replace

import pytest

from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Limit
from gateway.limits.bucket import MICRO
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Demand, Grant, Refusal
from gateway.limits.verdict import judge
from tests.unit.limits.conftest import REQUESTS, SLOTS, TOKENS


def demand(limit: Limit, tokens: int = 300) -> Demand:
    value = "team" if limit.scope == "team" else "key:k1"
    return demand_of(limit, f"{{search}}:{limit.name}:{value}", tokens)


def refusal(one: Demand, level: int) -> Refusal:
    decision = judge([one], [False], [level])
    assert isinstance(decision, Refusal)
    return decision


@pytest.mark.parametrize(
    ("one", "level", "code", "retry_after", "reason"),
    [
        (
            demand(REQUESTS),
            int(60.2 * MICRO),
            ErrorCode.RATE_LIMIT_EXCEEDED,
            1.2,
            "Rate limit reached for requests of team `search`: limit 60 per minute. Try again in 1.2 s.",
        ),
        (
            demand(TOKENS),
            800 * MICRO,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            6.0,
            "Rate limit reached for tokens of key `k1`: limit 1000 per minute, this request needs about 300. "
            "Try again in 6 s.",
        ),
        (
            demand(replace(REQUESTS, seconds=90.0)),
            60 * MICRO,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            1.5,
            "Rate limit reached for requests of team `search`: limit 60 per 90 seconds. Try again in 1.5 s.",
        ),
        (
            demand(SLOTS),
            2,
            ErrorCode.CONCURRENCY_LIMIT_EXCEEDED,
            1.0,
            "Concurrency limit reached for team `search`: limit 2 at once. "
            "Try again when one of the running requests has ended.",
        ),
        (
            demand(TOKENS, 1001),
            0,
            ErrorCode.REQUEST_EXCEEDS_LIMIT,
            None,
            "This request is expected to use 1001 tokens, and key `k1` may use at most 1000 at once. "
            "Send less, or ask for less output.",
        ),
    ],
)
def test_a_refusal_says_what_where_and_when(
    one: Demand, level: int, code: ErrorCode, retry_after: float | None, reason: str
) -> None:
    deny = refusal(one, level).deny
    assert (deny.code, deny.retry_after, deny.reason) == (code, retry_after, reason)
    assert deny.rule == f"limits.{one.limit.name}"


def test_what_can_never_fit_is_named_before_what_only_takes_time() -> None:
    decision = judge([demand(REQUESTS), demand(TOKENS, 1001)], [False, False], [60 * MICRO, 0])
    assert isinstance(decision, Refusal)
    assert decision.demand.limit == TOKENS


def test_a_limit_that_does_not_refuse_is_not_named_in_a_refusal() -> None:
    shadow = replace(TOKENS, mode=Mode.SHADOW)
    decision = judge([demand(shadow, 1001), demand(REQUESTS)], [False, False], [0, 60 * MICRO])
    assert isinstance(decision, Refusal)
    assert decision.demand.limit == REQUESTS


def test_limits_that_do_not_refuse_all_have_their_note() -> None:
    demands = [demand(replace(limit, mode=Mode.WARN)) for limit in (REQUESTS, SLOTS)]
    decision = judge(demands, [False, False], [60 * MICRO, 2])
    assert isinstance(decision, Grant)
    assert [note.rule for note in decision.notes] == ["limits.team-requests", "limits.team-streams"]
