"""Facts about `gateway/policies/origins.py`."""

from collections.abc import Callable

import pytest

from gateway.policies.origins import NOWHERE, Origins
from gateway.policies.reading import Files, read_source

ORGANIZATION = """
models: [gpt-4o*]
objects: enforce
limits:
  team-tokens: {per: team, tokens: 1000}
  user-requests: {per: user, requests: 10}
filters:
  secrets: {kind: secrets}
shaping:
  no-storing: {force: store, value: false}
"""
SEARCH = """
team: search
endpoints: ["*"]
limits:
  team-tokens: {per: team, tokens: 2000}
budgets:
  month: {per: team, dollars: 10, every: month}
keys:
  nightly:
    models: [o3]
    limits:
      user-requests:
        per: user
        requests: 100
  team: {unpriced: refuse}
"""


@pytest.fixture
def origins(policy_files: Callable[..., dict[str, bytes]]) -> Origins:
    texts = policy_files(organization=ORGANIZATION, search=SEARCH, ads="team: ads")
    return Origins.of(Files.of(read_source(name, content) for name, content in texts.items()))


@pytest.mark.parametrize(
    ("key_name", "rule", "place"),
    [
        ("web", "models", "organization.yaml:2"),
        ("web", "objects", "organization.yaml:3"),
        ("web", "limits.user-requests", "organization.yaml:6"),
        ("web", "filters.secrets", "organization.yaml:8"),
        ("web", "shaping.no-storing", "organization.yaml:10"),
        ("web", "endpoints", "teams/search.yaml:3"),
        ("web", "limits.team-tokens", "teams/search.yaml:5"),
        ("web", "budgets.month", "teams/search.yaml:7"),
        ("nightly", "models", "teams/search.yaml:10"),
        ("nightly", "limits.user-requests", "teams/search.yaml:12"),
        ("nightly", "limits.team-tokens", "teams/search.yaml:5"),
        ("nightly", "filters.secrets", "organization.yaml:8"),
        ("team", "unpriced", "teams/search.yaml:15"),
        ("", "limits.team-tokens", "teams/search.yaml:5"),
        ("web", "unpriced", ""),
        ("web", "budgets.team-tokens", ""),
        ("web", "limits.key.requests", ""),
        ("web", "key.models", ""),
        ("web", "auth.api_key", ""),
        ("web", "", ""),
    ],
)
def test_a_rule_stands_where_the_nearest_level_says_it(
    origins: Origins, key_name: str, rule: str, place: str
) -> None:
    assert origins.of_rule("search", key_name, rule) == place


def test_another_teams_rules_are_nobodys_business(origins: Origins) -> None:
    assert origins.of_rule("ads", "nightly", "budgets.month") == ""
    assert origins.of_rule("ads", "nightly", "limits.team-tokens") == "organization.yaml:5"


def test_what_says_nothing_takes_no_room(origins: Origins) -> None:
    assert ("ads", "") not in origins.said


def test_without_files_no_rule_stands_anywhere() -> None:
    assert NOWHERE.of_rule("search", "web", "models") == ""
