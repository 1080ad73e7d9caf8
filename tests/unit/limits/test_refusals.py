"""Whoever was refused for rate is refused again, for as long as waiting is needed."""

from dataclasses import replace

import pytest

from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.policy import Limit, Policy, Scope
from gateway.core.principal import Principal
from gateway.core.standing import Standing
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Refusal
from gateway.limits.refusals import RecentRefusals
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import REQUESTS, SLOTS, TOKENS


def refusal(
    limit: Limit = REQUESTS,
    retry_after: float | None = 10.0,
    code: ErrorCode = ErrorCode.RATE_LIMIT_EXCEEDED,
) -> Refusal:
    demand = demand_of(limit, f"{{search}}:{limit.name}:{limit.scope}", 1)
    deny = Deny(code, "too much", f"limits.{limit.name}", retry_after=retry_after)
    return Refusal(deny, (Standing(limit.name, limit.counts, limit.amount, 0, 60.0),), demand)


@pytest.fixture
def refusals(clock: ManualClock) -> RecentRefusals:
    return RecentRefusals(clock=clock, most=2)


def test_nobody_is_refused_before_a_refusal(
    refusals: RecentRefusals, principal: Principal, policy: Policy
) -> None:
    assert refusals.find(principal, policy) is None


def test_it_is_told_how_long_is_left(
    refusals: RecentRefusals, principal: Principal, policy: Policy, clock: ManualClock
) -> None:
    refusals.remember(principal, policy, refusal())
    clock.advance(4.0)
    found = refusals.find(principal, policy)
    assert found is not None
    assert found.deny.retry_after == 6.0
    assert found.standings[0].reset == 56.0
    assert found.deny.reason.endswith("Try again in 6 s.")
    assert found.deny.rule == "limits.team-requests"


def test_it_ends_with_the_retry_time(
    refusals: RecentRefusals, principal: Principal, policy: Policy, clock: ManualClock
) -> None:
    refusals.remember(principal, policy, refusal())
    clock.advance(10.0)
    assert refusals.find(principal, policy) is None


def test_another_key_is_not_refused_with_it(
    refusals: RecentRefusals, principal: Principal, policy: Policy
) -> None:
    refusals.remember(principal, policy, refusal())
    assert refusals.find(replace(principal, key_id="k2"), policy) is None


def test_a_new_policy_gives_a_new_chance(
    refusals: RecentRefusals, principal: Principal, policy: Policy
) -> None:
    refusals.remember(principal, policy, refusal())
    assert refusals.find(principal, replace(policy, version="v2")) is None


@pytest.mark.parametrize(
    "other",
    [
        refusal(TOKENS),
        refusal(replace(REQUESTS, per=(Scope.MODEL,))),
        refusal(replace(REQUESTS, models=("gpt-*",))),
        refusal(SLOTS, 1.0, ErrorCode.CONCURRENCY_LIMIT_EXCEEDED),
        refusal(REQUESTS, None, ErrorCode.REQUEST_EXCEEDS_LIMIT),
    ],
    ids=["tokens", "one model's", "some models'", "concurrency", "too large"],
)
def test_what_another_call_could_escape_is_not_remembered(
    refusals: RecentRefusals, principal: Principal, policy: Policy, other: Refusal
) -> None:
    refusals.remember(principal, policy, other)
    assert refusals.find(principal, policy) is None


@pytest.mark.parametrize("scope", [Scope.KEY, Scope.TEAM])
def test_requests_of_the_key_or_the_team_are_remembered(
    refusals: RecentRefusals, principal: Principal, policy: Policy, scope: Scope
) -> None:
    refusals.remember(principal, policy, refusal(replace(REQUESTS, per=(scope,))))
    assert refusals.find(principal, policy) is not None


def test_the_caller_refused_longest_ago_is_forgotten_first(
    refusals: RecentRefusals, principal: Principal, policy: Policy
) -> None:
    callers = [replace(principal, key_id=f"k{number}") for number in range(3)]
    for caller in callers:
        refusals.remember(caller, policy, refusal())
    assert [refusals.find(caller, policy) is not None for caller in callers] == [False, True, True]
