"""Facts about `gateway/policies/checks.py`. The messages themselves are in tests/golden/policies."""

from collections.abc import Callable

import pytest

from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies

Compiled = Callable[..., PolicySet]


def test_names_that_match_something_are_good(compiled: Compiled) -> None:
    compiled(
        organization="""
            models: ["*", gpt-*, o3]
            endpoints: [chat_*, "*"]
            limits:
              a: {per: team, tokens: 5, models: [o3, house-*]}
            budgets:
              c: {per: team, tokens: 5, every: day, models: [o3, house-*]}
            shaping:
              b: {strip: seed, models: [gpt-4o], endpoints: [responses]}
            """
    )


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        ({"organization": "models: [o4]"}, ["organization.yaml:1: models.0"]),
        ({"organization": "endpoints: [audio]"}, ["organization.yaml:1: endpoints.0"]),
        (
            {"organization": "shaping:\n  a: {strip: seed, models: [x], endpoints: [y]}"},
            ["organization.yaml:2: shaping.a.endpoints.0", "organization.yaml:2: shaping.a.models.0"],
        ),
        (
            {"search": "team: search\nkeys:\n  k:\n    limits:\n      a: {per: key, tokens: 5, models: [x]}"},
            ["teams/search.yaml:5: keys.k.limits.a.models.0"],
        ),
        (
            {"search": "team: search\nbudgets:\n  a: {per: key, tokens: 5, every: day, models: [o3, x]}"},
            ["teams/search.yaml:3: budgets.a.models.1"],
        ),
        (
            {"search": "team: search\nkeys:\n  k:\n    endpoints: {allow: [x]}"},
            ["teams/search.yaml:4: keys.k.endpoints.allow.0"],
        ),
        ({"b": "team: search", "a": "team: search"}, ["teams/b.yaml:1: team", "teams/search.yaml:1: team"]),
    ],
)
def test_names_that_point_nowhere_are_found_where_they_stand(
    compiled: Compiled, texts: dict[str, str], places: list[str]
) -> None:
    with pytest.raises(BrokenPolicies) as broken:
        compiled(**texts)

    assert [f"{problem.file}:{problem.line}: {problem.path}" for problem in broken.value.problems] == places


def test_while_the_catalogue_is_broken_names_of_models_are_not_judged(compiled: Compiled) -> None:
    with pytest.raises(BrokenPolicies) as broken:
        compiled(models="models: 5", organization="models: [anything]\nendpoints: [nothing]")

    assert [problem.path for problem in broken.value.problems] == ["models", "endpoints.0"]


def test_while_the_organization_is_broken_what_is_inherited_is_not_judged(compiled: Compiled) -> None:
    with pytest.raises(BrokenPolicies) as broken:
        compiled(organization="limits: 5", search="team: search\nlimits:\n  team-tokens: {mode: off}")

    assert [problem.file for problem in broken.value.problems] == ["organization.yaml"]


def test_a_key_can_switch_off_what_its_team_or_the_organization_has(compiled: Compiled) -> None:
    compiled(
        search="""
            team: search
            limits:
              mine: {per: team, tokens: 5}
            budgets:
              month: {per: team, tokens: 5, every: month}
            keys:
              free: {limits: {mine: {mode: off}, team-tokens: {mode: off}}, budgets: {month: {mode: off}}}
            """
    )
