"""`GET /admin/limits?team=search`: what is left of a team's limits and budgets, and who holds it.

`key` (by id or name), `user` and `model` narrow it to what counts such a call. A name that there is not is a
404 that says which there are; while nobody knows what is left, the answer is 503 and a sentence.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from gateway.admin.interfaces import Asked, Handler
from gateway.admin.problems import Problem
from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.core.actor import Role
from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Policy, Scope
from gateway.limits.left import TeamLimits
from gateway.limits.overview import Only, Overview, Team
from gateway.policies.narrowing import narrowed
from gateway.policies.policy_set import PolicySet, TeamPolicies

_MOST_NAMED: Final = 20
"""Names that are listed to whoever named none of them."""

_AWAY: Final = (
    "Nobody knows what is left: Redis, which keeps the counters, or the database is away. Until it is back, "
    "every replica goes on with its share of each limit. Try again."
)


class LimitsPage:
    """Answers one question."""

    def __init__(self, *, policies: Callable[[], PolicySet], keys: KeyStore, overview: Overview) -> None:
        """`policies`: those in force at the moment."""
        self._policies = policies
        self._keys = keys
        self._overview = overview

    def handlers(self) -> Mapping[str, Handler]:
        return {"limits": self.limits}

    async def limits(self, asked: Asked) -> TeamLimits:
        """Raises Problem."""
        query, name = asked.query, asked.query["team"]
        teams = {each: team for each, team in self._policies().teams.items() if asked.actor.may_see(each)}
        found = teams.get(name)
        if found is None:
            raise _not_found("team", name, teams, "in the policy files")
        try:
            keys = await self._keys.list(name)
            names = {key.id: key.name for key in keys}
            team = Team(name, found.policy, {**found.keys, **_with_limits_of_their_own(found, keys)}, names)
            only = Only(
                key=_key_id(query["key"], keys) if "key" in query else None,
                user=query.get("user"),
                model=_model_name(query["model"], found.policy) if "model" in query else None,
            )
            limits = await self._overview.of(team, only)
        except StoreUnavailable:
            raise Problem(503, _AWAY) from None
        return _own(limits) if asked.actor.role is Role.TEAM_ADMIN else limits


def _with_limits_of_their_own(team: TeamPolicies, keys: Iterable[StoredKey]) -> dict[str, Policy]:
    """The policies of keys whose grants bring limits, by the keys' names."""
    return {
        key.name: narrowed(team.keys.get(key.name, team.policy), key.grant)
        for key in keys
        if key.revoked_at is None and key.grant.has_limits
    }


def _own(limits: TeamLimits) -> TeamLimits:
    """Without those who hold what all teams share."""
    return replace(
        limits,
        concurrency=tuple(
            each if Scope.TEAM in each.whose else replace(each, holders=()) for each in limits.concurrency
        ),
        budgets=tuple(
            each if Scope.TEAM in each.whose else replace(each, holders=()) for each in limits.budgets
        ),
    )


def _key_id(asked: str, keys: Collection[StoredKey]) -> str:
    """The id of the key that has this id or, not being revoked, this name."""
    for key in keys:
        if asked == key.id or (asked == key.name and key.revoked_at is None):
            return key.id
    names = {key.name for key in keys if key.revoked_at is None}
    raise _not_found("key", asked, names, "of this team")


def _model_name(asked: str, policy: Policy) -> str:
    """The catalogue's name."""
    model = policy.catalogue.find(asked)
    if model is None:
        raise _not_found("model", asked, policy.catalogue.models.keys(), "in models.yaml")
    return model.name


def _not_found(what: str, asked: str, names: Collection[str], where: str) -> Problem:
    near = get_close_matches(asked, names, n=3)
    if near:
        help_ = f"Did you mean {' or '.join(f'`{name}`' for name in near)}?"
    elif names:
        listed = sorted(names)[:_MOST_NAMED]
        more = ", …" if len(names) > len(listed) else ""
        help_ = f"There are: {', '.join(f'`{name}`' for name in listed)}{more}"
    else:
        help_ = "There is none at all."
    return Problem(404, f"There is no {what} `{asked}` {where}. {help_}", field=what)
