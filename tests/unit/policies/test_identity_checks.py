"""Facts about `gateway/policies/identity_checks.py`. The messages are in tests/golden/policies/identity."""

from collections.abc import Callable

import pytest

from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies

Compiled = Callable[..., PolicySet]

CI = "issuers:\n  ci: {issuer: https://ci.example.com, audiences: [a], team: %s}"


def test_names_that_are_known_are_good(compiled: Compiled) -> None:
    compiled(
        sales="team: sales",
        identity="""
            issuers:
              ci:
                issuer: https://ci.example.com
                audiences: [a]
                team: [{claim: a, is: sales}, {claim: team}, search]
                grants: [{claim: a, equals: b, endpoints: [chat_*], models: [o3]}]
                roles: [{claim: a, equals: b, role: team_admin, teams: [search, sales]}]
              other: {issuer: https://ci.example.com/, audiences: [a], team: search}
            """,
    )


def test_a_team_of_a_file_that_is_broken_is_not_called_unknown(compiled: Compiled) -> None:
    with pytest.raises(BrokenPolicies) as broken:
        compiled(sales="team: sales\nmodles: []", identity=CI % "sales")

    assert [problem.file for problem in broken.value.problems] == ["teams/sales.yaml"]


def test_while_the_catalogue_is_broken_models_of_grants_are_not_judged(compiled: Compiled) -> None:
    identity = "certificates: [{subject: CN=a, team: nobody, user: a, models: [anything]}]"

    with pytest.raises(BrokenPolicies) as broken:
        compiled(models="models: 5", identity=identity)

    assert [problem.path for problem in broken.value.problems] == ["certificates.0.team", "models"]


def test_mistakes_of_this_file_are_told_with_those_of_others(compiled: Compiled) -> None:
    with pytest.raises(BrokenPolicies) as broken:
        compiled(organization="models: [o4]", identity=CI % "serch")

    assert [(problem.file, problem.line) for problem in broken.value.problems] == [
        ("identity.yaml", 2),
        ("organization.yaml", 1),
    ]
