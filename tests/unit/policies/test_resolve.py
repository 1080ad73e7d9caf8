"""Facts about `gateway/policies/resolve.py`."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.core.decision import Mode
from gateway.core.policy import Limit
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
