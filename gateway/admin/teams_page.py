"""`/admin/teams` and `/admin/policy`: what the policy files in force say. A team admin sees its own teams."""

from collections.abc import Callable, Mapping

import msgspec

from gateway.admin.interfaces import Asked, Handler
from gateway.admin.problems import Problem
from gateway.admin.roles import NO_TEAM
from gateway.admin.shapes import PolicyVersion, ShownTeam, Teams
from gateway.policies.authorize import usable_models
from gateway.policies.policy_set import PolicySet, TeamPolicies


class TeamsPage:
    """Reads the policies as they are at the moment."""

    def __init__(self, *, policies: Callable[[], PolicySet]) -> None:
        self._policies = policies

    def handlers(self) -> Mapping[str, Handler]:
        return {"teams": self.teams, "team": self.team, "policy": self.policy}

    async def teams(self, asked: Asked) -> Teams:
        teams = self._policies().teams
        return Teams(data=[_shown(name, teams[name]) for name in sorted(teams) if asked.actor.may_see(name)])

    async def team(self, asked: Asked) -> ShownTeam:
        name = asked.path["team"]
        found = self._policies().teams.get(name)
        if found is None or not asked.actor.may_see(name):
            raise Problem(404, NO_TEAM)
        return _shown(name, found)

    async def policy(self, _: Asked) -> PolicyVersion:
        policies = self._policies()
        return PolicyVersion(
            version=policies.version,
            price_version=policies.catalogue.price_version,
            teams=len(policies.teams),
            models=len(policies.catalogue.models),
            issuers=sorted(policies.identity.issuers),
        )


def _shown(name: str, team: TeamPolicies) -> ShownTeam:
    policy = team.policy
    return ShownTeam(
        team=name,
        description=team.description,
        cost_centre=policy.cost_centre,
        endpoints=list(policy.endpoints.names),
        models=[model.name for model in usable_models(policy)],
        limits=[msgspec.to_builtins(limit) for limit in policy.limits],
        budgets=[msgspec.to_builtins(budget) for budget in policy.budgets],
        filters=[rule.name for rule in policy.filters],
        shaping=list(dict.fromkeys(rule.name for rule in policy.shaping)),  # one may be about several members
        keys_with_policies=sorted(team.keys),
    )
