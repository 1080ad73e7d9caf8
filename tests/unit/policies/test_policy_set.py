"""Facts about `gateway/policies/policy_set.py`."""

from collections.abc import Callable

from gateway.policies.policy_set import PolicySet


def test_the_repr_of_a_set_says_its_version_and_is_short(compiled: Callable[..., PolicySet]) -> None:
    policy_set = compiled()

    assert repr(policy_set) == f"PolicySet(version='{policy_set.version}')"
