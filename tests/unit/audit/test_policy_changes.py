"""Versions of the policies, one after the other."""

from gateway.audit.policy_changes import PolicyChanges
from gateway.core.actor import Act


def test_each_version_is_told_with_the_one_before() -> None:
    noted: list[Act] = []
    changes = PolicyChanges(note=noted.append, replica="replica_1")
    changes.loaded("v1")
    changes.loaded("v2")
    changes.broken()
    changes.loaded("v2")
    assert {(act.actor, act.target, act.team, act.details["replica"]) for act in noted} == {
        ("gateway", "policies", "", "replica_1")
    }
    assert [
        (act.action, act.details["before"]["version"], act.details["after"]["version"]) for act in noted
    ] == [
        ("policies.loaded", None, "v1"),
        ("policies.loaded", "v1", "v2"),
        ("policies.broken", "v2", "v2"),
        ("policies.loaded", "v2", "v2"),
    ]
