"""Facts about `gateway/policies/resolve.py`."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.core.decision import Mode
from gateway.core.policy import Budget, Counted, Limit, Period, Scope, Unpriced, WhenClientLeaves
from gateway.policies.limit_rules import LimitSpelling
from gateway.policies.policy_set import PolicySet
from gateway.policies.resolve import merged

Compiled = Callable[..., PolicySet]

NAMES = st.sampled_from(["a", "b", "c", "d"])
SPELLINGS = st.one_of(
    st.just({"mode": "off"}),
    st.builds(lambda amount: {"per": "team", "tokens": amount}, st.integers(1, 9)),
    st.builds(lambda amount: {"per": "key", "concurrent": amount, "mode": "off"}, st.integers(1, 9)),
)
LEVELS = st.lists(st.dictionaries(NAMES, SPELLINGS, max_size=4), min_size=1, max_size=3)


def merge_all(levels: list[dict[str, Any]]) -> tuple[Limit, ...]:
    rules: tuple[Limit, ...] = ()
    for level in levels:
        rules = merged(
            rules, {name: TypeAdapter(LimitSpelling).validate_python(rule) for name, rule in level.items()}
        )
    return rules


@given(LEVELS)
def test_of_rules_with_one_name_only_the_most_specific_counts(levels: list[dict[str, Any]]) -> None:
    expected: dict[str, Any] = {}
    for level in levels:
        expected.update(level)

    found = {rule.name: rule.amount for rule in merge_all(levels)}

    assert found == {name: rule["tokens"] for name, rule in expected.items() if "mode" not in rule}


@given(LEVELS)
def test_a_level_that_says_nothing_changes_nothing(levels: list[dict[str, Any]]) -> None:
    rules = merge_all(levels)

    assert merged(rules, {}) is rules


def test_a_replaced_rule_keeps_its_place_and_new_ones_come_last() -> None:
    rules = merge_all(
        [
            {"a": {"per": "team", "tokens": 1}, "b": {"per": "team", "tokens": 2}},
            {"c": {"per": "team", "tokens": 3}, "a": {"per": "team", "tokens": 9}},
        ]
    )

    assert [(rule.name, rule.amount) for rule in rules] == [("a", 9), ("b", 2), ("c", 3)]


def test_a_key_goes_before_its_team_and_a_team_before_the_organization(compiled: Compiled) -> None:
    teams = compiled(
        organization="objects: enforce\nmodels: [gpt-4o]\nendpoints: [chat_completions]",
        search="team: search\nmodels: [o3]\nobjects: warn\nkeys:\n  nightly: {models: [gpt-4o*]}",
    ).teams

    team, key = teams["search"].policy, teams["search"].keys["nightly"]
    assert (team.models.names, team.objects, team.endpoints.names) == (
        ("o3",),
        Mode.WARN,
        ("chat_completions",),
    )
    assert (key.models.names, key.objects, key.endpoints.names) == (
        ("gpt-4o*",),
        Mode.WARN,
        ("chat_completions",),
    )


def test_a_whole_rule_is_replaced_not_its_single_keys(compiled: Compiled) -> None:
    policy = (
        compiled(
            organization="limits:\n  a: {per: team, tokens: 5, mode: warn, models: [gpt-4o]}",
            search="team: search\nlimits:\n  a: {per: key, requests: 7}",
        )
        .teams["search"]
        .policy
    )

    assert policy.limits == (
        Limit(
            "a",
            counts=policy.limits[0].counts,
            per=policy.limits[0].per,
            amount=7,
            burst=7,
        ),
    )
    assert policy.limits[0].mode is Mode.ENFORCE


def test_a_clamp_of_several_members_is_replaced_as_one_rule(compiled: Compiled) -> None:
    policy = (
        compiled(
            organization="shaping:\n  few: {clamp: [n, best_of], at_most: 4}\n  no: {strip: seed}",
            search="team: search\nshaping:\n  few: {clamp: [n, best_of, top_logprobs], at_most: 2}",
        )
        .teams["search"]
        .policy
    )

    assert [(rule.member, rule.at_most) for rule in policy.shaping] == [
        ("n", 2),
        ("best_of", 2),
        ("top_logprobs", 2),
        ("seed", None),
    ]


def test_budgets_are_inherited_replaced_and_taken_away_by_name(compiled: Compiled) -> None:
    teams = compiled(
        organization="""
            budgets:
              a: {per: team, requests: 1, every: day}
              b: {per: team, requests: 2, every: day}
            """,
        search="""
            team: search
            budgets:
              b: {per: key, tokens: 3, every: week, mode: warn}
              c: {per: team, requests: 4, every: month}
            keys:
              free: {budgets: {a: {mode: off}, c: {mode: off}}}
            """,
        ads="team: ads",
    ).teams

    assert [(budget.name, budget.amount) for budget in teams["ads"].policy.budgets] == [("a", 1), ("b", 2)]
    assert [(budget.name, budget.amount) for budget in teams["search"].policy.budgets] == [
        ("a", 1),
        ("b", 3),
        ("c", 4),
    ]
    assert teams["search"].keys["free"].budgets == (
        Budget(
            name="b",
            counts=Counted.TOKENS,
            per=(Scope.KEY,),
            amount=3,
            period=Period.WEEK,
            mode=Mode.WARN,
            alert_at=(80, 100),
        ),
    )


def counters(policy_set: PolicySet) -> list[str]:
    """Where the counters of all policies lie."""
    teams = policy_set.teams.values()
    return [policy.counters for team in teams for policy in (team.policy, *team.keys.values())]


TEAMS = {"ads": "team: ads", "search": "team: search\nkeys: {nightly: {models: [o3]}}"}


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "limits: {a: {per: team, requests: 5}}",
        "budgets: {a: {per: [user, model], requests: 5, every: day}}",
        "limits: {a: {per: organization, requests: 5, mode: off}}",
    ],
)
def test_a_teams_counters_lie_together(compiled: Compiled, rules: str) -> None:
    assert counters(compiled(organization=rules, **TEAMS)) == ["ads", "search", "search"]


@pytest.mark.parametrize(
    "rules",
    [
        "limits: {a: {per: organization, requests: 5}}",
        "limits: {a: {per: [organization, model], concurrent: 5, mode: shadow}}",
        "budgets: {a: {per: organization, requests: 5, every: day}}",
    ],
)
def test_with_a_rule_that_counts_all_teams_all_counters_lie_together(compiled: Compiled, rules: str) -> None:
    assert counters(compiled(organization=rules, **TEAMS)) == ["*", "*", "*"]


def test_they_lie_together_as_long_as_one_key_counts_all_teams(compiled: Compiled) -> None:
    rule = "a: {per: organization, requests: 5}"
    off = "a: {mode: off}"
    teams = {"ads": f"team: ads\nlimits: {{{off}}}", "search": f"team: search\nlimits: {{{off}}}"}
    one = f"{teams['search']}\nkeys: {{nightly: {{limits: {{{rule}}}}}}}"

    everywhere_off = compiled(organization=f"limits: {{{rule}}}", **teams)
    but_for_one = compiled(organization=f"limits: {{{rule}}}", **{**teams, "search": one})

    assert counters(everywhere_off) == ["ads", "search"]
    assert counters(but_for_one) == ["*", "*", "*"]


def test_what_is_inherited_unchanged_is_one_object_for_all_teams(compiled: Compiled) -> None:
    teams = compiled(
        organization="filters:\n  secrets: {kind: secrets}",
        search="team: search\nkeys:\n  nightly: {models: [o3]}",
        support="team: support",
    ).teams

    assert teams["search"].policy.filters is teams["support"].policy.filters
    assert teams["search"].policy.filters is teams["search"].keys["nightly"].filters


def test_every_policy_knows_its_team_and_version(compiled: Compiled) -> None:
    policy_set = compiled(search="team: search\nkeys:\n  nightly: {}")

    for policy in (policy_set.teams["search"].policy, policy_set.teams["search"].keys["nightly"]):
        assert (policy.team, policy.version) == ("search", policy_set.version)
        assert policy.catalogue is policy_set.catalogue


def test_nothing_is_allowed_that_nobody_allows(compiled: Compiled) -> None:
    policy = compiled(organization="").teams["search"].policy

    assert policy.models.names == ()
    assert policy.objects is Mode.ENFORCE


def test_nobody_is_refused_and_no_answer_drained_unless_it_is_said(compiled: Compiled) -> None:
    policy = compiled().teams["search"].policy

    assert (policy.unpriced, policy.when_client_leaves, policy.cost_centre) == (
        Unpriced.ALARM,
        WhenClientLeaves.CANCEL,
        "",
    )


def test_what_is_done_without_a_price_or_a_client_is_inherited(compiled: Compiled) -> None:
    teams = compiled(
        organization="models: [gpt-4o]\nunpriced: refuse\nwhen_client_leaves: drain",
        search="team: search\nunpriced: ceiling\nkeys:\n  nightly: {when_client_leaves: cancel}",
        ads="team: ads",
        prices="ceiling: {input: 100}",
    ).teams

    said = {
        name: (policy.unpriced, policy.when_client_leaves)
        for name, policy in {
            "ads": teams["ads"].policy,
            "search": teams["search"].policy,
            "nightly": teams["search"].keys["nightly"],
        }.items()
    }
    assert said == {
        "ads": (Unpriced.REFUSE, WhenClientLeaves.DRAIN),
        "search": (Unpriced.CEILING, WhenClientLeaves.DRAIN),
        "nightly": (Unpriced.CEILING, WhenClientLeaves.CANCEL),
    }


def test_a_key_is_charged_to_its_teams_cost_centre_or_to_its_own(compiled: Compiled) -> None:
    team = compiled(
        search='team: search\ncost_centre: "0815"\nkeys:\n  a: {cost_centre: "0816"}\n  b: {}'
    ).teams["search"]

    assert (team.policy.cost_centre, team.keys["a"].cost_centre, team.keys["b"].cost_centre) == (
        "0815",
        "0816",
        "0815",
    )
