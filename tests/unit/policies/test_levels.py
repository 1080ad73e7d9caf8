"""Facts about `gateway/policies/levels.py`."""

from collections.abc import Callable

import pytest

from gateway.policies.levels import Level, families_of
from gateway.policies.reading import Files, read_source

PolicyFiles = Callable[..., dict[str, bytes]]

TEAM = """
team: search
budgets:
  mine: {per: team, requests: 5, every: day}
  loose: {per: team, requests: 5, every: day, mode: off}
keys:
  nightly:
    models: [o3]
    limits: {team-tokens: {mode: off}}
"""


@pytest.fixture
def families(policy_files: PolicyFiles) -> Callable[..., list[list[Level]]]:
    def read(**texts: str) -> list[list[Level]]:
        sources = [read_source(name, content) for name, content in sorted(policy_files(**texts).items())]
        return list(families_of(Files.of(sources)))

    return read


def test_every_file_is_a_family_whose_keys_come_last(families: Callable[..., list[list[Level]]]) -> None:
    found = families(search=TEAM, ads="team: ads")

    places = [[(level.source.file, level.path) for level in family] for family in found]
    assert places == [
        [("organization.yaml", ())],
        [("teams/ads.yaml", ())],
        [("teams/search.yaml", ()), ("teams/search.yaml", ("keys", "nightly"))],
    ]


def test_what_cannot_be_read_is_no_level(families: Callable[..., list[list[Level]]]) -> None:
    (team,) = families(organization="limits: 5", search="team: search")

    assert [level.inherits for level in team] == [[]]


def test_a_key_inherits_from_its_team_before_the_organization(
    families: Callable[..., list[list[Level]]],
) -> None:
    (organization,), (team, key) = families(search=TEAM)

    assert key.inherits == [team, organization]


def test_the_rules_in_force_are_those_that_nobody_nearer_replaces_or_takes_away(
    families: Callable[..., list[list[Level]]],
) -> None:
    (organization,), (team, key) = families(search=TEAM)

    assert {name: level for name, (level, _) in team.in_force("limits").items()} == {
        "team-tokens": organization
    }
    assert key.in_force("limits") == {}
    assert {name: level for name, (level, _) in key.in_force("budgets").items()} == {"mine": team}


def test_the_nearest_allow_list_counts(families: Callable[..., list[list[Level]]]) -> None:
    (organization,), (team, key) = families(search=TEAM)

    found = [level.allow_list() for level in (organization, team, key)]

    assert [said[0] for said in found if said] == [organization, organization, key]
    assert [said[1].allow for said in found if said] == [["gpt-4o*"], ["gpt-4o*"], ["o3"]]


def test_there_may_be_no_allow_list_at_all(families: Callable[..., list[list[Level]]]) -> None:
    (organization,), _ = families(organization="")

    assert organization.allow_list() is None


def test_a_problem_of_a_key_is_told_at_the_key(families: Callable[..., list[list[Level]]]) -> None:
    _, (_, key) = families(search=TEAM)

    problem = key.problem("limits", "team-tokens", message="is wrong")

    assert str(problem) == "teams/search.yaml:9: keys.nightly.limits.team-tokens: is wrong"
