"""Whoever was refused is refused again, for as long as waiting is needed, if no other call could pass."""

from dataclasses import replace

import pytest

from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.policy import Budget, Counted, Increase, Limit, Policy, Scope
from gateway.core.principal import Principal
from gateway.core.standing import Standing
from gateway.limits.bucket import MICRO
from gateway.limits.demands import bucket_of, demand_of
from gateway.limits.interfaces import Refusal
from gateway.limits.refusals import RecentRefusals
from gateway.limits.verdict import Fit, judge
from tests.support.clock import ManualClock
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

NOW = 1_795_000_000


def refusal(limit: Limit = REQUESTS, owed: float = 69.0, cost: int = 1) -> Refusal:
    """Of a rate that pays back one a second: so it takes ten."""
    return refused(limit, int(owed * MICRO), cost)


def refused(limit: Limit | Budget, level: int, cost: int = 1, fit: Fit = Fit.NO) -> Refusal:
    caller = Principal(subject="alice", team="search", key_id="k1", key_name="batch")
    decision = judge(
        [demand_of(limit, bucket_of("search", limit, caller, "gpt-5"), cost, NOW)], [fit], [level]
    )
    assert isinstance(decision, Refusal)
    return decision


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
    assert found.standings[0].reset == 65.0
    assert found.deny.reason.endswith("Try again in 6 s.")
    assert found.deny.rule == "limits.team-requests"


def test_it_ends_with_the_retry_time(
    refusals: RecentRefusals, principal: Principal, policy: Policy, clock: ManualClock
) -> None:
    refusals.remember(principal, policy, refusal())
    clock.advance(10.0)
    assert refusals.find(principal, policy) is None


@pytest.mark.parametrize("other", [{"key_id": "k2"}, {"subject": "bob"}, {"team": "billing"}])
def test_another_caller_is_not_refused_with_it(
    refusals: RecentRefusals, principal: Principal, policy: Policy, other: dict[str, str]
) -> None:
    refusals.remember(principal, policy, refusal())
    assert refusals.find(replace(principal, **other), policy) is None


def test_a_new_policy_gives_a_new_chance(
    refusals: RecentRefusals, principal: Principal, policy: Policy
) -> None:
    refusals.remember(principal, policy, refusal())
    assert refusals.find(principal, replace(policy, version="v2")) is None


@pytest.mark.parametrize(
    "other",
    [
        refusal(TOKENS, 1000),
        refusal(replace(REQUESTS, per=(Scope.MODEL,))),
        refusal(replace(REQUESTS, per=(Scope.USER, Scope.MODEL))),
        refusal(replace(REQUESTS, models=("gpt-*",))),
        refused(SLOTS, 2),
        refusal(cost=61),
    ],
    ids=["tokens", "one model's", "a user's on one model", "some models'", "concurrency", "too large"],
)
def test_what_another_call_could_escape_is_not_remembered(
    refusals: RecentRefusals, principal: Principal, policy: Policy, other: Refusal
) -> None:
    refusals.remember(principal, policy, other)
    assert refusals.find(principal, policy) is None


@pytest.mark.parametrize("scope", [Scope.USER, Scope.KEY, Scope.TEAM, Scope.ORGANIZATION])
def test_requests_of_the_caller_or_the_team_are_remembered(
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


class TestBudgets:
    """One with nothing left at all is not looked at again for a second."""

    EMPTY = refused(DOLLARS, 50_000_000)

    def test_its_refusal_is_said_again_as_it_was(
        self, refusals: RecentRefusals, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        refusals.remember(principal, policy, self.EMPTY)
        clock.advance(0.9)
        found = refusals.find(principal, policy)
        assert found is not None
        assert found.deny == self.EMPTY.deny
        assert (found.deny.code, found.deny.retry_after) == (ErrorCode.INSUFFICIENT_QUOTA, None)

    def test_it_ends_after_a_second(
        self, refusals: RecentRefusals, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        refusals.remember(principal, policy, self.EMPTY)
        clock.advance(1.0)
        assert refusals.find(principal, policy) is None

    def test_its_standings_go_on(
        self, refusals: RecentRefusals, principal: Principal, policy: Policy, clock: ManualClock
    ) -> None:
        standing = Standing("team-requests", Counted.REQUESTS, 60, 50, 0.75)
        refusals.remember(principal, policy, replace(self.EMPTY, standings=(standing,)))
        clock.advance(0.5)
        found = refusals.find(principal, policy)
        assert found is not None
        assert found.standings == (standing._replace(reset=0.25),)

    @pytest.mark.parametrize("counts", [Counted.REQUESTS, Counted.TOKENS, Counted.DOLLARS])
    @pytest.mark.parametrize("per", [(Scope.ORGANIZATION,), (Scope.TEAM,), (Scope.USER, Scope.KEY)])
    def test_what_every_call_spends_is_remembered(
        self,
        refusals: RecentRefusals,
        principal: Principal,
        policy: Policy,
        counts: Counted,
        per: tuple[Scope, ...],
    ) -> None:
        refusals.remember(principal, policy, refused(replace(DOLLARS, counts=counts, per=per), 50_000_000))
        assert refusals.find(principal, policy) is not None

    @pytest.mark.parametrize(
        "other",
        [
            refused(DOLLARS, 49_999_999, cost=2),
            refused(replace(DOLLARS, per=(Scope.TEAM, Scope.MODEL)), 50_000_000),
            refused(replace(DOLLARS, models=("gpt-*",)), 50_000_000),
            refused(replace(DOLLARS, counts=Counted.IMAGES), 50_000_000),
            refused(replace(DOLLARS, counts=Counted.OUTPUT_TOKENS), 50_000_000),
            refused(DOLLARS, 50_000_000, cost=50_000_001),
            refused(DOLLARS, 50_000_000, fit=Fit.SET_ASIDE),
            refused(DOLLARS, 50_000_000, fit=Fit.HELD),
            refused(replace(DOLLARS, increases=(Increase(5, NOW + 60),)), 50_000_004, cost=2),
        ],
        ids=[
            "something left",
            "one model's",
            "some models'",
            "pictures",
            "output",
            "too large",
            "set aside",
            "held",
            "increased",
        ],
    )
    def test_what_another_call_could_escape_is_not(
        self, refusals: RecentRefusals, principal: Principal, policy: Policy, other: Refusal
    ) -> None:
        refusals.remember(principal, policy, other)
        assert refusals.find(principal, policy) is None

    def test_a_budget_that_cannot_be_looked_up_is_not_remembered(
        self, refusals: RecentRefusals, principal: Principal, policy: Policy
    ) -> None:
        deny = Deny(ErrorCode.BUDGET_UNAVAILABLE, "not now", "budgets.team-month", retry_after=1.0)
        refusals.remember(principal, policy, Refusal(deny, (), self.EMPTY.demand))
        assert refusals.find(principal, policy) is None
