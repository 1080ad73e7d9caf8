"""Inheritance: organization, then team, then key. The law: the more specific word replaces the whole rule.

Rules are matched by name. A rule of the same name takes the inherited one's place; `mode: off` takes it away;
an allow-list is replaced, never added to. What is not overridden is the very same object, so that whoever
prepares something for a tuple of rules (compiled patterns, say) does it once for all who inherit it.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from gateway.core.policy import Budget, Catalogue, FilterRule, Limit, Policy, Scope, ShapingRule
from gateway.policies.policy_set import TeamPolicies
from gateway.policies.schema import Organization, Overrides, Team

_ALL_TEAMS: Final = "*"

_R = TypeVar("_R", Limit, Budget, FilterRule, ShapingRule)


class _Spelling(Protocol):
    def compiled(self, name: str, /) -> tuple[Any, ...]: ...


def house_policy(organization: Organization, catalogue: Catalogue, version: str) -> Policy:
    """What every team inherits."""
    return refined(Policy(team="", version=version, catalogue=catalogue), organization)


def resolve(house: Policy, team: Team) -> TeamPolicies:
    """What holds for a team, and for those of its keys that have a policy of their own."""
    policy = _charged_to(refined(replace(house, team=team.team), team), team.cost_centre)
    keys = {name: _charged_to(refined(policy, key), key.cost_centre) for name, key in team.keys.items()}
    return TeamPolicies(policy, MappingProxyType(keys), team.description)


def gathered(teams: Mapping[str, TeamPolicies]) -> dict[str, TeamPolicies]:
    """The teams with the place of their counters: one for each team; one for all of them, if a rule of any
    counts the organization, since all that one exchange draws on is kept together."""
    policies = [policy for team in teams.values() for policy in (team.policy, *team.keys.values())]
    together = any(map(_counts_all, policies))
    return {name: _counted_at(_ALL_TEAMS if together else name, team) for name, team in teams.items()}


def _counts_all(policy: Policy) -> bool:
    rules: tuple[Limit | Budget, ...] = (*policy.limits, *policy.budgets)
    return any(Scope.ORGANIZATION in rule.per for rule in rules)


def _counted_at(place: str, team: TeamPolicies) -> TeamPolicies:
    keys = {name: replace(key, counters=place) for name, key in team.keys.items()}
    return replace(team, policy=replace(team.policy, counters=place), keys=MappingProxyType(keys))


def refined(policy: Policy, overrides: Overrides) -> Policy:
    """The policy with what a more specific level says."""
    return replace(
        policy,
        endpoints=overrides.endpoints.compiled() if overrides.endpoints else policy.endpoints,
        models=overrides.models.compiled() if overrides.models else policy.models,
        objects=overrides.objects or policy.objects,
        limits=merged(policy.limits, overrides.limits),
        budgets=merged(policy.budgets, overrides.budgets),
        filters=merged(policy.filters, overrides.filters),
        shaping=merged(policy.shaping, overrides.shaping),
        unpriced=overrides.unpriced or policy.unpriced,
        when_client_leaves=overrides.when_client_leaves or policy.when_client_leaves,
    )


def _charged_to(policy: Policy, cost_centre: str | None) -> Policy:
    return replace(policy, cost_centre=cost_centre) if cost_centre else policy


def merged(inherited: tuple[_R, ...], own: Mapping[str, _Spelling]) -> tuple[_R, ...]:
    """Inherited rules in their order, replaced by name, then the new ones."""
    if not own:
        return inherited
    rules = {name: tuple(group) for name, group in groupby(inherited, attrgetter("name"))}
    rules |= {name: rule.compiled(name) for name, rule in own.items()}
    return tuple(chain.from_iterable(rules.values()))
