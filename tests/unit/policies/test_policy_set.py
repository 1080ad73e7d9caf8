"""Facts about `gateway/policies/policy_set.py`."""

from collections.abc import Callable

from gateway.policies.policy_set import PolicySet


def test_the_repr_of_a_set_says_its_version_and_is_short(compiled: Callable[..., PolicySet]) -> None:
    policy_set = compiled()

    assert repr(policy_set) == f"PolicySet(version='{policy_set.version}')"


def test_a_set_knows_where_its_rules_stand(compiled: Callable[..., PolicySet]) -> None:
    policy_set = compiled(search="team: search\nmodels: [o3]")

    assert policy_set.origin("search", "web", "models") == "teams/search.yaml:2"
    assert policy_set.origin("search", "web", "limits.team-tokens") == "organization.yaml:4"
    assert PolicySet("v1", policy_set.catalogue, {}).origin("search", "web", "models") == ""
