"""Facts about `gateway/policies/narrowing.py`."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.grant import Grant
from gateway.core.policy import Budget, Counted, Limit, Period, Policy, Scope
from gateway.core.principal import CredentialKind, Principal
from gateway.limits.demands import bucket_of
from gateway.policies.narrowing import NarrowedPolicies, narrowed

Policies = Callable[..., Policy]

ALL = Grant(requests_per_minute=5, tokens_per_minute=1000, concurrent=2, dollars_per_month=50_000_000)
ASKS = Principal("key:search/web", "search", "k1", "web", grant=ALL)


def test_a_grants_own_limits_stand_among_the_policys(policy: Policies) -> None:
    team = policy("budgets: {mine: {per: team, requests: 5, every: day}}")

    own = narrowed(team, ALL)

    per = (Scope.KEY,)
    assert own.limits == (
        *team.limits,
        Limit("key.requests", Counted.REQUESTS, per, 5, seconds=60.0, burst=5),
        Limit("key.tokens", Counted.TOKENS, per, 1000, seconds=60.0, burst=1000),
        Limit("key.concurrent", Counted.CONCURRENT, per, 2),
    )
    assert own.budgets == (
        *team.budgets,
        Budget("key.month", Counted.DOLLARS, per, 50_000_000, Period.MONTH, zone="UTC"),
    )


def test_nothing_else_of_the_policy_changes(policy: Policies) -> None:
    team = policy()

    own = narrowed(team, ALL)

    assert replace(own, grant=team.grant, limits=team.limits, budgets=team.budgets) == team
    assert own.grant is ALL


def test_a_grant_without_limits_adds_none(policy: Policies) -> None:
    team = policy()

    own = narrowed(team, Grant(models=("o3",)))

    assert (own.limits, own.budgets) == (team.limits, team.budgets)


def test_no_limit_of_a_file_shares_a_counter_with_a_grants(policy: Policies) -> None:
    """Even one that is called nearly the same, and counts the same."""
    names = ("key-requests", "key_requests", "keyrequests")
    rules = "".join(f"\n  {name}: {{per: key, requests: 10}}" for name in names)

    own = narrowed(policy(f"limits:{rules}"), ALL)

    buckets = [bucket_of("search", limit, ASKS, None) for limit in (*own.limits, *own.budgets)]
    assert len(set(buckets)) == len(buckets)


@pytest.mark.parametrize(
    ("kind", "per"),
    [
        (CredentialKind.API_KEY, (Scope.KEY,)),
        (CredentialKind.CERTIFICATE, (Scope.KEY,)),
        (CredentialKind.JWT, (Scope.USER, Scope.KEY)),
        (CredentialKind.EXCHANGED_KEY, (Scope.USER, Scope.KEY)),
    ],
)
def test_users_of_one_issuer_count_alone(
    policy: Policies, kind: CredentialKind, per: tuple[Scope, ...]
) -> None:
    own = NarrowedPolicies().of(policy(), replace(ASKS, kind=kind))

    assert {limit.per for limit in own.limits if limit.name.startswith("key.")} == {per}


def test_one_caller_has_the_very_same_policy_each_time(policy: Policies) -> None:
    team, known = policy(), NarrowedPolicies()

    assert known.of(team, ASKS) is known.of(team, replace(ASKS, grant=replace(ALL)))


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKS, grant=Grant(concurrent=1)),
        replace(ASKS, key_name="nightly"),
        replace(ASKS, team="ads"),
        replace(ASKS, kind=CredentialKind.JWT),
    ],
)
def test_another_caller_has_another(policy: Policies, other: Principal) -> None:
    team, known = policy(), NarrowedPolicies()

    assert known.of(team, other) is not known.of(team, ASKS)


def test_what_was_narrowed_from_another_policy_is_forgotten(policy: Policies) -> None:
    known = NarrowedPolicies()
    known.of(policy(), ASKS)

    assert known.of(policy("models: [o3]"), ASKS).models.names == ("o3",)


def test_so_many_are_remembered_at_most(policy: Policies) -> None:
    team, known = policy(), NarrowedPolicies(most=2)
    first, second, third = (replace(ASKS, key_name=name) for name in "abc")
    policy_of_first, policy_of_second = known.of(team, first), known.of(team, second)
    known.of(team, first)

    known.of(team, third)

    assert known.of(team, first) is policy_of_first
    assert known.of(team, second) is not policy_of_second
