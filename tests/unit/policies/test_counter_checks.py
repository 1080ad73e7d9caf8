"""Facts about `gateway/policies/counter_checks.py`."""

from collections.abc import Callable

import pytest

from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies

Compiled = Callable[..., PolicySet]

ORGANIZATION = """
limits:
  all-requests: {per: organization, requests: 500}
  all-users: {per: [organization, user], requests: 50}
  team-tokens: {per: team, tokens: 1_000}
  key-tokens: {per: key, tokens: 100}
  slots: {per: team, concurrent: 10}
budgets:
  all-month: {per: organization, requests: 1_000, every: month}
  team-month: {per: team, requests: 100, every: month}
"""


@pytest.fixture
def problems(compiled: Compiled) -> Callable[[str], list[str]]:
    """What is wrong with a team whose file has these lines after its first."""

    def told(team: str) -> list[str]:
        try:
            compiled(organization=ORGANIZATION, search=f"team: search\n{team}")
        except BrokenPolicies as broken:
            return [str(problem) for problem in broken.problems]
        return []

    return told


def key(rules: str) -> str:
    """A key that says this, on line 3 of the file."""
    return f"keys:\n  nightly: {{{rules}}}"


@pytest.mark.parametrize(
    "rules",
    [
        "limits: {team-tokens: {per: team, tokens: 7, every: day}}",
        "limits: {all-requests: {per: organization, requests: 500, burst: 5, mode: warn}}",
        "limits: {all-requests: {per: team, requests: 7}}",
        "limits: {all-requests: {mode: off}}",
        "budgets: {all-month: {per: organization, requests: 800, every: month, mode: shadow}}",
        "budgets: {all-month: {per: organization, requests: 1_000, every: month, alert_at: [10]}}",
        "budgets: {team-month: {per: team, requests: 100, every: day, zone: Europe/Berlin}}",
        key("limits: {team-tokens: {per: team, tokens: 1_000, burst: 5, models: [gpt-4o]}}"),
        key("limits: {team-tokens: {per: team, requests: 5}}"),
        key("limits: {team-tokens: {per: key, tokens: 5}}"),
        key("limits: {team-tokens: {mode: off}}"),
        key("limits: {key-tokens: {per: key, tokens: 5, every: day}}"),
        key("limits: {slots: {per: team, concurrent: 3}}"),
        key("limits: {mine: {per: team, tokens: 5}}"),
        key("budgets: {team-month: {per: team, requests: 80, every: month}}"),
        key("budgets: {team-month: {per: user, requests: 5, every: day}}"),
        key("budgets: {team-month: {per: team, requests: 5, every: day, mode: off}}"),
        "budgets: {own: {per: user, requests: 5, every: day}}\n"
        + key("budgets: {own: {per: user, requests: 5, every: week}}"),
    ],
)
def test_what_has_a_counter_of_its_own_or_counts_alike_is_good(
    problems: Callable[[str], list[str]], rules: str
) -> None:
    assert problems(rules) == []


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            "limits: {all-requests: {per: organization, requests: 900}}",
            "2: limits.all-requests: is counted together with the one of organization.yaml:3, "
            "so `requests` must be the same; or give it another name",
        ),
        (
            "limits: {all-users: {per: [user, organization], requests: 50, every: day}}",
            "2: limits.all-users: is counted together with the one of organization.yaml:4, "
            "so `every` must be the same; or give it another name",
        ),
        (
            "budgets: {all-month: {per: organization, requests: 9, every: month, models: [o3]}}",
            "2: budgets.all-month: is counted together with the one of organization.yaml:9, "
            "so `models` must be the same; or give it another name",
        ),
        (
            key("limits: {team-tokens: {per: team, tokens: 1, every: day}}"),
            "3: keys.nightly.limits.team-tokens: is counted together with the one of organization.yaml:5, "
            "so `tokens` and `every` must be the same; or give it another name",
        ),
        (
            key("budgets: {team-month: {per: team, requests: 1, every: month, zone: Asia/Tokyo}}"),
            "3: keys.nightly.budgets.team-month: is counted together with the one of organization.yaml:10, "
            "so `zone` must be the same; or give it another name",
        ),
    ],
)
def test_who_shares_a_counter_counts_alike(
    problems: Callable[[str], list[str]], rules: str, told: str
) -> None:
    assert problems(rules) == [f"teams/search.yaml:{told}"]


def test_a_teams_mistake_is_not_told_of_its_keys(problems: Callable[[str], list[str]]) -> None:
    team = "limits: {all-requests: {per: organization, requests: 900}}\n"

    assert len(problems(team + key("models: [o3]"))) == 1


def test_a_key_is_compared_with_what_its_team_made_of_a_rule(problems: Callable[[str], list[str]]) -> None:
    team = "budgets: {team-month: {per: team, requests: 9, every: week}}\n"

    assert problems(team + key("budgets: {team-month: {per: team, requests: 5, every: week}}")) == []
    assert len(problems(team + key("budgets: {team-month: {per: team, requests: 5, every: month}}"))) == 1


def test_keys_are_compared_with_each_other(problems: Callable[[str], list[str]]) -> None:
    week, day = (f"{{per: [team, model], requests: 5, every: {every}}}" for every in ("week", "day"))
    text = f"keys:\n  a: {{budgets: {{x: {week}}}}}\n  b: {{budgets: {{x: {day}}}}}"

    assert [problem.split(": ")[1] for problem in problems(text)] == ["keys.b.budgets.x"]


@pytest.mark.parametrize(
    "rules",
    [
        "limits: {new: {per: organization, requests: 5}}",
        "limits: {all-requests: {per: organization, tokens: 5}}",
        "limits: {all-requests: {per: [organization, model], requests: 500}}",
        "budgets: {new: {per: [organization, model], requests: 5, every: day}}",
        key("budgets: {new: {per: organization, requests: 5, every: day}}"),
    ],
)
def test_what_counts_all_teams_begins_with_the_organization(
    problems: Callable[[str], list[str]], rules: str
) -> None:
    (told,) = problems(rules)

    assert "counts all teams, so organization.yaml must have it first" in told


def test_a_sum_of_all_teams_is_told_how_it_would_be_good(problems: Callable[[str], list[str]]) -> None:
    assert problems("limits: {all-requests: {per: organization, tokens: 5}}") == [
        "teams/search.yaml:2: limits.all-requests: counts all teams, "
        "so organization.yaml must have it first: by the same name, in `tokens`, with the same `per`"
    ]


@pytest.mark.parametrize(
    ("rules", "place", "other"),
    [
        ("limits: {team-month: {per: team, requests: 5}}", "limits.team-month", "budget"),
        ("budgets: {team-tokens: {per: key, dollars: 5, every: day}}", "budgets.team-tokens", "limit"),
        (
            "limits: {mine: {per: team, requests: 5}}\n"
            + key("budgets: {mine: {per: team, requests: 5, every: day}}"),
            "keys.nightly.budgets.mine",
            "limit",
        ),
    ],
)
def test_limits_and_budgets_have_different_names(
    problems: Callable[[str], list[str]], rules: str, place: str, other: str
) -> None:
    (told,) = problems(rules)

    assert told.split(": ", 1)[1] == f"{place}: is already the name of a {other}: choose another"


def test_a_mistake_of_the_organization_is_told_once(compiled: Compiled) -> None:
    text = """
        limits: {a: {per: team, requests: 5}}
        budgets: {a: {per: team, requests: 5, every: day}}
        """

    with pytest.raises(BrokenPolicies) as broken:
        compiled(organization=text, ads="team: ads")

    assert [problem.file for problem in broken.value.problems] == ["organization.yaml"]


def test_while_the_organization_is_broken_nothing_is_judged(compiled: Compiled) -> None:
    with pytest.raises(BrokenPolicies) as broken:
        compiled(
            organization="odd: 1",
            search="team: search\nlimits: {new: {per: organization, requests: 5}}",
        )

    assert [problem.file for problem in broken.value.problems] == ["organization.yaml"]
